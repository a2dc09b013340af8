"""Find the file that declares an environment, envgit.toml or a Dockerfile, and read it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from envgit.building.options import BuildOptions
from envgit.building.source_pins import SourcePins
from envgit.building.unit import Recipe
from envgit.errors import EnvgitError, UnknownPath, UsageError
from envgit.layers.descent import open_beneath
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository

if TYPE_CHECKING:
    from envgit.declaration.lock_file import LockedEnvironment, LockedPackage, LockFile
    from envgit.declaration.values import Declaration, Environment

DECLARATION = "envgit.toml"
LOCK = "envgit.lock"
_DOCKERFILES = ("Dockerfile", "Containerfile")
_MOST_BYTES = 4 << 20
_LOCK_MOST_BYTES = 64 << 20
_HEX = frozenset("0123456789abcdef")


class BuildRequest(NamedTuple):
    """What to build. `file`: None: the envgit.toml (else Dockerfile) of the project; `name`: of an environment of it.

    `context`: the folder of file patterns, for Dockerfiles; None: the file's own.
    """

    file: str | None = None
    name: str = ""
    context: str | None = None
    target: str | None = None
    build_args: tuple[tuple[str, str], ...] = ()
    platform: str = ""
    options: BuildOptions = BuildOptions()


class Loaded(NamedTuple):
    """A recipe with what it was made from. Of a Dockerfile `environment` and the lock are None."""

    recipe: Recipe
    path: str
    environment: Environment | None = None
    declaration: Declaration | None = None
    lock: LockFile | None = None
    locked: LockedEnvironment | None = None
    lock_path: str = ""


def load_recipe(repo: Repository, request: BuildRequest) -> Loaded:
    """Read the declaration that `request` names, and the lock beside it.

    Raises DeclarationError and DockerfileError with line and column, UnknownPath, UsageError.
    """
    path = find_file(repo, request.file)
    if path.endswith(".toml"):
        return _load_declaration(repo, path, request)
    from envgit.building.dockerfiles.arguments import undeclared_arguments
    from envgit.building.dockerfiles.recipe import recipe_of_dockerfile  # of the two languages a build needs one
    from envgit.dockerfile.parse import parse_dockerfile

    if request.name:
        raise UsageError(f"{_shown(path)} is a Dockerfile, and names no environments", hint="--target STAGE")
    folder = request.context or os.path.dirname(path)
    ignore = read_file(path + ".dockerignore") or read_file(os.path.join(folder, ".dockerignore")) or b""
    dockerfile = parse_dockerfile(_require(path), _shown(path))
    for warning in dockerfile.warnings:
        repo.monitor.note(f"{_shown(path)}:{warning.line}: {warning.message}")
    for name in undeclared_arguments(dockerfile, dict(request.build_args)):
        repo.monitor.note(f"--build-arg {name}: no ARG of {_shown(path)} declares it")  # one of its base's ONBUILD may
    recipe = recipe_of_dockerfile(
        dockerfile,
        folder,
        ignore + b"\n.envgit\n",
        target=request.target,
        build_args=dict(request.build_args),
        platform=request.platform,
        is_revision=lambda word: _is_revision(repo, word),
        epoch=environment_epoch(repo),
    )
    return Loaded(recipe, path)


def find_file(repo: Repository, file: str | None) -> str:
    """Return the path of the declaration: `file`, or what the project has. Raises UnknownPath."""
    if file is not None:
        path = os.path.abspath(file)
        if os.path.isdir(path):
            return _first(path)
        return path
    return _first(repo.project)


def _first(folder: str) -> str:
    for name in (DECLARATION, *_DOCKERFILES):
        if os.path.exists(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise UnknownPath(
        f"there is neither {DECLARATION} nor Dockerfile in {folder}", hint="write one, or name it: envgit build -f FILE"
    )


def environment_epoch(repo: Repository) -> int | None:
    """Return SOURCE_DATE_EPOCH of the caller. Raises UsageError when it is no number of seconds."""
    word = repo.environ.get("SOURCE_DATE_EPOCH", "")
    if not word:
        return None
    if not (word.isascii() and word.isdecimal()) or len(word) > 12:
        raise UsageError(
            f"SOURCE_DATE_EPOCH={word!r} is no number of seconds", hint="unset it, or set it to seconds since 1970"
        )
    return int(word)


def first_epoch(repo: Repository) -> int:
    """Return the time of the repository's first build of a declaration: what no lock has yet. A build that failed counts, too:
    what it built is reused by the next, and by other environments."""
    return int(SourcePins(repo).pin("epoch", lambda: b"%d" % repo.now(), default=None, pull=False))


def read_file(path: str, most_bytes: int = _MOST_BYTES) -> bytes | None:
    """Return a file's bytes, None when there is none. Raises UnknownPath for one that cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnknownPath(f"{_shown(path)} cannot be read: {error.strerror}") from error
    return _read_open(fd, path, most_bytes)


