"""What the README types: every command line of it exists, and the declared environment of its example gets built."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from envgit.cli.command import words_after_dashes
from envgit.cli.main import cli
from envgit.cli.session import Session
from envgit.declaration.merging import resolve
from envgit.declaration.parsing import parse
from envgit.errors import EnvgitError
from tests.lab import CHECKOUT, Lab, command_environment, remove
from tests.linking.code import make_code

README = (CHECKOUT / "README.md").read_text()
HEREDOC = re.compile(r"^cat > (\S+) <<'END'\n(.*?)^END\n", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(text: str) -> list[str]:
    """Return the indented blocks, without the indent; empty lines within belong to them."""
    found = re.findall(r"^    .*\n(?:(?:[ \t]*\n)*    .*\n)*", text, re.MULTILINE)
    return ["".join(line.removeprefix("    ") for line in block.splitlines(keepends=True)) for block in found]


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a block, comments and heredocs left out."""
    for line in HEREDOC.sub("", block).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word.strip(";&"):
                words.append(word)
            elif words:
                yield words
                words = []


def files(block: str) -> dict[str, str]:
    return dict(HEREDOC.findall(block))


LINES = [shlex.join(words) for block in blocks(README) for words in commands(block) if words[0] == "envgit"]
DECLARED = blocks(section("Declare it"))


def test_the_lines_are_found() -> None:
    verbs = {shlex.split(line)[1] for line in LINES}
    assert len(LINES) > 40 and verbs >= {
        "init",
        "run",
        "plan",
        "build",
        "update",
        "drift",
        "link",
        "export-recipe",
        "undo",
    }
    assert set(files(DECLARED[0])) == {"src/app.py", "envgit.toml"}


def parse_line(line: str) -> None:
    """Parse a command line as the program does, and run nothing. Raises click.UsageError."""
    with cli.make_context("envgit", shlex.split(line)[1:], obj=Session()) as context:
        words = [*context._protected_args, *context.args]
        command: click.Command = cli
        while isinstance(command, click.Group):
            name, found, words = command.resolve_command(context, words)
            assert found is not None
            command, context = found, found.make_context(name, words, parent=context)
        assert not context.args or words_after_dashes(context) is None


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_understood(line: str) -> None:
    parse_line(line)


@pytest.mark.parametrize(
    "line", ["envgit biuld", "envgit build --lokced", "envgit update --packages curl", "envgit checkout -b"]
)
def test_a_wrong_line_is_found(line: str) -> None:
    with pytest.raises((EnvgitError, click.UsageError), match="(?i)biuld|no such option|requires an argument"):
        parse_line(line)


def test_the_example_is_a_declaration() -> None:
    example = parse(files(DECLARED[0])["envgit.toml"].encode(), "envgit.toml")
    environment = resolve(example, "default", lambda file: b"")
    command = files(DECLARED[0])["envgit.toml"]
    assert {package.name for package in environment.packages} == {"postgresql", "python3-pip", "flask"}
    assert '"--host", "0.0.0.0"' in command, "a published port does not lead to the loopback of a sandbox"
    named = {words[2] for words in commands(DECLARED[0]) if words[:2] == ["envgit", "update"]}
    assert named <= {package.name for package in environment.packages}, "update names packages that are declared"
    compile(files(DECLARED[0])["src/app.py"], "app.py", "exec")


def test_the_example_is_built(tmp_path: Path, small_root: Path) -> None:
    """As it is typed, but for what needs an archive: the base is a small one, and nothing is installed."""
    small = Lab(tmp_path / "web")
    wrapped = make_code(small, small.path, tmp_path)
    block, after = DECLARED
    block = block.replace("debian:bookworm", f"dir:{small_root}").replace("www-data", "ann")
    block = re.sub(r"^\[packages\]\n(?:\w+ = .*\n)+", "", block, flags=re.MULTILINE)
    block = block.replace("python3 -c 'import flask'", "test -f /srv/app/app.py")
    offline = [
        line
        for line in HEREDOC.sub("", block).splitlines()
        if not re.search("update|--failed|Dockerfile|-p 5000", line)
    ]
    makes = "".join(match.group() for match in HEREDOC.finditer(block))
    assert len(offline) == 7 and "flask==" not in makes
    script = "\n".join([offline[0], makes, *offline[1:], after.replace("make test", "test -f /srv/app/app.py")])
    try:
        done = subprocess.run(
            ["sh", "-ec", script],
            cwd=tmp_path,
            env=command_environment(wrapped.lab.variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "git runs it now in: post-checkout" in done.stdout and "linked to code" in done.stdout
        assert small.look("main", "stat -c %U /srv/app/app.py") == "ann\n"
        assert "COPY" in done.stdout, "export-recipe prints a Dockerfile"
    finally:
        remove(small.path)
