"""Trees too deep and too large, and big files whose chunks are not what the format says."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from itertools import pairwise

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


def million(made: Environment, name: bytes) -> Child:
    """A folder of 1,111,110 others, of seven objects."""
    child = made.folder(b"0")
    for _ in range(6):
        child = made.folder(b"0", *(Child(child.entry._replace(name=b"%d" % n), child.content) for n in range(10)))
    return Child(child.entry._replace(name=name), child.content)


def growing(home: Home, commits: int) -> list[bytes]:
    """Commits of which each has a million entries more than the one before."""
    made, line = home.environment, [home.base]
    for many in range(1, commits + 1):
        line.append(made.commit(made.root(*(million(made, b"m%d" % n) for n in range(many))), line[-1]))
    return line[1:]


def test_what_the_parent_has_counts_within_one_arrival(home: Home) -> None:
    line = growing(home, 5)
    pack = home.environment.objects.pack()
    assert "more than 5000000 entries" in home.refuse(pack, line[-1])
    assert home.accept(pack, line[-2]).commits == 4


def test_what_the_parent_has_counts_over_many_arrivals(home: Home) -> None:
    line = [home.base, *growing(home, 5)]
    pack = home.environment.objects.pack()
    for before, tip in pairwise(line[:-1]):
        assert home.accept(pack, tip).commits == 1
        home.store.refs.update("refs/heads/main", tip, before)
    assert "more than 5000000 entries" in home.refuse(pack, line[-1])


def test_a_folder_that_shares_with_the_parent_counts_in_other_places(home: Home) -> None:
    """/a has, but for one file, what the parent has there; four more of it are too many."""
    made = home.environment
    first = made.commit(made.root(made.folder(b"a", million(made, b"m"))), home.base)
    home.accept(made.objects.pack(), first)
    home.store.refs.update("refs/heads/main", first, home.base)
    changed = made.folder(b"a", million(made, b"m"), made.file(b"new", b"new\n"))
    places = [Child(changed.entry._replace(name=b"a%d" % n), changed.content) for n in range(4)]
    tip = made.commit(made.root(changed, *places), first)
    assert "more than 5000000 entries" in home.refuse(made.objects.pack(), tip)
    tip = made.commit(made.root(changed, *places[1:]), first)
    assert home.accept(made.objects.pack(), tip).commits == 1


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