def read_beneath(folder: str, file: str) -> bytes:
    """Return the bytes of a file below a folder; no link leads out of it. Raises UnknownPath, UsageError."""
    path = os.path.join(folder, file)
    try:
        folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = open_beneath(folder_fd, os.fsencode(file), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        finally:
            os.close(folder_fd)
    except OSError as error:
        raise UnknownPath(f"{_shown(path)} cannot be read: {error.strerror}", hint="it may not be a link") from error
    return _read_open(fd, path, _MOST_BYTES)


def _read_open(fd: int, path: str, most_bytes: int) -> bytes:
    try:
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UsageError(f"{_shown(path)} is no file", hint="envgit build -f FILE")
            data = file.read(most_bytes + 1)
    except OSError as error:
        raise UnknownPath(f"{_shown(path)} cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise UsageError(f"{_shown(path)} has more than {most_bytes >> 20} MiB")
    return data


def _require(path: str) -> bytes:
    data = read_file(path)
    if data is None:
        raise UnknownPath(f"there is no {_shown(path)}", hint="envgit build -f FILE")
    return data


def _load_declaration(repo: Repository, path: str, request: BuildRequest) -> Loaded:
    from envgit.building.from_declaration import recipe_of_environment
    from envgit.declaration.lock_file import parse_lock
    from envgit.declaration.merging import find_environment, resolve
    from envgit.declaration.parsing import parse

    if request.target or request.build_args:
        raise UsageError(
            f"--target and --build-arg are for Dockerfiles, and {_shown(path)} is none", hint="envgit build NAME"
        )
    folder = os.path.dirname(path)
    declaration = parse(_require(path), _shown(path))
    name = find_environment(declaration, request.name).name
    texts = {DECLARATION: declaration.text}

    def read(file: str) -> bytes:
        texts[file] = read_beneath(folder, file)
        return texts[file]

    environment = resolve(declaration, name, read)
    lock_path = os.path.join(folder, LOCK)
    text = read_file(lock_path, _LOCK_MOST_BYTES)
    lock = parse_lock(text, _shown(lock_path)) if text is not None else None
    locked = lock.find(name) if lock is not None else None
    epoch = environment_epoch(repo)
    if epoch is None:
        epoch = locked.source_date_epoch if locked is not None else first_epoch(repo)
    if request.platform:
        environment = environment._replace(options=environment.options._replace(platform=request.platform))
    if request.options.locked and locked is None:
        raise UsageError(
            f"{_shown(lock_path)} has no environment {name!r}", hint="envgit build, without --locked, writes it"
        )
    recipe = recipe_of_environment(
        environment,
        folder,
        tuple(texts.items()),
        pins=_pins(locked, request.options),
        exact=request.options.locked,
        base_digest=locked.digest if locked is not None and locked.source == environment.source else "",
        epoch=epoch,
    )
    return Loaded(recipe, path, environment, declaration, lock, locked, lock_path)


def _pins(locked: LockedEnvironment | None, options: BuildOptions) -> tuple[LockedPackage, ...] | None:
    """Return the packages that keep their versions; None: any version will do."""
    if locked is None or options.update == frozenset():
        return None
    return tuple(each for each in locked.packages if each.name not in (options.update or ()))


def _is_revision(repo: Repository, word: str) -> bool:
    """Say whether a name is a branch, a tag, or spelled as only revisions are; `debian:12` is none."""
    if any(repo.refs.resolve(prefix + word) for prefix in (BRANCH_PREFIX, TAG_PREFIX)):
        return True
    is_id = 4 <= len(word) <= 40 and _HEX.issuperset(word)
    if not (is_id or word in ("HEAD", "@") or word.startswith("refs/") or any(mark in word for mark in "~^{")):
        return False
    try:
        repo.resolve_bytes(word)
    except EnvgitError:
        return False
    return True


def _shown(path: str) -> str:
    """Return a path as messages have it: bytes that are no UTF-8 as \\xff."""
    relative = os.path.relpath(path)
    return os.fsencode(path if relative.startswith("..") else relative).decode("utf-8", "backslashreplace")
