"""envgit-oci against the life cycle of the runtime specification (runtime.md): transitions, errors, state, hooks, terminal."""

from __future__ import annotations

import array
import json
import os
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .runtime import CHECKOUT, Oci


def test_the_whole_life(oci: Oci, tmp_path: Path) -> None:
    oci.configure("sh", "-c", "echo hello; exec sleep 1000")
    output = tmp_path / "output"
    oci.quietly("create", "--pid-file", str(tmp_path / "pid"), "one", output=output)
    state = oci.state("one")
    assert state == {
        "ociVersion": "1.2.0", "id": "one", "status": "created", "bundle": str(oci.bundle),
        "pid": int((tmp_path / "pid").read_text()),
    }  # fmt: skip
    assert output.read_text() == ""
    assert stat.S_ISFIFO((oci.root / "one/exec.fifo").stat().st_mode)
    oci("start", "one")
    oci.wait_for("one", "running")
    deadline = time.monotonic() + 10
    while output.read_text() != "hello\n":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert os.stat(f"/proc/{state['pid']}").st_mode and oci.state("one")["pid"] == state["pid"]
    oci("kill", "one", "KILL")
    oci.wait_for("one", "stopped")
    assert "pid" not in oci.state("one")
    oci("delete", "one")
    assert not (oci.root / "one").exists()
    assert "does not exist" in oci("state", "one", status=1).err


@pytest.mark.parametrize(
    ("status", "words", "works", "says"),
    [
        ("created", ("start",), True, ""),
        ("created", ("kill", "KILL"), True, ""),
        ("created", ("delete",), False, "it is created"),
        ("created", ("delete", "--force"), True, ""),
        ("created", ("create",), False, "exists already"),
        ("running", ("start",), False, "it is running"),
        ("running", ("kill", "0"), False, "not a signal"),
        ("running", ("kill", "NOPE"), False, "not a signal"),
        ("running", ("kill", "USR1"), True, ""),
        ("running", ("delete",), False, "it is running"),
        ("running", ("create",), False, "exists already"),
        ("stopped", ("start",), False, "it is stopped"),
        ("stopped", ("kill",), False, "not running"),
        ("stopped", ("exec", "true"), False, "not running"),
        ("stopped", ("create",), False, "exists already"),
        ("stopped", ("delete",), True, ""),
        ("missing", ("start",), False, "does not exist"),
        ("missing", ("state",), False, "does not exist"),
        ("missing", ("kill",), False, "does not exist"),
        ("missing", ("delete",), False, "does not exist"),
        ("missing", ("delete", "--force"), True, ""),
        ("missing", ("exec", "true"), False, "does not exist"),
    ],
)
def test_transitions(oci: Oci, status: str, words: tuple[str, ...], works: bool, says: str) -> None:
    oci.configure("sleep", "1000")
    if status != "missing":
        oci.quietly("create", "one")
    if status == "running":
        oci("start", "one")
        oci.wait_for("one", "running")
    if status == "stopped":
        oci("kill", "one", "KILL")
        oci.wait_for("one", "stopped")
    options = [word for word in words[1:] if word.startswith("--")]
    rest = [word for word in words[1:] if not word.startswith("--")]
    before = oci("state", "one", status=None).out
    done = oci(words[0], *options, "one", *rest, status=0 if works else 1)
    assert says in done.err
    if not works:
        assert oci("state", "one", status=None).out == before, "a refused operation has no effect"


def test_a_program_that_waits_has_run_nothing_and_can_be_killed(oci: Oci, tmp_path: Path) -> None:
    oci.configure("sh", "-c", "echo ran")
    output = tmp_path / "output"
    oci.quietly("create", "one", output=output)
    pid = oci.state("one")["pid"]
    assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
    time.sleep(0.1)
    assert output.read_text() == ""
    oci("kill", "one", "KILL")
    oci.wait_for("one", "stopped")
    assert output.read_text() == ""


