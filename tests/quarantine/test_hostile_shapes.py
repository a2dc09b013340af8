"""Trees too deep and too large, and big files whose chunks are not what the format says."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest

from envgit.layers.tree_limits import MAX_DEPTH
from envgit.model import Child, Entry
from envgit.trees import MODE_FILE, GitContent
from tests.quarantine.builder import Environment
from tests.quarantine.conftest import Home
from tests.quarantine.forging import Cases

case = Cases()


@case("lies below more than 2048 others")
def a_deep_tree(made: Environment) -> bytes:
    child = made.folder(b"d")
    for _ in range(MAX_DEPTH + 2):
        child = made.folder(b"d", child)
    return made.commit(made.root(child))


@case("more than 5000000 entries")
def few_objects_a_tree_without_end(made: Environment) -> bytes:
    child = made.folder(b"0")
    for _ in range(8):
        child = made.folder(b"0", *(Child(child.entry._replace(name=b"%d" % n), child.content) for n in range(10)))
    return made.commit(made.root(child))


# big files


def with_chunks(
    made: Environment, groups: list[list[bytes]], size: int, digest: bytes | None = None, **odd: object
) -> bytes:
    objects = made.objects
    label: Callable[[int], bytes] = odd.get("label", lambda n: b"%04x" % n)  # type: ignore[assignment]
    mode = odd.get("mode", MODE_FILE)
    trees = [
        objects.tree(*((mode, label(n), objects.put("blob", chunk)) for n, chunk in enumerate(group)))  # type: ignore[arg-type]
        for group in groups
    ]
    name: Callable[[int], bytes] = odd.get("group_label", lambda n: b"%06x" % n)  # type: ignore[assignment]
    top = objects.tree(*((0o040000, name(n), tree) for n, tree in enumerate(trees)))
    content = digest or sha256(b"".join(chunk for group in groups for chunk in group)).digest()
    big = Child(Entry(b"big", "f", 0o644, size=size, sha256=content), GitContent(0o040000, top))
    return made.commit(made.root(big))


MIB9 = 9 << 20
PIECES = [bytes([n % 251]) * (1 << 18) for n in range(36)]


@case("cut in other places")
def chunks_cut_elsewhere(made: Environment) -> bytes:
    return with_chunks(made, [PIECES[:20], PIECES[20:]], MIB9)


@case("is not what its metadata recorded")
def chunks_with_another_digest(made: Environment) -> bytes:
    return with_chunks(made, [PIECES], MIB9, b"0" * 32)


@case("its metadata says")
def chunks_of_another_size(made: Environment) -> bytes:
    return with_chunks(made, [PIECES], MIB9 + 1)


@case("of 262145 bytes")
def a_chunk_too_large(made: Environment) -> bytes:
    return with_chunks(made, [[bytes((1 << 18) + 1), *PIECES]], MIB9)


@case("of 0 bytes")
def a_chunk_of_nothing(made: Environment) -> bytes:
    return with_chunks(made, [[b"", *PIECES]], MIB9)


@case("another name or mode")
def chunks_misnamed(made: Environment) -> bytes:
    return with_chunks(made, [PIECES], MIB9, label=lambda n: b"%04d" % (n + 1))


@case("another name or mode")
def groups_misnamed(made: Environment) -> bytes:
    return with_chunks(made, [PIECES], MIB9, group_label=lambda n: b"%05x" % n)


@case("another name or mode")
def chunks_executable(made: Environment) -> bytes:
    return with_chunks(made, [PIECES], MIB9, mode=0o100755)


@case("has 0 of them")
def a_group_of_nothing(made: Environment) -> bytes:
    return with_chunks(made, [PIECES, []], MIB9)


@case("has 1025 of them")
def a_group_too_large(made: Environment) -> bytes:
    return with_chunks(made, [[b"x" * 20_000] * 1025], 20_000 * 1025)


@case("are a blob")
def chunks_that_are_no_tree(made: Environment) -> bytes:
    content = GitContent(0o040000, made.objects.put("blob", b"x"))
    return made.commit(made.root(Child(Entry(b"big", "f", 0o644, size=MIB9, sha256=bytes(32)), content)))


@case("its metadata says")
def a_petabyte_of_one_chunk(made: Environment) -> bytes:
    chunk = made.objects.put("blob", bytes(1 << 18))
    group = made.objects.tree(*((MODE_FILE, b"%04x" % n, chunk) for n in range(1024)))
    top = made.objects.tree(*((0o040000, b"%06x" % n, group) for n in range(4096)))
    big = Entry(b"big", "f", 0o644, size=1 << 50, sha256=bytes(32))
    return made.commit(made.root(Child(big, GitContent(0o040000, top))))


@case("has no git entry of mode 40000")
def a_big_file_in_one_piece(made: Environment) -> bytes:
    content = GitContent(MODE_FILE, made.objects.put("blob", bytes(MIB9)))
    return made.commit(made.root(Child(Entry(b"big", "f", 0o644, size=MIB9, sha256=bytes(32)), content)))


@pytest.mark.parametrize("name", case)
def test_refused(home: Home, name: str) -> None:
    case.check(home, name)
