"""What we write, other programs and we ourselves read back without a difference."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from envgit.errors import Conflict, EnvgitError
from envgit.layers.export_directory import export_directory
from envgit.layers.export_tar import Compression, compression_of, write_tar
from envgit.layers.sources import DirectorySource, Imported, read_source
from envgit.layers.sources.tar import import_tar
from envgit.model import Child, Entry
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore
from tests.sources.test_tar_programs import make_tree

IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree") / "root"
    make_tree(root)
    return root


@pytest.fixture(scope="module")
def stored(tree: Path) -> tuple[MemoryStore, Imported]:
    store = MemoryStore()
    return store, read_source(DirectorySource(str(tree)), store, NullMonitor(), stdin=io.BytesIO(), is_root=IS_ROOT)


def export(store: MemoryStore, imported: Imported, compression: Compression = "none") -> bytes:
    out = io.BytesIO()
    write_tar(imported.root, store, out, compression=compression, monitor=NullMonitor())
    return out.getvalue()


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd", "xz"])
def test_import_of_an_export_is_the_same_tree(compression: Compression, stored: tuple[MemoryStore, Imported]) -> None:
    store, imported = stored
    data = export(store, imported, compression)
    assert data == export(store, imported, compression)
    again = import_tar(io.BytesIO(data), MemoryStore(), NullMonitor())
    other = MemoryStore()
    paths = other.paths(import_tar(io.BytesIO(data), other, NullMonitor()).root)
    assert again.links == imported.links
    assert paths == store.paths(imported.root)
    assert any(entry.sparse for entry in paths.values())


def test_gnu_tar_finds_no_difference(tree: Path, stored: tuple[MemoryStore, Imported]) -> None:
    result = subprocess.run(
        ["tar", "--compare", "--xattrs", "--acls", "-C", str(tree)], input=export(*stored), capture_output=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


PAGE = 4096
SPARSE = {
    b"only-a-hole": [(10 * PAGE + 7, b"")],
    b"data-first": [(0, b"x" * PAGE), (9 * PAGE, b"")],
    b"data-last": [(5 * PAGE, b"x" * 700)],
    b"many": [(number * 3 * PAGE, b"y" * PAGE) for number in range(300)],
    b"odd" * 60 + "-\u00e9".encode(): [(3 * PAGE, b"z" * 10), (20 * PAGE + 1, b"")],
    b"not-utf8-\xff": [(3 * PAGE, b"z" * 10), (20 * PAGE + 1, b"")],
}


def sparse_store() -> tuple[MemoryStore, Imported]:
    store = MemoryStore()
    children = []
    for name, parts in sorted(SPARSE.items()):
        content = b""
        for offset, data in parts:
            content = content.ljust(offset, b"\0") + data
        stored = store.put_file([content], False)
        entry = Entry(name, "f", 0o644, 0, 0, 10**18, len(content), stored.sha256, sparse=True)
        children.append(Child(entry, stored.content))
    return store, Imported(store.put_directory(Entry(b".", "d", 0o755, mtime_ns=10**18), children), (), 0, 0, 0, ())


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_holes_are_not_written_and_come_back(program: str, tmp_path: Path) -> None:
    store, imported = sparse_store()
    data = export(store, imported)
    assert data == export(store, imported)
    assert len(data) < 300 * PAGE + 60_000 < 900 * PAGE
    other = MemoryStore()
    again = import_tar(io.BytesIO(data), other, NullMonitor())
    assert other.paths(again.root) == store.paths(imported.root)
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    options = ["--no-same-owner"] if program == "tar" else ["-o"]
    subprocess.run([program, "-xpf", "-", "-C", str(tmp_path), *options], input=data, check=True, timeout=60)
    written = {os.fsencode(path.name): path for path in tmp_path.iterdir()}
    assert written.keys() == SPARSE.keys()
    for name, child in store.read_directory(imported.root).children.items():
        content = b"".join(store.iter_content(child))
        assert written[name].read_bytes() == content, name
        status = written[name].stat()
        assert status.st_mtime_ns == 10**18
        assert status.st_blocks * 512 <= sum(-(-len(part) // PAGE) * PAGE for _, part in SPARSE[name]) + 2 * PAGE, name


def test_a_sparse_file_without_a_whole_block_of_zeros_is_written_in_full() -> None:
    store = MemoryStore()
    stored = store.put_file([b"x" * 9000], False)
    entry = Entry(b"f", "f", 0o644, size=9000, sha256=stored.sha256, sparse=True)
    root = store.put_directory(Entry(b".", "d", 0o755), [Child(entry, stored.content)])
    data = export(store, Imported(root, (), 1, 0, 0, ()))
    assert b"GNU.sparse" not in data
    assert data.count(b"x" * 9000) == 1


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_rsync_finds_no_difference(
    program: str, tree: Path, stored: tuple[MemoryStore, Imported], tmp_path: Path
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    options = ["--xattrs", "--acls", *(["--xattrs-include=*"] if program == "tar" else [])]
    subprocess.run([program, "-xpf", "-", "-C", str(tmp_path), *options], input=export(*stored), check=True)
    difference = rsync(tree, tmp_path)
    if program == "bsdtar":
        # It leaves the time of the directory it extracts into.
        difference = difference.removeprefix(".d..t...... ./\n")
    assert difference == ""


@pytest.mark.skipif(shutil.which("rsync") is None, reason="rsync is not installed")
def test_an_exported_directory_has_no_difference(
    tree: Path, stored: tuple[MemoryStore, Imported], tmp_path: Path
) -> None:
    store, imported = stored
    export_directory(imported.root, store, str(tmp_path / "out"), monitor=NullMonitor(), is_root=IS_ROOT)
    assert rsync(tree, tmp_path / "out") == ""
    with pytest.raises(Conflict):
        export_directory(imported.root, store, str(tmp_path / "out"), monitor=NullMonitor(), is_root=IS_ROOT)


def test_an_export_never_follows_a_link(stored: tuple[MemoryStore, Imported], tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(EnvgitError):
        export_directory(stored[1].root, stored[0], str(tmp_path / "link"), monitor=NullMonitor(), is_root=IS_ROOT)
    assert list((tmp_path / "target").iterdir()) == []


def test_extreme_values_come_back() -> None:
    store = MemoryStore()
    digest = store.put_file([b"x"], False).sha256
    entries = [
        Entry(b"early", "f", 0o600, 0, 0, -1_500_000_001, 1, digest),
        Entry(b"late", "f", 0o7777, 4294967294, 3_000_000, 9_000_000_000_123_456_789, 1, digest),
        Entry(b"disk", "b", 0o660, 0, 6, 0, device=(4000, 300_000)),
        Entry(b"n" * 255, "l", 0, 0, 0, 1, target=b"\xff" * 4095),
        Entry(b"acl", "f", 0o664, 0, 0, 0, 1, digest, xattrs=((b"system.posix_acl_access", acl()),)),
    ]
    children = [Child(e, e.sha256 if e.type == "f" else None) for e in sorted(entries)]
    root = store.put_directory(Entry(b".", "d", 0o1777, 1, 2, 3), children)
    out = io.BytesIO()
    write_tar(root, store, out, compression="none", monitor=NullMonitor())
    other = MemoryStore()
    imported = import_tar(io.BytesIO(out.getvalue()), other, NullMonitor())
    assert other.paths(imported.root) == store.paths(root)
    assert imported.root.sha256 == root.sha256


def test_the_compression_follows_the_name() -> None:
    assert [compression_of(name) for name in ("a.tar", "a.tgz", "a.tar.zst", "a.tar.xz")] == [
        "none", "gzip", "zstd", "xz",
    ]  # fmt: skip
    with pytest.raises(EnvgitError):
        compression_of("a.tar.bz2")


def acl() -> bytes:
    import struct

    rows = ((1, 6, 0xFFFFFFFF), (2, 4, 1000), (4, 4, 0xFFFFFFFF), (0x10, 6, 0xFFFFFFFF), (0x20, 4, 0xFFFFFFFF))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in rows)


def rsync(left: Path, right: Path) -> str:
    result = subprocess.run(
        ["rsync", "-naHAXS", "--checksum", "--delete", "-i", f"{left}/", f"{right}/"],
        check=True, capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    return result.stdout


def test_a_link_comes_after_what_it_names() -> None:
    """Paths sort otherwise than names depth first: "a.x" < "a/x"."""
    store = MemoryStore()
    data = store.put_file([b"x"], False)
    entry = Entry(b"x", "f", 0o644, size=data.size, sha256=data.sha256)
    folder = store.put_directory(Entry(b".", "d", 0o755), [Child(entry, data.content)])
    children = [
        Child(Entry(b"a", "d", sha256=folder.sha256), folder),
        Child(entry._replace(name=b"a.x"), data.content),
    ]
    root = store.put_directory(Entry(b".", "d", 0o755), children, ((b"a.x", b"a/x"),))
    out = io.BytesIO()
    write_tar(root, store, out, compression="none", monitor=NullMonitor())
    out.seek(0)
    again = MemoryStore()
    imported = import_tar(out, again, NullMonitor())
    assert imported.root.sha256 == root.sha256
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert [(member.name, member.linkname) for member in archive][2:] == [("./a/x", ""), ("./a.x", "./a/x")]
