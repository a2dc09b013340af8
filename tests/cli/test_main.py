"""The entry point: nothing is imported that is not needed, and every error is one message with an exit status."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from envgit import errors
from envgit.cli.main import cli, run
from envgit.cli.session import Session
from envgit.cli.verb_table import ABSENT, VERBS

from .environment import command_environment, envgit


def _modules_after(code: str, tmp_path: Path) -> set[str]:
    script = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=command_environment(tmp_path), capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["no-such-verb"], ["status", "--nope"][:0] + ["merge"]])
def test_the_listing_imports_no_verb(words: list[str], tmp_path: Path) -> None:
    code = f"from envgit.cli.main import run\nfrom envgit.cli.session import Session\nrun({words!r}, Session())"
    loaded = _modules_after(code, tmp_path)
    assert not [name for name in loaded if name.startswith("envgit.cli.verbs.")]
    assert "envgit.repo" not in loaded and "envgit.model" not in loaded


@pytest.mark.parametrize("verb", ["run", "status", "checkout"])
def test_hot_verbs_import_nothing_heavy(verb: str, tmp_path: Path) -> None:
    script = f"import envgit.cli.main, envgit.cli.verbs.{verb}, sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=command_environment(tmp_path), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    heavy = {"pygit2", "dulwich", "rich", "json", "subprocess", "asyncio", "tempfile", "shutil", "logging", "pathspec"}
    assert not loaded & heavy
    assert not loaded & {"dataclasses", "difflib", "envgit.model", "envgit.repo"}
    ours = {name for name in loaded if name.startswith("envgit.cli.")}
    assert len(ours) <= 14, sorted(ours)


def test_every_verb_loads_and_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(cli, info_name="envgit")
    for name in VERBS:
        command = cli.get_command(context, name)
        assert command is not None and command.name == name and command.help
        assert run([name, "--help"], Session()) == 0
    assert not set(ABSENT) & set(VERBS)
    assert "Usage: envgit run" in capsys.readouterr().out


def test_unknown_verbs_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chekout"], Session()) == 2
    assert capsys.readouterr().err == "envgit: 'chekout' is not an envgit command\nhint: did you mean: checkout\n"
    assert run(["merge"], Session()) == 2
    assert "not in this version" in capsys.readouterr().err
    assert run(["status", "--shrt"], Session()) == 2
    assert "--short" in capsys.readouterr().err


def test_outside_a_repository(tmp_path: Path) -> None:
    assert "envgit init lab --from host" in envgit(cwd=tmp_path).stdout
    done = envgit("status", cwd=tmp_path, status=2)
    assert done.stdout == "" and done.stderr.startswith("envgit: ") and "\nhint: " in done.stderr
    assert "No such file" in envgit("-C", "nowhere", "status", cwd=tmp_path, status=2).stderr


FAILURES: list[tuple[BaseException, int, str]] = [
    (errors.NegativeAnswer("nothing to commit"), 1, "envgit: nothing to commit\n"),
    (errors.Conflict("it moved", hint="envgit log"), 1, "envgit: it moved\nhint: envgit log\n"),
    (errors.ProgramNotFound("no such program"), 127, "envgit: no such program\n"),
    (errors.AmbiguousRevision("short", candidates=("ab1", "ab2")), 2, "ab1\n  ab2"),
    (KeyboardInterrupt(), 130, "envgit: interrupted\n"),
    (
        OSError(errno.ENOSPC, "No space left on device", "/x/pack"),
        2,
        "envgit: /x/pack: No space left on device\nhint: ",
    ),
    (OSError(errno.EROFS, "Read-only file system", "/x"), 2, "hint: remount"),
    (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "hint: check who owns"),
    (MemoryError(), 2, "envgit: out of memory"),
    (RuntimeError("a bug\x1b"), 2, "envgit: internal error: RuntimeError: a bug"),
    (click.UsageError("Missing argument."), 2, "envgit: missing argument\nhint: see: envgit status --help\n"),
]


def _install_status(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    module = ModuleType("envgit.status")

    def read_status(*_: Any, **__: Any) -> None:
        raise error

    module.read_status = read_status  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "envgit.status", module)
    monkeypatch.setattr(Session, "repo", None)


@pytest.mark.parametrize(("error", "status", "text"), FAILURES)
def test_errors_become_messages_and_statuses(
    error: BaseException, status: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _install_status(monkeypatch, error)
    assert run(["status"], Session()) == status
    printed = capsys.readouterr()
    assert text in printed.err and "Traceback" not in printed.err and printed.out == ""
    if not isinstance(error, KeyboardInterrupt):
        run(["--debug", "status"], Session())
        assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    script = f"{sys.executable} -m envgit.cli --help | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], env=command_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("0", "141") and done.stderr == ""


def test_warnings_give_status_3() -> None:
    session = Session()
    assert session.status_of_warnings() == 0
    session.monitor.warn("a socket was left out")
    assert session.status_of_warnings() == 3


def test_completion_of_verbs(tmp_path: Path) -> None:
    done = envgit(cwd=tmp_path, _ENVGIT_COMPLETE="bash_complete", COMP_WORDS="envgit che", COMP_CWORD="1")
    assert done.stdout.splitlines() == ["plain,checkout"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(shell: str, tmp_path: Path) -> None:
    text = envgit("completion", shell, cwd=tmp_path).stdout
    assert "_ENVGIT_COMPLETE" in text and f"{shell}_complete" in text
