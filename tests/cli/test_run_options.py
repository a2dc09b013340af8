"""docker's spelling of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envgit.cli.main import run
from envgit.cli.run_options import parse_environment, split_command
from envgit.cli.session import Session
from envgit.errors import UsageError
from envgit.sandbox.request import MountRequest


def test_variables(tmp_path: Path) -> None:
    file = tmp_path / "variables"
    file.write_text("# comment\nA=1\n\n  B=two words\nHOME\nMISSING\nC=x\r\n")
    found = parse_environment(["A=2", "TERM", "EMPTY="], [str(file)], {"HOME": "/h", "TERM": "xterm"})
    assert dict(found) == {"A": "2", "B": "two words", "HOME": "/h", "C": "x", "TERM": "xterm", "EMPTY": ""}
    for wrong in ("=x", "", "two words"):
        with pytest.raises(UsageError):
            parse_environment([wrong], [], {})
    with pytest.raises(UsageError):
        parse_environment([], [str(tmp_path / "missing")], {})


def test_the_rule_of_the_dashes() -> None:
    assert split_command((), ("ls", "-l"), "run") == (None, ("ls", "-l"))
    assert split_command(("main~1",), ("ls",), "run") == ("main~1", ("ls",))
    assert split_command(("main",), (), "run") == ("main", ())
    assert split_command((), None, "run") == (None, ())
    with pytest.raises(UsageError) as caught:
        split_command(("main", "ls"), None, "run")
    assert "envgit run -- main ls" in str(caught.value.hint) and "envgit run main -- ls" in str(caught.value.hint)
    with pytest.raises(UsageError):
        split_command(("main", "ls"), ("x",), "run")


def test_options_reach_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    import envgit.run

    seen: list[Any] = []

    def fake(repo: object, request: Any) -> int:
        seen.append(request)
        return 42

    monkeypatch.setattr(envgit.run, "run_sandbox", fake)
    monkeypatch.setattr(Session, "repo", None)
    words = ["-i", "-e", "A=1", "-v", "/usr:/b:ro", "-w", "/srv", "-u", "1:2", "--network", "host", "--hostname", "h"]
    assert run(["run", *words, "--rm", "--read-only", "main", "--", "ls", "-l", "--", "x"], Session()) == 42
    request = seen[0]
    assert request.revision == "main" and request.command == ("ls", "-l", "--", "x")
    assert request.env == (("A", "1"),) and request.mounts == (MountRequest("bind", "/usr", "/b", readonly=True),)
    assert (request.workdir, request.user, request.network, request.hostname) == ("/srv", "1:2", "host", "h")
    assert request.interactive and not request.terminal and request.read_only
    assert run(["run", "ls", "-l"], Session()) == 125
