"""npm: node_modules/NAME and node_modules/@SCOPE/NAME with a package.json, and the node_modules of those."""

from __future__ import annotations

from collections.abc import Iterator

from envgit.packages.json_file import json_object
from envgit.packages.package import Package, Place, Record, check_word, clean_summary
from envgit.packages.view import Node, TreeView

FILE_MAX_BYTES = 8 * 1024 * 1024
DIRECTORY = b"node_modules"
_STORES = (b".pnpm", b".store")
"""Where pnpm, and npm with linked packages, keep the packages that node_modules then only names."""
_DEEPEST = 16
"""How many node_modules may be inside each other."""


def iter_places(view: TreeView, top: Place, beside: TreeView | None = None) -> Iterator[Place]:
    """Yield a node_modules, and those of the packages in it: npm puts there what others need in another version.

    With `beside` those of a package that is the same there are left out.
    """
    pending = [(top, 1)]
    while pending:
        place, depth = pending.pop()
        yield place
        if depth == _DEEPEST:
            continue
        for path, holder in _holders(view, place.path):
            if beside is not None and holder.identity is not None and holder == beside.find_node(path):
                continue
            node = view.list_directory(path).get(DIRECTORY)
            if node is not None and node.type == "d":
                pending.append((Place(place.manager, path + b"/" + DIRECTORY), depth + 1))


def iter_records(view: TreeView, place: Place) -> Iterator[Record]:
    """Yield every package of one node_modules; a linked package belongs to where it is."""
    for path, node in _packages(view, place.path):
        yield Record(path + b"/package.json", node.identity)


def read_record(view: TreeView, place: Place, record: Record) -> Package | None:
    """Return the package of a package.json; None without one, and without name and version (a part of another package)."""
    data = view.read_file(record.path, FILE_MAX_BYTES)
    if data is None:
        return None
    fields = json_object(data)
    name, version, description = fields.get("name"), fields.get("version"), fields.get("description")
    if name is None and version is None:
        return None
    return Package(
        "npm",
        check_word(name if isinstance(name, str) else None, "name"),
        check_word(version if isinstance(version, str) else None, "version"),
        None,
        place.path,
        None,
        clean_summary(description if isinstance(description, str) else None),
    )


def _holders(view: TreeView, path: bytes) -> Iterator[tuple[bytes, Node]]:
    """Yield the directories that may have a node_modules of their own."""
    yield from _packages(view, path)
    for store in _STORES:
        for name, node in sorted(view.list_directory(path + b"/" + store).items()):
            if node.type == "d":
                yield b"/".join((path, store, name)), node


def _packages(view: TreeView, path: bytes) -> Iterator[tuple[bytes, Node]]:
    for name, node in sorted(view.list_directory(path).items()):
        if node.type != "d" or name.startswith(b"."):
            continue
        if not name.startswith(b"@"):
            yield path + b"/" + name, node
            continue
        scope = path + b"/" + name
        for inner, inner_node in sorted(view.list_directory(scope).items()):
            if inner_node.type == "d" and not inner.startswith(b"."):
                yield scope + b"/" + inner, inner_node
