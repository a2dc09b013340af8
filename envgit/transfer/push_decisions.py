"""Which refs of a push are asked for, by git's rules (git-push(1), "<refspec>..."): what is decided on this side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from dulwich.graph import can_fast_forward
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from envgit.transfer.outcomes import UP_TO_DATE
from envgit.transfer.values import RefOutcome, RefUpdate

ZERO: Final = b"0" * 40


class PushDecisions:
    """Decides when the other side has said what it has; collects the outcomes."""

    def __init__(self, ours: Repo, updates: Sequence[RefUpdate], *, atomic: bool) -> None:
        self._ours = ours
        self._updates = updates
        self._atomic = atomic
        self._decided: dict[str, RefOutcome] = {}

    def decide(self, theirs: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the refs to ask for and what they become."""
        asked = {}
        for each in self._updates:
            now = theirs.get(each.name.encode("utf-8", "surrogateescape"), ZERO)
            now = ZERO if now is None else now
            new = each.new.hex().encode() if each.new else ZERO
            if now == new:
                self._decided[each.name] = RefOutcome(each.name, True, UP_TO_DATE)
                continue
            reason = self._refusal(each, ObjectID(now), ObjectID(new))
            if reason:
                self._decided[each.name] = RefOutcome(each.name, False, reason)
            else:
                asked[each.name.encode("utf-8", "surrogateescape")] = new
        if self._atomic and any(not outcome.ok for outcome in self._decided.values()):
            for name in asked:
                text = name.decode("utf-8", "surrogateescape")
                self._decided[text] = RefOutcome(text, False, "atomic push failed")
            return {}
        return asked

    def outcomes(self, statuses: Mapping[bytes, str | None] | None) -> tuple[RefOutcome, ...]:
        """Return all outcomes, with what the other side reported of those it was asked for."""
        reported = {name.decode("utf-8", "surrogateescape"): reason for name, reason in (statuses or {}).items()}
        found = []
        for each in self._updates:
            if each.name in self._decided:
                found.append(self._decided[each.name])
            elif each.name in reported:
                reason = reported[each.name]
                found.append(RefOutcome(each.name, reason is None, reason or ""))
            else:
                found.append(RefOutcome(each.name, False, "the other side said nothing of it"))
        return tuple(found)

    def _refusal(self, update: RefUpdate, now: ObjectID, new: ObjectID) -> str:
        if update.lease:
            expected = update.old.hex().encode() if update.old else ZERO
            return "" if now == expected else "stale info"
        if update.force or ZERO in (now, new):
            return ""
        if update.name.startswith("refs/tags/"):
            return "already exists"
        store = self._ours.object_store
        if now not in store:
            return "fetch first"
        if not (isinstance(store[now], Commit) and isinstance(store[new], Commit)):
            return "needs force"
        return "" if can_fast_forward(self._ours, now, new) else "non-fast-forward"
