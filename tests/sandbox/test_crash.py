"""kill -9 of every process in turn, at any moment: nothing is left running, ps is right, and the sandbox can be used again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from envgit.exec.process import start_time
from envgit.sandbox.status import boot_id
from tests.lab import BUSYBOX

from .conftest import Sandboxes, has_ended, is_running, processes_at, wait_until

LOSES_ITS_DEATH_SIGNAL = ("/bin/busybox", "su", "-s", "/bin/sh", "ann", "-c", "echo up; exec sleep 1000")
"""A first process that changes its own ids: the kernel clears PDEATHSIG."""


def status_path(sandboxes: Sandboxes, id: str) -> Path:
    return sandboxes.lab.git_dir / "sandboxes" / id / "status.json"


def edit_status(sandboxes: Sandboxes, id: str, **changes: Any) -> None:
    path = status_path(sandboxes, id)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def use_again(sandboxes: Sandboxes) -> None:
    """The sandbox can be started, stopped and removed, and its name given again."""
    sandboxes.lab("start", "one")
    assert sandboxes.state()["status"] == "running"
    assert sandboxes.lab("exec", "one", "echo", "x").out == "x\n"
    sandboxes.lab("rm", "-f", "one")
    sandboxes.run("sleep", "1000")


def test_killed_monitor(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000")
    pids = sandboxes.processes()
    os.kill(pids["monitor"], signal.SIGKILL)
    for pid in pids.values():
        wait_until(partial(has_ended, pid))
    assert sandboxes.names() == []
    state = sandboxes.state()
    assert (state["status"], state["exit_code"], state["error"]) == ("dead", 137, "its monitor was killed")
    assert "Dead" in sandboxes.lab("ps", "-a").lines()[1]
    assert sandboxes.lab("wait", "one").lines() == ["137"]
    use_again(sandboxes)


@pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox is missing")
def test_the_guard_kills_a_program_that_lost_its_death_signal(sandboxes: Sandboxes) -> None:
    sandboxes.run(*LOSES_ITS_DEATH_SIGNAL)
    wait_until(lambda: sandboxes.log_text() == "up\n")
    pids = sandboxes.processes()
    os.kill(pids["monitor"], signal.SIGKILL)
    wait_until(lambda: not is_running(pids["first"]))
    wait_until(lambda: not is_running(pids["guard"]))


@pytest.mark.skipif(not BUSYBOX.exists(), reason="busybox is missing")
@pytest.mark.parametrize("finisher", ["ps", "rm", "start", "run"])
def test_control_without_the_guard_it_would_live_and_the_next_command_ends_it(
    sandboxes: Sandboxes, finisher: str
) -> None:
    sandboxes.run(*LOSES_ITS_DEATH_SIGNAL)
    wait_until(lambda: sandboxes.log_text() == "up\n")
    pids = sandboxes.processes()
    os.kill(pids["monitor"], signal.SIGSTOP)  # it would replace the guard
    os.kill(pids["guard"], signal.SIGKILL)
    os.kill(pids["monitor"], signal.SIGKILL)
    wait_until(lambda: not is_running(pids["monitor"]))
    time.sleep(0.3)
    assert is_running(pids["first"])
    if finisher == "ps":
        assert sandboxes.names("-a") == ["one"]
    elif finisher == "rm":
        sandboxes.lab("rm", "one")
    elif finisher == "start":
        sandboxes.lab("start", "one")
    else:
        sandboxes.lab("run", "-d", "--name", "one", "main", "--", "true", status=125)
        sandboxes.lab("ps")
    wait_until(lambda: not is_running(pids["first"]))


def test_killed_guard_is_replaced(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000")
    before = sandboxes.processes()
    os.kill(before["guard"], signal.SIGKILL)
    wait_until(lambda: not is_running(before["guard"]))
    after = wait_until(lambda: sandboxes.processes())
    assert after["guard"] != before["guard"] and after["first"] == before["first"]
    os.kill(after["monitor"], signal.SIGKILL)
    wait_until(lambda: not is_running(after["first"]))


def test_killed_program(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000")
    pids = sandboxes.processes()
    os.kill(pids["first"], signal.SIGKILL)
    assert sandboxes.wait_for("exited")["exit_code"] == 137
    for pid in pids.values():
        wait_until(partial(has_ended, pid))
    use_again(sandboxes)


def test_a_stopped_monitor_does_not_keep_rm_from_its_work(
    sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandboxes.run("sleep", "1000")
    pids = sandboxes.processes()
    os.kill(pids["monitor"], signal.SIGSTOP)
    sandboxes.lab("rm", "-f", "one")
    for pid in pids.values():
        wait_until(partial(has_ended, pid))
    assert sandboxes.folders() == []


def test_a_pid_of_another_process_is_no_sandbox(sandboxes: Sandboxes) -> None:
    """What a reused pid looks like: the record names a live process that is another one."""
    id = sandboxes.run("true")
    sandboxes.wait_for("exited")
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        for started in (start_time(bystander.pid) + 1, 0):
            edit_status(sandboxes, id, phase="running", pid=bystander.pid, start_time=started, boot=boot_id())
            assert sandboxes.names() == []
            assert sandboxes.state()["status"] == "dead"
        edit_status(
            sandboxes, id, phase="running", pid=bystander.pid, start_time=start_time(bystander.pid), boot="another boot"
        )
        assert sandboxes.state()["status"] == "dead"
        assert bystander.poll() is None
        edit_status(
            sandboxes, id, phase="running", pid=bystander.pid, start_time=start_time(bystander.pid), boot=boot_id()
        )
        sandboxes.lab("ps")  # the control: this one is it
        assert bystander.wait(timeout=20) == -signal.SIGKILL
    finally:
        bystander.kill()
        bystander.wait()


def test_after_the_machine_went_down(sandboxes: Sandboxes) -> None:
    """All records, no process, another boot."""
    ids = [sandboxes.run("sleep", "1000", name=name, options=("--restart", "always")) for name in ("one", "two")]
    last = sandboxes.run("sleep", "1000", name="three", options=("--rm",))
    for name in ("one", "two", "three"):
        os.kill(sandboxes.processes(name)["monitor"], signal.SIGKILL)
    wait_until(lambda: not processes_at(sandboxes.lab.path))
    for id in (*ids, last):
        edit_status(sandboxes, id, boot="00000000-0000-0000-0000-000000000000")
    assert sandboxes.names() == []
    assert sandboxes.names("-a") == ["two", "one"]  # --rm means that it is gone
    assert sandboxes.folders() == sorted(ids)
    assert sandboxes.state()["error"] == "the machine went down"
    sandboxes.lab("start", "one", "two")
    assert sandboxes.names() == ["two", "one"]


def test_power_cut_in_the_middle_of_a_status(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("true")
    sandboxes.wait_for("exited")
    for text in ("", "{", "[]", '{"phase": "exploded"}', '{"phase": "running", "pid": "x"}'):
        status_path(sandboxes, id).write_text(text)
        assert sandboxes.state()["status"] == "created"
    sandboxes.lab("start", "one")


def test_a_damaged_record_hides_no_other(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("true", name="bad")
    sandboxes.run("true")
    sandboxes.lab("wait", "bad", "one")
    record = sandboxes.lab.git_dir / "sandboxes" / id / "record.json"
    text = record.read_text()
    record.write_text(text[:100])
    assert sandboxes.names("-a") == [id, "one"]  # the damaged one by its id
    record.write_text(text)


@pytest.mark.parametrize("victim", ["caller", "monitor"])
def test_kills_at_any_moment_of_a_start(sandboxes: Sandboxes, victim: str) -> None:
    """At 12 moments of a start; then ps, rm and the same name must work, and no process be left."""
    sandboxes.commands_are_killed = True
    shuffle = random.Random(victim)
    words = ("run", "-d", "--name", "one", "--network", "none", "main", "--", "sleep", "1000")
    came_up = 0
    for round_ in range(12):
        process = sandboxes.lab.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(shuffle.uniform(0.05, 0.45))
        if victim == "caller":
            process.kill()
        else:
            for pid in processes_at(sandboxes.lab.path):
                if pid != process.pid:
                    kill(pid)
        process.communicate(timeout=60)
        names = settled(sandboxes)
        came_up += "one" in names
        if names:
            sandboxes.lab("rm", "-f", *names)
        wait_until(lambda: not processes_at(sandboxes.lab.path), f"round {round_}")
        assert sandboxes.names("-a") == []
    assert came_up  # the control: some starts had got so far
    sandboxes.run("sleep", "1000")


def settled(sandboxes: Sandboxes) -> list[str]:
    """Return the names of what is recorded once no start is under way."""

    def look() -> bool:
        states = [sandboxes.state(name) for name in sandboxes.names("-a")]
        return not any(state["status"] == "created" and state["monitor_pid"] for state in states)

    wait_until(look)
    return sandboxes.names("-a")


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_status_that_cannot_be_written_stops_nobody(sandboxes: Sandboxes) -> None:
    """In its place is a folder: every write of the monitor fails."""
    id = sandboxes.sh("trap 'exit 6' TERM; echo up; while :; do sleep 0.05; done")
    wait_until(lambda: sandboxes.log_text() == "up\n")
    path = status_path(sandboxes, id)
    path.unlink()
    (path / "in the way").mkdir(parents=True)
    waiting = sandboxes.lab.start("wait", "one", stdout=subprocess.PIPE)
    wait_until(lambda: any(fd.is_socket() for fd in Path(f"/proc/{waiting.pid}/fd").iterdir()), "it asks")
    time.sleep(0.5)
    sandboxes.lab("stop", "one")
    assert waiting.communicate(timeout=60)[0] == b"6\n"
    (path / "in the way").rmdir()
    path.rmdir()
    sandboxes.lab("start", "one")


def test_an_interrupted_start_leaves_nothing(sandboxes: Sandboxes) -> None:
    """^C while the caller waits for a program that does not come up: its monitor is stopped on its way."""
    words = ("run", "-d", "--name", "one", "--network", "none", "main", "--", "sleep", "1000")
    interrupted = 0
    for pause in (0.05, 0.08, 0.11, 0.14, 0.17, 0.2, 0.25, 0.3):
        process = sandboxes.lab.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert b"Traceback" not in err, err
        interrupted += process.returncode == 130
        assert sandboxes.names("-a") == (["one"] if out else [])
        if out:
            sandboxes.lab("rm", "-f", "one")
    assert interrupted
