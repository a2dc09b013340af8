"""What differs between trees: hard links, and trees without end."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.errors import HostileInput
from envgit.layers import compare
from envgit.layers.compare import diff_trees
from envgit.layers.edit import edit_tree
from envgit.layers.relinked import relink
from envgit.model import Child, DirectoryRef, Entry, Links

from .dict_store import DictStore

PATHS = (b"a", b"b", b"d/a", b"d/b", b"e/f/a")
SETS = st.lists(st.sampled_from(range(len(PATHS) + 1)), min_size=len(PATHS), max_size=len(PATHS))


def partition(paths: tuple[bytes, ...], places: list[int]) -> Links:
    """Return the sets of paths that have the same number."""
    sets: dict[int, list[bytes]] = {}
    for path, place in zip(paths, places, strict=False):
        sets.setdefault(place, []).append(path)
    return tuple(sorted(tuple(sorted(names)) for names in sets.values() if len(names) > 1))


def build(disk: DictStore, paths: tuple[bytes, ...], links: Links = (), content: bytes = b"x") -> DirectoryRef:
    def directory(prefix: bytes) -> DirectoryRef:
        children = []
        names = sorted({path[len(prefix) :].split(b"/")[0] for path in paths if path.startswith(prefix)})
        for name in names:
            if prefix + name in paths:
                stored = disk.put_file([content], False)
                entry = Entry(name, "f", 0o644, size=stored.size, sha256=stored.sha256)
                children.append(Child(entry, stored.content))
            else:
                ref = directory(prefix + name + b"/")
                children.append(Child(Entry(name, "d", sha256=ref.sha256), ref))
        return disk.put_directory(Entry(b".", "d", 0o755), children, () if prefix else links)

    return directory(b"")


def seen(disk: DictStore, old: DirectoryRef, new: DirectoryRef, **options: object) -> list[tuple[str, bytes]]:
    return [(change.kind, change.path) for change in diff_trees(old, new, disk, **options)]  # type: ignore[arg-type]


def test_a_broken_link_is_a_change_of_properties_that_names_the_others() -> None:
    disk = DictStore()
    old, new = build(disk, PATHS, ((b"a", b"d/b", b"e/f/a"),)), build(disk, PATHS, ((b"a", b"e/f/a"),))
    changes = list(diff_trees(old, new, disk))
    assert [(change.kind, change.path, change.old_links, change.new_links) for change in changes] == [
        ("P", b"a", (b"d/b", b"e/f/a"), (b"e/f/a",)),
        ("P", b"d/b", (b"a", b"e/f/a"), ()),
        ("P", b"e/f/a", (b"a", b"d/b"), (b"a",)),
    ]
    assert seen(disk, old, new, paths=[b"d"]) == [("P", b"d/b")]
    assert seen(disk, new, old) == [("P", b"a"), ("P", b"d/b"), ("P", b"e/f/a")]


def test_a_name_that_comes_or_goes_says_it_itself() -> None:
    disk = DictStore()
    one, two = build(disk, (b"a", b"c")), build(disk, (b"a", b"b", b"c"), ((b"a", b"b"),))
    assert seen(disk, one, two) == [("A", b"b")]
    assert seen(disk, two, one) == [("D", b"b")]
    three = build(disk, (b"a", b"b", b"c"), ((b"a", b"b", b"c"),))
    assert seen(disk, one, three) == [("P", b"a"), ("A", b"b"), ("P", b"c")]


def test_a_new_content_is_one_change_with_its_links() -> None:
    disk = DictStore()
    old, new = build(disk, (b"a", b"b"), ((b"a", b"b"),)), build(disk, (b"a", b"b"), (), b"other")
    assert [(change.kind, change.old_links) for change in diff_trees(old, new, disk)] == [
        ("M", (b"b",)),
        ("M", (b"a",)),
    ]


@settings(max_examples=200, deadline=None)
@given(SETS, SETS)
def test_trees_that_differ_in_links_alone_differ_in_those_paths(before: list[int], after: list[int]) -> None:
    disk = DictStore()
    old_links, new_links = partition(PATHS, before), partition(PATHS, after)
    old, new = build(disk, PATHS, old_links), build(disk, PATHS, new_links)
    expected = sorted(path for path in PATHS if _set_of(path, old_links) != _set_of(path, new_links))
    changes = list(diff_trees(old, new, disk, with_mtime=True))
    assert sorted(change.path for change in changes) == expected
    assert edit_tree(old, changes, disk, disk, new_links) == new


def _set_of(path: bytes, links: Links) -> tuple[bytes, ...]:
    return next((names for names in links if path in names), ())


@settings(max_examples=200, deadline=None)
@given(SETS, SETS, st.sets(st.sampled_from(PATHS)))
def test_restored_links(before: list[int], after: list[int], restored: set[bytes]) -> None:
    current, wanted = partition(PATHS, before), partition(PATHS, after)
    result = relink(current, wanted, restored, set(PATHS) - restored)
    assert sorted(path for names in result for path in names) == sorted({path for names in result for path in names})
    for one in restored:  # what comes back is linked with all of its set that comes back too
        assert set(_set_of(one, wanted)) & restored <= set(_set_of(one, result)) | {one}
    for one in set(PATHS) - restored:  # what stays gains and loses no link among what stays
        assert set(_set_of(one, result)) - restored | {one} == set(_set_of(one, current)) - restored | {one}
    if restored == set(PATHS):
        assert result == wanted


def bomb(disk: DictStore, depth: int, width: int) -> DirectoryRef:
    ref = build(disk, (b"file",))
    for _ in range(depth):
        children = [Child(Entry(b"%d" % number, "d", sha256=ref.sha256), ref) for number in range(width)]
        ref = disk.put_directory(Entry(b".", "d", 0o755), children)
    return ref


def test_a_tree_bomb_is_refused_after_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "MAX_ENTRIES", 10_000)
    disk = DictStore()
    small, large = bomb(disk, 3, 10), bomb(disk, 40, 10)
    assert len(seen(disk, None, small)) == 2111  # type: ignore[arg-type]
    with pytest.raises(HostileInput, match="more than 10,000 entries") as caught:
        seen(disk, small, large)
    assert caught.value.hint is not None
    assert "PATH" in caught.value.hint
    assert seen(disk, large, large) == []
    assert seen(disk, None, large, paths=[b"0/nothing"]) == []  # type: ignore[arg-type]


def test_a_tree_without_bottom_is_refused() -> None:
    disk = DictStore()
    with pytest.raises(HostileInput, match="below 2,048 directories"):
        seen(disk, None, bomb(disk, 2100, 1))  # type: ignore[arg-type]
    assert len(seen(disk, None, bomb(disk, 2000, 1))) == 2002  # type: ignore[arg-type]
