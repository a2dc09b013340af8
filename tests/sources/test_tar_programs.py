"""Archives written by other programs hold for us what they hold for them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from envgit.layers.sources.tar import import_tar
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore

GNU = ["tar", "-c", "-S"]
COMMANDS = {
    "gnu": [*GNU, "--format=gnu"],
    "gnu-oldgnu": [*GNU, "--format=oldgnu"],
    "gnu-pax": [*GNU, "--format=pax", "--xattrs", "--xattrs-include=*", "--acls"],
    "gnu-pax-0.0": [*GNU, "--format=pax", "--sparse-version=0.0"],
    "gnu-pax-0.1": [*GNU, "--format=pax", "--sparse-version=0.1"],
    "gnu-gzip": [*GNU, "-z"],
    "gnu-xz": [*GNU, "-J"],
    "gnu-zstd": [*GNU, "--zstd"],
    "gnu-pigz": [*GNU, "-I", "pigz"],
    "bsd-pax": ["bsdtar", "-c", "--format=pax", "--xattrs", "--acls"],
    "bsd-gnu": ["bsdtar", "-c", "--format=gnutar"],
    "bsd-zstd": ["bsdtar", "-c", "--format=gnutar", "--zstd"],
}
NANOSECONDS = ("pax",)


def make_tree(root: Path) -> None:
    (root / "d").mkdir(parents=True, mode=0o750)
    (root / "d" / "empty").mkdir()
    (root / "plain").write_bytes(b"hello\n" * 100)
    os.link(root / "plain", root / "d" / "linked")
    os.symlink("d/linked", root / "symlink")
    os.symlink("t" * 180, root / "far")
    os.mkfifo(root / "fifo")
    (root / "setuid").write_bytes(b"#!/bin/sh\n")
    (root / "setuid").chmod(0o4755)
    (root / os.fsdecode(b"caf\xe9 \x01")).write_bytes(b"latin-1")
    deep = root / ("n" * 120) / ("m" * 120)
    deep.mkdir(parents=True)
    (deep / "leaf").write_bytes(b"deep")
    with open(root / "sparse", "wb") as file:
        for i in range(1, 12):
            file.seek(i * 300_000)
            file.write(b"data %d" % i)
        file.truncate(4_000_000)
    os.utime(root / "plain", ns=(0, 1_700_000_000_123_456_789))
    os.utime(root / "d", ns=(0, 1_600_000_000_000_000_001))
    with contextlib.suppress(OSError):
        os.setxattr(root / "plain", "user.colour", b"\x00red\xff")
    if os.geteuid() == 0:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
        os.chown(root / "d", 1234, 5678)


def expected(root: Path, *, nanoseconds: bool) -> dict[bytes, tuple[object, ...]]:
    found: dict[bytes, tuple[object, ...]] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files, b""] if folder == top else [*folders, *files]:
            path = os.path.join(folder, name).rstrip(b"/")
            status = os.lstat(path)
            kind = {0o4: "d", 0o10: "f", 0o12: "l", 0o1: "p", 0o2: "c"}[status.st_mode >> 12]
            mtime = status.st_mtime_ns if nanoseconds else status.st_mtime_ns // 10**9 * 10**9
            content: object = os.readlink(path) if kind == "l" else None
            if kind == "f":
                content = hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).digest()
            mode = 0 if kind == "l" else status.st_mode & 0o7777
            found[path[len(top) + 1 :]] = (kind, mode, status.st_uid, status.st_gid, mtime, content)
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "root"
    make_tree(root)
    return root


@pytest.mark.parametrize("name", COMMANDS)
def test_a_tree_comes_through(name: str, tree: Path) -> None:
    command = COMMANDS[name]
    for program in (command[0], "pigz" if "pigz" in command else "tar"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    data = subprocess.run([*command, "-C", str(tree), "."], check=True, capture_output=True).stdout
    check(data, tree, nanoseconds=any(word in name for word in NANOSECONDS))
    if name in ("gnu-pax", "bsd-pax"):
        store = MemoryStore()
        entry = store.paths(import_tar(io.BytesIO(data), store, NullMonitor()).root)[b"plain"]
        on_disk = tuple((os.fsencode(n), os.getxattr(tree / "plain", n)) for n in os.listxattr(tree / "plain"))
        assert entry.xattrs == on_disk


@pytest.mark.parametrize("format_", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_python_writes_comes_through(format_: int, tree: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=format_) as archive:
        archive.add(tree, arcname=".")
    check(out.getvalue(), tree, nanoseconds=False, times=format_ == tarfile.GNU_FORMAT)


def check(data: bytes, tree: Path, *, nanoseconds: bool, times: bool = True) -> None:
    store, monitor = MemoryStore(), NullMonitor()
    imported = import_tar(io.BytesIO(data), store, monitor)
    assert monitor.warnings == []
    assert imported.left_out == ()
    assert [sorted(names) for names in imported.links] == [[b"d/linked", b"plain"]]
    found = {
        path: (e.type, e.mode, e.uid, e.gid, e.mtime_ns, os.fsencode(e.target) if e.type == "l" else e.sha256)
        for path, e in store.paths(imported.root).items()
    }
    wanted = expected(tree, nanoseconds=nanoseconds)
    if not times:
        found = {path: (*v[:4], 0, v[5]) for path, v in found.items()}
        wanted = {path: (*v[:4], 0, v[5]) for path, v in wanted.items()}
    assert found == wanted
