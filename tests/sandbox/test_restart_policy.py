"""Restart policies as values, and as counted starts of a real program."""

from __future__ import annotations

import pytest

from envgit.errors import UsageError
from envgit.sandbox.restart_policy import RestartPolicy, next_delay, parse_restart_policy

from .conftest import Sandboxes


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("no", RestartPolicy()),
        ("", RestartPolicy()),
        ("always", RestartPolicy("always")),
        ("unless-stopped", RestartPolicy("unless-stopped")),
        ("on-failure", RestartPolicy("on-failure")),
        ("on-failure:3", RestartPolicy("on-failure", 3)),
        ("on-failure:0", RestartPolicy("on-failure", 0)),
    ],
)
def test_policies(text: str, policy: RestartPolicy) -> None:
    assert parse_restart_policy(text) == policy


@pytest.mark.parametrize(
    "text", ["sometimes", "on-failure:x", "on-failure:-1", "always:3", "on-failure:", "on-failure:١"]
)
def test_no_policies(text: str) -> None:
    with pytest.raises(UsageError):
        parse_restart_policy(text)


def test_delays_double_to_a_minute_and_begin_again_after_ten_seconds() -> None:
    delays = [next_delay(0.0, 0.0)]
    for _ in range(11):
        delays.append(next_delay(delays[-1], 0.0))
    assert delays[:4] == [0.1, 0.2, 0.4, 0.8]
    assert delays[-1] == 60.0
    assert next_delay(60.0, 10.0) == 0.1


def test_a_failing_program_is_started_so_many_times_again(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo run; exit 3", options=("--restart", "on-failure:3"))
    state = sandboxes.wait_for("exited")
    assert (state["exit_code"], state["restarts"]) == (3, 3)
    assert sandboxes.log_text().splitlines() == ["run"] * 4


def test_success_ends_on_failure(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo run >> /root/runs; test $(wc -l < /root/runs) = 3", options=("--restart", "on-failure"))
    state = sandboxes.wait_for("exited")
    assert (state["exit_code"], state["restarts"]) == (0, 2)


def test_without_a_policy_it_runs_once(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo run; exit 3")
    assert sandboxes.wait_for("exited")["restarts"] == 0
    assert sandboxes.log_text() == "run\n"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_stop_and_kill_are_not_undone_by_a_policy(sandboxes: Sandboxes, policy: str) -> None:
    sandboxes.run("sleep", "1000", options=("--restart", policy))
    sandboxes.lab("stop", "one")
    state = sandboxes.state()
    assert (state["status"], state["exit_code"], state["stopped_by_user"]) == ("exited", 143, True)
    sandboxes.lab("start", "one")
    sandboxes.lab("kill", "one")
    sandboxes.lab("wait", "one")
    assert sandboxes.state()["status"] == "exited"


def test_control_a_program_that_dies_otherwise_is_started_again(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000", options=("--restart", "always"))
    first = sandboxes.state()["pid"]
    sandboxes.lab("kill", "-s", "USR1", "one")
    sandboxes.lab("exec", "one", "true", status=None)
    state = sandboxes.wait_for("running")
    while state["pid"] == first or state["restarts"] == 0:
        state = sandboxes.wait_for("running")
    assert state["restarts"] == 1


def test_stop_ends_one_that_waits_for_its_next_start(sandboxes: Sandboxes) -> None:
    sandboxes.sh("exit 1", options=("--restart", "always"))
    while sandboxes.wait_for("restarting")["restarts"] < 4:
        pass
    sandboxes.lab("stop", "one")
    assert sandboxes.state()["status"] == "exited"


def test_a_policy_and_rm_contradict_each_other(sandboxes: Sandboxes) -> None:
    sandboxes.lab.fails(
        "run",
        "-d",
        "--rm",
        "--restart",
        "always",
        "main",
        "--",
        "true",
        status=125,
        says="contradict",
        hint="leave one",
    )
    assert sandboxes.folders() == []
