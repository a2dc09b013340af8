"""edit_tree undoes diff_trees: `edit(a, diff(a, b)) == b`, whatever the two trees are."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.errors import UnknownPath
from envgit.layers.compare import diff_trees
from envgit.layers.edit import edit_tree
from envgit.model import Change, Child, DirectoryRef, Entry

from .dict_store import DictStore

NAMES = st.sampled_from([b"a", b"b", b"c", b"d e", b"\xff"])
Tree = dict[bytes, object]
trees = st.recursive(
    st.one_of(st.binary(max_size=3), st.tuples(st.just("link"), st.binary(min_size=1, max_size=3))),
    lambda below: st.dictionaries(NAMES, below, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def store(writer: DictStore, tree: object, mode: int = 0o755) -> DirectoryRef:
    assert isinstance(tree, dict)
    children = []
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            ref = store(writer, value, 0o700 + len(value))
            children.append(Child(Entry(name, "d", sha256=ref.sha256), ref))
        elif isinstance(value, bytes):
            stored = writer.put_file([value], False)
            children.append(Child(Entry(name, "f", 0o644, size=stored.size, sha256=stored.sha256), stored.content))
        else:
            children.append(Child(Entry(name, "l", target=bytes(value[1]).replace(b"\0", b"x")), None))
    return writer.put_directory(Entry(b".", "d", mode), children)


@settings(max_examples=300, deadline=None)
@given(trees, trees)
def test_editing_undoes_comparing(old: object, new: object) -> None:
    disk = DictStore()
    before, after = store(disk, old), store(disk, new)
    changes = list(diff_trees(before, after, disk, with_mtime=True))
    assert edit_tree(before, changes, disk, disk) == after


def test_nothing_to_do_keeps_the_reference_and_writes_nothing() -> None:
    disk = DictStore()
    root = store(disk, {b"a": {b"b": b"x"}})
    written = disk.directories_written
    assert edit_tree(root, [], disk, disk) == root
    assert disk.directories_written == written


def test_an_untouched_directory_is_not_read() -> None:
    disk = DictStore()
    before = store(disk, {b"a": {b"x": b"1"}, b"b": {b"y": {b"z": b"2"}}})
    after = store(disk, {b"a": {b"x": b"9"}, b"b": {b"y": {b"z": b"2"}}})
    changes = list(diff_trees(before, after, disk))
    disk.directories_read = 0
    assert edit_tree(before, changes, disk, disk) == after
    assert disk.directories_read == 2


def test_a_change_below_a_file_is_refused() -> None:
    disk = DictStore()
    root = store(disk, {b"a": b"file"})
    stored = disk.put_file([b"x"], False)
    child = Child(Entry(b"b", "f", 0o644, size=1, sha256=stored.sha256), stored.content)
    with pytest.raises(UnknownPath):
        edit_tree(root, [Change(b"a/b", "A", None, child)], disk, disk)
