"""A version 2 hierarchy in memory, with the rules of the kernel's cgroup-v2 documentation that matter here.

Who has processes may not hand controllers to children (but the real root); who hands them on takes no processes; a
child has the files of the controllers that its parent hands on; a folder with processes or children is not removed.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

import pytest

from envgit.exec.cgroups import tree

LIMIT_FILES = {"memory.max": "max", "memory.swap.max": "max", "cpu.max": "max 100000", "pids.max": "max"}


class Folder:
    def __init__(self) -> None:
        self.processes: set[int] = set()
        self.handed_on: set[str] = set()
        self.files: dict[str, str] = {}


class FakeKernel:
    """`real_root`: the mount shows the top of the hierarchy, not a container's part of it."""

    def __init__(self, mount: str, controllers: str, *, real_root: bool = False, swap: bool = True) -> None:
        self.mount = mount
        self.controllers = set(controllers.split())
        self.real_root = real_root
        self.swap = swap
        self.has_kill = True
        self.folders = {mount: Folder()}
        self.owned: set[str] | None = None
        self.log: list[str] = []

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("read", "write", "make", "ensure", "exists", "writable", "children", "remove"):
            monkeypatch.setattr(tree, name, getattr(self, name))
        monkeypatch.setattr(tree, "remove_unused", self.remove)

    def add(self, path: str, processes: Iterable[int] = (), handed_on: str = "") -> None:
        self.folders[path] = Folder()
        self.folders[path].processes = set(processes)
        self.folders[path].handed_on = set(handed_on.split())

    def available(self, path: str) -> set[str]:
        return self.controllers if path == self.mount else self.folders[os.path.dirname(path)].handed_on

    def read(self, path: str) -> str:
        folder, name = self._split(path)
        here = self.folders[folder]
        if name == "cgroup.controllers":
            return " ".join(sorted(self.available(folder)))
        if name == "cgroup.subtree_control":
            return " ".join(sorted(here.handed_on))
        if name == "cgroup.procs":
            return "\n".join(map(str, sorted(here.processes)))
        if name == "cgroup.events":
            return f"populated {int(bool(here.processes))}\nfrozen {here.files.get('cgroup.freeze', '0')}"
        if name in here.files:
            return here.files[name]
        if name in LIMIT_FILES and self._has_file(folder, name):
            return LIMIT_FILES[name]
        raise fail(errno.ENOENT, path)

    def write(self, path: str, text: str) -> None:
        folder, name = self._split(path)
        here = self.folders[folder]
        self.log.append(f"{path[len(self.mount) :]}={text}")
        exempt = folder == self.mount and self.real_root
        if name == "cgroup.subtree_control":
            assert text[0] == "+"
            if text[1:] not in self.available(folder):
                raise fail(errno.ENOENT, path)
            if here.processes and not exempt:
                raise fail(errno.EBUSY, path)
            here.handed_on.add(text[1:])
        elif name == "cgroup.procs":
            if here.handed_on and not exempt:
                raise fail(errno.EBUSY, path)
            for other in self.folders.values():
                other.processes.discard(int(text))
            here.processes.add(int(text))
        elif name == "cgroup.kill" and self.has_kill:
            here.processes.clear()
        elif name == "cgroup.freeze" and text in "01":
            here.files[name] = text
        elif name in LIMIT_FILES and self._has_file(folder, name):
            words = text.split()
            if not all(word == "max" or word.isdigit() for word in words) or len(words) != 1 + (name == "cpu.max"):
                raise fail(errno.EINVAL, path)
            if name == "cpu.max" and (int(words[0]) < 1000 or not 1000 <= int(words[1]) <= 1_000_000):
                raise fail(errno.EINVAL, path)
            here.files[name] = text
        else:
            raise fail(errno.ENOENT, path)

    def make(self, path: str) -> int:
        if path in self.folders:
            raise fail(errno.EEXIST, path)
        if os.path.dirname(path) not in self.folders:
            raise fail(errno.ENOENT, path)
        self.add(path)
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def ensure(self, path: str) -> None:
        if path not in self.folders:
            os.close(self.make(path))

    def exists(self, path: str) -> bool:
        return path in self.folders

    def writable(self, path: str) -> bool:
        folder = path if path in self.folders else os.path.dirname(path)
        return self.owned is None or folder in self.owned

    def children(self, path: str) -> list[str]:
        return [name for name in self.folders if os.path.dirname(name) == path and name != path]

    def remove(self, path: str) -> bool:
        if path not in self.folders:
            return True
        if self.folders[path].processes or self.children(path):
            return False
        del self.folders[path]
        return True

    def _has_file(self, folder: str, name: str) -> bool:
        if name == "memory.swap.max" and not self.swap:
            return False
        return folder != self.mount and name.split(".")[0] in self.available(folder)

    def _split(self, path: str) -> tuple[str, str]:
        folder, name = os.path.split(path)
        if folder not in self.folders:
            raise fail(errno.ENOENT, path)
        return folder, name


def fail(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
