"""Why a unit has to be built: what is different from the last build of the same environment."""

from __future__ import annotations

import json
from typing import NamedTuple

from envgit.building.build_index import BUILDS_PREFIX, MOST_UNITS
from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.holding import plain_name
from envgit.building.key import format_record
from envgit.building.unit import Copy, Run
from envgit.snapshot import UNIT_TRAILER, Snapshot, read_snapshot, read_trailer

INPUTS_KEY = "inputs_sha256"
AFTER_A_CHANGE = "what it builds on changed"


class _Earlier(NamedTuple):
    record: str
    inputs: tuple[str, ...]
    subject: str


def builds_ref(name: str) -> str:
    """Return the ref that keeps the chain of the last build of an environment or stage."""
    return BUILDS_PREFIX + plain_name(name)


class Reasons:
    """Compares with the commits of the last build of the same stages."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._repo = evaluation.repo
        self._earlier: dict[str, list[_Earlier]] = {}

    def why(self, wanted: Wanted) -> str:
        """Say why a unit, or a base, is built."""
        if wanted.forced:
            return "asked for"
        earlier = self._chain(wanted.stage.name)
        if not earlier:
            return "first build"
        if wanted.unit is None:
            return "the base is another one"
        record = format_record(wanted.unit.record)
        same = next((each for each in earlier if each.record == record), None)
        if same is None:
            before = earlier[wanted.number] if wanted.number < len(earlier) else None
            return "new" if before is None else f"changed, was: {before.subject}"
        if same.inputs != tuple(each.hex() for each in wanted.inputs):
            return f"changed input: {_names(wanted)}"
        return AFTER_A_CHANGE

    def _chain(self, name: str) -> list[_Earlier]:
        """Return the units of the last build, the base first."""
        if name not in self._earlier:
            chain: list[_Earlier] = []
            oid = self._repo.refs.resolve(builds_ref(name))
            while oid is not None and len(chain) < MOST_UNITS:
                snapshot = read_snapshot(self._repo.objects, oid)
                chain.append(_read(snapshot))
                oid = snapshot.commit.parents[0] if snapshot.commit.parents else None
            self._earlier[name] = chain[::-1]
        return self._earlier[name]


def _read(snapshot: Snapshot) -> _Earlier:
    subject = snapshot.commit.message.partition(b"\n")[0].decode("utf-8", "replace")
    try:
        record = json.loads(read_trailer(snapshot.commit.message, UNIT_TRAILER) or b"{}")
        inputs = tuple(str(each) for each in record.pop(INPUTS_KEY, ()))
        return _Earlier(format_record(record), inputs, subject)
    except (ValueError, AttributeError, TypeError):
        return _Earlier("", (), subject)


def _names(wanted: Wanted) -> str:
    action = wanted.unit.action if wanted.unit is not None else None
    if isinstance(action, Copy):
        return ", ".join(dict.fromkeys(source for item in action.items for source in item.sources)) or "files"
    if isinstance(action, Run) and action.inputs:
        return ", ".join(action.inputs)
    return "files"
