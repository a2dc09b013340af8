"""Where package managers keep their records: at known paths, and in the directories that people and images use for their own.

The tree is not walked. Databases have one path each; Python's, npm's and conda's directories are looked for below
prefixes: /usr, /usr/local, and what lies in directories to which the FHS gives no meaning of its own (/opt, /srv, /home,
/app, /usr/src, /var/www, ...).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Set

from envgit.packages import apk, conda, dpkg, npm, pip, rpm
from envgit.packages.package import Place
from envgit.packages.view import Node, TreeView

DEEPEST = 6
"""How far below a directory of people's own a prefix is looked for: /home/ann/.local/share/pipx/venvs/TOOL."""
MOST_DIRECTORIES = 1500
"""How many of them are read in one tree, near ones first."""

SEARCHED = frozenset(("pip", "npm", "conda"))
"""The managers that may have any number of places; the others have one database for the whole system."""
_STANDARD: dict[bytes, Set[bytes]] = {
    b"": frozenset(
        b"bin boot dev etc gnu lib lib32 lib64 libx32 lost+found media mnt nix proc run sbin snap sys tmp usr var".split()
    ),
    b"usr": frozenset(b"bin games include lib lib32 lib64 libexec libx32 local sbin share".split()),
    b"usr/local": frozenset(b"bin etc games include lib lib32 lib64 libexec man sbin share".split()),
    b"var": frozenset(
        b"account backups cache crash db empty games kerberos lib local lock log mail nis opt preserve run spool tmp yp".split()
    ),
}
"""Directories with a meaning of their own, which are not searched, by the directory they are in."""
_PASSED_OVER = frozenset(
    b"node_modules site-packages dist-packages conda-meta __pycache__ .git .hg .svn .cache bin lib lib32 lib64 libexec sbin "
    b"include man doc docs".split()
)
_PYTHON = re.compile(rb"(?:python|pypy)[0-9.]*\Z")


def find_places(
    view: TreeView, managers: Set[str], notice: Callable[[str], None], *, beside: TreeView | None = None
) -> Iterator[Place]:
    """Yield the places of the managers named. With `beside` only those that may differ from it: what has one identity
    in both trees is not read."""
    known = [place for place in _known_places(view) if place.manager in managers]
    others = list(_known_places(beside)) if beside is not None else []
    for place in known:
        # A database that moved is a difference on both sides, although a symbolic link may show it at its old path.
        if not (place in others and _same(view, beside, place.path)):
            yield place
    if managers & SEARCHED:
        for place in _search(view, notice, beside):
            if place.manager in managers:
                yield place


def _known_places(view: TreeView) -> Iterator[Place]:
    for path in dpkg.PLACES:
        if view.find_node(path) is not None:
            yield Place("dpkg", path)
    # Of the next two only one path counts: the others may be symbolic links to it, or what an upgrade left behind.
    path = next((path for path in apk.PLACES if view.find_node(path) is not None), b"")
    if path:
        yield Place("apk", path)
    path = next((path for path in rpm.PLACES if rpm.database_in(view, path) is not None), b"")
    if path:
        yield Place("rpm", path)


def _same(view: TreeView, beside: TreeView | None, path: bytes, node: Node | None = None) -> bool:
    if beside is None:
        return False
    node = node or view.find_node(path)
    other = beside.find_node(path)
    return node is not None and other is not None and node.identity is not None and node == other


def _search(view: TreeView, notice: Callable[[str], None], beside: TreeView | None) -> Iterator[Place]:
    """Look at every prefix, breadth first: what is near the root is found also in a tree that is too large."""
    for prefix in (b"usr", b"usr/local"):
        yield from _places_of_prefix(view, prefix, beside)
    pending: deque[tuple[bytes, int]] = deque()
    for above, standard in _STANDARD.items():
        for path in _directories(view, above, beside):
            if path.rpartition(b"/")[2] not in standard:
                pending.append((path, 0))
    left = MOST_DIRECTORIES
    yield from _places_of_prefix(view, b"", beside)
    while pending:
        path, depth = pending.popleft()
        if not left:
            notice(
                f"pip, npm and conda were looked for in {MOST_DIRECTORIES:,} directories of /opt, /home and the like, not in all"
            )
            return
        left -= 1
        yield from _places_of_prefix(view, path, beside)
        if depth == DEEPEST:
            continue
        here = view.list_directory(path)
        for below in _directories(view, path, beside):
            name = below.rpartition(b"/")[2]
            if name in _PASSED_OVER or (name == b"share" and not path.endswith(b"/.local")):
                continue
            if name == b"pkgs" and conda.DIRECTORY in here:  # unpacked packages that prefixes are linked from
                continue
            pending.append((below, depth + 1))


def _directories(view: TreeView, path: bytes, beside: TreeView | None) -> Iterator[bytes]:
    """Yield the paths of the sub-directories that may differ; symbolic links are passed over, what they name is looked at there."""
    for name, node in sorted(view.list_directory(path).items()):
        below = path + b"/" + name if path else name
        if node.type == "d" and not _same(view, beside, below, node):
            yield below


def _places_of_prefix(view: TreeView, prefix: bytes, beside: TreeView | None) -> Iterator[Place]:
    names = {path.rpartition(b"/")[2]: path for path in _directories(view, prefix, beside)}
    if npm.DIRECTORY in names:
        yield from npm.iter_places(view, Place("npm", names[npm.DIRECTORY]), beside)
    if conda.DIRECTORY in names:
        yield Place("conda", names[conda.DIRECTORY])
    for directory in pip.DIRECTORIES:  # pip install --target
        if directory in names:
            yield Place("pip", names[directory])
    for lib in (b"lib", b"lib64"):
        if lib not in names or not prefix:
            continue
        for path in _directories(view, names[lib], beside):
            name = path.rpartition(b"/")[2]
            if name == npm.DIRECTORY:
                yield from npm.iter_places(view, Place("npm", path), beside)
            elif _PYTHON.match(name):
                for inside in _directories(view, path, beside):
                    if inside.rpartition(b"/")[2] in pip.DIRECTORIES:
                        yield Place("pip", inside)
