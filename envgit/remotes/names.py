"""Which names of another repository may become names here."""

from __future__ import annotations

import re
from collections.abc import Iterable

from envgit.monitor import Monitor
from envgit.store.object_store import ObjectStore
from envgit.store.ref_names import is_keepable, is_ref_name
from envgit.transfer.splitting import UPLOADS
from envgit.transfer.transport import Advertised

_FOREIGN = ("refs/envgit/", UPLOADS)
_SHARED = ("refs/heads/", "refs/tags/")
_HEX = re.compile(r"[0-9a-f]{4,40}")
_SHOWN_CHARACTERS = 60


def leave_out_unusable(advertised: Advertised, prefix: str, shown: str, monitor: Monitor) -> Advertised:
    """Leave out what no ref of ours may be called, what belongs to the other repository alone, and pieces of a push on its way.

    `prefix`: below which branches are remembered; their names grow by it. Branches and tags with names that cannot be kept are
    one warning.
    """
    refs: dict[str, bytes] = {}
    lost: list[str] = []
    for name, oid in advertised.refs.items():
        if name.startswith(_FOREIGN):
            continue
        if is_ref_name(name) and is_keepable(name, len(prefix.encode("utf-8", "surrogateescape"))):
            refs[name] = oid
        elif name.startswith(_SHARED):
            lost.append(name)
    count = len(lost) + advertised.left_out
    if count:
        start = f", such as {lost[0][:_SHOWN_CHARACTERS]!r}" if lost else ""
        monitor.warn(f"{count} ref{'s' * (count > 1)} of {shown} left out: what cannot be kept here{start}")
    return advertised._replace(refs=refs)


class TakenNames:
    """What a tag that comes unasked must not be called, because it would be read instead of something else."""

    def __init__(self, branches: Iterable[str], remotes: Iterable[str], stores: Iterable[ObjectStore]) -> None:
        self._branches = frozenset(branches)
        self._remotes = frozenset(remotes)
        self._stores = tuple(stores)

    def find(self, tag: str) -> str | None:
        """Return what else the short name of a tag stands for, None when it is free."""
        if tag in self._branches:
            return "a branch"
        if tag.partition("/")[0] in self._remotes:
            return "a branch of a remote"
        if _HEX.fullmatch(tag.lower()) and (len(tag) == 40 or self._is_id(tag.lower())):
            return "the id of an object"
        return None

    def _is_id(self, digits: str) -> bool:
        return any(store.candidates(digits, refresh=False) for store in self._stores)
