"""Two processes write what one would: the same bytes, errors and warnings, and neither is left behind."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.errors import CorruptObject, StorageError
from envgit.exec.second_process import SecondProcess
from envgit.layers import two_writers
from envgit.layers.assemble import TreeAssembler
from envgit.layers.materialise import materialise
from envgit.layers.scan import scan_directory
from envgit.layers.two_writers import Split
from envgit.model import Child, DirectoryRef, DiskIds, Entry
from envgit.monitor import NullMonitor

from . import trees
from .dict_store import DictStore
from .overlay import needs_root
from .test_laws import PLAIN, SHIFTED, Place, explain, in_scratch

OWN = DiskIds(shift=os.geteuid(), single=True)
fast = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine with one."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})


class Counted:
    """Starts second processes and remembers them."""

    def __init__(self) -> None:
        self.started: list[SecondProcess] = []

    def __call__(self, work: Callable[[Callable[[bytes], None]], bytes]) -> SecondProcess:
        self.started.append(SecondProcess(work))
        return self.started[-1]

    def assert_all_ended(self) -> None:
        assert len(self.started) == 1
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


class Progress(NullMonitor):
    def __init__(self) -> None:
        super().__init__()
        self.total: int | None = None
        self.done = 0

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        self.total = total

    def advance(self, amount: int = 1) -> None:
        assert amount >= 0
        self.done += amount


def filled(
    store: DictStore, folders: int, files: int, size: int = 100, *, mode: int = 0o755
) -> tuple[DirectoryRef, dict[bytes, bytes]]:
    """A tree of folders in each other and beside each other, with files everywhere."""
    assembler = TreeAssembler(store)
    assembler.add(b"", Entry(b".", "d", 0o755, 0, 0, 7_000_000_007))
    contents = {}
    for folder in range(folders):
        path = b"d%d" % folder if folder % 3 else b"deep/%d/er" % folder
        assembler.add(path, Entry(b"?", "d", mode, 0, 0, 5_000_000_000 + folder))
        for number in range(files):
            name = path + b"/%d" % number
            contents[name] = b"%d %d " % (folder, number) * (size // 4)
            stored = store.put_file([contents[name]], False)
            entry = Entry(b"?", "f", 0o644, 0, 0, 9_000_000_000 + number, stored.size, stored.sha256)
            assembler.add(name, entry, stored.content)
    return assembler.finish().root, contents


def opened(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


@needs_root
@pytest.mark.parametrize("ids", [PLAIN, SHIFTED], ids=["plain", "shifted"])
@fast
@given(plan=trees.plans, links=trees.links)
def test_what_two_write_is_the_same_tree(ids: DiskIds, plan: trees.Plan, links: list[int]) -> None:
    store = DictStore()
    root, expected_links = trees.build(store, plan, links)

    def body(place: Place) -> None:
        _, fd = place.make("out")
        _, alone_fd = place.make("alone")
        fork, monitor = Counted(), Progress()
        done = materialise(root, None, store, fd, ids, monitor=monitor, fork=fork, worth_sharing_bytes=0)
        fork.assert_all_ended()
        assert monitor.warnings == [] and monitor.done == monitor.total == done.entries
        assert done == materialise(root, None, store, alone_fd, ids)
        scanned = scan_directory(fd, store, ids)
        for each in (fd, alone_fd):
            os.close(each)
        assert scanned.root == root, explain(store, root, scanned.root)
        assert scanned.links == expected_links and not scanned.skipped

    in_scratch(body)


@needs_root
@fast
@given(base_plan=trees.plans, base_links=trees.links, plan=trees.plans, links=trees.links)
def test_an_edge_that_two_write_is_the_edge_that_one_writes(
    base_plan: trees.Plan, base_links: list[int], plan: trees.Plan, links: list[int]
) -> None:
    store = DictStore()
    base, _ = trees.build(store, base_plan, base_links)
    target, _ = trees.build(store, base_plan[: len(base_plan) // 2] + plan, links)

    def body(place: Place) -> None:
        (one, one_fd), (two, two_fd) = place.make("one"), place.make("two")
        alone = materialise(target, base, store, one_fd, PLAIN)
        assert alone == materialise(target, base, store, two_fd, PLAIN, fork=Counted(), worth_sharing_bytes=0)
        for fd in (one_fd, two_fd):
            os.close(fd)
        assert list(look(one)) == list(look(two))

    in_scratch(body)


def look(path: str) -> Iterator[tuple[object, ...]]:
    """Yield everything that overlayfs sees of a layer."""
    for folder, folders, files in os.walk(path):
        folders.sort()
        for name in [".", *sorted(files), *[each for each in folders if os.path.islink(f"{folder}/{each}")]]:
            inode = f"{folder}/{name}"
            status = os.lstat(inode)
            names = os.listxattr(inode, follow_symlinks=False)
            attributes = {each: os.getxattr(inode, each, follow_symlinks=False) for each in names}
            mtime_ns = 0 if stat.S_ISCHR(status.st_mode) else status.st_mtime_ns  # of a whiteout it is when it was made
            kept = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, status.st_nlink, mtime_ns)
            content = Path(inode).read_bytes() if os.path.isfile(inode) and not os.path.islink(inode) else b""
            yield (os.path.relpath(inode, path), kept, attributes, content)


def test_both_write_and_an_ordinary_user_may_close_folders(tmp_path: Path) -> None:
    store = DictStore()
    root, contents = filled(store, 12, 20, mode=0o555)
    fd = opened(tmp_path / "out")
    writers: list[int] = []
    fork = Counted()

    class Watched(DictStore):
        def iter_content(self, child: Child) -> Iterator[bytes]:
            writers.append(os.getpid())
            return super().iter_content(child)

    watched = Watched()
    watched.blobs, watched.metas = store.blobs, store.metas
    done = materialise(root, None, watched, fd, OWN, fork=fork, worth_sharing_bytes=1)
    fork.assert_all_ended()
    os.close(fd)
    assert 80 <= len(writers) <= 160 and set(writers) == {os.getpid()}  # the other half was read in the other process
    assert done.size == sum(map(len, contents.values()))
    for name, content in contents.items():
        path = tmp_path / "out" / os.fsdecode(name)
        assert path.read_bytes() == content
        assert path.parent.stat().st_mode & 0o777 == 0o555 and path.parent.stat().st_mtime_ns >= 5_000_000_000
        assert path.parent.stat().st_mtime_ns < 6_000_000_000
    for folder, _, _ in os.walk(tmp_path / "out"):
        os.chmod(folder, 0o755)


@pytest.mark.parametrize("number", range(0, 240, 24))
def test_damage_that_either_finds_is_the_same_error(tmp_path: Path, number: int) -> None:
    store = DictStore()
    root, contents = filled(store, 12, 20)
    content = sorted(contents.values())[number]
    digest = next(each for each, data in store.blobs.items() if data == content)
    store.blobs[digest] = content[:-1] + b"?"
    fd, fork = opened(tmp_path / "out"), Counted()
    with pytest.raises(CorruptObject, match="content does not match its hash"):
        materialise(root, None, store, fd, OWN, fork=fork, worth_sharing_bytes=0)
    fork.assert_all_ended()
    os.close(fd)


def test_a_helper_that_is_killed_is_an_error(tmp_path: Path) -> None:
    parent = os.getpid()

    class Deadly(DictStore):
        def iter_content(self, child: Child) -> Iterator[bytes]:
            if os.getpid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().iter_content(child)

    store = Deadly()
    root, _ = filled(store, 4, 20)
    fd, fork = opened(tmp_path / "out"), Counted()
    with pytest.raises(StorageError, match="was ended by SIGKILL"):
        materialise(root, None, store, fd, OWN, fork=fork, worth_sharing_bytes=0)
    fork.assert_all_ended()
    os.close(fd)


def test_interrupted_both_end(tmp_path: Path) -> None:
    parent = os.getpid()

    class Interrupted(DictStore):
        def iter_content(self, child: Child) -> Iterator[bytes]:
            if os.getpid() == parent:
                raise KeyboardInterrupt
            signal.pause()
            return super().iter_content(child)

    store = Interrupted()
    root, _ = filled(store, 4, 20)
    fd, fork = opened(tmp_path / "out"), Counted()
    with pytest.raises(KeyboardInterrupt):
        materialise(root, None, store, fd, OWN, fork=fork, worth_sharing_bytes=0)
    fork.assert_all_ended()
    os.close(fd)


def test_the_first_stops_when_the_second_has_failed(tmp_path: Path) -> None:
    parent = os.getpid()
    read: list[object] = []

    class Slow(DictStore):
        def iter_content(self, child: Child) -> Iterator[bytes]:
            if os.getpid() != parent:
                raise CorruptObject("found by the second")
            if not read:
                while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT) is None:
                    pass
            read.append(child)
            return super().iter_content(child)

    store = Slow()
    root, contents = filled(store, 40, 5)
    fd, fork = opened(tmp_path / "out"), Counted()
    with pytest.raises(CorruptObject, match="found by the second"):
        materialise(root, None, store, fd, OWN, fork=fork, worth_sharing_bytes=0)
    fork.assert_all_ended()
    os.close(fd)
    assert 0 < len(read) < len(contents) // 4


@pytest.mark.parametrize("why", ["little", "links", "one processor"])
def test_one_writes_alone(tmp_path: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = DictStore()
    root, _ = filled(store, 4, 5)
    first, fd = opened(tmp_path / "first"), opened(tmp_path / "out")
    materialise(root, None, store, first, OWN)
    if why == "one processor":
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    least = two_writers.WORTH_BYTES if why == "little" else 0
    fork = Counted()
    known = [first] if why == "links" else []
    materialise(root, None, store, fd, OWN, link_from=known, fork=fork, worth_sharing_bytes=least)
    assert not fork.started
    for each in (first, fd):
        os.close(each)


@given(st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 9_000_000), max_size=6)), min_size=1, max_size=40))
def test_every_file_has_one_writer_and_none_is_passed_by(walk: list[tuple[int, list[int]]]) -> None:
    split, depths, depth = Split(), list[int](), -1
    folders = [[Child(Entry(b"x", "f", size=size), None) for size in sizes] for _, sizes in walk]
    for (wish, _), files in zip(walk, folders, strict=True):
        depth = min(wish, depth + 1) if depth < 0 or wish == 0 and depth < 0 else max(1, min(wish, depth + 1))
        depths.append(depth)
        split.add(depth, files)
    split.finish()
    for place, files in enumerate(folders):
        first, second = split.deal(place, files)
        assert sorted(map(id, first + second)) == sorted(map(id, files))
        end = next((n for n in range(place + 1, len(depths)) if depths[n] <= depths[place]), len(depths))
        assert split.end(place) == end
        has = any(split.deal(n, folders[n])[1] for n in range(place, end))
        assert split.has_second(place) or not has


def test_the_second_dies_with_the_first(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    store = DictStore()
    root, _ = filled(store, 4, 20)
    fd = opened(tmp_path / "out")
    first = os.fork()
    if not first:

        class Stuck(DictStore):
            def iter_content(self, child: Child) -> Iterator[bytes]:
                os.write(writing, b"%d " % os.getpid())
                signal.pause()
                return super().iter_content(child)

        stuck = Stuck()
        stuck.blobs, stuck.metas = store.blobs, store.metas
        try:
            materialise(root, None, stuck, fd, OWN, fork=SecondProcess, worth_sharing_bytes=0)
        finally:
            os._exit(1)
    os.close(writing)
    os.close(fd)
    said = b""
    while said.count(b" ") < 2:
        said += os.read(reading, 100)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert os.read(reading, 100) == b""  # nobody is left who could write
    os.close(reading)
