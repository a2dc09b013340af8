"""What is asked of a sandbox survives being written down, whatever it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import CorruptObject
from envgit.sandbox.record import Record, format_record, parse_record
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest

WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12) | st.binary(max_size=8).map(
    lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)
LISTS = st.lists(WORDS, max_size=3).map(tuple)
MOUNTS = st.builds(
    MountRequest,
    kind=st.sampled_from(("bind", "tmpfs", "volume", "rev")),
    source=WORDS,
    target=WORDS,
    readonly=st.booleans(),
    options=PAIRS,
)
REQUESTS = st.builds(
    RunRequest,
    revision=st.none() | WORDS,
    command=LISTS,
    env=PAIRS,
    workdir=st.none() | WORDS,
    user=st.none() | WORDS,
    mounts=st.lists(MOUNTS, max_size=3).map(tuple),
    volumes_from=LISTS,
    files=st.just(()),
    interactive=st.booleans(),
    terminal=st.booleans(),
    network=st.none() | st.sampled_from(("private", "none", "host")),
    publish=LISTS,
    labels=PAIRS,
    remove=st.booleans(),
    stop_signal=WORDS,
    log_max_bytes=st.integers(0, 1 << 50),
    log_max_files=st.integers(0, 9),
    network_helper=WORDS,
    hostname=st.none() | WORDS,
    add_hosts=LISTS,
    entrypoint=st.none() | WORDS,
    limits=st.builds(
        LimitsRequest,
        memory=st.none() | WORDS,
        ulimits=LISTS,
        cpus=st.none(),
        pids_limit=st.none(),
        memory_swap=st.none(),
        shm_size=st.none(),
    ),
    cap_add=LISTS,
    cap_drop=LISTS,
    seccomp=WORDS,
    runtime=WORDS,
    name=st.none() | WORDS,
    restart=WORDS,
)
RECORDS = st.builds(
    Record,
    id=st.just("0123456789ab"),
    name=WORDS,
    request=REQUESTS,
    oid=st.just("0" * 40),
    worktree=WORDS,
    created_ns=st.integers(0, 1 << 62),
    command=LISTS,
    caller=PAIRS,
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert parse_record(format_record(record), "x") == record


def test_limits_are_kept() -> None:
    values = {name: "7" for name in LimitsRequest._fields if name not in ("ulimits", "ulimit")}
    limits = LimitsRequest(**values)  # type: ignore[arg-type]
    record = Record("0123456789ab", "x", RunRequest(limits=limits), "0" * 40, "", 0, ())
    assert parse_record(format_record(record), "x").request.limits == limits


def test_files_from_memory_are_never_written_down() -> None:
    request = RunRequest(files=(("/run/secret", b"hunter2"),))
    data = format_record(Record("0123456789ab", "x", request, "0" * 40, "", 0, ()))
    assert b"secret" not in data and b"hunter2" not in data
    assert parse_record(data, "x").request.files == ()


def test_every_field_of_a_request_is_written() -> None:
    written = json.loads(format_record(Record("0123456789ab", "x", RunRequest(), "0" * 40, "", 0, ())))
    assert set(written["request"]) == set(RunRequest._fields)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"version": 2}',
        b'{"version": 1}',
        b'{"version": 1, "id": 3, "name": "x", "request": {}, "oid": "", "worktree": "", "created_ns": 0, "command": []}',
        b'{"version": 1, "id": "x", "name": "x", "request": {"unknown": 1}, "oid": "", "worktree": "", "created_ns": 0, '
        b'"command": []}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptObject, match="is no record"):
        parse_record(data, "somewhere")
