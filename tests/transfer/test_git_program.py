"""How git is started: with a clean environment, within limits, and never longer than its starter lives."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envgit.errors import UsageError
from envgit.exec.bound_program import end_bound, processes_below, start_bound
from envgit.monitor import NullMonitor
from envgit.transfer import errors
from envgit.transfer.address import parse_address
from envgit.transfer.git_environment import LOCAL_VARIABLES, connection_settings, git_variables, is_new_enough
from envgit.transfer.git_failures import explain
from envgit.transfer.git_progress import GitTalk
from envgit.transfer.git_run import run_git
from envgit.transfer.transport import RefUpdate, chosen_program, open_transport
from tests.lab import CHECKOUT
from tests.transfer.hostile_server import fake_ssh
from tests.transfer.repositories import Recorder, git, is_gone, make_bare, make_history, make_quarantine, tip

MAIN = "refs/heads/main"


def test_what_git_calls_local_is_cleared() -> None:
    listed = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) <= LOCAL_VARIABLES
    dirty = dict.fromkeys(LOCAL_VARIABLES, "x") | {
        "GIT_CONFIG_KEY_7": "core.sshCommand",
        "GIT_CONFIG_VALUE_7": "x",
        "HOME": "/h",
    }
    clean = git_variables(dirty)
    assert clean["HOME"] == "/h" and "x" not in clean.values() and clean["GIT_TERMINAL_PROMPT"] == "0"
    assert "GIT_TERMINAL_PROMPT" not in git_variables({}, terminal=True)


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [(None, "file:http:https:ssh"), ("https:ssh", "https:ssh"), ("ext", "none"), ("", "none"), ("ext:file", "file")],
)
def test_callers_can_only_narrow_the_protocols(asked: str | None, allowed: str) -> None:
    environ = {} if asked is None else {"GIT_ALLOW_PROTOCOL": asked}
    assert git_variables(environ)["GIT_ALLOW_PROTOCOL"] == allowed


@pytest.mark.parametrize(
    ("said", "enough"),
    [
        (b"git version 2.39.5\n", True),
        (b"git version 3.0\n", True),
        (b"git version 2.38.9", False),
        (b"", False),
        (b"hub 1", False),
    ],
)
def test_the_version_decides(said: bytes, enough: bool) -> None:
    assert is_new_enough(said) is enough


def test_a_program_is_chosen(tmp_path: Path) -> None:
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 1.8.0\n")
    old.chmod(0o755)
    assert chosen_program(os.environ).endswith("/git")
    assert chosen_program({"PATH": str(tmp_path)}) == "dulwich"
    assert chosen_program({"PATH": "/nowhere"}) == "dulwich"
    assert chosen_program({**os.environ, "ENVGIT_GIT": "dulwich"}) == "dulwich"
    for environ in ({"PATH": str(tmp_path), "ENVGIT_GIT": "git"}, {"ENVGIT_GIT": "hg"}):
        with pytest.raises(UsageError):
            chosen_program(environ)


def test_settings_of_the_repository_about_connections_are_taken_along() -> None:
    listed = (
        b"core.bare\ntrue\0http.proxy\nhttp://p\0core.sshcommand\nssh -v\0user.name\nx\0http.sslverify\0alias.x\n!sh\0"
    )
    assert connection_settings(listed) == (
        ("http.proxy", "http://p"),
        ("core.sshcommand", "ssh -v"),
        ("http.sslverify", "true"),
    )


def test_the_quarantine_is_fetched_into_with_the_repositorys_ssh(tmp_path: Path, program: str) -> None:
    theirs, ours = make_history(tmp_path / "a.git"), make_bare(tmp_path / "ours")
    script = tmp_path / "ssh"
    script.write_text('#!/bin/sh\nfor last; do :; done\nexec sh -c "$last"\n')
    script.chmod(0o755)
    git(ours, "config", "core.sshCommand", str(script))
    git(ours, "config", "ssh.variant", "ssh")
    transport = open_transport(str(ours), parse_address(f"host:{theirs}", "/"), os.environ, Recorder(), program=program)
    assert transport.list_refs().refs[MAIN] == tip(theirs)
    fetched = transport.fetch({MAIN: tip(theirs)}, str(make_quarantine(tmp_path / "q", ours)))
    assert fetched.objects > 0


def test_no_hook_of_ours_runs(tmp_path: Path) -> None:
    ours, theirs = make_history(tmp_path / "ours"), make_bare(tmp_path / "b.git")
    for name in ("pre-push", "reference-transaction", "post-checkout"):
        hook = ours / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
    transport = open_transport(str(ours), parse_address(str(theirs), "/"), variables, Recorder(), program="git")
    assert transport.push([RefUpdate(MAIN, None, tip(ours))])[0].ok
    assert not (tmp_path / "ran").exists()


def test_limits_hold_for_git_and_what_it_starts(tmp_path: Path) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\nulimit -c; ulimit -f; sh -c 'ulimit -f'\n")
    script.chmod(0o755)
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 1024 * 512}
    done = run_git(str(script), [], dict(os.environ), NullMonitor(), limits=limits, silent_seconds=5)
    assert done.out.split() == [b"0", b"1024", b"1024"]


def test_no_descriptor_of_ours_is_inherited(tmp_path: Path) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\nls /proc/$$/fd\n")
    script.chmod(0o755)
    leaky = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaky, True)
    try:
        done = run_git(str(script), [], dict(os.environ), NullMonitor(), limits={}, silent_seconds=5)
    finally:
        os.close(leaky)
    assert set(done.out.split()) <= {b"0", b"1", b"2", b"10", b"255"}


def test_a_program_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.TransferError, match="cannot start"):
        run_git(str(tmp_path / "none"), [], {}, NullMonitor(), limits={}, silent_seconds=5)


def test_a_program_that_works_is_not_taken_for_stuck(tmp_path: Path) -> None:
    script = tmp_path / "git"
    script.write_text("#!/bin/sh\ni=0; while [ $i -lt 25 ]; do sleep 0.1; i=$((i+1)); done; echo done\n")
    script.chmod(0o755)
    assert run_git(str(script), [], dict(os.environ), NullMonitor(), limits={}, silent_seconds=1).out == b"done\n"


def test_the_end_of_a_program_ends_all_below_it() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    words = ["sh", "-c", "trap '' TERM; sh -c 'sleep 60 & sleep 61; :' ; :"]
    pid = start_bound("/bin/sh", words, dict(os.environ), files=(null, null, null), limits={})
    os.close(null)
    deadline = time.monotonic() + 5
    while len(processes_below(pid)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    below = processes_below(pid)
    assert len(below) == 3
    end_bound(pid)
    assert all(is_gone(each) for each in below)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_git_and_ssh_end_with_their_starter(tmp_path: Path, program: str, number: int) -> None:
    pid_file = tmp_path / "pid"
    new = str(pid_file) + ".new"
    body = f"open({new!r}, 'w').write(str(os.getpid()))\nos.rename({new!r}, {str(pid_file)!r})\n"
    variables = fake_ssh(tmp_path, body + "sys.stdin.buffer.read()\ntime.sleep(0.1)\n")
    ours = make_bare(tmp_path / "ours")
    starter = (
        "import os\nfrom envgit.monitor import NullMonitor\nfrom envgit.transfer.address import parse_address\n"
        "from envgit.transfer.transport import open_transport\n"
        "address = parse_address('ssh://x/a', '/')\n"
        f"open_transport({str(ours)!r}, address, os.environ, NullMonitor(), program={program!r}).list_refs()\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", starter],
        env={**os.environ, **variables, "PYTHONPATH": str(CHECKOUT)},
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    ssh = int(pid_file.read_text())
    running.send_signal(number)
    running.communicate(timeout=20)
    assert is_gone(ssh)


def test_progress_becomes_steps() -> None:
    recorder = Recorder()
    talk = GitTalk(recorder)
    talk.feed(b"remote: Enumerating objects: 5, done.\nremote: Counting objects:  20% (1/5)\rremote: Counting")
    talk.feed(b" objects: 100% (5/5), done.\x1b[K\nReceiving objects:  50% (1/2), 4.00 KiB | 1.00 MiB/s\r")
    talk.feed(
        b"Receiving objects: 100% (2/2), 512 bytes | 512.00 KiB/s, done.\nremote: see https://example.com\nfatal: no"
    )
    talk.finish()
    assert (
        recorder.steps == ["remote: enumerating objects", "remote: counting objects", "receiving"]
        and recorder.open == 0
    )
    assert talk.messages == ["see https://example.com"] and talk.lines == ["fatal: no"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_what_a_server_says_comes_in_pieces(size: int) -> None:
    said = (
        b"Counting objects:  50% (1/2)\rCounting objects: 100% (2/2), done.\x1b[K\n"
        b"Resolving deltas: 100% (3/3), completed with 1 local object.\n"
        b"Resolving deltas: 100% (3/3), completed with 2 local objects.\n\nsee https://example.com\nlast"
    )
    recorder = Recorder()
    talk = GitTalk(recorder)
    for start in range(0, len(said), size):
        talk.feed_remote(said[start : start + size])
    talk.finish()
    assert recorder.steps == ["remote: counting objects", *["remote: checking"] * 2] and recorder.open == 0
    assert talk.messages == ["see https://example.com", "last"] and talk.lines == []


def test_talk_without_end_is_bounded() -> None:
    talk = GitTalk(NullMonitor())
    for _ in range(100):
        talk.feed(b"x" * 100_000)
        talk.feed_remote(b"y" * 100_000)
        talk.feed(b"remote: hello\n" * 100 + b"line\n" * 100)
    talk.finish()
    assert len(talk.messages) <= 200 and sum(map(len, talk.lines)) < 10_000_000


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("fatal: write error: No space left on device", errors.TransferError),
        ("error: RPC failed; HTTP 413 curl 22 The requested URL returned error: 413", errors.TransferError),
        ("fatal: unable to access 'https://x/': SSL certificate problem: self-signed certificate", errors.AccessDenied),
        ("fatal: early EOF", errors.Unreachable),
        ("fatal: remote error: upload-pack: not our ref 1234", errors.RemoteMoved),
        ("fatal: fsck error in packed object", errors.ProtocolViolation),
        ("error: index-pack died of signal 25", errors.TransferError),
        ("error: insufficient permission for adding an object to repository database ./objects", errors.AccessDenied),
        ("fatal: something nobody has seen", errors.TransferError),
    ],
)
def test_words_of_git_become_errors(line: str, kind: type[errors.TransferError]) -> None:
    address = parse_address("https://me:s3cret@example.com/SSL/x.git", "/")
    error = explain(
        [line.replace("https://x/", address.url)], ["see https://me:s3cret@example.com"], address, 128, "read"
    )
    assert type(error) is kind and error.hint and "s3cret" not in error.message + error.hint
