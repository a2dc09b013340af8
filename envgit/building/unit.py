"""What a build is made of: a recipe has stages, a stage a base and units; each unit becomes one commit.

envgit.toml and Dockerfiles both become recipes; whatever runs them knows neither.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

from envgit.errors import EnvgitError
from envgit.model import EnvironmentConfig

Record: TypeAlias = Mapping[str, object]
"""JSON values that say wholly what a unit does: part of its key, kept in its commit, and read back by export-recipe."""


class Origin(NamedTuple):
    """Where a unit is written: a file's name as the user gave it, and a line from 1 (0: no line)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@contextmanager
def located(origin: Origin) -> Iterator[None]:
    """Let errors say where what they are about is written."""
    try:
        yield
    except EnvgitError as error:
        if origin.line and not error.message.startswith(f"{origin}: "):
            error.message = f"{origin}: {error.message}"
        raise


# bases


class ScratchBase(NamedTuple):
    """An empty root filesystem with the default configuration of images: none."""


class SourceBase(NamedTuple):
    """A source as `--from` names it: host, tar:, dir:, oci:, oci-archive:, docker-archive:, docker://, debian:."""

    source: str
    platform: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """Of debian: (name, value): mirror, variant, components, include."""


class RevisionBase(NamedTuple):
    """A commit of this repository, by any revision."""

    revision: str


class StageBase(NamedTuple):
    """The result of an earlier stage of the same recipe, by number from 0."""

    number: int


Base: TypeAlias = ScratchBase | SourceBase | RevisionBase | StageBase


# what a unit does


class Injected(NamedTuple):
    """A file that is mounted from memory while the step runs, and never recorded."""

    path: str
    content: bytes


class SecretMount(NamedTuple):
    """A secret (--secret id=...) as a file, mounted from memory. `required`: fail without it; else nothing is mounted."""

    id: str
    target: str
    required: bool = False
    environment: str = ""
    """Give it as a variable of this name instead of as a file."""


class CacheMount(NamedTuple):
    """A directory that outlives builds; `name` identifies it within the repository."""

    name: str
    target: str
    readonly: bool = False
    sharing: Literal["shared", "private", "locked"] = "shared"


class TmpfsMount(NamedTuple):
    target: str
    size: str = ""


class TreeMount(NamedTuple):
    """A path of the context (`stage` None), or of another stage or revision, mounted read-only or with writes dropped."""

    source: FileSource
    path: str
    target: str
    readonly: bool = True


StepMount: TypeAlias = SecretMount | CacheMount | TmpfsMount | TreeMount


class Context(NamedTuple):
    """The folder of the recipe (build context)."""


FileSource: TypeAlias = Context | StageBase | RevisionBase | SourceBase


class Run(NamedTuple):
    """Run a program in a sandbox over the parent; what it changed is the commit."""

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    """Beside the configuration's; neither recorded in the configuration."""
    workdir: str = ""
    """"": the configuration's."""
    user: str = ""
    network: Literal["private", "none", "host", ""] = ""
    """"": as the build's policy says."""
    mounts: tuple[StepMount, ...] = ()
    files: tuple[Injected, ...] = ()
    inputs: tuple[str, ...] = ()
    """Patterns of context files that are part of the key and lie, while it runs, read-only below /run/envgit/inputs."""
    packages: str = ""
    """"": none; else a path in a folder below /run, where the step leaves what it installed (package_sets/package_list.py)."""


class CopyItem(NamedTuple):
    """Files to put into the environment, in the semantics of COPY and ADD (docs/dockerfile.md).

    `sources`: patterns below `source`; with `content` that is the one file instead. `target`: absolute; a directory when it ends
    with "/". `directory`: only make the directory `target` (WORKDIR).
    """

    target: str
    sources: tuple[str, ...] = ()
    source: FileSource = Context()
    content: bytes | None = None
    owner: str = ""
    """USER[:GROUP], names of the environment or numbers; "": 0:0 for files of the context, else as they have it."""
    mode: str = ""
    """Octal or symbolic; "": as the source."""
    exclude: tuple[str, ...] = ()
    unpack: bool = False
    """ADD: unpack local tar archives, download URLs."""
    checksum: str = ""
    """Of the one URL: sha256:..."""
    parents: bool = False
    directory: bool = False


class Copy(NamedTuple):
    items: tuple[CopyItem, ...]


Action: TypeAlias = Run | Copy | None


class Unit(NamedTuple):
    """One commit of a build.

    `text`: what the user wrote, one or more lines (subject of the commit is the first). `record`: see Record; must cover action and
    config. `config`: the configuration from here on; None: unchanged.
    """

    text: str
    origin: Origin
    record: Record
    action: Action = None
    config: EnvironmentConfig | None = None


class Stage(NamedTuple):
    """A chain of units over a base. `units` is called with the base's configuration, once that is known.

    `name`: of the environment in envgit.toml; of the Dockerfile's stage, or its index.
    """

    name: str
    text: str
    """How the base is written: `FROM debian:12 AS x`, `from = "debian:bookworm"`."""
    origin: Origin
    base: Base
    units: Callable[[EnvironmentConfig], Sequence[Unit]]
    knows_files: bool = False
    """What its units take of the context does not depend on the base's configuration."""
    needs: tuple[int, ...] = ()
    """Indexes of the stages that must be built before (its base's, COPY --from)."""


class Recipe(NamedTuple):
    """`context`: the folder that file patterns are relative to. `target`: index of the stage whose result is wanted.

    `files`: what each commit keeps beside rootfs/ of the declaration: (name, content), such as envgit.toml.
    """

    stages: tuple[Stage, ...]
    target: int
    context: str
    ignore: bytes = b""
    """Text of the .dockerignore that applies."""
    files: tuple[tuple[str, bytes], ...] = ()
    pins: frozenset[bytes] | None = None
    """Lines of package lists (package_sets/package_list.py): commits of package units with anything else are not reused."""
    base_digest: str = ""
    """What the name of an image stands for, as a lock says; of recipes of one stage."""
    epoch: int | None = None
    """SOURCE_DATE_EPOCH: no recorded time is later, and programs get the variable."""
