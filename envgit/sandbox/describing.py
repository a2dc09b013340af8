"""From what was asked for to what will be started: a SandboxSpec, and what lives beside it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from envgit.errors import UsageError
from envgit.exec.seccomp.filter import default_program, profile_program
from envgit.exec.spec import (
    CAPABILITY_NUMBERS,
    DEFAULT_CAPABILITIES,
    SHM_BYTES,
    Inside,
    LiveRoot,
    Mount,
    OverlayRoot,
    SandboxSpec,
)
from envgit.layers.plan_file import Plan
from envgit.light_typing import NamedTuple
from envgit.repo import Repository
from envgit.sandbox.networking import Way, choose_way, injected_files
from envgit.sandbox.request import RunRequest

_PROFILE_BYTES = 1 << 20
_HOSTNAME_BYTES = 64
"""The kernel's limit (uname(2))."""
_INHERITED = ("TERM", "LANG", "TZ")
_INHERITED_PREFIX = "LC_"
_NEED_NEW_PRIVILEGES = frozenset(("sudo", "su", "doas", "pkexec", "runuser"))


class Described(NamedTuple):
    """A sandbox ready to be started. `needs_companions`: whether a RunCompanions must live beside it."""

    spec: SandboxSpec
    way: Way
    needs_companions: bool


def describe(repo: Repository, request: RunRequest, plan: Plan, root: LiveRoot | OverlayRoot | Inside) -> Described:
    """Describe the sandbox: the environment's configuration below what was asked for."""
    capabilities = choose_capabilities(request.cap_add, request.cap_drop)
    hostname = check_hostname(request.hostname or "envgit")
    way = Way("none") if isinstance(root, Inside) else choose_way(request, repo.monitor.warn)
    spec = SandboxSpec(
        argv=tuple(os.fsencode(word) for word in _words(request, plan)),
        root=root,
        idmap=repo.idmap,
        env=tuple((os.fsencode(name), os.fsencode(value)) for name, value in _environment(repo, request, plan).items()),
        cwd=os.fsencode(request.workdir or plan.working_dir or "/"),
        user=os.fsencode(request.user or plan.user),
        hostname=os.fsencode(hostname),
        terminal=request.terminal,
        network=way.network,
        subnet=way.subnet,
        mounts=_mounts(repo, request),
        files=(
            *injected_files(request, way, hostname, repo.monitor.warn),
            *((os.fsencode(path), content) for path, content in request.files),
        ),
        capabilities=capabilities,
        readonly_root=request.read_only,
        nested_namespaces=request.nested_namespaces,
        no_new_privileges=not request.new_privileges,
        seccomp=_system_call_filter(request, capabilities, repo.monitor.warn),
        forbidden_sources=(os.fsencode(repo.git_dir),),
    )
    _hint_at_privileges(repo, spec)
    beside = way.network in ("tap", "veth") or bool(request.publish) or request.publish_all or any(request.limits)
    beside = beside or request.detach
    return Described(_with_limits(spec, request), way, beside)


def choose_capabilities(add: tuple[str, ...], drop: tuple[str, ...]) -> tuple[str, ...]:
    """Apply --cap-add and --cap-drop, docker's way: names with or without CAP_, ALL; what is added wins. Raises UsageError."""
    added, dropped = ({_capability(name) for name in names} for names in (add, drop))
    chosen = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
    chosen |= set(CAPABILITY_NUMBERS) - dropped if "ALL" in added else added
    return tuple(sorted(chosen, key=CAPABILITY_NUMBERS.__getitem__))


def check_hostname(name: str) -> str:
    """Return a name that the kernel takes. Raises UsageError."""
    size = len(os.fsencode(name))
    if size > _HOSTNAME_BYTES:
        raise UsageError(
            f"the hostname has {size} bytes, and a host can have {_HOSTNAME_BYTES}", hint="--hostname NAME"
        )
    return name


def _capability(name: str) -> str:
    full = name.upper() if name.upper() == "ALL" else "CAP_" + name.upper().removeprefix("CAP_")
    if full != "ALL" and full not in CAPABILITY_NUMBERS:
        raise UsageError(f"there is no capability {name!r}", hint="see capabilities(7); for instance --cap-add NET_RAW")
    return full


def _words(request: RunRequest, plan: Plan) -> tuple[str, ...]:
    program = (request.entrypoint,) if request.entrypoint else plan.entrypoint
    arguments = request.command or (() if request.entrypoint else plan.cmd)
    return (*program, *arguments) or ("/bin/sh",)


def inherited_variables(repo: Repository) -> dict[str, str]:
    """Return what programs inside get of the caller's variables: the terminal, language and zone."""
    return {
        name: value for name, value in repo.environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIX)
    }


def _environment(repo: Repository, request: RunRequest, plan: Plan) -> dict[str, str]:
    inherited = {} if request.clean_environment else inherited_variables(repo)
    if not request.terminal:
        inherited.pop("TERM", None)
    return {**inherited, **dict(plan.env), **dict(request.env)}


def _mounts(repo: Repository, request: RunRequest) -> tuple[Mount, ...]:
    if not (request.mounts or request.volumes_from):
        return ()
    from envgit.sandbox.mounts import resolve_mounts

    return resolve_mounts(repo, request.mounts, request.volumes_from)


def _system_call_filter(request: RunRequest, capabilities: tuple[str, ...], warn: Callable[[str], None]) -> bytes:
    if request.seccomp == "unconfined":
        return b""
    if not request.seccomp:
        return default_program(capabilities, request.nested_namespaces)
    try:
        text = _read_profile(request.seccomp)
    except OSError as error:
        raise UsageError(
            f"the seccomp profile {request.seccomp} cannot be read: {error.strerror}",
            hint="--security-opt seccomp=FILE, or seccomp=unconfined for no filter",
        ) from error
    compiled = profile_program(text, capabilities)
    for notice in compiled.notices:
        warn(notice)
    return compiled.program


def _read_profile(path: str) -> bytes:
    """Return the text of a profile. Raises OSError; UsageError for what is no file, without reading it, or too large."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO without a writer is not waited for
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(f"the seccomp profile {path} is no file", hint="--security-opt seccomp=FILE")
        text = file.read(_PROFILE_BYTES + 1)
    if len(text) > _PROFILE_BYTES:
        raise UsageError(f"the seccomp profile {path} is larger than 1 MiB", hint="--security-opt seccomp=FILE")
    return text


def _with_limits(spec: SandboxSpec, request: RunRequest) -> SandboxSpec:
    if not any(request.limits):
        return spec
    from envgit.exec.cgroups.limits import check_ulimits, make_limits

    limits = make_limits(*request.limits)
    check_ulimits(limits.ulimits)
    return spec._replace(rlimits=limits.ulimits, shm_bytes=limits.shm_bytes or SHM_BYTES)


def _hint_at_privileges(repo: Repository, spec: SandboxSpec) -> None:
    """Say why sudo will not work, which itself only says that its owner is wrong."""
    name = os.fsdecode(spec.argv[0].rpartition(b"/")[2]) if spec.argv else ""
    if name in _NEED_NEW_PRIVILEGES and spec.no_new_privileges and spec.user not in (b"", b"0", b"root"):
        repo.monitor.warn(f"{name} cannot raise privileges in a sandbox; use: envgit run -u root")
