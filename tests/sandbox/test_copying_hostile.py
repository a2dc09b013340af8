"""cp onto what is no file, of what is larger than it looks, deeper than there are descriptors, or damaged."""

from __future__ import annotations

import io
import os
import resource
import shutil
import stat
import tarfile
import threading
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import SandboxError
from envgit.exec.archive import open_host_path, send_tree
from envgit.exec.unpacking import Receiving, receive_tree

from .conftest import Sandboxes, wait_until

root_only = pytest.mark.root_only
LONG = 1 << 40


def carry(source: Path, target: Path) -> int:
    """Send a tree to another place, as cp does."""
    read_end, write_end = os.pipe()

    def send() -> None:
        try:
            send_tree(open_host_path, os.fsencode(source), write_end)
        except BrokenPipeError:
            pass
        finally:
            os.close(write_end)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        return receive_tree(open_host_path, os.fsencode(target), read_end, Receiving())
    finally:
        os.close(read_end)
        sender.join(60)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "source"
    file.write_text("new\n")
    return file


def test_a_fifo_or_socket_is_never_replaced(tmp_path: Path, source: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(SandboxError, match="is a FIFO, and is not replaced") as caught:
        carry(source, fifo)
    assert caught.value.hint == "for a stream: envgit cp NAME:PATH -"
    assert fifo.is_fifo()
    link = tmp_path / "link"
    link.symlink_to("fifo")
    with pytest.raises(SandboxError, match="is a FIFO"):
        carry(source, link)
    assert link.is_symlink() and fifo.is_fifo()
    folder = tmp_path / "folder"
    folder.mkdir()
    os.mkfifo(folder / "source")
    with pytest.raises(SandboxError, match="source is a FIFO"):
        carry(source, folder)
    assert (folder / "source").is_fifo()


@root_only
def test_a_device_is_never_replaced(tmp_path: Path, source: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    for target in (device, tmp_path / "link"):
        if target != device:
            target.symlink_to(device)
        with pytest.raises(SandboxError, match="is a device, and is not replaced"):
            carry(source, target)
    assert stat.S_ISCHR(device.lstat().st_mode)
    device.unlink()  # control: of a plain file, the same call makes another
    device.write_text("old\n")
    os.link(device, tmp_path / "same")
    carry(source, device)
    assert device.read_text() == "new\n" and (tmp_path / "same").read_text() == "old\n"


def test_devices_of_a_sandbox_are_never_replaced(sandboxes: Sandboxes, source: Path) -> None:
    sandboxes.run("sleep", "1000")
    sandboxes.lab.fails("cp", str(source), "one:/dev/null", status=125, says="/dev/null is a device", hint=None)
    assert sandboxes.lab("exec", "one", "sh", "-c", "[ -c /dev/null ] && echo yes").out == "yes\n"
    fifo = source.parent / "fifo"
    os.mkfifo(fifo)
    sandboxes.lab.fails("cp", "one:/etc/motd", str(fifo), status=125, says="is a FIFO", hint="NAME:PATH -")
    assert fifo.is_fifo()


def test_a_link_given_as_the_target_is_followed(tmp_path: Path, source: Path) -> None:
    (tmp_path / "real").mkdir()
    file = tmp_path / "real/file"
    file.write_text("old\n")
    (tmp_path / "near").symlink_to("real/file")
    (tmp_path / "far").symlink_to(tmp_path / "near")
    for name in ("near", "far"):
        file.write_text("old\n")
        carry(source, tmp_path / name)
        assert (tmp_path / name).is_symlink() and file.read_text() == "new\n" and not file.is_symlink()
    (tmp_path / "dangling").symlink_to("nothing")
    with pytest.raises(SandboxError, match="is a link to nothing"):
        carry(source, tmp_path / "dangling")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        carry(source, tmp_path / "loop")


def test_a_link_of_a_sandbox_leads_to_its_own_files(sandboxes: Sandboxes, tmp_path: Path, source: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    sandboxes.sh(f"mkdir -p {tmp_path}; echo old > {outside}; ln -s {outside} /root/link; echo up; sleep 1000")
    wait_until(lambda: sandboxes.log_text() == "up\n")
    sandboxes.lab("cp", str(source), "one:/root/link")
    assert sandboxes.lab("exec", "one", "cat", str(outside)).out == "new\n"
    assert outside.read_text() == "as it was"


def test_a_tree_with_a_fifo_can_be_copied_twice(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    os.mkfifo(tree / "fifo")
    (tmp_path / "target").mkdir()
    for _ in range(2):
        carry(tree, tmp_path / "target")
    assert (tmp_path / "target/tree/fifo").is_fifo()


# holes


@pytest.mark.parametrize("parts", [[], [(0, b"first")], [(4096, b"x" * 5000), (1 << 30, b"y"), (LONG - 3, b"end")]])
def test_holes_stay_holes(tmp_path: Path, parts: list[tuple[int, bytes]]) -> None:
    source, target = tmp_path / "tree", tmp_path / "copy"
    source.mkdir()
    with (source / "a\xe9\udcff").open("wb") as file:
        file.truncate(LONG)
        for offset, data in parts:
            os.pwrite(file.fileno(), data, offset)
    (source / "b").write_text("after it\n")
    carry(source, target)
    copy = target / "a\xe9\udcff"
    assert copy.stat().st_size == LONG and copy.stat().st_blocks < 200
    with copy.open("rb") as file:
        for offset, data in parts:
            assert os.pread(file.fileno(), len(data) + 1, offset).rstrip(b"\0") == data
    assert (target / "b").read_text() == "after it\n"


def test_a_long_empty_file_of_a_sandbox_does_not_fill_the_disk(sandboxes: Sandboxes, tmp_path: Path) -> None:
    sandboxes.sh("dd if=/dev/null of=/root/long bs=1048576 seek=1048576 count=0; echo up; sleep 1000")
    wait_until(lambda: "up\n" in sandboxes.log_text())
    sandboxes.lab("cp", "one:/root/long", str(tmp_path / "long"))
    assert (tmp_path / "long").stat().st_size == LONG and (tmp_path / "long").stat().st_blocks == 0


def test_other_programs_read_the_holes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(1 << 20)
        os.pwrite(stream.fileno(), b"middle", 1 << 19)
    with (tmp_path / "archive.tar").open("wb") as stream:
        send_tree(open_host_path, os.fsencode(file), stream.fileno())
    assert (tmp_path / "archive.tar").stat().st_size < 100_000
    with tarfile.open(tmp_path / "archive.tar") as archive:
        member = archive.extractfile("file")
        assert member is not None and member.read() == file.read_bytes()


def test_more_than_is_free_is_refused_before_anything_is_lost(tmp_path: Path) -> None:
    info = tarfile.TarInfo("big")
    info.size = 1 << 60
    (tmp_path / "big").write_text("old\n")
    with pytest.raises(SandboxError, match="big has 1152921504606846976 bytes"):
        receive_bytes(tmp_path, info.tobuf(tarfile.PAX_FORMAT) + b"x" * 100_000)
    assert (tmp_path / "big").read_text() == "old\n"


# depth, damage


def test_a_tree_deeper_than_there_are_descriptors(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    fd = os.open(tmp_path, os.O_RDONLY)
    os.mkdir("source", dir_fd=fd)
    below = os.open("source", os.O_RDONLY, dir_fd=fd)
    for _ in range(400):
        os.mkdir("d", dir_fd=below)
        os.mkdir("e", dir_fd=below)
        next_one = os.open("d", os.O_RDONLY, dir_fd=below)
        os.close(below)
        below = next_one
    os.close(below)
    os.close(fd)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 120, before[1]))
    try:
        assert carry(source, target) == 801
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    shutil.rmtree(source)


def receive_bytes(target: Path, data: bytes) -> int:
    file = target.parent / f"{target.name}.tar"
    file.write_bytes(data)
    with file.open("rb") as stream:
        return receive_tree(open_host_path, os.fsencode(target), stream.fileno(), Receiving(owner=True), foreign=True)


def one_member(**fields: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("file")
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(b"1\n"))
    return stream.getvalue()


SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "file", "GNU.sparse.realsize": "10"}


@pytest.mark.parametrize(
    "data",
    [
        one_member(pax_headers={"mtime": "inf"}),
        one_member(pax_headers={"mtime": "nan"}),
        one_member(pax_headers={"mtime": "1e300"}),
        one_member(pax_headers={"uid": "9" * 40}),
        one_member(pax_headers=SPARSE, size=2),
        one_member(pax_headers=SPARSE, size=2)[:2048],
        one_member(pax_headers={**SPARSE, "GNU.sparse.realsize": "-1"}, size=2),
    ],
)
def test_a_damaged_archive_is_said_to_be_damaged(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(SandboxError, match="damaged|no tar archive"):
        receive_bytes(tmp_path / "target", data)
