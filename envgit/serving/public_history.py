"""What of a repository others may see: branches, tags, and the commits that they reach. Nothing else has an id that is answered."""

from __future__ import annotations

from threading import Lock
from typing import NamedTuple

from envgit.errors import EnvgitError
from envgit.store.history import iter_commits
from envgit.store.object_store import ObjectStore
from envgit.store.objects import parse_tag_target
from envgit.store.refs import RefStore

PUBLIC_PREFIXES = ("refs/heads/", "refs/tags/")
_TAGS_FOLLOWED = 50


class Public(NamedTuple):
    """A moment of it. `refs` by full name; `peeled`: what annotated tags lead to; `head`: the branch that HEAD names,
    None when it is detached or unborn; `objects`: every commit that is reached, every tag object on the way, and what tags name."""

    refs: dict[str, bytes]
    peeled: dict[str, bytes]
    head: str | None
    objects: frozenset[bytes]


class PublicHistory:
    """Looks at the refs anew for each request, and walks history again only when they moved. Serves several threads."""

    def __init__(self, git_dir: str) -> None:
        self._refs = RefStore(git_dir)
        self._objects = ObjectStore(git_dir)
        self._lock = Lock()
        self._stamp: object = None
        self._public = Public({}, {}, None, frozenset())

    def look(self) -> Public:
        """Return what is public now. Refs and tags that are damaged are left out; raises CorruptObject for a damaged history."""
        with self._lock:
            refs = {
                name: oid
                for prefix in PUBLIC_PREFIXES
                for name, oid in sorted(self._refs.iter_refs(prefix, on_damage=lambda error: None))
            }
            symbolic = self._refs.read_head().symbolic
            head = symbolic if symbolic in refs else None
            stamp = (tuple(refs.items()), head, self._objects.shallow())
            if stamp != self._stamp:
                self._public = self._walk(refs, head)
                self._stamp = stamp
            return self._public

    def _walk(self, refs: dict[str, bytes], head: str | None) -> Public:
        named: dict[str, bytes] = {}
        peeled: dict[str, bytes] = {}
        commits: set[bytes] = set()
        others: set[bytes] = set()
        for name, oid in refs.items():
            try:
                chain, type = self._follow(oid)
            except EnvgitError:
                continue
            named[name] = oid
            if len(chain) > 1:
                peeled[name] = chain[-1]
            others.update(chain)
            if type == "commit":
                commits.add(chain[-1])
        return Public(named, peeled, head, frozenset(others.union(iter_commits(self._objects, commits))))

    def _follow(self, oid: bytes) -> tuple[list[bytes], str]:
        """Return an object and, of a tag, what it leads to; and the type of the last."""
        chain = [oid]
        type, data = self._objects.read(oid)
        while type == "tag" and len(chain) < _TAGS_FOLLOWED:
            chain.append(parse_tag_target(data)[0])
            type, data = self._objects.read(chain[-1])
        return chain, type
