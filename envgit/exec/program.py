"""The last steps in the sandbox: who the program is, what it may do, and execve.

Runs in the child, after the root is in place or every namespace of a running sandbox was entered. Nothing is imported here.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
from contextlib import suppress

from envgit.errors import ProgramNotExecutable, ProgramNotFound, SandboxError
from envgit.exec import linux
from envgit.exec.identity import Identity, resolve_identity
from envgit.exec.mount.resolve import read_inside
from envgit.exec.privileges import drop_privileges, harden_process
from envgit.exec.spec import SandboxSpec, capability_mask
from envgit.light_typing import NamedTuple, NoReturn

DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MAXIMUM_GROUPS = 65536
MAXIMUM_INTERPRETERS = 6
"""The kernel follows five, one from the other."""

_SCRIPT_BYTES = 256
"""As much of a first line as the kernel looks at."""

execve = os.execve
"""The last call; tests replace it to look at the process the program would become."""


def find_identity(spec: SandboxSpec, root_fd: int) -> Identity:
    """Return who the program runs as, by the passwd and group files below `root_fd`; SandboxError for unknown names."""
    if spec.identity is not None:
        return spec.identity._replace(groups=mapped_groups(spec.identity.groups, spec))
    passwd, group = read_inside(root_fd, b"/etc/passwd"), read_inside(root_fd, b"/etc/group")
    identity = resolve_identity(spec.user, passwd, group)
    return identity._replace(groups=mapped_groups(identity.groups, spec))


def mapped_groups(groups: tuple[int, ...], spec: SandboxSpec) -> tuple[int, ...]:
    """Return the supplementary groups that this sandbox's id map has, no more than the kernel takes: /etc/group is hostile
    input, and a group that nothing inside can belong to is no reason to refuse the program."""
    known = [
        group
        for group in groups
        if any(extent.inside <= group < extent.inside + extent.size for extent in spec.idmap.gids)
    ]
    return tuple(known[:MAXIMUM_GROUPS])


def maps_groups(spec: SandboxSpec) -> bool:
    """Say whether the id map has more than one group: without, the kernel denies setgroups(2)."""
    return sum(extent.size for extent in spec.idmap.gids) > 1


GO = b"x"
"""The byte that lets a program through its gate; any other ends it."""


class Gate(NamedTuple):
    """Where a program that outlives the monitor waits: at `fd`, if not -1, for one byte, after closing `failure`."""

    fd: int
    failure: int


def become_program(
    spec: SandboxSpec, identity: Identity, alive_fd: int, step: list[str], gate: Gate | None = None
) -> NoReturn:
    """Give up what the program must not have, in an order that never needs what was just given up, then execve.

    `alive_fd` is the read end of a pipe whose other end only the monitor holds. `step[0]` names what is being done.
    With `gate` the program does not die with the monitor.
    """
    step[0] = "session keyring"
    _leave_keyring()
    for number, soft, hard in spec.rlimits:
        step[0] = f"resource limit {number}"
        resource.setrlimit(number, (soft, hard))
    step[0] = "working directory"
    _enter_directory(spec.cwd)
    step[0] = "system call filter"
    if spec.seccomp and not spec.no_new_privileges:
        linux.install_filter(spec.seccomp)  # while CAP_SYS_ADMIN is there: nothing else allows it
    step[0] = "privileges"
    drop_privileges(identity, capability_mask(spec.capabilities), maps_groups(spec), spec.no_new_privileges)
    environment = dict(spec.env)
    environment.setdefault(b"HOME", identity.home)
    reset_signals()
    step[0] = "descriptors"
    linux.close_range(3, linux.LAST_FD, linux.CLOSE_RANGE_CLOEXEC)
    harden_process()
    os.umask(spec.umask)
    os.set_blocking(alive_fd, False)
    try:
        os.read(alive_fd, 1)
        os._exit(125)  # end of file: the monitor died before PDEATHSIG was armed
    except BlockingIOError:
        pass
    if gate is not None:
        _outlive_monitor(gate, spec.argv, environment, identity)
    step[0] = "system call filter"
    if spec.seccomp and spec.no_new_privileges:
        linux.install_filter(spec.seccomp)
    step[0] = "execve"
    _execute(spec.argv, environment, identity)


def _outlive_monitor(gate: Gate, argv: tuple[bytes, ...], environment: dict[bytes, bytes], identity: Identity) -> None:
    """Wait at the gate. What is wrong with the program is said before, while the monitor still listens."""
    linux.prctl(linux.PR_SET_PDEATHSIG, 0)
    if gate.fd < 0:
        return
    if not any(os.access(path, os.X_OK) and not os.path.isdir(path) for path in _candidates(argv[0], environment)):
        _execute(argv, environment, identity)  # raises what is wrong
    os.close(gate.failure)
    if os.read(gate.fd, 1) != GO:
        os._exit(125)


def _leave_keyring() -> None:
    try:
        linux.join_new_session_keyring()
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EDQUOT):
            raise


def _enter_directory(path: bytes) -> None:
    """Change to the working directory and make sure it lies inside (a leaked descriptor could lead outside)."""
    try:
        os.chdir(path or b"/")
        current = os.getcwdb()
    except OSError as error:
        raise SandboxError(
            f"working directory {os.fsdecode(path)}: {error.strerror}", hint="create it in the environment, or use -w"
        ) from error
    if not current.startswith(b"/"):
        raise SandboxError("the working directory lies outside the sandbox")


def reset_signals() -> None:
    """Undo what Python and the caller ignore or block; both would survive execve."""
    for number in range(1, signal.NSIG):
        with suppress(OSError):  # SIGKILL and SIGSTOP
            linux.default_signal(number)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _candidates(name: bytes, environment: dict[bytes, bytes]) -> list[bytes]:
    if b"/" in name:
        return [name]
    folders = environment.get(b"PATH", DEFAULT_PATH).split(b":")
    return [(folder or b".") + b"/" + name for folder in folders]


def _refuse_own_program(path: bytes) -> None:
    """Raise ProgramNotExecutable when executing `path` would execute the Python of the host that runs this.

    Until execve, /proc/self/exe leads to it, past every mount: a program, or the interpreter of a script, that is a link to it
    would run with the environment's libraries and hold the way to a file of the host (CVE-2019-5736). Who exchanges files at
    the same moment can still make the kernel take it; then the file's own mode protects it, and that it is being executed.
    """
    try:
        own = os.stat(b"/proc/self/exe")
    except OSError:
        return  # without /proc there is no such link
    for _ in range(MAXIMUM_INTERPRETERS):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return  # execve says why, or needs no right to read
        try:
            if os.path.samestat(os.fstat(fd), own):
                raise ProgramNotExecutable(f"cannot execute {os.fsdecode(path)}: it leads to a program of the host")
            head = os.read(fd, _SCRIPT_BYTES) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
        words = head[2:].partition(b"\n")[0].split(None, 1) if head.startswith(b"#!") else []
        if not words:
            return
        path = words[0]


def _execute(argv: tuple[bytes, ...], environment: dict[bytes, bytes], identity: Identity) -> NoReturn:
    name = argv[0]
    shown = os.fsdecode(name)
    candidates = _candidates(name, environment)
    denied = False
    for path in candidates:
        try:
            _refuse_own_program(path)
            execve(path, argv, environment)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR):
                if os.path.isfile(path):
                    raise ProgramNotExecutable(f"{shown}: its interpreter or loader is missing") from error
                continue
            if error.errno == errno.EACCES and len(candidates) > 1:
                denied = True
                continue
            reason = "is a directory" if os.path.isdir(path) else error.strerror
            raise ProgramNotExecutable(f"cannot execute {shown}: {reason}") from error
    if denied:
        raise ProgramNotExecutable(f"cannot execute {shown}: permission denied for uid {identity.uid}")
    if b"/" in name:
        hint = "it has no shell: name the program and its words" if name == b"/bin/sh" else None
        raise ProgramNotFound(f"{shown} does not exist in the environment", hint=hint)
    raise ProgramNotFound(f"{shown} is in no folder of PATH of the environment")
