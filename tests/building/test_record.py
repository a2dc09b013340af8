"""Records: what a unit does survives its commit; what others wrote into one is not believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.building.key import format_record
from envgit.building.record import Recorded, parse_record, record_of, record_of_base
from envgit.building.unit import (
    CacheMount,
    Context,
    Copy,
    CopyItem,
    Injected,
    RevisionBase,
    Run,
    ScratchBase,
    SecretMount,
    SourceBase,
    StageBase,
    TmpfsMount,
    TreeMount,
)
from envgit.errors import CorruptObject
from envgit.model import EnvironmentConfig

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NAME = st.text("abcXYZ_09", min_size=1, max_size=5)
SOURCES = st.one_of(
    st.just(Context()),
    st.builds(StageBase, st.integers(0, 9)),
    st.builds(RevisionBase, TEXT),
    st.builds(SourceBase, TEXT, TEXT, st.lists(st.tuples(NAME, TEXT), max_size=2).map(tuple)),
)
MOUNTS = st.one_of(
    st.builds(SecretMount, NAME, TEXT, st.booleans(), TEXT),
    st.builds(CacheMount, NAME, TEXT, st.booleans(), st.sampled_from(["shared", "private", "locked"])),
    st.builds(TmpfsMount, TEXT, TEXT),
    st.builds(TreeMount, SOURCES, TEXT, TEXT, st.booleans()),
)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
RUNS = st.builds(
    Run,
    argv=TEXTS,
    env=st.lists(st.tuples(NAME, TEXT), max_size=2).map(tuple),
    workdir=TEXT,
    user=TEXT,
    network=st.sampled_from(["", "private", "none", "host"]),
    mounts=st.lists(MOUNTS, max_size=2).map(tuple),
    files=st.lists(st.builds(Injected, TEXT, st.binary(max_size=6)), max_size=2).map(tuple),
    inputs=TEXTS,
    packages=TEXT,
)
ITEMS = st.builds(
    CopyItem,
    target=TEXT,
    sources=TEXTS,
    source=SOURCES,
    content=st.none() | st.binary(max_size=6),
    owner=TEXT,
    mode=TEXT,
    exclude=TEXTS,
    unpack=st.booleans(),
    checksum=TEXT,
    parents=st.booleans(),
    directory=st.booleans(),
)
CONFIGS = st.builds(
    EnvironmentConfig,
    env=st.lists(st.tuples(NAME, NAME), max_size=2).map(tuple),
    cmd=st.lists(NAME, max_size=2).map(tuple),
    entrypoint=st.lists(NAME, max_size=2).map(tuple),
    working_dir=st.just("") | NAME,
    user=st.just("") | NAME,
    extra=st.dictionaries(st.sampled_from(["Labels", "Volumes"]), st.dictionaries(NAME, NAME), max_size=2),
)


@given(st.none() | RUNS | st.builds(Copy, st.lists(ITEMS, max_size=3).map(tuple)), st.none() | CONFIGS)
def test_a_record_says_everything(action: Any, config: EnvironmentConfig | None) -> None:
    text = format_record(record_of(action, config))
    assert "\n" not in text
    assert parse_record(json.loads(text)) == Recorded(None, action, config)
    more = {**record_of(action, config), "config": {}, "inputs_sha256": []}
    assert parse_record(more).more == {"inputs_sha256": []}


@given(SOURCES.filter(lambda source: source != Context()) | st.just(ScratchBase()))
def test_a_base_survives(base: Any) -> None:
    assert parse_record(json.loads(format_record(record_of_base(base)))) == Recorded(base)


def test_defaults_are_left_out() -> None:
    assert record_of(Run(("true",))) == {"action": {"is": "Run", "argv": ["true"]}}


@pytest.mark.parametrize(
    "record",
    [
        None, [], "x", 1, {"actions": {}}, {"action": {"is": "Run"}}, {"action": {"is": "Run", "argv": "true"}},
        {"action": {"is": "Run", "argv": [1]}}, {"action": {"argv": []}}, {"action": {"is": "Context"}},
        {"action": {"is": "Run", "argv": [], "network": "all"}}, {"action": {"is": "Run", "argv": [], "more": 1}},
        {"action": {"is": "Run", "argv": [], "env": [["A"]]}}, {"action": {"is": "Run", "argv": [], "mounts": [None]}},
        {"action": {"is": "Run", "argv": [], "mounts": [{"is": "Context"}]}},
        {"action": {"is": "Copy", "items": [{"is": "CopyItem", "target": "/", "content": {"base64": "?"}}]}},
        {"action": {"is": "Copy", "items": [{"is": "CopyItem", "target": "/", "content": "text"}]}},
        {"action": {"is": "Copy", "items": {"is": "CopyItem", "target": "/"}}}, {"action": {"is": ["Run"]}},
        {"base": {"is": "StageBase", "number": -1}}, {"base": {"is": "StageBase", "number": True}},
        {"base": {"is": "Run", "argv": []}}, {"config": []}, {"config": {"Env": 1}}, {"action": "Run"},
    ],
)  # fmt: skip
def test_what_others_wrote_is_not_believed(record: object) -> None:
    with pytest.raises(CorruptObject):
        parse_record(record)
