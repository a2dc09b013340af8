"""Each verb of a long-lived sandbox's life, through the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from envgit.sandbox.names import make_name
from tests.lab import Lab

from .conftest import Sandboxes, is_running, wait_until


def test_run_detached_prints_the_id_once_the_program_runs(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    assert re.fullmatch("[0-9a-f]{12}", id)
    found = sandboxes.inspect()
    assert (found["id"], found["name"], found["revision"], found["commit"]) == (id, "one", "main", sandboxes.lab.head())
    assert found["state"]["status"] == "running" and is_running(found["state"]["pid"])
    assert found["state"]["monitor_pid"] != found["state"]["pid"]


def test_the_monitor_holds_nothing_of_its_caller(sandboxes: Sandboxes) -> None:
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    words = ("run", "-d", "--name", "one", "--network", "none", "main", "--", "sleep", "1000")
    process = sandboxes.lab.start(*words, stdout=write_end, stderr=write_end, pass_fds=(write_end,))
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        assert len(pipe.read().strip()) == 12  # comes to its end though the sandbox goes on
    assert process.wait(timeout=60) == 0
    monitor = sandboxes.state()["monitor_pid"]
    stat = Path(f"/proc/{monitor}/stat").read_text().rpartition(")")[2].split()
    parent, group, session, terminal = (int(word) for word in stat[1:5])
    assert parent != process.pid and session not in (monitor, os.getsid(0)) and group == session and terminal == 0
    assert [os.readlink(f"/proc/{monitor}/fd/{fd}") for fd in range(3)] == ["/dev/null"] * 3
    assert os.readlink(f"/proc/{monitor}/cwd") == str(sandboxes.lab.path)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("main", "--", "/no/program"), 127, "does not exist"),
        (("main", "--", "/etc/motd"), 126, "cannot execute"),
        (("nowhere", "--", "true"), 125, "nowhere"),
        (("-w", "/no/folder", "main", "--", "true"), 125, "/no/folder"),
        (("--restart", "x", "main", "--", "true"), 125, "restart policy"),
        (("--stop-signal", "x", "main", "--", "true"), 125, "no signal"),
    ],
)
def test_an_error_of_the_start_is_the_callers_and_leaves_nothing(
    sandboxes: Sandboxes, words: tuple[str, ...], status: int, says: str
) -> None:
    sandboxes.lab.fails("run", "-d", "--name", "one", "--network", "none", *words, status=status, says=says, hint=None)
    assert sandboxes.folders() == [] and sandboxes.names("-a") == []
    assert "envgit/sandboxes" not in sandboxes.lab.git("for-each-ref")


def test_a_taken_name_is_refused_and_says_by_whom(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    words = ("run", "-d", "--name", "one", "main", "--", "true")
    sandboxes.lab.fails(*words, status=125, says=id, hint="envgit rm one")
    sandboxes.lab("rm", "-f", "one")
    assert sandboxes.run("true") != id


@pytest.mark.parametrize("name", ["a", "-ab", "a b", "a/b", "", "ä1", "x" * 129, "a\n"])
def test_what_is_no_name_is_refused(sandboxes: Sandboxes, name: str) -> None:
    sandboxes.lab.fails(
        "run", "-d", "--name", name, "main", "--", "true", status=125, says="cannot be the name", hint="two or"
    )


def test_one_without_a_name_gets_one(sandboxes: Sandboxes) -> None:
    id = sandboxes.lab("run", "-d", "--network", "none", "main", "--", "sleep", "1000").out.strip()
    assert re.fullmatch("[a-z]+-[a-z]+", sandboxes.inspect(id)["name"])
    name = make_name("0123456789ab", ())
    assert make_name("0123456789ab", {name}) == f"{name}-012345"


def test_stop_lets_a_program_finish_what_it_wants(sandboxes: Sandboxes) -> None:
    sandboxes.sh("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: sandboxes.log_text() == "up\n")
    sandboxes.lab("stop", "one")
    assert sandboxes.state()["exit_code"] == 5
    assert sandboxes.log_text() == "up\nbye\n"


def test_stop_kills_what_does_not_listen(sandboxes: Sandboxes) -> None:
    sandboxes.sh("trap '' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: sandboxes.log_text() == "up\n")
    began = time.monotonic()
    sandboxes.lab("stop", "-t", "1", "one")
    assert 1.0 <= time.monotonic() - began < 9.0
    assert sandboxes.state()["exit_code"] == 137


def test_the_stop_signal_is_the_sandboxs(sandboxes: Sandboxes) -> None:
    script = "trap 'exit 6' USR1; echo up; while :; do sleep 0.05; done"
    sandboxes.sh(script, options=("--stop-signal", "SIGUSR1", "--restart", "always"))
    wait_until(lambda: sandboxes.log_text() == "up\n")
    sandboxes.lab("stop", "one")
    assert sandboxes.state()["exit_code"] == 6


def test_several_names_and_every_failure(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000", name="one")
    sandboxes.run("sleep", "1000", name="two")
    done = sandboxes.lab("stop", "one", "nobody", "two", "noone", status=1)
    assert done.lines() == ["one", "two"]
    assert [line for line in done.err.splitlines() if line.startswith("envgit: ")] == [
        "envgit: there is no sandbox 'nobody'",
        "envgit: there is no sandbox 'noone'",
    ]
    assert sandboxes.names() == []
    done = sandboxes.lab("kill", "one", "two", status=1)
    assert done.err.count("is not running") == 2
    assert sandboxes.lab("rm", "one", "two").lines() == ["one", "two"]
    assert sandboxes.folders() == []


def test_wait_prints_the_status_of_each(sandboxes: Sandboxes) -> None:
    sandboxes.sh("sleep 0.5; exit 7", name="late")
    sandboxes.sh("exit 8", name="early")
    sandboxes.run("sleep", "0.7", name="gone", options=("--rm",))
    assert sandboxes.lab("wait", "gone", "late", "early").lines() == ["0", "7", "8"]
    assert sandboxes.lab("wait", "late").lines() == ["7"]


def test_start_finds_the_changes_of_the_last_time(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo x >> /root/count; wc -l < /root/count; sleep 1000")
    for _ in range(2):
        wait_until(lambda: sandboxes.log_text())
        sandboxes.lab("stop", "one")
        sandboxes.lab("start", "one")
    sandboxes.lab("restart", "one")
    wait_until(lambda: sandboxes.log_text().splitlines() == ["1", "2", "3", "4"])
    sandboxes.lab("start", "one")  # it runs: nothing happens
    assert sandboxes.lab("run", "main", "--", "ls", "/root").out == ""  # nobody else sees them


def test_start_runs_the_recorded_commit_whatever_its_name_means_by_now(sandboxes: Sandboxes) -> None:
    sandboxes.sh("cat /etc/motd")
    sandboxes.lab("wait", "one")
    sandboxes.lab.sh("echo changed > /etc/motd")
    sandboxes.lab("commit", "-m", "changed")
    sandboxes.lab("start", "one")
    sandboxes.lab("wait", "one")
    assert sandboxes.log_text() == "welcome\nwelcome\n"


def test_rm_of_a_running_one_needs_force(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000")
    sandboxes.lab.fails("rm", "one", status=1, says="one is running", hint="envgit stop one")
    sandboxes.lab("rm", "-f", "one")
    assert sandboxes.folders() == []


def test_rm_option_leaves_nothing(sandboxes: Sandboxes) -> None:
    sandboxes.sh("echo x > /root/x; exit 3", options=("--rm",))
    wait_until(lambda: sandboxes.folders() == [])
    assert sandboxes.names("-a") == []


def test_run_with_a_name_is_attached_and_stays(sandboxes: Sandboxes) -> None:
    done = sandboxes.lab(
        *("run", "-i", "--name", "one", "--network", "none", "main", "--", "sh", "-c", "cat; echo err >&2; exit 9"),
        stdin=b"typed\n",
        status=9,
    )
    assert (done.out, done.err) == ("typed\n", "err\n")
    assert sandboxes.log_text() == "typed\n"
    assert sandboxes.state()["exit_code"] == 9
    big = bytes(range(256)) * 40_000
    done = sandboxes.lab("run", "-i", "--rm", "--name", "two", "--network", "none", "main", "--", "wc", "-c", stdin=big)
    assert done.out == f"{len(big)}\n"
    assert sandboxes.names("-a") == ["one"]


def test_a_plain_run_is_not_recorded(sandboxes: Sandboxes) -> None:
    sandboxes.lab("run", "main", "--", "true")
    assert sandboxes.names("-a") == [] and sandboxes.folders() == []


def test_a_worktrees_sandbox_works_in_the_worktree(sandboxes: Sandboxes) -> None:
    lab = sandboxes.lab
    lab("run", "-d", "--name", "one", "--network", "none", "--", "sh", "-c", "echo made > /root/made; sleep 1000")
    wait_until(lambda: lab.changes() == ["A root/made"])
    assert lab("run", "--", "cat", "/root/made").out == "made\n"  # joins it
    assert "(" in lab("ps").lines()[1]
    lab("stop", "one")
    lab("checkout", "-b", "other")
    lab.fails("start", "one", status=1, says="another branch is checked out", hint=None)
    lab("checkout", "main")
    lab("start", "one")
    lab("rm", "-f", "one")
    assert "root/made" in lab.paths()


def test_prune_asks_and_spares_what_runs(sandboxes: Sandboxes) -> None:
    sandboxes.run("true", name="ended")
    sandboxes.run("sleep", "1000", name="running")
    sandboxes.wait_for("exited", "ended")
    sandboxes.lab.fails("prune", status=2, says="would remove 1 sandbox", hint="--yes")
    assert sandboxes.lab("prune", "--yes").lines() == ["ended"]
    assert sandboxes.names("-a") == ["running"]
    assert sandboxes.lab("prune", "--yes").lines() == ["no sandbox to remove"]


def test_refs_keep_the_commit_until_the_sandbox_is_removed(sandboxes: Sandboxes) -> None:
    lab = sandboxes.lab
    lab("checkout", "-b", "side")
    lab.sh("echo side > /etc/side")
    lab("commit", "-m", "side")
    oid = lab.head()
    id = lab("run", "-d", "--name", "one", "--network", "none", "side", "--", "cat", "/etc/side").out.strip()
    lab("wait", "one")
    lab("checkout", "main")
    lab("branch", "-D", "side")
    before = lab("op", "log").out
    assert "sandboxes" not in before and "sandboxes" not in lab("branch").out
    for _ in range(3):  # until no operation that can be undone names the commit
        lab.sh("echo x >> /root/log")
        lab("commit", "-m", "later")
        lab("gc", "--prune", "now")
    assert lab.git("for-each-ref", "--points-at", oid, "--format=%(refname)").split() == [f"refs/envgit/sandboxes/{id}"]
    lab.forget_layers()
    lab("start", "one")
    lab("wait", "one")
    assert sandboxes.log_text() == "side\nside\n"
    lab("rm", "one")
    lab("gc", "--prune", "now")
    lab.git("cat-file", "-e", oid, status=1)


def test_gc_keeps_what_a_stopped_sandbox_changed(sandboxes: Sandboxes) -> None:
    id = sandboxes.sh("echo kept > /root/kept")
    sandboxes.lab("wait", "one")
    folder = sandboxes.lab.git_dir / "sandboxes" / id
    os.utime(folder, (0, 0))
    other = sandboxes.lab.git_dir / "sandboxes" / "0123456789ab"
    other.mkdir()
    os.utime(other, (0, 0))
    report = sandboxes.lab("gc", "--json").json()
    assert report["sandboxes_removed"] == ["0123456789ab"]  # the control: what is no sandbox goes
    assert (folder / "upper/root/kept").exists()


def test_undo_does_not_see_sandboxes(sandboxes: Sandboxes) -> None:
    lab = sandboxes.lab
    lab.sh("echo x > /etc/x")
    lab("commit", "-m", "x")
    sandboxes.run("sleep", "1000")
    lab("undo")
    assert lab.head() == lab.head("main") and "x" not in lab("log", "--oneline").out.split()
    assert sandboxes.state()["status"] == "running"


@pytest.mark.any_ids
def test_as_whoever_runs_it(lab: Lab, sandboxes: Sandboxes) -> None:
    sandboxes.sh("id -u; sleep 1000")
    wait_until(lambda: sandboxes.log_text() == "0\n")
    assert lab("exec", "one", "id", "-u").out == "0\n"
    lab("stop", "one")
    lab("start", "one")
    assert len(lab("top", "one").lines()) == 2
    assert (
        json.loads((lab.git_dir / "sandboxes" / sandboxes.inspect()["id"] / "status.json").read_text())["phase"]
        == "running"
    )


@pytest.mark.user_only
def test_without_subordinate_ids(labs: Callable[[Path], Lab], small_origin: Path, one_id: tuple[str, ...]) -> None:
    lab = replace(labs(small_origin), launcher=one_id)
    lab(
        "run",
        "-d",
        "--name",
        "one",
        "--network",
        "none",
        "main",
        "--",
        "sh",
        "-c",
        "echo x; cat /root/x; echo y >/root/x",
    )
    assert lab("wait", "one").lines() == ["0"]
    lab("start", "one")
    lab("wait", "one")
    assert lab("logs", "one").out == "x\nx\ny\n"
    lab("run", "-d", "--name", "two", "--network", "none", "main", "--", "sleep", "1000")
    lab("stop", "two")
    lab("rm", "one", "two")


def test_a_signal_by_any_name(sandboxes: Sandboxes) -> None:
    sandboxes.sh("trap 'echo hup' HUP; trap 'echo winch' WINCH; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: sandboxes.log_text() == "up\n")

    def logged(count: int) -> bool:
        return len(sandboxes.log_text().splitlines()) == count

    for name, said in (("HUP", "hup"), ("sigwinch", "winch"), ("1", "hup")):
        count = len(sandboxes.log_text().splitlines())
        sandboxes.lab("kill", "-s", name, "one")
        wait_until(partial(logged, count + 1))
        assert sandboxes.log_text().splitlines()[-1] == said
    sandboxes.lab.fails("kill", "-s", "NOPE", "one", status=2, says="no signal", hint="TERM")


def test_a_caller_that_is_interrupted_leaves_an_attached_sandbox_running(sandboxes: Sandboxes) -> None:
    words = ("run", "--name", "one", "--network", "none", "main", "--", "sh", "-c", "echo up; sleep 1000")
    process = sandboxes.lab.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate(timeout=60)
    assert sandboxes.state()["status"] == "running"
    process = sandboxes.lab.start("attach", "one", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1.0)
    process.terminate()  # signals are passed on: it is the program that ends
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert sandboxes.wait_for("exited")["exit_code"] == 143
