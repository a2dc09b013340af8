"""For which machine an environment is: what its own programs say (elf(5)), for nothing else in it does."""

from __future__ import annotations

from typing import Final

from envgit.model import Directory, DirectoryRef, TreeReader
from envgit.platforms import Platform, parse_platform, refuse_other_systems, this_machine

_FOLDERS: Final = (b"bin", b"usr/bin", b"sbin", b"usr/sbin", b"lib64", b"lib", b"usr/lib", b"usr/local/bin")
_PROGRAMS: Final = (b"sh", b"busybox", b"dash", b"bash", b"env", b"true")
_MOST_FILES: Final = 64
_LARGEST_BYTES: Final = 8 * 1024 * 1024
_MACHINES: Final = {
    (3, 1, False): "386", (62, 2, False): "amd64", (40, 1, False): "arm", (183, 2, False): "arm64",
    (243, 2, False): "riscv64", (21, 2, False): "ppc64le", (21, 2, True): "ppc64", (22, 2, True): "s390x",
    (8, 2, False): "mips64le", (8, 2, True): "mips64", (8, 1, False): "mipsle", (8, 1, True): "mips",
    (258, 2, False): "loong64",
}  # fmt: skip
"""(e_machine, class, big-endian) to what OCI, which is Go, calls it."""


def choose_platform(asked: str, root: DirectoryRef, reader: TreeReader) -> Platform:
    """Return the platform that was asked for, else that of the environment's programs, else of this machine."""
    if asked:
        platform = parse_platform(asked)
        refuse_other_systems(platform)
        return platform
    architecture = find_architecture(root, reader)
    if architecture is None:
        return this_machine()
    return parse_platform(f"linux/{architecture}")


def find_architecture(root: DirectoryRef, reader: TreeReader) -> str | None:
    """Return the architecture of the first program found where shells and libraries are, None if there is none."""
    looked = 0
    for path in _FOLDERS:
        directory = _find(root, path, reader)
        if directory is None:
            continue
        names = [name for name in _PROGRAMS if name in directory.children]
        for name in (*names, *directory.children):
            child = directory.children[name]
            if child.entry.type != "f" or not 64 <= child.entry.size <= _LARGEST_BYTES:
                continue
            head = next(iter(reader.iter_content(child)), b"")
            if (found := _architecture(head)) is not None:
                return found
            looked += 1
            if looked >= _MOST_FILES:
                return None
    return None


def _architecture(head: bytes) -> str | None:
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    big = head[5] == 2
    machine = int.from_bytes(head[18:20], "big" if big else "little")
    return _MACHINES.get((machine, head[4], big))


def _find(root: DirectoryRef, path: bytes, reader: TreeReader) -> Directory | None:
    directory = reader.read_directory(root)
    for name in path.split(b"/"):
        child = directory.children.get(name)
        if child is None or not isinstance(child.content, DirectoryRef):
            return None
        directory = reader.read_directory(child.content)
    return directory
