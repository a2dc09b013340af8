"""Generated root filesystems: every file type, every attribute, and the names that tools get wrong."""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st

IS_ROOT = os.geteuid() == 0
BIG = 8 * 1024 * 1024
ODD_NAMES = (
    b'.git', b'.GIT', b'.Git', b'git~1', b'GIT~1', b'.git ', b'.git.', b'.git . .', b'.git:x', b'.git\\x', b'\\',
    b'a\\b', b'.gitmodules', b'.gitattributes', b'.gitignore', b'.mailmap', b'.GitModules', b'gitmod~1', b'gi7eba~1',
    b'mailma~1', b'.g\xe2\x80\x8cit', b'.\xe2\x80\x8dgit', b'\xef\xbb\xbf.git', b'%', b'%%', b'%meta', b'%links',
    b'%25', b'%5c', b'meta', b'links', b' ', b'  x ', b'\n', b'a\nb', b'\t', b'\r', b'\x01', b'\x1b[31m', b'\x7f',
    b'\xff', b'\xff\xfe', b'\x80.git', b'caf\xc3\xa9', b'cafe\xcc\x81', b'-rf', b'--', b'-', b'~', b'#', b'*', b'?',
    b'[a]', b"'", b'"', b'$HOME', b'`id`', b'a:b', b'CON', b'nul.txt', b'...', b'..x', b'x.lock', b'HEAD', b'0000',
    b'000000', b'A', b'a', b'.wh.x', b'.wh..wh..opq', b'n' * 255, b'\xc3' * 255, b'\n' * 255, b'%' * 255, b'\\' * 255,
    b'x' * 99, b'x' * 100, b'x' * 101,
)  # fmt: skip

names = st.one_of(
    st.sampled_from(ODD_NAMES),
    st.binary(min_size=1, max_size=12).filter(lambda name: not {0, 0x2F} & set(name) and name not in (b".", b"..")),
)
times = st.one_of(
    st.sampled_from((0, 1, -1, 999_999_999, 1_000_000_000, -1_000_000_001, 2**31 * 10**9, 1_700_000_000_123_456_789)),
    st.integers(-(2**31) * 10**9, 2**33 * 10**9),
)
attributes = st.dictionaries(
    st.sampled_from(("user.a", "user.mime type", "user.\u00e9=", "user.z")), st.binary(max_size=40), max_size=2
)
owners = st.sampled_from((0, 0, 0, 1, 33, 1000, 65533)) if IS_ROOT else st.just(os.geteuid())
file_modes = st.sampled_from((0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1644, 0o6711, 0o444, 0o400, 0o777, 0o640))
folder_modes = st.sampled_from((0o755, 0o700, 0o1777, 0o2775, 0o711, 0o750))
CAPABILITY = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0x400, 0)
contents = st.one_of(
    st.binary(max_size=60),
    st.sampled_from((b"", b"\0" * 5000, b"text\n" * 300, os.urandom(1) * 4096, b"\0" * 4096 + b"x" + b"\0" * 4095)),
)


@dataclass(frozen=True)
class Node:
    """One entry. `kind`: f d l p c b, or `s` (sparse file), or `h`: one more name of the file before it."""

    kind: str
    mode: int
    owner: tuple[int, int]
    mtime_ns: int
    content: bytes = b""
    xattrs: tuple[tuple[str, bytes], ...] = ()
    capability: bool = False
    device: tuple[int, int] = (0, 0)
    children: dict[bytes, Node] = field(default_factory=dict)


def _node(kind: str, modes: st.SearchStrategy[int], **more: st.SearchStrategy[object]) -> st.SearchStrategy[Node]:
    return st.builds(Node, kind=st.just(kind), mode=modes, owner=st.tuples(owners, owners), mtime_ns=times, **more)


_xattrs = attributes.map(lambda values: tuple(sorted(values.items())))
_targets = st.sampled_from((b"x", b"/etc/passwd", b"../../..", b"\xff\n", b"a b", b"t" * 255, b"d/" * 100))
_devices = st.tuples(st.integers(1, 500), st.integers(0, 70000))

