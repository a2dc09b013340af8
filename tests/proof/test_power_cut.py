"""Power cuts: a real ext4 on a loop device is shut down without flushing its journal, at steps all over a commit.

As root only: loop devices and FS_IOC_SHUTDOWN need it. With fsync switched off the same cuts must lose something, else the
simulation proves nothing.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from envgit.exec.linux import sync_filesystem
from envgit.stack import ensure_plan
from envgit.store import storage

from . import faults, lab
from .child import CAMPAIGN, envgit, in_child

T = TypeVar("T")
pytestmark = pytest.mark.root_only

FS_IOC_SHUTDOWN = 0x8004587D
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18
NO_LOG_FLUSH = (2).to_bytes(4, "little")
CUTS = 50 if CAMPAIGN else 20


class Disk:
    """An ext4 image that can be mounted and cut off."""

    def __init__(self, folder: Path, image: Path) -> None:
        self.mount_point = folder / "disk"
        self.mount_point.mkdir(exist_ok=True)
        self.image = image

    def __enter__(self) -> Disk:
        subprocess.run(["mount", "-o", "loop", self.image, self.mount_point], check=True)
        return self

    def __exit__(self, *_: object) -> None:
        for _ in range(300):  # layers are made durable by a process beside, which may still be at it
            if subprocess.run(["umount", self.mount_point], stderr=subprocess.DEVNULL, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError(f"{self.mount_point} stays busy")

    def cut(self) -> None:
        """Everything not durable is gone from now on; what is written fails."""
        fd = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)


def _in_private_mounts(work: Callable[[], T]) -> T:
    """Do `work` in a child with mounts of its own: no other process can keep a disk mounted."""

    def inside() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNS) == 0
        assert libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None) == 0
        return work()

    return in_child(inside)


@pytest.fixture
def image(original: Path, tmp_path: Path) -> Path:
    """An ext4 image with a copy of the small repository, cleanly unmounted."""
    path = tmp_path / "image"
    with open(path, "wb") as file:
        file.truncate(24 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m0", "-E", "lazy_itable_init=0,nodiscard", path], check=True)

    def fill() -> None:
        with Disk(tmp_path, path) as disk:
            lab.copy(original, disk.mount_point / "lab")

    _in_private_mounts(fill)
    return path


def _without_fsync() -> None:
    storage.sync_fd = lambda fd, *, step, path: storage.reach(step)
    storage.sync_directory = lambda path, *, step: storage.reach(step)


FIRST = ("commit", "-m", "four")
SECOND = ("commit", "--amend", "-m", "five")


def _heads(project: Path) -> dict[str, bytes]:
    return in_child(lambda: dict(lab.open_repo(project).refs.iter_refs("refs/heads/")))


def _cut_and_look(
    folder: Path, image: Path, at: int | None, patch: Callable[[], None], amended: dict[str, bytes]
) -> list[str]:
    """Commit, acknowledged; amend, with the power cut before its step `at` (None: right after the commit).

    Return what is wrong after the power is back: branches must be where the commit put them, or the amend would.
    """
    copy = folder / f"cut{at}"
    shutil.copy(image, copy)
    countdown = at

    with Disk(folder, copy) as disk:
        project = disk.mount_point / "lab"
        envgit(project, *FIRST, prepare=patch).good()
        acknowledged = _heads(project)

        def cut(step: str) -> None:
            nonlocal countdown
            assert countdown is not None
            if countdown == 0:
                disk.cut()
                os.kill(os.getpid(), 9)
            countdown -= 1

        def install() -> None:
            patch()
            storage.set_fault_hook(cut)

        if at is None:
            disk.cut()
        else:
            assert envgit(project, *SECOND, prepare=install).killed
    with Disk(folder, copy) as disk:
        project = disk.mount_point / "lab"
        (project / ".envgit/layers/ids").unlink(
            missing_ok=True
        )  # as the next boot's id would say: nothing unsynced is used
        wrong = []
        for words in (("tag", "next"), ("log",), ("fsck",)):
            result = envgit(project, *words)
            if result.status:
                wrong.append(f"{words[0]}: {result}")
        if not wrong and _heads(project) not in (acknowledged, amended):
            wrong.append(f"acknowledged {acknowledged}, found {_heads(project)}")
        wrong += [f"git fsck: {line}" for line in lab.git_fsck(project)]
    copy.unlink()
    return wrong


def _undisturbed(folder: Path, image: Path) -> tuple[dict[str, bytes], list[str]]:
    """The branches after both commands (ids depend on content and the sealed clock only), and the second's steps."""
    with Disk(folder, image) as disk:
        project = lab.copy(disk.mount_point / "lab", folder / "scratch")
    envgit(project, *FIRST).good()
    steps = faults.record(project, SECOND)[1]
    return _heads(project), steps


def test_cut_anywhere(image: Path, tmp_path: Path) -> None:
    def work() -> list[tuple[str, list[str]]]:
        amended, steps = _undisturbed(tmp_path, image)
        points = [round(index * (len(steps) - 1) / (CUTS - 2)) for index in range(CUTS - 1)]
        found = [("after the commit", _cut_and_look(tmp_path, image, None, faults.nothing, amended))]
        found += [(steps[at], _cut_and_look(tmp_path, image, at, faults.nothing, amended)) for at in points]
        return found

    found = _in_private_mounts(work)
    assert len(found) == CUTS
    assert [each for each in found if each[1]] == []


def test_control_without_fsync_something_is_lost(image: Path, tmp_path: Path) -> None:
    assert _in_private_mounts(lambda: _cut_and_look(tmp_path, image, None, _without_fsync, {})) != []


def _cut_after_marking(folder: Path, image: Path, sync: Callable[[int], None]) -> list[str]:
    """Materialise, mark the layers as durable after `sync`, cut the power; return what is wrong with the layers then."""
    copy = folder / "marked"
    shutil.copy(image, copy)

    def marked(project: Path) -> list[str]:
        return [layer.name for layer in lab.open_repo(project).cache.layers() if layer.synced]

    def make(project: Path) -> list[str]:
        repo = lab.open_repo(project)
        head = repo.read_head().oid
        assert head is not None
        ensure_plan(repo, head)
        repo.cache.make_durable(sync)
        return marked(project)

    with Disk(folder, copy) as disk:
        project = disk.mount_point / "lab"
        envgit(project, "reset", "--hard").good()
        lab.lose_cache(project)
        os.sync()
        names = in_child(lambda: make(project))
        assert names
        folder_of_layers = project / ".envgit/layers"
        small = [folder_of_layers / name / "synced" for name in names]
        for path in (*small, folder_of_layers / "ids", *(folder_of_layers / "stacks").iterdir()):
            fd = os.open(path, os.O_RDONLY)  # they reach the disk before the files of the layer, as they may
            os.fsync(fd)
            os.close(fd)
        disk.cut()
    with Disk(folder, copy) as disk:
        project = disk.mount_point / "lab"
        found = [] if marked(project) == names else [f"{names} became {marked(project)}"]
        result = envgit(project, "fsck")
        found += [line for line in (result.out + result.err).splitlines() if "layer-" in line]
    copy.unlink()
    return found


def test_layers_marked_as_durable_are_whole(image: Path, tmp_path: Path) -> None:
    assert _in_private_mounts(lambda: _cut_after_marking(tmp_path, image, sync_filesystem)) == []


def test_control_layers_marked_without_a_sync_are_not(image: Path, tmp_path: Path) -> None:
    assert _in_private_mounts(lambda: _cut_after_marking(tmp_path, image, lambda fd: None)) != []
