"""kill -9 at every step of every command that changes something: before or after, nothing in between, no manual unlock."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.store import operations

from . import faults, lab
from .child import CAMPAIGN, envgit
from .conftest import Fresh
from .lab import State
from .scenarios import SCENARIOS, Scenario

SIMILAR = ("commit, detached", "amend", "checkout a revision", "undo an amend", "branch -m", "gc")
STRIDE = 1 if CAMPAIGN or os.geteuid() == 0 else 4
"""Root's pass kills at every step; the ordinary user's, which is for what differs between them, at every fourth."""

EVERYDAY = [scenario for scenario in SCENARIOS if CAMPAIGN or scenario.name not in SIMILAR]
LEAST_POINTS = {"commit": 40, "checkout": 12, "checkout -b": 30, "import": 30, "gc": 10, "first run": 10, "undo": 20}
"""So that a step that no longer passes the hook is missed."""


def problems_after_crash(project: Path, before: State, after: State, *next: str) -> list[str]:
    """What a user would complain about after a command died: the promise of docs/format.md section 7.

    `next`: one more command that must work.
    """
    found: list[str] = []
    for words in (("status",), ("tag", "after-the-crash"), *([next] if next else [])):
        following = envgit(project, *words)
        if following.status:
            found.append(f"the next command fails: {following}")
    state, problems = lab.observe(project)
    found += [f"envgit fsck: {problem}" for problem in problems]
    if state.without("refs/tags/after-the-crash") not in (before, after):
        found.append(f"neither before nor after: {state.head} {state.refs} {[name for name, _ in state.worktrees]}")
    found += [f"git fsck: {line}" for line in lab.git_fsck(project)]
    leftovers = [*(project / ".envgit").rglob("*.lock"), *(project / ".envgit/objects/pack").glob("tmp_*")]
    found += [f"left behind: {path}" for path in leftovers if path.name != "lock"]
    return found


def states(fresh: Fresh, scenario: Scenario) -> tuple[Path, State, State, list[str]]:
    """Return a project ready for the command, what it is before and after, and the command's steps."""
    ready = fresh()
    scenario.prepare(ready)
    lab.tidy_for_copy(ready)
    before = lab.observe(ready)
    assert before.problems == ()
    done = lab.copy(ready, ready.with_name("done"))
    result, steps = faults.record(done, scenario.words)
    assert result.status == 0, result
    after = lab.observe(done)
    assert after.problems == ()
    lab.remove(done)
    return ready, before.state, after.state, steps


@pytest.mark.parametrize("scenario", EVERYDAY, ids=lambda scenario: str(scenario.name))
def test_killed_at_every_step(fresh: Fresh, scenario: Scenario) -> None:
    ready, before, after, steps = states(fresh, scenario)
    assert len(steps) >= LEAST_POINTS.get(scenario.name, 3)
    wrong: list[str] = []
    survived = 0
    for k, step in list(enumerate(steps))[::STRIDE]:
        project = lab.copy(ready, ready.with_name(f"point{k}"))
        result = envgit(project, *scenario.words, prepare=faults.kill_at(k))
        survived += not result.killed and result.status != 125
        extra = ("gc",) if step.startswith(("upper", "sandbox", "checkout", "worktree", "cache", "handover")) else ()
        wrong += [f"{k} {step}: {problem}" for problem in problems_after_crash(project, before, after, *extra)]
        lab.remove(project)
    assert wrong == []
    if os.geteuid() == 0:
        assert survived <= 1, "the command takes other steps each time"
    else:  # materialising and gc's removals run in a child in the tree namespace, whose steps its parent does not count
        assert survived <= len(steps[::STRIDE]) / 2


def test_killed_again_while_recovering(fresh: Fresh) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "checkout -b")
    ready, before, after, steps = states(fresh, scenario)
    at = steps.index("operation-folder-sync")
    assert envgit(ready, *scenario.words, prepare=faults.kill_at(at)).killed
    _, recovery = faults.record(lab.copy(ready, ready.with_name("counted")), ("tag", "next"))
    assert len(recovery) >= 20
    tagged = after._replace(refs=tuple(sorted((*after.refs, ("refs/tags/next", dict(after.refs)["refs/heads/main"])))))
    wrong: list[str] = []
    for k, step in enumerate(recovery):
        project = lab.copy(ready, ready.with_name(f"point{k}"))
        assert envgit(project, "tag", "next", prepare=faults.kill_at(k)).killed
        wrong += [f"{k} {step}: {problem}" for problem in problems_after_crash(project, after, tagged)]
        lab.remove(project)
    assert wrong == []


def refs_before_operation() -> None:
    """The broken order: refs move first, the operation is recorded at the end."""
    commit_operation, mark_finished = operations.commit_operation, operations.mark_finished
    late: list[tuple[str, operations.Operation, str]] = []
    operations.commit_operation = lambda *words: late.append(words)

    def finish(git_dir: str, number: int) -> None:
        commit_operation(*late.pop())
        mark_finished(git_dir, number)

    operations.mark_finished = finish


def test_control_refs_before_the_operation_are_caught(fresh: Fresh) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "checkout -b")
    ready, before, after, _ = states(fresh, scenario)
    steps = faults.record(lab.copy(ready, ready.with_name("counted")), scenario.words, refs_before_operation)[1]
    caught: list[str] = []
    for k in range(0, len(steps), 3):
        project = lab.copy(ready, ready.with_name(f"point{k}"))
        envgit(project, *scenario.words, prepare=faults.kill_at(k, refs_before_operation))
        caught += problems_after_crash(project, before, after)
        lab.remove(project)
    assert any("neither before nor after" in problem for problem in caught)
