"""The trees to work on: a Debian root filesystem, Python packages, and synthetic files of any number or size."""

from __future__ import annotations

import os
import random
import shutil
import stat
import subprocess
import sys
from functools import cached_property

from .command import CommandFailed
from .workspace import Workspace

_BLOCK = 1 << 20
_PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn")
# what the synthetic stand-in has: as many files and bytes as the packages
_PACKAGE_FILES, _PACKAGE_BYTES = 10_900, 340_000_000


class Trees:
    """Made when first asked for; `notes` says where each came from. `given`: a root filesystem to use instead."""

    def __init__(self, workspace: Workspace, given: str | None = None) -> None:
        self._workspace = workspace
        self._given = given
        self.notes: list[str] = []

    @cached_property
    def base(self) -> str:
        """A Debian root filesystem with python3, without device nodes, so that every peer can keep it."""
        path = self._workspace.path("base")
        if self._given is not None:
            subprocess.run(["cp", "-a", self._given, path], check=True)
            origin = "the root filesystem given with --tree"
        else:
            origin = self._make_base(path)
        _drop_special_files(path)
        self.notes.append(f"base: {origin}: {describe(path)}")
        return path

    @cached_property
    def packages(self) -> str:
        """What `pip install numpy pandas scipy scikit-learn` puts down, or a synthetic tree of the same size."""
        path = self._workspace.make("packages")
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", path, *_PACKAGES]
        if subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 0:
            origin = f"pip install {' '.join(_PACKAGES)}"
        else:
            origin = "synthetic, because no package registry could be reached"
            self._workspace.remove(path)
            write_files(path, _PACKAGE_FILES, size=_PACKAGE_BYTES // _PACKAGE_FILES, per_folder=20)
        self.notes.append(f"packages: {origin}: {describe(path)}")
        return path

    def _make_base(self, path: str) -> str:
        words = ["--variant=minbase", "--include=python3", "--quiet", "bookworm", path]
        if shutil.which("mmdebstrap") and subprocess.run(["mmdebstrap", *words], check=False).returncode == 0:
            return "mmdebstrap --variant=minbase --include=python3 bookworm"
        self._workspace.remove(path)
        program = os.path.join(os.path.dirname(sys.executable), "envgit")
        project = self._workspace.path("host")
        self._workspace.run(program, "init", "--from", "host", project, statuses=(0, 3))
        os.mkdir(path)
        self._workspace.run(program, "-C", project, "export", f"dir:{path}", statuses=(0, 3))
        self._workspace.remove(project)
        return "envgit init --from host, exported"


def copy(tree: str, target: str) -> str:
    """Copy a tree with everything it has."""
    if subprocess.run(["cp", "-a", tree, target], check=False).returncode:
        raise CommandFailed(f"cannot copy {tree}")
    return target


def write_files(folder: str, count: int, *, size: int, per_folder: int, seed: int = 1) -> str:
    """Write `count` files of about `size` bytes each, all different, `per_folder` to a folder."""
    generator = random.Random(seed)
    for number in range(count):
        inside = os.path.join(folder, f"{number // per_folder // 100:03}", f"{number // per_folder % 100:02}")
        if number % per_folder == 0:
            os.makedirs(inside, exist_ok=True)
        with open(os.path.join(inside, f"file-{number}.txt"), "wb") as file:
            half = generator.randbytes(max(size // 4, 8)).hex().encode()
            file.write(half.ljust(size, b"."))
    return folder


def write_big_file(path: str, size: int, seed: int = 1) -> None:
    """Write one file of incompressible bytes without holes; memory stays small."""
    generator = random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(size // _BLOCK):
            file.write(generator.randbytes(_BLOCK))


def describe(tree: str) -> str:
    """Count a tree: files, directories, bytes."""
    files = directories = size = 0
    for folder, names, others in os.walk(tree):
        directories += len(names)
        for name in others:
            files += 1
            size += os.lstat(os.path.join(folder, name)).st_size
    return f"{files:,} files, {directories:,} directories, {size / 1e6:.0f} MB"


def _drop_special_files(tree: str) -> None:
    for folder, _, others in os.walk(tree):
        for name in others:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                os.unlink(path)