leaves = st.one_of(
    _node("f", file_modes, content=contents, xattrs=_xattrs, capability=st.booleans()),
    _node("f", file_modes, content=contents),
    _node("s", file_modes),
    _node("h", file_modes),
    _node("l", st.just(0o777), content=_targets),
    _node("p", file_modes),
    *((_node("c", file_modes, device=_devices), _node("b", file_modes, device=_devices)) if IS_ROOT else ()),
)


def _folder(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    return _node("d", folder_modes, xattrs=_xattrs, children=st.dictionaries(names, children, max_size=6))


trees: st.SearchStrategy[Node] = _node(
    "d", st.sampled_from((0o755, 0o700)), xattrs=_xattrs,
    children=st.dictionaries(names, st.recursive(leaves, _folder, max_leaves=14), min_size=1, max_size=8),
)  # fmt: skip


def write_tree(tree: Node, folder: Path) -> None:
    """Make the tree on the disk. Attributes come last and from below, so that folders keep their times."""
    folder.mkdir()
    previous: list[bytes] = []
    _write(tree, os.fsencode(folder), previous)


def _write(node: Node, path: bytes, previous: list[bytes]) -> None:
    if node.kind == "d":
        for name, child in node.children.items():
            below = path + b"/" + name
            if child.kind == "d":
                os.mkdir(below)
            _write(child, below, previous)
    elif node.kind == "h":
        if not previous:
            return
        os.link(previous[-1], path, follow_symlinks=False)
        return
    elif node.kind == "l":
        os.symlink(node.content, path)
    elif node.kind == "p":
        os.mkfifo(path)
    elif node.kind in "cb":
        os.mknod(path, 0o600 | (stat.S_IFCHR if node.kind == "c" else stat.S_IFBLK), os.makedev(*node.device))
    else:
        with open(path, "xb") as file:
            file.write(node.content)
            if node.kind == "s":
                file.write(b"begin")
                file.truncate(300_000)
                file.seek(200_000)
                file.write(b"middle")
    _dress(node, path)
    if node.kind in "fs" and len(path) < 4000:
        previous.append(path)


def _dress(node: Node, path: bytes) -> None:
    if IS_ROOT:
        os.chown(path, *node.owner, follow_symlinks=False)
    if node.kind in "fds":
        for name, content in node.xattrs:
            os.setxattr(path, name, content)
    if node.kind != "l":
        os.chmod(path, node.mode)
    if IS_ROOT and node.capability and node.kind == "f":
        os.setxattr(path, "security.capability", CAPABILITY)
    os.utime(path, ns=(node.mtime_ns, node.mtime_ns), follow_symlinks=False)


def write_special(folder: Path) -> None:
    """Make one tree of everything that is not worth generating again and again."""
    folder.mkdir()
    block = bytes(range(256)) * 4096
    with (folder / "big").open("wb") as file:
        for number in range(9):
            file.write(bytes([number]) + block)
    with (folder / "big-and-sparse").open("wb") as file:
        file.seek(3 * BIG)
        file.write(b"end")
        file.truncate(4 * BIG)
    (folder / "exactly").write_bytes(b"\1" * BIG)
    (folder / "one-more").write_bytes(b"\1" * (BIG + 1))
    (folder / "hole-only").open("wb").truncate(100_000)
    for number in range(3):
        (folder / f"empty{number}").mkdir()
    deep = os.fsencode(folder)
    while len(deep) < len(os.fsencode(folder)) + 3700:
        deep += b"/" + b"d" * 200
        os.mkdir(deep)
    (Path(os.fsdecode(deep)) / "bottom").write_text("deep\n")
    for group in range(3):
        (folder / f"group{group}").write_text(f"{group}\n")
        for number in range(4):
            target = folder / f"empty{number % 3}/link{group}.{number}"
            os.link(folder / f"group{group}", target)
    repository = folder / "src/.git"
    (repository / "refs/heads").mkdir(parents=True)
    (repository / "HEAD").write_text("ref: refs/heads/main\n")
    (repository / "config").write_text("[core]\n")
    (folder / "src/.gitmodules").write_text("[submodule]\n")
    (folder / "src/.gitattributes").write_text("* text eol=crlf filter=evil\n")
    (folder / "src/crlf").write_bytes(b"a\r\nb\r\n")
    os.utime(folder / "src", ns=(123_456_789, 123_456_789))
