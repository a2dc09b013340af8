"""Damaged records and statuses: they concern their own sandbox only, and that one can be removed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.errors import CorruptObject, StorageError
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.sandbox import checking
from envgit.sandbox.listing import shown_ports
from envgit.sandbox.liveness import monitor_pid
from envgit.sandbox.log_line import format_time
from envgit.sandbox.record import _MOUNT, _RECORD, _REQUEST, Record, format_record, parse_record
from envgit.sandbox.registry import Found
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest
from envgit.sandbox.status import _CHECKS, Status, read_status

from .conftest import Sandboxes, has_ended, wait_until

RECORD = json.loads(format_record(Record("0123456789ab", "one", RunRequest(revision="main"), "0" * 40, "", 1, ("x",))))
STATUS = Status(phase="exited", ports=(("127.0.0.1", 80, 80, "tcp"),), group=("v2:/x",))._asdict()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("\ud800") | st.just(10**29),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class _Place:
    """What read_status() needs of a repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, *words: str) -> str:
        return str(self._folder / words[-1])


def check_record(data: bytes) -> None:
    try:
        record = parse_record(data, "x")
    except CorruptObject:
        return
    assert parse_record(format_record(record), "x") == record
    assert format_time(record.created_ns) and os.fsencode(" ".join(record.command)) is not None
    assert dict(record.request.labels) is not None and bytes.fromhex(record.oid) is not None


@given(VALUES)
def test_any_json_is_a_record_or_damaged(value: Any) -> None:
    check_record(json.dumps(value).encode())


@given(st.sampled_from(sorted(RECORD)), st.sampled_from(sorted(RECORD["request"])), VALUES)
def test_a_record_with_one_wrong_value(field: str, inner: str, value: Any) -> None:
    check_record(json.dumps({**RECORD, field: value}).encode())
    check_record(json.dumps({**RECORD, "request": {**RECORD["request"], inner: value}}).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(STATUS)), VALUES)
def test_a_status_with_one_wrong_value(tmp_path: Path, field: str, value: Any) -> None:
    repo = cast(Repository, _Place(tmp_path))
    for document in (value, {**STATUS, field: value}):
        (tmp_path / "status.json").write_text(json.dumps(document))
        status = read_status(repo, "0123456789ab")
        found = Found(Record("0" * 12, "x", RunRequest(), "", "", 0, ()), status._replace(phase="running"), 1)
        assert shown_ports(found) is not None
        assert format_time(status.started_ns) and format_time(status.finished_ns)
        assert all(isinstance(line, str) for line in status.group) and 0 <= status.exit_code < 256


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("command", None), ("created_ns", 10**29), ("created_ns", -1), ("oid", 5), ("name", "\ud800"), ("caller", [["A"]]),
    ],
)  # fmt: skip
def test_wrong_fields_of_a_record(field: str, value: Any) -> None:
    with pytest.raises(CorruptObject):
        parse_record(json.dumps({**RECORD, field: value}).encode(), "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [("revision", -1), ("labels", None), ("env", [["A"]]), ("restart", 5), ("log_max_bytes", "x"), ("mounts", [{}])],
)
def test_wrong_fields_of_a_request(field: str, value: Any) -> None:
    assert parse_record(json.dumps(RECORD).encode(), "x")  # control
    with pytest.raises(CorruptObject):
        parse_record(json.dumps({**RECORD, "request": {**RECORD["request"], field: value}}).encode(), "x")


def test_deep_json_is_damaged() -> None:
    with pytest.raises(CorruptObject):
        parse_record(b"[" * 200_000, "x")


def test_every_declared_type_is_checked() -> None:
    more: dict[Any, dict[str, checking.Check]] = {
        Record: _RECORD,
        RunRequest: _REQUEST,
        MountRequest: _MOUNT,
        Status: _CHECKS,
        LimitsRequest: {},
    }
    for kind, special in more.items():
        fields = {name: str(getattr(each, "__forward_arg__", each)) for name, each in kind.__annotations__.items()}
        assert set(fields) == set(kind._fields)
        for name, declared in fields.items():
            assert name in special or declared in checking._CHECKS, (kind, name, declared)


# the whole command line


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to("record.json")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\xff garbage"),
    "a folder": make_a_folder,
    "a loop": make_a_loop,
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_record_is_shown_and_removed_by_its_id(sandboxes: Sandboxes, damage: str) -> None:
    lab = sandboxes.lab
    id = sandboxes.run("sleep", "1000")
    sandboxes.run("sleep", "1000", name="two")
    pids = sandboxes.processes()
    DAMAGES[damage](lab.git_dir / "sandboxes" / id / "record.json")
    shown = next(line for line in lab("ps", "-a").lines() if id in line)
    assert "Damaged (" in shown and sorted(sandboxes.names("-a")) == sorted([id, "two"])
    lab.fails("inspect", id, status=1, says="is damaged", hint=f"envgit rm -f {id}")
    lab.fails("start", id[:8], status=1, says="is damaged", hint=f"envgit rm -f {id}")
    assert lab("exec", "two", "echo", "x").out == "x\n"
    assert id in lab("fsck", status=1).out
    lab("prune", "--yes", status=None)
    assert lab("rm", id, status=None).status != 0
    lab("rm", "-f", id)
    for pid in pids.values():
        wait_until(partial(has_ended, pid))
    assert sandboxes.names("-a") == ["two"] and id not in sandboxes.folders()
    assert lab("fsck").status == 0


def test_a_damaged_record_of_a_killed_monitor_is_removed(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    pids = sandboxes.processes()
    os.kill(pids["monitor"], signal.SIGKILL)
    (sandboxes.lab.git_dir / "sandboxes" / id / "record.json").write_bytes(b"")
    sandboxes.lab("rm", "-f", id)
    for pid in pids.values():
        wait_until(partial(has_ended, pid))
    assert id not in sandboxes.folders()


def test_a_name_and_revision_are_shown_harmlessly_also_in_a_pipe(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("true")
    path = sandboxes.lab.git_dir / "sandboxes" / id / "record.json"
    record = json.loads(path.read_text())
    record["name"] = record["request"]["revision"] = "\x1b]0;owned\x07"
    path.write_text(json.dumps(record))
    out = sandboxes.lab("ps", "-a").out
    assert "\x1b" not in out and "\x07" not in out and out.count("owned") == 2


def test_a_sandbox_that_cannot_be_looked_at_is_not_taken_for_dead(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    repo = Repository.open_(str(sandboxes.lab.path), dict(os.environ), NullMonitor())
    lock = sandboxes.lab.git_dir / "sandboxes" / id / "lock"
    mode = lock.stat().st_mode
    lock.chmod(0o400)  # to look needs no right to write; a negative control for an ordinary user: O_RDWR fails
    assert monitor_pid(repo, id) > 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            os.open(lock, os.O_RDWR)
        lock.chmod(0)
        with pytest.raises(StorageError, match="cannot open"):
            monitor_pid(repo, id)
        assert "Damaged" in sandboxes.lab("ps", "-a").out
    lock.chmod(mode)
    aside = lock.with_name("aside")
    lock.rename(aside)
    assert monitor_pid(repo, id) == 0
    lock.symlink_to("aside")
    with pytest.raises(StorageError):
        monitor_pid(repo, id)
    sandboxes.lab("stop", "one", status=None)
    assert not has_ended(sandboxes.recorded()[0]["pid"])
    lock.unlink()
    aside.rename(lock)
    assert sandboxes.names() == ["one"]
