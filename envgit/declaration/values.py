"""What an envgit.toml says, as values. Every item knows where it is written.

Nothing here is looked up: a source may not exist, a package may not, a revision may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from envgit.light_typing import Literal, NamedTuple, TypeAlias

Command: TypeAlias = str | tuple[str, ...]
"""A text for the shell (sh -c), or a program and its arguments."""

Manager: TypeAlias = Literal["apt", "apk", "dnf", "pip", "npm"]
MANAGERS: tuple[Manager, ...] = ("apt", "apk", "dnf", "pip", "npm")
"""In the order in which their packages are installed: the distribution's first."""

StepNetwork: TypeAlias = Literal["private", "none", "host", ""]


class Place(NamedTuple):
    """Where something is written: a file as the user gave it, line and column (in characters) from 1; 0: no line."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class BaseOptions(NamedTuple):
    """What [env] says about the base beside `from`. All but `platform` are for debian: and ubuntu: only."""

    platform: str = ""
    """os/architecture[/variant], as in linux/arm64."""
    mirror: str = ""
    snapshot: str = ""
    """A moment of Debian's snapshot archive, as in 20240701T000000Z."""
    variant: str = ""
    components: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    """Packages that the base itself shall have."""


class Package(NamedTuple):
    """One wanted package.

    `name`: as the manager knows it (pip: normalised as by PEP 503; apt: with ":ARCH" when given). `constraint`: what follows the
    name, with its operator: "=7.*", "==3.*", ">=2,<3", "@^4"; "" for any version. `text`: as written.
    """

    manager: Manager
    name: str
    constraint: str
    text: str
    place: Place


class FileEntry(NamedTuple):
    """A [files] entry: `sources` (patterns below the folder of the main file, slash separated) or `content`, never both.

    `target`: absolute and normal; ends with "/" when it is a directory to put the sources into.
    """

    target: str
    place: Place
    sources: tuple[str, ...] = ()
    content: str | None = None
    mode: str = ""
    """Octal digits or symbolic; "": as the source, 0644 of a content."""
    owner: str = ""
    """USER[:GROUP]; "": root."""


class Variable(NamedTuple):
    """A name and a value: of an environment variable, or of a label."""

    name: str
    value: str
    place: Place


class Step(NamedTuple):
    run: Command
    place: Place
    name: str = ""
    network: StepNetwork = ""
    """"": not said. `true` is "private", `false` is "none"."""
    env: tuple[Variable, ...] = ()
    workdir: str = ""
    user: str = ""
    inputs: tuple[str, ...] = ()
    """Patterns below the folder of the main file."""
    secrets: tuple[str, ...] = ()
    """Ids, as `--secret id=` names them."""
    cache: tuple[str, ...] = ()
    """Absolute paths inside that outlive the build."""


class Config(NamedTuple):
    """[config]: what becomes the environment's configuration. None: not said, the base's stays.

    An empty `command` or `entrypoint` takes the base's away. Ports are "8080/tcp". Paths are absolute.
    """

    env: tuple[Variable, ...] = ()
    workdir: str | None = None
    user: str | None = None
    command: Command | None = None
    entrypoint: Command | None = None
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[Variable, ...] = ()
    stop_signal: str | None = None
    place: Place = Place("")
    places: Mapping[str, Place] = MappingProxyType({})
    """Of each key that was given."""


class Sandbox(NamedTuple):
    """[sandbox]: what running the environment asks for, in the words of the options of `envgit run`, unparsed.

    None, (): not asked for.
    """

    network: Literal["private", "none", "host"] | None = None
    publish: tuple[str, ...] = ()
    """-p"""
    publish_all: bool = False
    add_host: tuple[str, ...] = ()
    hostname: str | None = None
    volume: tuple[str, ...] = ()
    """-v"""
    mount: tuple[str, ...] = ()
    tmpfs: tuple[str, ...] = ()
    read_only: bool = False
    memory: str | None = None
    memory_swap: str | None = None
    cpus: str | None = None
    pids_limit: str | None = None
    shm_size: str | None = None
    ulimit: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    place: Place = Place("")
    places: Mapping[str, Place] = MappingProxyType({})


class Environment(NamedTuple):
    """One environment: as its tables say (`extends` may be set), or merged with what it extends (see merging.py).

    `source`: the text of `from`; "" when the environment has none of its own. `packages` in the order of MANAGERS, then as written.
    """

    name: str
    place: Place
    source: str = ""
    source_place: Place = Place("")
    options: BaseOptions = BaseOptions()
    extends: str = ""
    extends_place: Place = Place("")
    packages: tuple[Package, ...] = ()
    files: tuple[FileEntry, ...] = ()
    steps: tuple[Step, ...] = ()
    config: Config | None = None
    sandbox: Sandbox | None = None
    files_read: tuple[str, ...] = ()
    """Merged: the declaration files it comes from, main file first, relative to its folder."""


class Declaration(NamedTuple):
    """A file's environments as written, in order; `text` is the file, `default` the name of the environment of [env], if any."""

    file: str
    text: bytes
    environments: tuple[Environment, ...]
    default: str = ""
