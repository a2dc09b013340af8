"""Pushes to a host that takes only so much at once: all of it arrives, no pack is over the limit, nothing temporary stays."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.monitor import NullMonitor
from envgit.transfer.address import Address
from envgit.transfer.pushing import push_in_steps
from envgit.transfer.sizing import PushLimits
from envgit.transfer.splitting import UPLOADS, PushPlan, plan_pushes
from envgit.transfer.transport import Advertised, Fetched, RefOutcome, RefUpdate, Transport, open_transport
from tests.transfer.made_history import MadeHistory, git, make_bare, reachable

MAIN = "refs/heads/main"
LIMIT = 400_000


class Host:
    """A bare repository whose git refuses packs of more than LIMIT bytes; counts pushes, and can break."""

    def __init__(self, path: Path, source: str, program: str) -> None:
        self.git_dir = make_bare(path)
        git("config", "receive.maxInputSize", str(LIMIT), cwd=self.git_dir)
        git("config", "receive.fsckObjects", "true", cwd=self.git_dir)
        self.pushes: list[tuple[RefUpdate, ...]] = []
        self.break_at = -1
        address = Address("path", self.git_dir, self.git_dir, "")
        self._way: Transport = open_transport(source, address, dict(os.environ), NullMonitor(), program=program)

    def list_refs(self) -> Advertised:
        return self._way.list_refs()

    def fetch(self, wants: object, quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        raise AssertionError

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        if len(self.pushes) == self.break_at:
            self.break_at = -1
            raise EnvgitError("the connection broke")
        self.pushes.append(tuple(updates))
        before = self._packs()
        outcomes = self._way.push(updates, atomic=atomic, options=options)
        assert all(size <= LIMIT for name, size in self._packs().items() if name not in before)
        return outcomes

    def _packs(self) -> dict[str, int]:
        """Git holds the limit itself; dulwich does not know of it."""
        return {path.name: path.stat().st_size for path in Path(self.git_dir, "objects/pack").glob("*.pack")}

    def close(self) -> None:
        self._way.close()


@pytest.fixture
def made(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "source")


@pytest.fixture(params=["git", "dulwich"])
def host(request: pytest.FixtureRequest, tmp_path: Path, made: MadeHistory) -> Host:
    return Host(tmp_path / "host.git", made.git_dir, request.param)


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def send(
    made: MadeHistory, host: Host, *updates: RefUpdate, atomic: bool = False, monitor: NullMonitor | None = None
) -> tuple[PushPlan, list[str]]:
    plan = plan_pushes(made.objects, updates, host.list_refs().refs, PushLimits(0, LIMIT), atomic=atomic)
    outcomes = push_in_steps(host, plan, updates, monitor or NullMonitor(), atomic=atomic)
    assert [outcome.name for outcome in outcomes] == [update.name for update in updates]
    return plan, [outcome.reason for outcome in outcomes]


def assert_arrived(made: MadeHistory, host: Host, **branches: bytes) -> None:
    refs = dict(
        line.split() for line in git("for-each-ref", "--format=%(refname) %(objectname)", cwd=host.git_dir).splitlines()
    )
    assert refs == {f"refs/heads/{name}": oid.hex() for name, oid in branches.items()}
    assert git("fsck", "--strict", "--full", "--no-progress", "--no-dangling", cwd=host.git_dir) == ""
    assert reachable(host.git_dir) == reachable(made.git_dir, *(oid.hex() for oid in branches.values()))


def test_what_is_below_the_limit_is_one_push(made: MadeHistory, host: Host) -> None:
    tip = made.commit({"a": noise(300_000, 1)})
    monitor = NullMonitor()
    plan, reasons = send(made, host, RefUpdate(MAIN, None, tip), monitor=monitor)
    assert len(plan.steps) == 1 and reasons == [""] and plan.temporary == () and monitor.notes == []
    assert_arrived(made, host, main=tip)


def test_history_goes_in_prefixes_of_the_branch(made: MadeHistory, host: Host) -> None:
    commits: list[bytes] = []
    for number in range(6):
        commits.append(made.commit({f"f{number}": noise(150_000, number)}, commits[-1:]))
    monitor = NullMonitor()
    plan, reasons = send(made, host, RefUpdate(MAIN, None, commits[-1]), monitor=monitor)
    assert reasons == [""] and len(plan.steps) == 3 and plan.temporary == ()
    assert [push[0].new for push in host.pushes] == [commits[1], commits[3], commits[5]]
    assert "sent in 3 pushes" in monitor.notes[0]
    assert_arrived(made, host, main=commits[-1])


def test_a_commit_above_the_limit_goes_in_parts(made: MadeHistory, host: Host) -> None:
    first = made.commit({"rootfs/etc/x": b"x"})
    files = {f"rootfs/d{n % 3}/e{n % 2}/f{n}": noise(90_000, n) for n in range(14)}
    tip = made.commit({**files, "rootfs/etc/x": b"x"}, [first])
    monitor = NullMonitor()
    plan, reasons = send(made, host, RefUpdate(MAIN, None, tip), monitor=monitor)
    assert reasons == [""] and len(plan.steps) >= 5
    assert plan.temporary and all(name.startswith(UPLOADS) for name in plan.temporary)
    assert "temporary branches" in monitor.notes[0] and monitor.warnings == []
    assert_arrived(made, host, main=tip)


def test_a_first_commit_of_one_folder_and_one_of_deep_folders(made: MadeHistory, host: Host) -> None:
    flat = made.commit({f"f{n:03}": noise(9_000, n) for n in range(150)}, branch="flat")
    deep = made.commit(
        {"/".join("abcdefgh"[: n % 8 + 1]) + f"/x{n}": noise(80_000, n + 500) for n in range(12)}, branch="deep"
    )
    updates = RefUpdate("refs/heads/flat", None, flat), RefUpdate("refs/heads/deep", None, deep)
    _, reasons = send(made, host, *updates)
    assert reasons == ["", ""]
    assert_arrived(made, host, flat=flat, deep=deep)


def test_merged_side_branches_go_by_temporary_ones(made: MadeHistory, host: Host) -> None:
    first = made.commit({"a": b"1"})
    assert send(made, host, RefUpdate(MAIN, None, first))[1] == [""]
    side = [first]
    files = {"a": b"1"}
    for number in range(4):
        files[f"s{number}"] = noise(200_000, number)
        side.append(made.commit(files, side[-1:], branch="side"))
    mine = made.commit({"a": b"2"}, [first])
    merge = made.commit({**files, "a": b"2"}, [mine, side[-1]])
    _, reasons = send(made, host, RefUpdate(MAIN, first, merge))
    assert reasons == [""]
    assert_arrived(made, host, main=merge)


def test_a_branch_that_must_not_show_parts_moves_once(made: MadeHistory, host: Host) -> None:
    first = made.commit({"a": b"1"})
    other = made.commit({"a": b"2"}, [first])
    assert send(made, host, RefUpdate(MAIN, None, other))[1] == [""]
    new = [first]
    for number in range(4):
        new.append(made.commit({f"n{number}": noise(200_000, number)}, new[-1:], branch="new"))
    _, reasons = send(made, host, RefUpdate(MAIN, other, new[-1], lease=True))
    assert reasons == [""]
    assert [update.new for push in host.pushes[1:] for update in push if update.name == MAIN] == [new[-1]]
    assert_arrived(made, host, main=new[-1])


def test_atomic_pushes_move_nothing_before_the_end(made: MadeHistory, host: Host) -> None:
    commits: list[bytes] = []
    for number in range(4):
        commits.append(made.commit({f"f{number}": noise(200_000, number)}, commits[-1:]))
    updates = RefUpdate(MAIN, None, commits[-1]), RefUpdate("refs/heads/b", None, commits[1])
    _, reasons = send(made, host, *updates, atomic=True)
    assert reasons == ["", ""]
    assert all(update.name.startswith(UPLOADS) for push in host.pushes[:-2] for update in push)
    assert_arrived(made, host, main=commits[-1], b=commits[1])


@pytest.mark.parametrize("broken", range(5))
def test_a_push_that_breaks_is_cleaned_up_and_resumed(made: MadeHistory, host: Host, broken: int) -> None:
    tip = made.commit({f"f{n:02}": noise(90_000, n) for n in range(18)})
    update = RefUpdate(MAIN, None, tip)
    host.break_at = broken
    with pytest.raises(EnvgitError, match="broke"):
        send(made, host, update)
    assert git("for-each-ref", cwd=host.git_dir) == ""
    assert send(made, host, update)[1] == [""]
    assert_arrived(made, host, main=tip)


def test_what_a_killed_push_left_is_used_and_removed(made: MadeHistory, host: Host) -> None:
    tip = made.commit({f"f{n:02}": noise(90_000, n) for n in range(18)})
    updates = (RefUpdate(MAIN, None, tip),)
    plan = plan_pushes(made.objects, updates, {}, PushLimits(0, LIMIT))
    for step in plan.steps[:3]:
        assert all(outcome.ok for outcome in host.push(step.updates))
    again, reasons = send(made, host, *updates)
    assert reasons == [""] and len(again.steps) == len(plan.steps) - 3
    assert_arrived(made, host, main=tip)


@pytest.mark.parametrize("host", ["git"], indirect=True)  # hooks of a folder are git's business
def test_a_host_that_refuses_is_quoted_and_left_clean(made: MadeHistory, host: Host) -> None:
    tip = made.commit({f"f{n:02}": noise(90_000, n) for n in range(18)})
    hook = Path(host.git_dir, "hooks/update")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\ncase "$1" in refs/heads/envgit-upload/*) [ "$3" = "$(printf %040d 0)" ] || exit 1;; esac\n'
    )
    hook.chmod(0o755)
    git("config", "core.hooksPath", str(hook.parent), cwd=host.git_dir)
    (reason,) = send(made, host, RefUpdate(MAIN, None, tip))[1]
    assert "temporary branch was refused" in reason and "hook declined" in reason
    assert git("for-each-ref", cwd=host.git_dir) == ""


def test_plans_are_the_same_every_time(made: MadeHistory) -> None:
    tip = made.commit({f"d{n % 4}/f{n:02}": noise(60_000, n) for n in range(30)})
    updates = (RefUpdate(MAIN, None, tip),)
    first = plan_pushes(made.objects, updates, {}, PushLimits(0, LIMIT))
    assert first == plan_pushes(made.objects, updates, {}, PushLimits(0, LIMIT))
    assert all(step.bytes <= LIMIT for step in first.steps)


def test_without_a_limit_nothing_is_split(made: MadeHistory) -> None:
    tip = made.commit({f"f{n:02}": noise(90_000, n) for n in range(18)})
    assert len(plan_pushes(made.objects, [RefUpdate(MAIN, None, tip)], {}, PushLimits(0, 0)).steps) == 1
