"""The options of build: secrets, arguments, docker's options that are none, and what is printed of units."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from envgit.building.options import BuildOptions
from envgit.building.progress import Position
from envgit.building.unit import Origin
from envgit.cli import build_values
from envgit.cli.build_options import make_build_request
from envgit.cli.build_progress import BuildLines, unit_line
from envgit.cli.build_text import plan_lines
from envgit.cli.build_values import SECRET_MOST_BYTES, parse_build_arguments, parse_secrets
from envgit.cli.docker_build_options import EQUIVALENTS
from envgit.cli.screen import Screen
from envgit.cli.terminal_monitor import TerminalMonitor
from envgit.cli.verbs.build import build_command
from envgit.errors import EnvgitError, SourceError, UsageError
from envgit.plan import BuildPlan, PlannedUnit

GIVEN = {
    "name": None, "file": None, "target": None, "build_args": (), "platform": "", "no_cache": False, "from_step": "",
    "network": None, "secrets": (), "pull": False, "branch": None, "locked": False,
}  # fmt: skip


def test_build_arguments() -> None:
    caller = {"MINE": "yours", "EMPTY": ""}
    given = ("A=1", "B=x=y", "MINE", "NOT_SET", "EMPTY", "C=", "A=2")
    assert parse_build_arguments(given, caller) == {"A": "2", "B": "x=y", "MINE": "yours", "EMPTY": "", "C": ""}
    for bad in ("=x", "", "a\0b=c"):
        with pytest.raises(UsageError):
            parse_build_arguments((bad,), caller)


def test_secrets_from_files_variables_and_pipes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\x00secret\xff\n")
    caller = {"TOKEN": "t\udcff"}
    assert parse_secrets((f"id=a,src={path}",), caller) == {"a": b"\x00secret\xff\n"}
    assert parse_secrets((f"type=file,source={path},id=a.b-c",), caller) == {"a.b-c": b"\x00secret\xff\n"}
    assert parse_secrets(("id=a,env=TOKEN", "id=TOKEN"), caller) == {"a": b"t\xff", "TOKEN": b"t\xff"}
    assert parse_secrets(("id=a,type=env,src=TOKEN",), caller) == {"a": b"t\xff"}
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"piped"))
    writer.start()
    assert parse_secrets((f"id=p,src={tmp_path}/pipe",), caller) == {"p": b"piped"}
    writer.join()


def test_a_pipe_without_a_writer_is_not_waited_for_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_values, "_WRITER_SECONDS", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(SourceError, match="nobody writes"):
        parse_secrets((f"id=p,src={pipe}",), {})
    keeper = os.open(pipe, os.O_RDWR)  # a writer that thinks longer than that

    def type_it() -> None:
        os.write(keeper, b"typed")
        os.close(keeper)

    timer = threading.Timer(0.5, type_it)
    timer.start()
    assert parse_secrets((f"id=p,src={pipe}",), {}) == {"p": b"typed"}
    read, write = os.pipe()  # as <(COMMAND) of a shell
    os.write(write, b"piped")
    os.close(write)
    assert parse_secrets((f"id=p,src=/dev/fd/{read}",), {}) == {"p": b"piped"}
    assert parse_secrets((f"id=p,src=/dev/fd/{read}",), {}) == {"p": b""}, "a command that said nothing"
    os.close(read)


@pytest.mark.parametrize(
    "text", ["", "a", "id", "id=", "src=x", "id=a/b,src=x", "id=..", "id=a,env=NONE", "id=a,src=x,env=y", "id=a,mode=0400",
             "id=a,type=ssh", "id=a", "id=-a,src=x", "id=a,src=/nowhere/at/all", "id=a,src=/"]
)  # fmt: skip
def test_secrets_that_make_no_sense(text: str) -> None:
    with pytest.raises((UsageError, SourceError)) as caught:
        parse_secrets((text,), {})
    assert caught.value.hint


def test_no_message_holds_a_secret(tmp_path: Path) -> None:
    value = "correct horse battery staple"
    (tmp_path / "large").write_text(value * (SECRET_MOST_BYTES // len(value) + 1))
    for words in ((f"id=a,src={tmp_path}/large",), ("id=a,env=A", "id=a,env=A")):
        with pytest.raises(EnvgitError) as caught:
            parse_secrets(words, {"A": value})
        assert value not in caught.value.message + (caught.value.hint or "")


def test_no_option_is_called_unknown() -> None:
    mine = {name for param in build_command.params for name in param.opts}
    assert not mine & set(EQUIVALENTS)
    assert all(EQUIVALENTS.values())


def test_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docker").mkdir()
    assert make_build_request(GIVEN, {}).options == BuildOptions()
    named = make_build_request({**GIVEN, "name": "small", "build_args": ("A=1",), "network": "none"}, {})
    assert (named.name, named.build_args, named.options.network) == ("small", (("A", "1"),), "none")
    assert make_build_request({**GIVEN, "name": "docker"}, {}).name == "docker", "a plain word is a name"
    folder = make_build_request({**GIVEN, "name": "./docker"}, {})
    assert (folder.name, folder.file, folder.context) == ("", "./docker", None)
    context = make_build_request({**GIVEN, "name": ".", "file": "docker/Dockerfile"}, {})
    assert (context.name, context.file, context.context) == ("", "docker/Dockerfile", str(tmp_path))
    for name, file in (("./nowhere", None), (".", "envgit.toml")):
        with pytest.raises(UsageError):
            make_build_request({**GIVEN, "name": name, "file": file}, {})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("RUN make", "RUN make"),
        ("RUN make \\\n  && install", "RUN make ..."),
        ("", ""),
        ("x" * 150, "x" * 100 + " ..."),
        ("a\rb\nc", "a ..."),
        ("\n  run\n", "run"),
    ],
)
def test_a_unit_on_one_line(text: str, line: str) -> None:
    assert unit_line(text) == line


def test_progress_is_harmless_on_a_terminal() -> None:
    stream = io.StringIO()
    lines = BuildLines(TerminalMonitor(stream, terminal=True))
    position = Position(2, 5, "base\x1b[2J", "RUN x\x1b]0;t\x07", Origin("Dockerfile", 3))
    lines.started(position, "changed\x1b[31m")
    lines.reused(position, "1a2b3c4d5e")
    lines.done(position, "1a2b3c4d5e", 1.25)
    said = stream.getvalue()
    assert "\x1b" not in said and "\x07" not in said
    assert said.splitlines()[1].startswith("[2/5 base") and "(reused 1a2b3c4)" in said and "1a2b3c4 in 1.2 s" in said


def test_plan_lines() -> None:
    units = (
        PlannedUnit("a", "FROM x", Origin("Dockerfile", 1), "reuse", "1a2b3c4d5e", ""),
        PlannedUnit("b", "RUN y\nz", Origin("Dockerfile", 2), "build", "", "new"),
    )
    screen = Screen(io.BytesIO(), terminal=False, color=False)
    assert list(plan_lines(BuildPlan(units), screen)) == [
        "reuse  1a2b3c4  [1/2 a] FROM x",
        "build           [2/2 b] RUN y ...  Dockerfile:2: new",
        "1 of 2 units to build; nothing was changed",
    ]
    assert list(plan_lines(BuildPlan(units[:1]), screen))[-1] == "nothing to build: 1 unit reused"
