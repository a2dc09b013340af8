"""Objects, then the operation, then refs, each durable before the next; broken orders are the controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from envgit.store import operations, pack_writer, storage

from . import faults, order
from .conftest import Fresh
from .scenarios import SCENARIOS, Scenario
from .test_crash import refs_before_operation

VALUES_STAY = {"branch -m below itself": ["packed-refs moves before the operation is recorded"]}
"""A ref that makes way for one below its name goes into packed-refs first, with the value it has."""
WITHOUT_OPERATION = ("gc", "first run", "first run of a revision")


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.name))
def test_everything_is_durable_in_order(fresh: Fresh, scenario: Scenario) -> None:
    project = fresh()
    scenario.prepare(project)
    result, calls = order.trace(project, *scenario.words)
    assert result.status == 0, result
    if scenario.name not in WITHOUT_OPERATION:
        assert any(call.kind == "name" and call.path.startswith("operations/0") for call in calls)
        assert order.violations(calls) == VALUES_STAY.get(scenario.name, [])


def _no_file_sync() -> None:
    storage.sync_fd = lambda fd, *, step, path: storage.reach(step)


def _no_folder_sync() -> None:
    storage.sync_directory = lambda path, *, step: storage.reach(step)


def _operation_before_the_pack() -> None:
    """The pack is finished only when the operation has been recorded."""
    finish, commit_operation = pack_writer.PackFileWriter.finish, operations.commit_operation
    late: list[Any] = []

    def remember(self: pack_writer.PackFileWriter) -> pack_writer.PackResult:
        late.append(self)
        real = storage.sync_directory, storage.sync_fd
        _no_folder_sync()
        try:
            return finish(self)
        finally:
            storage.sync_directory, storage.sync_fd = real

    def commit(git_dir: str, operation: operations.Operation, pending: str) -> None:
        commit_operation(git_dir, operation, pending)
        storage.sync_directory(late.pop()._folder, step="pack-folder-sync")

    pack_writer.PackFileWriter.finish = remember  # type: ignore[method-assign]
    operations.commit_operation = commit


@pytest.mark.parametrize(
    ("broken", "caught"),
    [
        (_no_file_sync, "gets its name before its content is durable"),
        (_no_folder_sync, "before objects/pack/"),
        (_operation_before_the_pack, "is recorded before objects/pack/"),
        (refs_before_operation, "moves before the operation is recorded"),
    ],
)
def test_control_a_broken_order_is_caught(fresh: Fresh, broken: Callable[[], None], caught: str) -> None:
    result, calls = order.trace(fresh(), "commit", "-m", "four", patch=broken)
    assert result.status == 0, result
    assert any(caught in violation for violation in order.violations(calls))


def test_the_recorder_sees_what_the_fault_hook_names(fresh: Fresh) -> None:
    project = fresh()
    steps = faults.record(project, ("tag", "v2"))[1]
    calls = order.trace(project, "tag", "v3")[1]
    assert len([call for call in calls if call.kind == "sync"]) == len(
        [step for step in steps if step.endswith("sync")]
    )
