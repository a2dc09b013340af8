"""`debian:SUITE` and `ubuntu:SUITE`: a base that mmdebstrap makes from the packages of a mirror.

With an epoch the same packages give the same tree, whoever makes it and whenever: a `snapshot` gives the same packages.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from envgit.building.unit import SourceBase
from envgit.errors import SourceError, UsageError
from envgit.layers.sources.source import Imported
from envgit.layers.sources.tar import import_tar
from envgit.model import TreeWriter
from envgit.monitor import Monitor

PROGRAM = "mmdebstrap"
VARIANTS: Final = ("minbase", "apt", "essential", "required", "buildd", "important", "standard")
_SUITE = re.compile(r"[a-z0-9][a-z0-9.-]*\Z")
_WORD = re.compile(r"[a-z0-9][a-z0-9.+:-]*\Z")
_MIRROR = re.compile(r"(?:https?|file|copy)://[!-~]+\Z")
_SNAPSHOT = re.compile(r"[0-9]{8}T[0-9]{6}Z\Z")
_OPTIONS = frozenset(("mirror", "snapshot", "variant", "components", "include"))
_UNRELEASED = frozenset(("sid", "unstable", "experimental", "rc-buggy"))
_ARCHITECTURES: Final = {
    "amd64": "amd64", "386": "i386", "arm64": "arm64", "arm64/v8": "arm64", "arm": "armhf", "arm/v7": "armhf",
    "arm/v6": "armel", "arm/v5": "armel", "ppc64le": "ppc64el", "s390x": "s390x", "riscv64": "riscv64",
    "mips64le": "mips64el", "loong64": "loong64",
}  # fmt: skip
"""Debian's names of the platforms' architectures."""
_UBUNTU_MIRROR = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_PORTS = "http://ports.ubuntu.com/ubuntu-ports"
_LOG_LINES = 5


class DebianBase(NamedTuple):
    """What is to be made. `architecture`: Debian's name, "" for this machine's. `lines`: for sources.list; (): mmdebstrap's own."""

    suite: str
    variant: str = "minbase"
    architecture: str = ""
    components: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def parse_debian(base: SourceBase) -> DebianBase:
    """Return what a source and its options mean. Raises UsageError."""
    distribution, _, suite = base.source.partition(":")
    options = dict(base.options)
    if not _SUITE.match(suite):
        raise UsageError(f"{base.source!r} names no release", hint="as in debian:bookworm or ubuntu:noble")
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise UsageError(f"{base.source} has no option {unknown[0]!r}", hint=f"options: {', '.join(sorted(_OPTIONS))}")
    variant = options.get("variant") or "minbase"
    if variant not in VARIANTS:
        raise UsageError(f"{base.source} has no variant {variant!r}", hint=f"variants: {', '.join(VARIANTS)}")
    components = _words(base, options, "components")
    architecture = _architecture(base)
    lines = _lines(base, distribution, suite, options, components, architecture)
    return DebianBase(suite, variant, architecture, components, _words(base, options, "include"), lines)


def debian_arguments(debian: DebianBase) -> list[str]:
    """Return the command that writes the base as a tar archive to standard output."""
    arguments = [PROGRAM, "--quiet", f"--variant={debian.variant}", "--format=tar"]
    if debian.architecture:
        arguments.append(f"--architectures={debian.architecture}")
    if debian.components:
        arguments.append(f"--components={','.join(debian.components)}")
    if debian.include:
        arguments.append(f"--include={','.join(debian.include)}")
    return [*arguments, "--", debian.suite, "-", *debian.lines]


def read_debian(
    base: SourceBase, writer: TreeWriter, monitor: Monitor, epoch: int | None, environ: Mapping[str, str]
) -> Imported:
    """Make a base and store it through `writer`. Works for root, and for a user with subordinate ids.

    `environ`: PATH, proxies, and TMPDIR where other ids can enter it. Raises UsageError, SourceError when mmdebstrap is
    missing or fails (with the end of what it said), and as the import of a tar archive does.
    """
    debian = parse_debian(base)
    program = shutil.which(PROGRAM, path=environ.get("PATH"))
    if program is None:
        raise SourceError(
            f"{base.source} needs {PROGRAM}, which is not installed",
            hint=f'apt-get install {PROGRAM}, or from = "docker://{base.source}"',
        )
    variables = {**environ, "TMPDIR": _temporary_folder(environ)}
    variables.pop("SOURCE_DATE_EPOCH", None)
    if epoch is not None:
        variables["SOURCE_DATE_EPOCH"] = str(epoch)
    log = os.memfd_create("mmdebstrap", os.MFD_CLOEXEC)
    with os.fdopen(log, "rb", buffering=0) as said:
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(read_end, "rb", buffering=0) as archive:
            try:
                pid = _start(program, debian_arguments(debian), variables, write_end, log)
            finally:
                os.close(write_end)
            error: SourceError | None = None
            imported: Imported | None = None
            try:
                imported = import_tar(archive, writer, monitor)
            except SourceError as failure:  # a program that failed wrote half an archive, or none
                error = failure
            finally:
                status = _finish(pid, archive.close)
        if status != 0:
            said.seek(0)
            text = said.read().decode("utf-8", "replace").strip()
            raise SourceError(
                f"{PROGRAM} could not make {base.source}: {_last_lines(text) or f'it ended with status {status}'}",
                hint=_failure_hint(text),
            ) from error
    if error is not None:
        raise error
    assert imported is not None
    return imported


