"""Forged environments: metadata and trees that disagree, hashed right all the way up to the commit."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from envgit.errors import EnvgitError
from envgit.layers.metadata import format_directory, parse_directory
from envgit.model import DirectoryRef
from envgit.quarantine.errors import RefusedObjects
from envgit.store.objects import decode_tree, encode_tree
from envgit.trees import MODE_FILE
from tests.quarantine.builder import Environment
from tests.quarantine.conftest import Home

Forger = Callable[[Environment], bytes]


class Cases(dict[str, tuple[Forger, str, type[EnvgitError]]]):
    """Forgeries by name: who makes it, what is said, and of which kind the error is."""

    def __call__(self, said: str, kind: type[EnvgitError] = RefusedObjects) -> Callable[[Forger], Forger]:
        def register(forge: Forger) -> Forger:
            self[forge.__name__] = (forge, said, kind)
            return forge

        return register

    def check(self, home: Home, name: str) -> None:
        forge, said, kind = self[name]
        made = Environment()
        tip = forge(made)
        message = home.refuse(made.objects.pack(), tip, kind=kind)
        assert any(part in message for part in said.split("|")), message


def oid_of(root: DirectoryRef) -> bytes:
    assert isinstance(root.content, bytes)
    return root.content


def with_meta(
    made: Environment, folder: bytes, change: Callable[[bytes], bytes], also: dict[bytes, object] | None = None
) -> bytes:
    """A commit whose root (`folder` b"") or one directory of it has other metadata, hashed right all the way up.

    `also`: git entries of that directory to replace: name to (mode, oid), or to None.
    """
    objects = made.objects
    root = made.root()
    top = {name: (mode, oid) for mode, name, oid in decode_tree(objects.known[oid_of(root)][1])}
    target = top if not folder else {n: (m, o) for m, n, o in decode_tree(objects.known[top[folder][1]][1])}
    meta = change(objects.known[target[b"%meta"][1]][1])
    target[b"%meta"] = (MODE_FILE, objects.put("blob", meta))
    for name, value in (also or {}).items():
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value  # type: ignore[assignment]
    digest = sha256(meta).digest()
    if folder:
        top[folder] = (0o040000, objects.put("tree", encode_tree([(m, n, o) for n, (m, o) in target.items()])))
        above = parse_directory(objects.known[top[b"%meta"][1]][1])
        entries = [each._replace(sha256=digest) if each.name == folder else each for each in above.entries]
        meta = format_directory(above.own, entries, above.links_sha256)
        top[b"%meta"] = (MODE_FILE, objects.put("blob", meta))
        digest = sha256(meta).digest()
    tree = objects.put("tree", encode_tree([(m, n, o) for n, (m, o) in top.items()]))
    return made.commit(DirectoryRef(tree, digest))


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(meta: bytes) -> bytes:
        assert old in meta
        return meta.replace(old, new, 1)

    return change
