"""What a terminal sees: progress, warnings, the pager; and the editor."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from envgit.cli.editor import AbortedCommit, choose_editor, edit_message, strip_comments
from envgit.cli.pager import choose_pager, open_pager
from envgit.cli.terminal_monitor import TerminalMonitor, format_progress
from envgit.errors import UsageError

from .environment import command_environment


def test_progress_is_drawn_at_once_on_a_terminal_only() -> None:
    terminal, pipe = io.StringIO(), io.StringIO()
    for stream, is_terminal in ((terminal, True), (pipe, False)):
        monitor = TerminalMonitor(stream, terminal=is_terminal)
        monitor.start("importing", 10, "files")
        monitor.advance(3)
        monitor.warn("left out \x1b[2J")
        monitor.finish()
    assert terminal.getvalue().startswith("\rimporting: 0% (0/10 files)\x1b[K")
    assert "warning: left out ^[[2J\n" in terminal.getvalue()
    assert pipe.getvalue() == "warning: left out \x1b[2J\n"


def test_progress_lines() -> None:
    assert format_progress("reading", 0, None, "files", 0) == "reading ..."
    assert format_progress("reading", 4211, 9000, "files", 2) == "reading: 46% (4,211/9,000 files, 2,105 files/s)"
    assert format_progress("reading", 5_000_000, None, "bytes", 1) == "reading: 5.0 MB (5.0 MB/s)"


def test_many_warnings_are_summed_up() -> None:
    stream = io.StringIO()
    monitor = TerminalMonitor(stream, terminal=False)
    for number in range(50):
        monitor.warn(str(number))
    monitor.close()
    assert len(stream.getvalue().splitlines()) == 21 and "and 30 more" in stream.getvalue()


def test_the_pager_is_git_s() -> None:
    assert choose_pager({}) == "less"
    assert choose_pager({"PAGER": "more"}) == "more"
    assert choose_pager({"PAGER": "more", "GIT_PAGER": "less -S"}) == "less -S"
    assert choose_pager({"GIT_PAGER": "cat"}) is None
    assert choose_pager({"GIT_PAGER": ""}) is None


def test_the_pager_reads_what_is_written(tmp_path: Path) -> None:
    target = tmp_path / "paged"
    variables = {"PATH": os.environ["PATH"], "GIT_PAGER": f'cat > {target}; echo "$LESS" >> {target}'}
    with open_pager(variables) as stream:
        assert stream is not None
        stream.write(b"text\n")
    assert target.read_text() == "text\nFRX\n"


def test_a_pager_that_is_left_early_is_no_error() -> None:
    with open_pager({"PATH": os.environ["PATH"], "GIT_PAGER": "true"}) as stream:
        assert stream is not None
        for _ in range(10_000):
            stream.write(b"text\n" * 100)


def test_the_editor_is_git_s() -> None:
    assert choose_editor({"TERM": "xterm"}) == "vi"
    assert choose_editor({"TERM": "xterm", "EDITOR": "e", "VISUAL": "v"}) == "v"
    assert choose_editor({"TERM": "dumb", "EDITOR": "e", "VISUAL": "v"}) == "e"
    assert choose_editor({"GIT_EDITOR": "g", "EDITOR": "e"}) == "g"
    with pytest.raises(UsageError):
        choose_editor({"TERM": "dumb"})


def test_editing_a_message(tmp_path: Path) -> None:
    path = str(tmp_path / "message")
    variables = {"PATH": os.environ["PATH"], "GIT_EDITOR": "echo written >>"}
    assert edit_message(path, "", ["On branch main"], variables) == "written"
    with pytest.raises(AbortedCommit):
        edit_message(path, "", ["On branch main"], {**variables, "GIT_EDITOR": "true"})
    with pytest.raises(UsageError):
        edit_message(path, "", [], {**variables, "GIT_EDITOR": "false"})
    assert strip_comments(b"\n\nsubject  \n\n\n# no\nbody\n\n") == b"subject\n\nbody"


def _on_a_terminal(words: list[str], cwd: Path, **variables: str) -> str:
    """Run the command with a terminal as standard output and error; return what it would show."""
    outer, inner = pty.openpty()
    environment = {**command_environment(cwd), **variables}
    process = subprocess.Popen(
        [sys.executable, "-m", "envgit.cli", *words], cwd=cwd, env=environment, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    shown = b""
    while True:
        try:
            piece = os.read(outer, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    process.wait()
    os.close(outer)
    return shown.decode("utf-8", "surrogateescape").replace("\r\n", "\n")


def test_a_terminal_is_coloured_and_never_gets_raw_control_characters(history: Path) -> None:
    shown = _on_a_terminal(["diff"], history, GIT_PAGER="cat")
    assert "\x1b[32m+a^[[31m\x1b[m" in shown
    assert "\x1b" not in _on_a_terminal(["diff"], history, GIT_PAGER="cat", NO_COLOR="1")
    assert "\x1b[31m" in _on_a_terminal(["--color", "never", "cat", "srv/evil"], history).replace("^[", "\x1b")
    assert "\x1b" not in _on_a_terminal(["--color", "never", "cat", "srv/evil"], history)


def test_a_terminal_gets_the_pager(history: Path) -> None:
    assert "PAGED" in _on_a_terminal(["log"], history, GIT_PAGER="sed s/Author/PAGED/")
    assert "PAGED" not in _on_a_terminal(["--no-pager", "log"], history, GIT_PAGER="sed s/Author/PAGED/")
