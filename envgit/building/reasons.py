"""Why a unit has to be built: what is different from the last build of the same environment."""

from __future__ import annotations

import json
from typing import NamedTuple

from envgit.building.build_index import BUILDS_PREFIX, MOST_UNITS
from envgit.building.evaluation import Evaluation, Wanted
from envgit.building.holding import plain_name
from envgit.building.key import format_record
from envgit.building.record_difference import compare_records
from envgit.building.unit import Copy, Run, Stage, Unit
from envgit.snapshot import LAYER_TRAILER, UNIT_TRAILER, Snapshot, read_snapshot, read_trailer
from envgit.store.shallow import visible_parents

INPUTS_KEY = "inputs_sha256"
AFTER_A_CHANGE = "what it builds on changed"
ASKED_FOR = "asked for"
FIRST_BUILD = "first build"
_NOTHING = "{}"
"""The record of what no build made."""


class _Earlier(NamedTuple):
    oid: bytes
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
        self._places: dict[str, int] = {}
        """Of what was looked at last, in the last build."""

    def why(self, wanted: Wanted) -> str:
        """Say why a unit, or a base, is built."""
        if wanted.forced:
            return ASKED_FOR
        earlier = self._chain(wanted.stage.name)
        if not earlier:
            return FIRST_BUILD
        if wanted.unit is None:
            return "the base is another one"
        place = self._place(wanted.stage.name, wanted.unit)
        if place is None:
            return self._changed(wanted.stage.name, wanted.unit, wanted.parent)
        if earlier[place].inputs != tuple(each.hex() for each in wanted.inputs):
            return f"changed input: {_names(wanted)}"
        return AFTER_A_CHANGE

    def foretell(self, stage: Stage, unit: Unit | None) -> str:
        """Say why a unit (None: a base) is built whose parent is not known yet; called in the order of units."""
        if not self._chain(stage.name):
            return FIRST_BUILD
        if unit is None:
            return "not looked for before what comes before it is built"
        return AFTER_A_CHANGE if self._place(stage.name, unit) is not None else self._changed(stage.name, unit, None)

    def _place(self, name: str, unit: Unit) -> int | None:
        """Return the place in the last build of a unit that did what this one does."""
        record = format_record(unit.record)
        found = next((place for place, each in enumerate(self._chain(name)) if each.record == record), None)
        if found is not None:
            self._places[name] = found
        return found

    def _changed(self, name: str, unit: Unit, parent: Snapshot | None) -> str:
        """Say what a unit was, that the last build did otherwise: the one that came after what now comes before."""
        earlier = self._chain(name)
        if parent is not None:
            record = _read(parent).record
            found = [
                place
                for place, each in enumerate(earlier)
                if each.oid == parent.oid or (record != _NOTHING and each.record == record)
            ]
            if found:
                self._places[name] = found[-1]
        place = self._places[name] = self._places.get(name, -1) + 1
        before = earlier[place] if place < len(earlier) else None
        if before is None or before.record == _NOTHING:
            return "new"
        from envgit.building.recording import shorten  # most builds find everything in history

        if before.subject != shorten(unit.text):
            return f"changed, was: {before.subject}"
        return compare_records(json.loads(before.record), unit.record)

    def _chain(self, name: str) -> list[_Earlier]:
        """Return the units of the last build, the base first."""
        if name not in self._earlier:
            chain: list[_Earlier] = []
            oid = self._repo.refs.resolve(builds_ref(name))
            while oid is not None and len(chain) < MOST_UNITS:
                snapshot = read_snapshot(self._repo.objects, oid)
                if read_trailer(snapshot.commit.message, LAYER_TRAILER) is not None:
                    break  # the base is above the layers of its image
                chain.append(_read(snapshot))
                parents = visible_parents(self._repo.objects, oid, snapshot.commit.parents)
                oid = parents[0] if parents else None
            self._earlier[name] = chain[::-1]
        return self._earlier[name]


def _read(snapshot: Snapshot) -> _Earlier:
    subject = snapshot.commit.message.partition(b"\n")[0].decode("utf-8", "replace")
    try:
        record = json.loads(read_trailer(snapshot.commit.message, UNIT_TRAILER) or b"{}")
        inputs = tuple(str(each) for each in record.pop(INPUTS_KEY, ()))
        return _Earlier(snapshot.oid, format_record(record), inputs, subject)
    except (ValueError, AttributeError, TypeError):
        return _Earlier(snapshot.oid, _NOTHING, (), subject)


def _names(wanted: Wanted) -> str:
    action = wanted.unit.action if wanted.unit is not None else None
    if isinstance(action, Copy):
        return ", ".join(dict.fromkeys(source for item in action.items for source in item.sources)) or "files"
    if isinstance(action, Run) and action.inputs:
        return ", ".join(action.inputs)
    return "files"
