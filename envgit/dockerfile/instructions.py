"""The instructions of a Dockerfile as values, as written: nothing is expanded, no default of another instruction applied.

Text of the fields named below "expands" is still to be given to words.expand (variables, quotes and escapes are in it); all other
text is final. Source: the Dockerfile reference (https://docs.docker.com/reference/dockerfile/).
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from envgit.dockerfile.errors import DockerfileError


class Source(NamedTuple):
    """Where an instruction is: lines `first` to `last`, from 1, heredocs included, of a file named as the user gave it."""

    file: str
    first: int
    last: int
    text: str
    """These lines as they are in the file, without the last newline; "\\n" between lines."""
    line: str
    """The instruction as one line: continuations joined, comments in between left out, no heredocs."""

    def error(self, message: str, *, hint: str | None = None) -> DockerfileError:
        """Make the error that names this place; a long text of the file in it loses its middle."""
        return DockerfileError(f"{self.file}:{self.first}: {_shorten(message)}", hint=hint and _shorten(hint))


def _shorten(text: str) -> str:
    return text if len(text) <= 400 else f"{text[:250]}...{text[-100:]}"


class Heredoc(NamedTuple):
    """The lines that follow an instruction up to a line that is only `name`."""

    name: str
    content: str
    """As in the file, newlines included; see text."""
    expand: bool = True
    """No part of the name was quoted: ADD and COPY expand variables of the content (words.expand with quotes=False)."""
    strip_tabs: bool = False
    """Written <<-: tabs that begin a line are no part of it."""
    descriptor: int = 0
    """The number before <<; 0 when there is none."""

    @property
    def text(self) -> str:
        """The content after the removal of tabs that <<- asks for."""
        return re.sub("^\t+", "", self.content, flags=re.MULTILINE) if self.strip_tabs else self.content


class Command(NamedTuple):
    """A command line: of the exec form its words; of the shell form one word (none when empty), for the shell of SHELL."""

    words: tuple[str, ...]
    is_exec: bool


class Pair(NamedTuple):
    """NAME=VALUE of ENV and LABEL; both expand."""

    name: str
    value: str
    is_legacy: bool = False
    """Written "NAME VALUE"."""


class ArgItem(NamedTuple):
    """NAME or NAME=DEFAULT of ARG; both expand. None: no default."""

    name: str
    default: str | None = None


class From(NamedTuple):
    """Begin a stage. `base` and `platform` expand, with global ARGs only. `name`: in lower case, "" when it has none."""

    source: Source
    base: str
    name: str = ""
    platform: str = ""


class Run(NamedTuple):
    """Run a command. `mounts`: texts of --mount for mounts.parse_mount, which expands their values; the command does not expand.

    `heredocs`: in the shell form. A command that is nothing but the heredoc word (`RUN <<EOF`) is the heredoc's text.
    """

    source: Source
    command: Command
    heredocs: tuple[Heredoc, ...] = ()
    mounts: tuple[str, ...] = ()
    network: Literal["default", "none", "host"] = "default"
    security: Literal["sandbox", "insecure"] = "sandbox"
    devices: tuple[str, ...] = ()
    """Texts of --device."""


class Cmd(NamedTuple):
    """The default command; does not expand."""

    source: Source
    command: Command


class Entrypoint(NamedTuple):
    """What every command is an argument of; does not expand."""

    source: Source
    command: Command


class Label(NamedTuple):
    """Metadata; expands."""

    source: Source
    pairs: tuple[Pair, ...]


class Env(NamedTuple):
    """Variables of everything that follows and of what runs later; expands, with what was set before this instruction."""

    source: Source
    pairs: tuple[Pair, ...]


class Maintainer(NamedTuple):
    """The author, deprecated; does not expand."""

    source: Source
    name: str


class Expose(NamedTuple):
    """Ports, sorted as text. Each expands with words.expand_words: a variable may hold several."""

    source: Source
    ports: tuple[str, ...]


class Add(NamedTuple):
    """Copy files, archives and URLs. sources, target, chown, chmod and checksum expand; `exclude` does not.

    `heredocs`: files named by their `name`, beside `sources`. `keep_git_dir`, `unpack`: None when not given.
    """

    source: Source
    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    checksum: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    keep_git_dir: bool | None = None
    unpack: bool | None = None


class Copy(NamedTuple):
    """Copy files. sources, target, chown and chmod expand; `from_` ("": the context) and `exclude` do not."""

    source: Source
    sources: tuple[str, ...]
    target: str
    heredocs: tuple[Heredoc, ...] = ()
    chown: str = ""
    chmod: str = ""
    from_: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    parents: bool = False


class Volume(NamedTuple):
    """Paths of volumes; each expands."""

    source: Source
    paths: tuple[str, ...]


class User(NamedTuple):
    """USER[:GROUP]; expands."""

    source: Source
    user: str


class Workdir(NamedTuple):
    """The working directory, relative to the one before; expands."""

    source: Source
    path: str


class Arg(NamedTuple):
    """Variables of the build; expands."""

    source: Source
    items: tuple[ArgItem, ...]


class Onbuild(NamedTuple):
    """An instruction for builds that start from the result. `expression`: its text, heredocs included, as images keep it.

    `trigger` is the same, parsed: never ONBUILD, FROM or MAINTAINER.
    """

    source: Source
    expression: str
    trigger: Instruction


class Stopsignal(NamedTuple):
    """The signal that asks the program to end; expands."""

    source: Source
    signal: str


class Healthcheck(NamedTuple):
    """How to check that the program works; does not expand. Durations in nanoseconds, 0 where not given.

    `test`: as in an image's configuration: ("NONE",), ("CMD", word, ...) or ("CMD-SHELL", text).
    """

    source: Source
    test: tuple[str, ...]
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


class Shell(NamedTuple):
    """The shell of shell forms that follow; does not expand."""

    source: Source
    words: tuple[str, ...]


Instruction: TypeAlias = (
    From
    | Run
    | Cmd
    | Label
    | Maintainer
    | Expose
    | Env
    | Add
    | Copy
    | Entrypoint
    | Volume
    | User
    | Workdir
    | Arg
    | Onbuild
    | Stopsignal
    | Healthcheck
    | Shell
)


class Warned(NamedTuple):
    """Something that is accepted, and better written otherwise."""

    line: int
    message: str


class StageText(NamedTuple):
    """A FROM and what follows it up to the next one."""

    start: From
    instructions: tuple[Instruction, ...]


class Dockerfile(NamedTuple):
    """A Dockerfile: the ARGs before the first FROM, and the stages. `escape`: "\\\\" or "`"; give it to words.expand."""

    file: str
    arguments: tuple[Arg, ...]
    stages: tuple[StageText, ...]
    escape: str = "\\"
    syntax: str = ""
    check: str = ""
    """Values of the directives of these names; nothing follows from them here."""
    warnings: tuple[Warned, ...] = ()

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """All instructions in the order of the file."""
        stages = (item for stage in self.stages for item in (stage.start, *stage.instructions))
        return (*self.arguments, *stages)
