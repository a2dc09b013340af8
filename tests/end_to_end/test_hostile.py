"""Hostile content and closed descriptors end in an answer, never in a traceback."""

from __future__ import annotations

import subprocess

import pytest

from envgit.cli import start
from envgit.cli.session import Session
from envgit.environment_config import parse_config
from envgit.errors import CorruptObject
from tests.lab import Lab, command_environment, command_words


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors(lab: Lab, closed: str) -> None:
    for words in ("status", "log", "run -- true", "commit -m x --allow-empty", "fsck"):
        script = f'"$@" {words} {closed}'
        done = subprocess.run(
            ["sh", "-c", script, "sh", *lab.launcher, *command_words()],
            cwd=lab.path,
            env=command_environment(lab.variables),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (words, done)


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"a":' * 100_000, b'{"Env":["\\ud800=x"]}', b'{"User":"\\udc00"}'])
def test_hostile_configuration(data: bytes) -> None:
    with pytest.raises(CorruptObject):
        parse_config(data)


def test_listing_of_a_very_deep_directory(lab: Lab) -> None:
    lab.sh("mkdir /deep; cd /deep; i=0; while [ $i -lt 1200 ]; do mkdir d; cd d; i=$((i+1)); done; echo x > end")
    lab("commit", "-m", "deep")
    assert lab("ls", "-r", "HEAD:deep").lines()[-1].endswith("/d/end")


def test_interrupted_while_modules_load(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(arguments: list[str], session: Session) -> int:
        raise KeyboardInterrupt

    left: list[int] = []
    monkeypatch.setattr(start, "_run", interrupted)
    monkeypatch.setattr(start, "leave", left.append)
    monkeypatch.setattr(start.gc, "disable", lambda: None)
    start.main()
    assert left == [130]
    assert "interrupted" in capsys.readouterr().err
