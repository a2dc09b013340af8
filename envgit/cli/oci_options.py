"""The command line of envgit-oci as a table, and its parser: long options with `=` or a word, short ones, words."""

from __future__ import annotations

from typing import Final

from envgit.errors import UsageError
from envgit.light_typing import NamedTuple


class Command(NamedTuple):
    """`values` and `flags` are names of options without dashes; `words`: fewest and most words, -1 for any number."""

    name: str
    usage: str
    help: str
    values: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    words: tuple[int, int] = (1, 1)

    def help_text(self) -> str:
        return f"Usage: envgit-oci {self.usage}\n\n{self.help}"


class Given(NamedTuple):
    """What was typed: the last value of each option (flags have "true"), all values of those that may come again."""

    command: Command | None
    options: dict[str, str]
    several: dict[str, list[str]]
    words: list[str]


_MAKING: Final = ("bundle", "pid-file", "console-socket", "preserve-fds")
COMMANDS: Final = {
    command.name: command
    for command in (
        Command(
            "create", "create [-b BUNDLE] ID", "Make a container; its program waits for start.", _MAKING, ("no-pivot",)
        ),
        Command("start", "start ID", "Let the program of a created container go."),
        Command(
            "run",
            "run [-b BUNDLE] [-d] ID",
            "Create and start; wait unless -d.",
            _MAKING,
            ("detach", "no-pivot", "keep"),
        ),
        Command("state", "state ID", "Print the state as JSON."),
        Command("kill", "kill [-a] ID [SIGNAL]", "Send a signal (TERM) to the first process.", (), ("all",), (1, 2)),
        Command("delete", "delete [-f] ID", "Remove a stopped container; -f: kill it first.", (), ("force",)),
        Command(
            "exec",
            "exec [OPTIONS] ID [PROGRAM...]",
            "Run another process inside.",
            ("process", "pid-file", "console-socket", "cwd", "env", "user", "preserve-fds"),
            ("detach", "tty"),
            (1, -1),
        ),
        Command("list", "list [-q] [-f json|table]", "List containers.", ("format",), ("quiet",), (0, 0)),
        Command("ps", "ps [-f json|table] ID", "List the processes of a container.", ("format",), (), (1, -1)),
        Command("features", "features", "Print what is supported as JSON.", (), (), (0, 0)),
        Command("spec", "spec [-b BUNDLE]", "Write an example config.json.", ("bundle",), ("rootless",), (0, 0)),
    )
}
_GLOBAL_VALUES: Final = ("root", "log", "log-format", "log-level", "cgroup-manager", "rootless")
_GLOBAL_FLAGS: Final = ("systemd-cgroup", "debug", "version", "help")
_SHORT: Final = {
    "": {"v": "version", "h": "help"},
    "create": {"b": "bundle"},
    "run": {"b": "bundle", "d": "detach"},
    "spec": {"b": "bundle"},
    "kill": {"a": "all"},
    "delete": {"f": "force"},
    "exec": {"d": "detach", "t": "tty", "e": "env", "u": "user", "p": "process"},
    "list": {"q": "quiet", "f": "format"},
    "ps": {"f": "format"},
}
_REPEATED: Final = ("env",)


def parse_command_line(arguments: list[str]) -> Given:
    """Parse everything after the program's name. Raises UsageError, also for what is known and refused."""
    given = Given(None, {}, {}, [])
    rest = _parse_options(arguments, given, "", _GLOBAL_VALUES, _GLOBAL_FLAGS)
    if given.options.get("log-format", "text") not in ("text", "json"):
        raise UsageError(f"--log-format {given.options['log-format']}: it is text or json")
    if "version" in given.options or "help" in given.options:
        return given
    if not rest:
        raise UsageError("no command was given", hint="envgit-oci --help")
    command = COMMANDS.get(rest[0])
    if command is None:
        raise UsageError(f"unknown command {rest[0]!r}", hint=f"one of: {' '.join(COMMANDS)}")
    given = given._replace(command=command)
    rest = _parse_options(rest[1:], given, command.name, command.values, (*command.flags, "help"))
    if "help" in given.options:
        return given
    # `exec` stops at its first word; others take options behind words too, as runc does
    while rest and command.name != "exec":
        given.words.append(rest[0])
        rest = _parse_options(rest[1:], given, command.name, command.values, (*command.flags, "help"))
    given.words.extend(rest)
    least, most = command.words
    if len(given.words) < least or (0 <= most < len(given.words)):
        raise UsageError(f"{command.name} was given {len(given.words)} words", hint=f"envgit-oci {command.usage}")
    _refuse(given)
    return given


def _parse_options(
    arguments: list[str], given: Given, command: str, values: tuple[str, ...], flags: tuple[str, ...]
) -> list[str]:
    """Take options off the front; return the rest."""
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("--") and len(name) == 1:
            name = _SHORT.get(command, {}).get(name, name)
        if name in flags:
            given.options[name] = value or "true"
            if value == "false":
                del given.options[name]
            continue
        if name not in values:
            raise UsageError(f"unknown option {word.partition('=')[0]}", hint=f"envgit-oci {command} --help")
        if not equals:
            if not rest:
                raise UsageError(f"{word} needs a value")
            value = rest.pop(0)
        given.options[name] = value
        if name in _REPEATED:
            given.several.setdefault(name, []).append(value)
    return rest


def _refuse(given: Given) -> None:
    if "no-pivot" in given.options:
        raise UsageError("--no-pivot is refused: without pivot_root the host's files stay within reach")
    if "keep" in given.options:
        raise UsageError("--keep is not supported", hint="envgit-oci run -d, and delete it later")
    if given.options.get("preserve-fds", "0") != "0":
        raise UsageError("--preserve-fds is refused: a program gets descriptors 0, 1, 2 and nothing else of the host")