def test_run_gives_the_status_and_leaves_nothing(oci: Oci) -> None:
    for script, status in (("exit 0", 0), ("exit 7", 7), ("sh -c 'kill -9 $$'; exit $?", 137)):
        oci.configure("sh", "-c", script)
        oci("run", "one", status=status)
        assert os.listdir(oci.root) == []
    oci.configure("id", "-u")
    assert oci("run", "one").out == "0\n"


def test_run_can_be_seen_and_entered_from_outside(oci: Oci) -> None:
    oci.configure("sleep", "1000")
    process = subprocess.Popen(oci.words("run", "one"), cwd=oci.bundle, env={**os.environ, "PYTHONPATH": str(CHECKOUT)})
    deadline = time.monotonic() + 10
    while not (oci.root / "one/state.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert oci.state("one")["status"] == "running"
    assert oci("exec", "one", "sh", "-c", "echo in; exit 4", status=4).out == "in\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert oci("list", "-q").out == ""


def test_failing_programs_fail_create(oci: Oci) -> None:
    for program, says in (
        ("nonesuch", "executable file not found"),
        ("/etc/passwd", "ermission denied"),
        ("/etc", "directory"),
    ):
        oci.configure(program)
        assert says in oci("create", "one", status=1).err
    oci.configure("true", cwd="/nowhere")
    assert "working directory" in oci("create", "one", status=1).err
    assert os.listdir(oci.root) == []


def test_exec(oci: Oci, tmp_path: Path) -> None:
    oci.configure("sleep", "1000")
    oci.quietly("create", "one")
    oci("start", "one")
    oci.wait_for("one", "running")
    script = """
        echo $A; pwd; grep -E '^(CapEff|NoNewPrivs|Seccomp:)' /proc/self/status
        readlink /proc/self/ns/pid; cat /proc/1/cmdline
    """
    out = oci("exec", "--env", "A=b", "--cwd", "/tmp", "one", "sh", "-c", script).out
    own = os.readlink(f"/proc/{oci.state('one')['pid']}/ns/pid")
    assert out.splitlines()[:2] == ["b", "/tmp"] and own in out and "sleep" in out
    assert "CapEff:\t00000000800405fb" in out and "NoNewPrivs:\t1" in out and "Seccomp:\t2" in out
    process = {"args": ["sh", "-c", "id -u; exit 9"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    file = tmp_path / "process.json"
    file.write_text(json.dumps(process))
    assert oci("exec", "--process", str(file), "one", status=9).out == "0\n"
    file.write_text(json.dumps({**process, "args": ["sleep", "500"]}))
    oci.quietly("exec", "-d", "--pid-file", str(tmp_path / "pid"), "--process", str(file), "one")
    pid = int((tmp_path / "pid").read_text())
    assert pid in json.loads(oci("ps", "-f", "json", "one").out)
    assert "not found" in oci("exec", "one", "nonesuch", status=1).err
    file.write_text(json.dumps({"args": "x"}))
    assert "must be" in oci("exec", "--process", str(file), "one", status=1).err
    oci("kill", "--all", "one", "KILL")
    oci.wait_for("one", "stopped")


def _receive(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    fds = array.array("i")
    message, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    for level, kind, data in ancillary:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(data[:4])
    assert message.startswith(b"/dev/pts/")
    connection.close()
    return fds[0]


def _read_terminal(master: int, until: bytes) -> bytes:
    text = b""
    deadline = time.monotonic() + 10
    while until not in text:
        assert time.monotonic() < deadline, text
        text += os.read(master, 1000)
    return text


def test_a_terminal_goes_through_the_console_socket(oci: Oci, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "stty size; tty; read line; echo got $line; sleep 1000"
    oci.configure("sh", "-c", script, terminal=True, consoleSize={"height": 33, "width": 44})
    assert "--console-socket" in oci("create", "one", status=1).err
    with socket.socket(socket.AF_UNIX) as listener:
        monkeypatch.chdir(tmp_path)  # a socket's path is short
        listener.bind("s")
        listener.listen()
        listener.settimeout(20)
        oci.quietly("create", "--console-socket", str(tmp_path / "s"), "one")
        master = _receive(listener)
        oci("start", "one")
        assert b"33 44" in _read_terminal(master, b"/dev/pts/")
        os.write(master, b"ping\n")
        _read_terminal(master, b"got ping")
        os.close(master)
        oci.configure("true")
        words = ("create", "--console-socket", str(tmp_path / "s"), "two")
        assert "makes no sense" in oci(*words, status=1).err
        oci.configure("true", terminal=True)
        words = ("create", "--console-socket", str(tmp_path / "nowhere"), "two")
        assert "console socket" in oci(*words, status=1).err
    assert oci("list", "-q").out == "one\n"


def _hook(tmp_path: Path, name: str, status: int = 0, **more: Any) -> dict[str, Any]:
    file = tmp_path / f"{name}.sh"
    file.write_text(f"#!/bin/sh\ncat > {tmp_path}/{name}.state\necho {name} $1 $A >> {tmp_path}/hooks\nexit {status}\n")
    file.chmod(0o755)
    return {"path": str(file), "args": [name, "x"], "env": ["A=b", "PATH=/usr/bin:/bin"], **more}


def test_hooks_run_in_order_with_the_state(oci: Oci, tmp_path: Path) -> None:
    points = ("prestart", "createRuntime", "poststart", "poststop")

    def change(config: dict[str, Any]) -> None:
        config["hooks"] = {point: [_hook(tmp_path, point)] for point in points}
        config["annotations"] = {"k": "v"}

    oci.configure("sleep", "1000", change=change)
    oci.quietly("create", "one", output=tmp_path / "output")
    log = tmp_path / "hooks"
    assert log.read_text() == "prestart x b\ncreateRuntime x b\n"
    oci("start", "one")
    oci("delete", "--force", "one")
    assert [line.split()[0] for line in log.read_text().splitlines()] == list(points)
    states = {point: json.loads((tmp_path / f"{point}.state").read_text()) for point in points}
    assert [states[point]["status"] for point in points] == ["creating", "creating", "running", "stopped"]
    assert all(state["annotations"] == {"k": "v"} and state["id"] == "one" for state in states.values())
    assert states["createRuntime"]["pid"] == states["poststart"]["pid"] > 1


@pytest.mark.parametrize(
    ("hook", "says"),
    [
        ({"status": 3}, "failed with status 3"),
        ({"path": "/nonesuch"}, "No such file"),
        ({"timeout": 1, "path": "/bin/sleep", "args": ["sleep", "100"]}, "longer than 1 s"),
        ({"path": "relative"}, "absolute"),
    ],
)
def test_a_failing_hook_fails_create(oci: Oci, tmp_path: Path, hook: dict[str, Any], says: str) -> None:
    more = dict(hook)
    made = _hook(tmp_path, "createRuntime", more.pop("status", 0), **more)
    oci.configure("true", change=lambda config: config.update(hooks={"createRuntime": [made]}))
    assert says in oci("create", "one", status=1).err
    assert oci("list", "-q").out == ""


def test_failing_hooks_after_the_start_are_only_warnings(oci: Oci, tmp_path: Path) -> None:
    hooks = {point: [_hook(tmp_path, point, 5)] for point in ("poststart", "poststop")}
    oci.configure("true", change=lambda config: config.update(hooks=hooks))
    done = oci("run", "one")
    assert done.err.count("failed with status 5") == 2


def test_concurrent_creates_of_one_id_make_one(oci: Oci) -> None:
    oci.configure("sleep", "1000")
    options: dict[str, Any] = {"cwd": oci.bundle, "env": {**os.environ, "PYTHONPATH": str(CHECKOUT)}}
    quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    started = [subprocess.Popen(oci.words("create", "one"), **options, **quiet) for _ in range(6)]
    assert sorted(process.wait(60) for process in started) == [0, 1, 1, 1, 1, 1]
    assert oci.state("one")["status"] == "created"


def test_a_killed_create_is_cleaned_up_by_the_next(oci: Oci) -> None:
    (oci.root / "one").mkdir(parents=True, mode=0o700)
    oci.root.chmod(0o700)
    (oci.root / "one/config.json").write_text("{")
    os.mkfifo(oci.root / "one/exec.fifo")
    assert oci("list", "-q").out == ""
    oci.configure("sleep", "1000")
    oci.quietly("create", "one")
    assert oci.state("one")["status"] == "created"


@pytest.mark.parametrize("words", [("create", "one"), ("delete", "--force", "one")])
def test_who_waits_at_the_gate_of_a_killed_create_is_ended(oci: Oci, words: tuple[str, ...]) -> None:
    """Killed after its process was ready and before it was recorded. The control: with a record it goes on waiting."""
    oci.configure("sleep", "1000")
    oci.quietly("create", "one")
    pid = oci.state("one")["pid"]
    if words[0] == "create":
        oci.quietly(*words, status=1)
        assert oci.state("one") == {**oci.state("one"), "pid": pid, "status": "created"}
    (oci.root / "one/state.json").unlink()
    oci.quietly(*words)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "State:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_bundle_may_change_after_create(oci: Oci) -> None:
    oci.configure("sleep", "1000")
    oci.quietly("create", "one")
    (oci.bundle / "config.json").write_text("no JSON")
    oci("start", "one")
    oci.wait_for("one", "running")
    assert oci("exec", "one", "id", "-u").out == "0\n"


def test_another_process_with_the_pid_is_not_touched(oci: Oci, tmp_path: Path) -> None:
    oci.configure("sleep", "1000")
    oci.quietly("create", "one")
    with subprocess.Popen(["sleep", "100"]) as stranger:
        path = oci.root / "one/state.json"
        text = path.read_text()
        path.write_text(json.dumps({**json.loads(text), "pid": stranger.pid}))
        assert oci.state("one")["status"] == "stopped"
        assert "not running" in oci("kill", "one", "KILL", status=1).err
        assert stranger.poll() is None
        path.write_text(text)
        stranger.kill()


def test_a_state_directory_of_somebody_else_is_refused(oci: Oci, tmp_path: Path) -> None:
    oci.configure("true")
    for mode, status in ((0o777, 1), (0o700, 0)):
        folder = tmp_path / f"open{mode:o}"
        folder.mkdir()
        folder.chmod(mode)
        oci("--root", str(folder), "run", "one", status=status)


def test_the_log_is_what_conmon_reads(oci: Oci, tmp_path: Path) -> None:
    log = tmp_path / "log"
    oci.configure("nonesuch")
    oci("--systemd-cgroup", "--log", str(log), "--log-format", "json", "create", "one", status=1)
    entry = json.loads(log.read_text().splitlines()[-1])
    assert entry["level"] == "error" and "executable file not found in $PATH" in entry["msg"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no command"),
        (("nonesuch",), "unknown command"),
        (("create",), "0 words"),
        (("create", "a", "b"), "2 words"),
        (("create", "../x"), "not a container id"),
        (("create", ".."), "not a container id"),
        (("create", "a b"), "not a container id"),
        (("create", "--no-pivot", "x"), "refused"),
        (("create", "--preserve-fds", "1", "x"), "refused"),
        (("create", "--bundle"), "needs a value"),
        (("create", "--nonesuch", "x"), "unknown option"),
        (("--log-format", "xml", "list"), "text or json"),
        (("create", "--bundle", "/nonesuch", "x"), "No such file"),
    ],
)
def test_bad_command_lines(oci: Oci, words: tuple[str, ...], says: str) -> None:
    assert says in oci(*words, status=1).err


def test_version_features_and_spec(oci: Oci) -> None:
    assert "spec: 1.2.0" in oci("--version").out
    features = json.loads(oci("features").out)
    assert features["ociVersionMax"] == "1.2.0" and features["linux"]["seccomp"]["enabled"]
    oci("spec")
    config = json.loads((oci.bundle / "config.json").read_text())
    assert config["process"]["args"] == ["sh"]
    assert "File exists" in oci("spec", status=1).err
    oci("run", "one", stdin=subprocess.DEVNULL)
