"""Capture: what it reads, what it leaves out, what disks cannot hold."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import CorruptObject, HostileInput, StorageError
from envgit.layers import assemble
from envgit.layers.assemble import TreeAssembler
from envgit.layers.attributes import write_attributes
from envgit.layers.capture import Captured, capture
from envgit.layers.compare import diff_trees
from envgit.layers.ignore import IgnoreRules
from envgit.layers.materialise import materialise
from envgit.layers.memory_tree import MemoryTree
from envgit.layers.scan import scan_directory
from envgit.layers.whiteout import make_opaque, make_whiteout
from envgit.model import DirectoryRef, DiskIds, Entry

from . import trees
from .dict_store import DictStore
from .overlay import needs_root

PLAIN = DiskIds(0)
ROOT = Entry(b".", "d", 0o755, mtime_ns=1_500_000_000_000_000_000)


def open_new(path: Path) -> int:
    path.mkdir()
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def tree(
    store: DictStore, files: dict[bytes, bytes], extra: Callable[[TreeAssembler], None] | None = None
) -> DirectoryRef:
    assembler = TreeAssembler(store)
    assembler.add(b"", ROOT)
    for path, data in files.items():
        stored = store.put_file([data], False)
        assembler.add(path, Entry(b"", "f", 0o644, size=len(data), sha256=stored.sha256), stored.content)
    if extra is not None:
        extra(assembler)
    return assembler.finish().root


def make_upper(path: Path) -> int:
    fd = open_new(path)
    write_attributes(fd, ROOT._replace(uid=os.geteuid(), gid=os.getegid()), PLAIN, (os.geteuid(), os.getegid()), print)
    return fd


def finish(fd: int) -> None:
    os.utime(fd, ns=(ROOT.mtime_ns, ROOT.mtime_ns))


@needs_root
def test_cost_follows_the_change(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"d%d/e%d/f" % (one, two): b"x" for one in range(30) for two in range(10)})
    fd = make_upper(tmp_path / "upper")
    (tmp_path / "upper/d3/e4").mkdir(parents=True)
    (tmp_path / "upper/d3/e4/f").write_bytes(b"changed")
    store.directories_read = store.directories_written = store.files_written = 0
    capture(fd, base, store, store, PLAIN)
    assert (store.directories_read, store.directories_written, store.files_written) == (3, 3, 1)


@needs_root
def test_copied_up_without_change_is_no_change(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"a/f": b"same", b"b": b"b"})
    fd = make_upper(tmp_path / "upper")
    full = open_new(tmp_path / "full")
    materialise(base, None, store, full, PLAIN)
    os.system(f"cp -a {tmp_path}/full/. {tmp_path}/upper/")
    written = store.files_written
    assert capture(fd, base, store, store, PLAIN).root is base
    assert store.files_written == written


@needs_root
def test_ignored_is_named_and_kept_out(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"tmp/kept": b"1", b"etc/x": b"1", b"src/tracked.o": b"1"})
    fd = make_upper(tmp_path / "upper")
    upper = tmp_path / "upper"
    for name in ("tmp", "etc", "src", "build/deep"):
        (upper / name).mkdir(parents=True)
    (upper / "tmp/junk").write_bytes(b"x")
    make_whiteout(b"kept", os.open(upper / "tmp", os.O_RDONLY))
    (upper / "etc/hosts").write_bytes(b"")
    (upper / "src/tracked.o").write_bytes(b"changed")
    (upper / "src/new.o").write_bytes(b"new")
    (upper / "build/deep/f").write_bytes(b"new")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(upper / "etc/sock"))
    captured = capture(fd, base, store, store, PLAIN, IgnoreRules.parse(b"*.o\nbuild/\n"))
    assert captured.ignored == (b"build", b"etc/hosts", b"src/new.o", b"tmp/junk", b"tmp/kept") or set(
        captured.ignored
    ) == {b"build", b"etc/hosts", b"src/new.o", b"tmp/junk", b"tmp/kept"}
    assert captured.sockets == (b"etc/sock",)
    assert [path for path, _ in captured.holders] == [b"", b"etc", b"src", b"tmp"]
    changes = [(change.path, change.kind) for change in diff_trees(base, captured.root, store) if change.kind != "P"]
    assert changes == [(b"src/tracked.o", "M")]


@needs_root
def test_nested_directories_below_an_opaque_one_do_not_merge(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"a/b/old": b"1", b"a/b/same": b"2"})
    fd = make_upper(tmp_path / "upper")
    (tmp_path / "upper/a/b").mkdir(parents=True)
    make_opaque(os.open(tmp_path / "upper/a", os.O_RDONLY))
    (tmp_path / "upper/a/b/same").write_bytes(b"2")
    captured = capture(fd, base, store, store, PLAIN)
    assert (b"a/b/old", "D") in [(change.path, change.kind) for change in diff_trees(base, captured.root, store)]


@needs_root
def test_single_id_keeps_owners_devices_and_acls_as_metadata(tmp_path: Path) -> None:
    store = DictStore()
    single = DiskIds(shift=1000, single=True, ids=1)

    def extra(assembler: TreeAssembler) -> None:
        assembler.add(b"dev/null", Entry(b"", "c", 0o666, device=(1, 3)))
        stored = store.put_file([b"x"], False)
        xattrs = ((b"system.posix_acl_access", trees.acl((2, 6, 1234))), (b"trusted.t", b"1"))
        entry = Entry(b"", "f", 0o664, 33, 44, 5, 1, stored.sha256, xattrs=xattrs)
        assembler.add(b"owned", entry, stored.content)

    base = tree(store, {}, extra)
    fd = open_new(tmp_path / "upper")
    materialise(base, None, store, fd, single)
    assert os.stat(tmp_path / "upper/owned").st_uid == 1000
    os.removexattr(tmp_path / "upper/owned", "trusted.t")
    assert capture(fd, base, store, store, single).root == base


@needs_root
@pytest.mark.parametrize("ids", [PLAIN, DiskIds(100_000)])
def test_acls_and_capabilities_go_through_the_ids(tmp_path: Path, ids: DiskIds) -> None:
    store = DictStore()

    def extra(assembler: TreeAssembler) -> None:
        stored = store.put_file([b"x"], False)
        xattrs = (
            (b"security.capability", trees.CAPABILITY),
            (b"system.posix_acl_access", trees.acl((2, 6, 12), (8, 4, 13))),
        )
        assembler.add(b"f", Entry(b"", "f", 0o644, 1, 2, 3, 1, stored.sha256, xattrs=xattrs), stored.content)
        assembler.add(b"d", Entry(b"", "d", 0o755, xattrs=((b"system.posix_acl_default", trees.acl((2, 6, 9))),)))

    base = tree(store, {b"d/inside": b"1"}, extra)
    fd = open_new(tmp_path / "out")
    materialise(base, None, store, fd, ids)
    acl = os.getxattr(tmp_path / "out/f", "system.posix_acl_access")
    assert (ids.to_disk(12)).to_bytes(4, "little") in acl
    assert scan_directory(fd, store, ids).root == base


@needs_root
def test_paths_deeper_than_any_limit(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"/".join([b"d"] * 2040) + b"/f": b"deep"})
    fd = open_new(tmp_path / "out")
    materialise(base, None, store, fd, PLAIN)
    assert scan_directory(fd, store, PLAIN).root == base
    assert capture(fd, None, store, store, PLAIN).root == base
    assert len(list(diff_trees(None, base, store))) == 2042
    edge = open_new(tmp_path / "edge")
    materialise(tree(store, {}), base, store, edge, PLAIN)
    assert os.listdir(edge) == ["d"]
    from envgit.layers.removal import remove_tree

    remove_tree(os.fsencode(tmp_path / "out"), fd)
    assert not (tmp_path / "out").exists()


def test_incomplete_upper_is_refused(tmp_path: Path) -> None:
    fd = open_new(tmp_path / "upper")
    (tmp_path / "upper/d").mkdir()
    os.setxattr(tmp_path / "upper/d", "user.overlay.redirect", b"/x")
    store = DictStore()
    with pytest.raises(CorruptObject):
        capture(fd, None, store, store, PLAIN)


def test_status_reads_no_new_file(tmp_path: Path) -> None:
    fd = open_new(tmp_path / "upper")
    (tmp_path / "upper/f").write_bytes(b"new")
    store = DictStore()
    memory = MemoryTree(store, fd)
    captured: Captured = capture(fd, None, store, memory, PLAIN)
    child = memory.read_directory(captured.root).children[b"f"]
    assert child.entry.sha256 is None and b"".join(memory.iter_content(child)) == b"new"
    (tmp_path / "upper/f").unlink()
    (tmp_path / "upper/f").symlink_to("/etc/passwd")
    with pytest.raises(StorageError):
        list(memory.iter_content(child))


@pytest.mark.parametrize(
    "paths",
    [
        [b"a", b"a/b"],
        [b"../x"],
        [b"a//b"],
        [b"./a"],
        [b"a/.."],
        [b"n" * 256],
        [b"a\0"],
        [b"a/b", b"a"],
        [b"x/" * 3000 + b"y"],
    ],
)
def test_assembler_refuses(paths: list[bytes]) -> None:
    store = DictStore()
    with pytest.raises(HostileInput):
        tree(store, dict.fromkeys(paths, b""))


def test_assembler_links_follow_replacement() -> None:
    store = DictStore()
    stored = store.put_file([b"1"], False)
    entry = Entry(b"", "f", 0o644, size=1, sha256=stored.sha256)
    assembler = TreeAssembler(store)
    assembler.add(b"a", entry, stored.content)
    assembler.add_link(b"b", b"a")
    assembler.add_link(b"c", b"b")
    assembler.add(b"a", entry, stored.content)
    with pytest.raises(HostileInput):
        assembler.add_link(b"d", b"missing")
    assert assembler.finish().links == ((b"b", b"c"),)


def test_the_names_of_hard_links_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "_LINK_BYTES", 100)
    store = DictStore()
    stored = store.put_file([b"1"], False)
    assembler = TreeAssembler(store)
    assembler.add(b"a", Entry(b"", "f", 0o644, size=1, sha256=stored.sha256), stored.content)
    assembler.add_link(b"b" * 99, b"a")
    with pytest.raises(HostileInput, match="names of hard links"):
        assembler.add_link(b"cc", b"a")


def test_wrong_content_never_gets_through(tmp_path: Path) -> None:
    store = DictStore()
    base = tree(store, {b"f": b"good"})
    (digest,) = store.blobs
    store.blobs[digest] = b"evil"
    fd = open_new(tmp_path / "out")
    with pytest.raises(CorruptObject):
        materialise(base, None, store, fd, DiskIds(os.getuid()))
