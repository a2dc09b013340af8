"""Find out what the deltas of a pack make: from each whole object up, every delta once, as git's index-pack does.

Bounded: a chain ends at the length that readers accept, a result at the size of an object, what is held at a time at a budget. What
has no whole object below it (its base is elsewhere, or deltas build on each other in a circle) is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from envgit.quarantine.errors import CheckExceeded, RefusedObjects
from envgit.quarantine.pack_scan import MAX_OBJECT_BYTES, Delta, Found, identify
from envgit.store.deflate import decompress_exact
from envgit.store.delta import apply_delta

MAX_CHAIN = 4095
"""git's own bound of --depth, and one less than what the pack reader follows."""
_HELD_BYTES = 1 << 30


def resolve_deltas(
    data: memoryview,
    found: list[Found],
    deltas: list[Delta],
    advance: Callable[[int], None],
    body_of: Callable[[int], int],
) -> None:
    """Append to `found` the object of every delta. `body_of` returns where the stream of a whole entry starts.

    Raises RefusedObjects, CheckExceeded.
    """
    by_offset: dict[int, list[Delta]] = {}
    by_oid: dict[bytes, list[Delta]] = {}
    for delta in deltas:
        base = delta[4]
        if isinstance(base, int):
            by_offset.setdefault(base, []).append(delta)
        else:
            by_oid.setdefault(base, []).append(delta)
    left = len(deltas)

    def take(oid: bytes, offset: int) -> list[Delta]:
        return by_offset.pop(offset, []) + by_oid.pop(oid, [])

    for oid, type, size, _, offset, _ in tuple(found):
        children = take(oid, offset)
        if not children:
            continue
        content = _inflate(data, body_of(offset), size)
        stack: list[tuple[bytes, list[Delta]]] = [(content, children)]
        held = size
        while stack:
            content, children = stack[-1]
            start, check, body, delta_size, _ = children.pop()
            if not children:  # the last one: its base is needed no more
                stack.pop()
                held -= len(content)
            result = _apply(content, _inflate(data, body, delta_size), start)
            oid, digest = identify(type, result)
            found.append((oid, type, len(result), digest, start, check))
            left -= 1
            advance(1)
            below = take(oid, start)
            if below:
                stack.append((result, below))
                held += len(result)
                if held > _HELD_BYTES:
                    raise CheckExceeded(f"the pack's deltas need more than {_HELD_BYTES >> 20} MiB at once")
    if left:
        raise RefusedObjects(
            f"the pack has {left} deltas that build on no object in it",
            hint="nothing was kept; fetch again: what was sent is incomplete, or its deltas go round in a circle",
        )


def check_chains(found: list[Found], deltas: list[Delta]) -> None:
    """Raise RefusedObjects when a chain of deltas is longer than readers follow."""
    if len(deltas) <= MAX_CHAIN:
        return
    offsets = {oid: offset for oid, _, _, _, offset, _ in found}
    base_of = {delta[0]: delta[4] if isinstance(delta[4], int) else offsets[delta[4]] for delta in deltas}
    depth: dict[int, int] = {}
    for start in base_of:
        path = []
        offset = start
        while offset in base_of and offset not in depth:
            path.append(offset)
            offset = base_of[offset]
        below = depth.get(offset, 0)
        for each in reversed(path):
            below += 1
            depth[each] = below
        if below > MAX_CHAIN:
            raise RefusedObjects(f"the pack has a chain of more than {MAX_CHAIN} deltas")


def _inflate(data: memoryview, start: int, size: int) -> bytes:
    return decompress_exact(data, start, len(data), size)[0]  # it was sound a moment ago


def _apply(base: bytes, delta: bytes, offset: int) -> bytes:
    if _result_size(delta) > MAX_OBJECT_BYTES:
        raise RefusedObjects(f"the pack has a delta at offset {offset} that makes more than {MAX_OBJECT_BYTES} bytes")
    try:
        return apply_delta(base, delta)
    except ValueError as error:
        raise RefusedObjects(f"the pack is damaged at offset {offset}: {error}") from None


def _result_size(delta: bytes) -> int:
    """Read the second number of a delta; whatever is malformed about it, apply_delta says."""
    position = 0
    while position < len(delta) and delta[position] & 0x80:
        position += 1
    position += 1
    size = shift = 0
    for byte in delta[position : position + 10]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return size