def _start(program: str, arguments: list[str], variables: Mapping[str, str], output: int, log: int) -> int:
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, log, 2),
    ]
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)
    return os.posix_spawn(program, arguments, variables, file_actions=actions, setsigmask=(), setsigdef=defaults)


def _finish(pid: int, close: Callable[[], None]) -> int:
    """Stop reading, wait for the program, return its status."""
    close()
    try:
        _, raw = os.waitpid(pid, 0)
    except KeyboardInterrupt:  # it has got the signal, too, and takes its mounts down
        _, raw = os.waitpid(pid, 0)
        raise
    code = os.waitstatus_to_exitcode(raw)
    return 128 - code if code < 0 else code


def _temporary_folder(environ: Mapping[str, str]) -> str:
    """Return a folder that the ids of the base can enter: mmdebstrap unpacks there."""
    for path in (environ.get("TMPDIR", ""), "/tmp", "/var/tmp"):
        if path.startswith("/") and _is_open_to_all(path):
            return path
    return "/tmp"


def _is_open_to_all(path: str) -> bool:
    try:
        while os.stat(path).st_mode & 0o001:
            if path == "/":
                return True
            path = os.path.dirname(path)
    except OSError:
        pass
    return False


def _words(base: SourceBase, options: Mapping[str, str], name: str) -> tuple[str, ...]:
    words = tuple(word for word in options.get(name, "").split(",") if word)
    for word in words:
        if not _WORD.match(word):
            raise UsageError(f"{base.source}: {word!r} is no word for {name}", hint=f'as in {name} = ["main"]')
    return words


def _architecture(base: SourceBase) -> str:
    if not base.platform:
        return ""
    system, _, architecture = base.platform.partition("/")
    found = _ARCHITECTURES.get(architecture)
    if system != "linux" or found is None:
        raise UsageError(f"{base.source} is not made for {base.platform}", hint="as in linux/amd64 or linux/arm64")
    return found


def _lines(
    base: SourceBase,
    distribution: str,
    suite: str,
    options: Mapping[str, str],
    components: tuple[str, ...],
    architecture: str,
) -> tuple[str, ...]:
    mirror, snapshot = options.get("mirror", ""), options.get("snapshot", "")
    names = " ".join(components or ("main",))
    if mirror and snapshot:
        raise UsageError(f"{base.source}: a mirror and a snapshot exclude each other", hint="leave one out")
    if mirror:
        if not _MIRROR.match(mirror):
            raise UsageError(f"{base.source}: {mirror!r} is no mirror", hint="as in https://mirror.example.org/debian")
        return (f"deb {mirror} {suite} {names}",)
    if snapshot:
        if distribution != "debian" or not _SNAPSHOT.match(snapshot):
            raise UsageError(
                f"{base.source} has no snapshot {snapshot!r}", hint='of Debian only, as in "20240701T000000Z"'
            )
        # What a snapshot says about its time is long over.
        at = "deb [check-valid-until=no] http://snapshot.debian.org/archive"
        lines = [f"{at}/debian/{snapshot} {suite} {names}"]
        if suite not in _UNRELEASED:
            lines.append(f"{at}/debian/{snapshot} {suite}-updates {names}")
            lines.append(f"{at}/debian-security/{snapshot} {suite}-security {names}")
        return tuple(lines)
    if distribution == "ubuntu":
        url = _UBUNTU_MIRROR if architecture in ("", "amd64", "i386") else _UBUNTU_PORTS
        names = " ".join(components or ("main", "universe"))
        return tuple(f"deb {url} {each} {names}" for each in (suite, f"{suite}-updates", f"{suite}-security"))
    return ()


def _last_lines(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines()[-_LOG_LINES:] if line.strip())


def _failure_hint(text: str) -> str:
    lowered = text.lower()
    if "subuid" in lowered or "newuidmap" in lowered or "unshare" in lowered:
        return (
            "an ordinary user needs subordinate ids: apt-get install uidmap; usermod --add-subuids 100000-165535 USER"
        )
    if "keyring" in lowered or "no_pubkey" in lowered or "not signed" in lowered:
        return "the distribution's keys are missing: apt-get install debian-archive-keyring ubuntu-keyring"
    return "check the release's name, the mirror and the network"
