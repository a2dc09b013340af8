"""Paths longer than any system call takes are imported, run, exported and compared; there is a depth where it ends."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, remove, run_envgit

pytestmark = pytest.mark.any_ids

NAME = "d" * 250


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed at once: what pytest would keep, Python could not remove later."""
    path = tmp_path / "deep"
    path.mkdir()
    yield path
    remove(path)


def archive(root: Path, path: Path, folders: str) -> None:
    """Write a small root filesystem, and below /srv two files that are one, under folders of which few have a member."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        tar.add(root, ".")
        deep = tarfile.TarInfo(f"./srv/{folders}/one")
        deep.size = 5
        tar.addfile(deep, io.BytesIO(b"deep\n"))
        link = tarfile.TarInfo(f"./srv/{folders}/two")
        link.type, link.linkname = tarfile.LNKTYPE, deep.name
        tar.addfile(link)


def read_beneath(top: Path, folders: list[str], name: str) -> tuple[bytes, int]:
    """Return the content and the number of links of a file that no path reaches."""
    fd = os.open(top, os.O_RDONLY)
    for part in folders:
        below = os.open(part, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    found = os.open(name, os.O_RDONLY, dir_fd=fd)
    os.close(fd)
    with open(found, "rb") as file:
        return file.read(), os.fstat(found).st_nlink


def test_a_path_of_many_thousand_bytes(small_root: Path, folder: Path) -> None:
    folders = "/".join([NAME] * 300)
    archive(small_root, folder / "in.tar", folders)
    run_envgit("init", "lab", "--from", f"tar:{folder / 'in.tar'}", cwd=folder)
    lab = Lab(folder / "lab")
    assert lab("cat", f"HEAD:srv/{folders}/two").out == "deep\n"
    assert lab.sh("ls /srv; echo change > /srv/change").out == NAME + "\nlines\n"
    assert lab.changes() == ["A srv/change"]
    lab("reset", "--hard")
    lab("export", "HEAD", f"dir:{folder / 'out'}", status=None)
    assert read_beneath(folder / "out/srv", folders.split("/"), "two") == (b"deep\n", 2)
    lab("export", "HEAD", f"tar:{folder / 'out.tar'}")
    run_envgit("init", "again", "--from", f"tar:{folder / 'out.tar'}", cwd=folder)
    assert Lab(folder / "again").head("HEAD:rootfs") == lab.head("HEAD:rootfs")
    lab("fsck")


def test_depth_has_an_end(small_root: Path, folder: Path, lab: Lab) -> None:
    for count, status in ((2047, 0), (2048, 2)):
        archive(small_root, folder / "in.tar", "/".join(["d"] * count))
        done = run_envgit("init", f"lab-{count}", "--from", f"tar:{folder / 'in.tar'}", cwd=folder, status=status)
        assert ("more than 2,048 directories" in done.err) == bool(status)
    assert Lab(folder / "lab-2047").sh("echo it runs").out == "it runs\n"
    deep = "i=0; while [ $i -lt 1100 ]; do mkdir d; cd d; i=$((i+1)); done"
    lab.sh(f"mkdir /srv/a /srv/b; cd /srv/a; {deep}; cd /srv/b; {deep}; mv /srv/a .")
    lab.fails("commit", "-m", "deep", status=2, says="2,048 directories", hint="remove the directories")
    lab.fails("status", status=2, says="2,048 directories", hint="remove the directories")
    lab("reset", "--hard")
    assert lab.changes() == []
