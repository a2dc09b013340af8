"""Which lines differ: Myers' greedy algorithm while the difference is small, split at unique lines (patience) when not.

Eugene W. Myers, An O(ND) Difference Algorithm and Its Variations (1986). difflib takes minutes for files that differ
everywhere; here the work is bounded, at worst a stretch is shown as replaced.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

MOST_EDITS: Final = 600


class Edit(NamedTuple):
    """Lines old[old_from:old_to] became new[new_from:new_to]."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


def find_edits(old: Sequence[bytes], new: Sequence[bytes]) -> list[Edit]:
    """Return the edits that turn `old` into `new`, in order, never adjacent."""
    numbers: dict[bytes, int] = {}
    a = [numbers.setdefault(line, len(numbers)) for line in old]
    b = [numbers.setdefault(line, len(numbers)) for line in new]
    edits: list[Edit] = []
    for edit in _compare(a, b, 0, len(a), 0, len(b)):
        if edits and edits[-1].old_to == edit.old_from and edits[-1].new_to == edit.new_from:
            last = edits.pop()
            edit = Edit(last.old_from, edit.old_to, last.new_from, edit.new_to)
        edits.append(edit)
    return _slide_down(edits, a, b)


def _compare(a: list[int], b: list[int], low_a: int, high_a: int, low_b: int, high_b: int) -> Iterator[Edit]:
    while low_a < high_a and low_b < high_b and a[low_a] == b[low_b]:
        low_a += 1
        low_b += 1
    while low_a < high_a and low_b < high_b and a[high_a - 1] == b[high_b - 1]:
        high_a -= 1
        high_b -= 1
    if low_a == high_a or low_b == high_b:
        if low_a < high_a or low_b < high_b:
            yield Edit(low_a, high_a, low_b, high_b)
        return
    steps = _myers(a[low_a:high_a], b[low_b:high_b])
    if steps is not None:
        for edit in steps:
            yield Edit(edit.old_from + low_a, edit.old_to + low_a, edit.new_from + low_b, edit.new_to + low_b)
        return
    anchors = _unique_common(a, b, low_a, high_a, low_b, high_b)
    if not anchors:
        yield Edit(low_a, high_a, low_b, high_b)
        return
    for anchor_a, anchor_b in anchors:
        yield from _compare(a, b, low_a, anchor_a, low_b, anchor_b)
        low_a, low_b = anchor_a + 1, anchor_b + 1
    yield from _compare(a, b, low_a, high_a, low_b, high_b)


def _myers(a: list[int], b: list[int]) -> list[Edit] | None:
    """Return the shortest edit script, or None when it is longer than MOST_EDITS."""
    n, m = len(a), len(b)
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for d in range(min(n + m, MOST_EDITS) + 1):
        trace.append(furthest.copy())
        for k in range(-d, d + 1, 2):
            down = k == -d or (k != d and furthest[k - 1] < furthest[k + 1])
            x = furthest[k + 1] if down else furthest[k - 1] + 1
            y = x - k
            while x < n and y < m and a[x] == b[y]:
                x += 1
                y += 1
            furthest[k] = x
            if x >= n and y >= m:
                return _walk_back(trace, n, m)
    return None


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> list[Edit]:
    edits: list[Edit] = []
    for d in range(len(trace) - 1, 0, -1):
        furthest = trace[d]
        k = x - y
        down = k == -d or (k != d and furthest[k - 1] < furthest[k + 1])
        before_k = k + 1 if down else k - 1
        before_x = furthest[before_k]
        before_y = before_x - before_k
        step = Edit(before_x, before_x + (not down), before_y, before_y + down)
        if edits and edits[-1].old_from == step.old_to and edits[-1].new_from == step.new_to:
            last = edits.pop()
            step = Edit(step.old_from, last.old_to, step.new_from, last.new_to)
        edits.append(step)
        x, y = before_x, before_y
    edits.reverse()
    return edits


def _unique_common(
    a: list[int], b: list[int], low_a: int, high_a: int, low_b: int, high_b: int
) -> list[tuple[int, int]]:
    """Return the longest increasing run of lines that occur once on either side (patience diff's anchors)."""
    once_b = _positions_of_unique(b, low_b, high_b)
    pairs = [(at, once_b[line]) for line, at in _positions_of_unique(a, low_a, high_a).items() if line in once_b]
    pairs.sort()
    tails: list[int] = []
    ends: list[int] = []
    previous: list[int] = []
    for index, (_, at_b) in enumerate(pairs):
        place = bisect_left(tails, at_b)
        previous.append(ends[place - 1] if place else -1)
        if place == len(tails):
            tails.append(at_b)
            ends.append(index)
        else:
            tails[place] = at_b
            ends[place] = index
    anchors: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        anchors.append(pairs[index])
        index = previous[index]
    anchors.reverse()
    return anchors


def _positions_of_unique(lines: list[int], low: int, high: int) -> dict[int, int]:
    positions: dict[int, int] = {}
    for at in range(low, high):
        positions[lines[at]] = -1 if lines[at] in positions else at
    return {line: at for line, at in positions.items() if at >= 0}


def _slide_down(edits: list[Edit], a: list[int], b: list[int]) -> list[Edit]:
    """Move pure insertions and deletions as far down as they go, as git does; join those that meet."""
    result: list[Edit] = []
    limit_a, limit_b = len(a), len(b)
    for edit in reversed(edits):
        old_from, old_to, new_from, new_to = edit
        lines, low, high = (b, new_from, new_to) if old_from == old_to else (a, old_from, old_to)
        if old_from == old_to or new_from == new_to:
            while old_to < limit_a and new_to < limit_b and lines[low] == lines[high]:
                low, high = low + 1, high + 1
                old_from, old_to, new_from, new_to = old_from + 1, old_to + 1, new_from + 1, new_to + 1
        if result and old_to == limit_a and new_to == limit_b:
            after = result.pop()
            old_to, new_to = after.old_to, after.new_to
        result.append(Edit(old_from, old_to, new_from, new_to))
        limit_a, limit_b = old_from, new_from
    result.reverse()
    return result


class Hunk(NamedTuple):
    """Edits close enough to share their context, and the context's borders."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int
    edits: tuple[Edit, ...]


def group_hunks(edits: Sequence[Edit], old_count: int, new_count: int, context: int) -> Iterator[Hunk]:
    """Gather edits that are at most twice `context` lines apart."""
    group: list[Edit] = []
    for edit in edits:
        if group and edit.old_from - group[-1].old_to > 2 * context:
            yield _hunk(group, old_count, new_count, context)
            group = []
        group.append(edit)
    if group:
        yield _hunk(group, old_count, new_count, context)


def _hunk(group: list[Edit], old_count: int, new_count: int, context: int) -> Hunk:
    before = min(context, group[0].old_from, group[0].new_from)
    after = min(context, old_count - group[-1].old_to, new_count - group[-1].new_to)
    return Hunk(
        group[0].old_from - before,
        group[-1].old_to + after,
        group[0].new_from - before,
        group[-1].new_to + after,
        tuple(group),
    )
