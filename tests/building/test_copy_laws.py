"""Laws of copying, for any folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.building.unit import CopyItem
from envgit.errors import UnknownPath
from envgit.layers.scan import scan_directory
from envgit.model import DirectoryRef, DiskIds, Entry
from tests.building.copy_lab import CopyLab

NAMES = st.sampled_from(["a", "b", "c", "d e", "\udcff"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.one_of(
    st.tuples(st.just("f"), st.sampled_from(["", "1", "22"]), st.sampled_from([0o644, 0o755, 0o4711])),
    st.tuples(st.just("d"), st.just(""), st.sampled_from([0o755, 0o700, 0o1777])),
    st.tuples(st.just("l"), st.sampled_from(["a", "../b", "/c", "gone"]), st.just(0)),
    st.tuples(st.just("h"), PATHS, st.just(0)),
)
FOLDERS = st.dictionaries(PATHS, FILES, max_size=7)
ITEMS = (
    CopyItem("/x", (".",)),
    CopyItem("/", ("*",)),
    CopyItem("/x/", ("[ab]*", "c*"), parents=True),
    CopyItem("/x/", (".",), exclude=("**/b",)),
)
EPOCH = 1000


def write(lab: CopyLab, folder: dict[str, tuple[str, str, int]]) -> None:
    """Make the folder the context; what cannot be (a file in a file) is left out."""
    shutil.rmtree(lab.context)
    lab.context.mkdir(mode=0o755)
    lab.context.chmod(0o755)
    for path, (kind, what, mode) in sorted(folder.items(), key=lambda each: (each[1][0] == "h", each[0])):
        place = lab.context / path
        parents = [lab.context.joinpath(*place.relative_to(lab.context).parts[:n]) for n in range(len(path.split("/")))]
        if (
            place.is_symlink()
            or place.exists()
            or any(p.is_symlink() or (p.exists() and not p.is_dir()) for p in parents)
        ):
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if kind == "f":
            place.write_text(what)
        elif kind == "d":
            place.mkdir()
        elif kind == "l":
            place.symlink_to(what)
        elif (lab.context / what).is_file() and not (lab.context / what).is_symlink():
            place.hardlink_to(lab.context / what)
        if kind in "fd":
            place.chmod(mode)


def labs(count: int) -> Iterator[CopyLab]:
    with TemporaryDirectory() as folder:
        for number in range(count):
            place = Path(folder) / str(number)
            place.mkdir()
            yield CopyLab(place)


@settings(max_examples=50, deadline=None)
@given(one=FOLDERS, other=FOLDERS)
def test_equal_digests_are_equal_trees(
    one: dict[str, tuple[str, str, int]], other: dict[str, tuple[str, str, int]]
) -> None:
    """A key stands for one result, and what changes nothing costs no build."""
    for item in ITEMS:
        digests, trees = [], []
        for lab, folder in zip(labs(2), (one, other), strict=True):
            write(lab, folder)
            with suppress(UnknownPath):  # a link that is named and leads nowhere
                digests.append(lab.digest(item))
                trees.append(lab.copy(item, epoch=EPOCH))
        if len(trees) < 2:
            continue
        if digests[0] == digests[1]:
            assert trees[0] == trees[1]
        elif item is ITEMS[0]:
            assert trees[0] != trees[1]


@settings(max_examples=60, deadline=None)
@given(folder=FOLDERS)
def test_a_copy_is_what_an_import_sees(folder: dict[str, tuple[str, str, int]]) -> None:
    """The oracle is the scan that imports directories."""
    for lab in labs(1):
        write(lab, folder)
        copied = lab.copy(CopyItem("/", (".",)))
        fd = os.open(lab.context, os.O_RDONLY)
        try:
            scanned = scan_directory(fd, lab.store, DiskIds())
        finally:
            os.close(fd)
        assert plain(lab, copied) == plain(lab, scanned.root)
        assert lab.store.read_links(copied) == scanned.links


@settings(max_examples=60, deadline=None)
@given(folder=FOLDERS)
def test_twice_is_once(folder: dict[str, tuple[str, str, int]]) -> None:
    for lab in labs(1):
        write(lab, folder)
        once = lab.copy(ITEMS[0], epoch=EPOCH)
        assert lab.copy(ITEMS[0], onto=once, epoch=EPOCH) == once


def plain(lab: CopyLab, root: DirectoryRef) -> dict[bytes, Entry]:
    return {
        path: entry._replace(uid=0, gid=0, xattrs=(), mtime_ns=0 if entry.type == "l" else entry.mtime_ns)
        for path, entry in lab.store.paths(root).items()
        if path
    }
