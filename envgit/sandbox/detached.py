"""Starting recorded sandboxes: a monitor in the background, and the word whether the program came to run."""

from __future__ import annotations

import os
from contextlib import suppress
from socket import AF_UNIX, SOCK_CLOEXEC, SOCK_SEQPACKET, socket, socketpair

from envgit import errors
from envgit.errors import Conflict, EnvgitError, SandboxError
from envgit.exec.background import start_background
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.sandbox.attaching import Ending, Terminal, attend
from envgit.sandbox.creating import create_sandbox
from envgit.sandbox.liveness import become_monitor
from envgit.sandbox.record import Record
from envgit.sandbox.registry import Found, find_sandbox, look_at
from envgit.sandbox.removing import remove_held, remove_own_volumes, remove_unused
from envgit.sandbox.request import RunRequest
from envgit.sandbox.stopping import kill_sandbox
from envgit.sandbox.supervisor import Supervisor

_NOTE, _WARNING, _STARTED, _FAILED = b"n", b"w", b"s", b"f"
_FIELD = "\0"
_END = b"\1"


def run_detached(repo: Repository, request: RunRequest) -> str:
    """Start a sandbox in the background and return its id once its program runs.

    Raises what create_sandbox() raises, and SandboxError (125, 126, 127) when the program does not start; then nothing is left.
    """
    record = create_sandbox(repo, request._replace(detach=True))
    try:
        _start(repo, record, None)
    except BaseException:
        _abandon(repo, record)
        raise
    return record.id


def run_named(repo: Repository, request: RunRequest) -> Ending:
    """Start a recorded sandbox with the caller's standard streams attached, and return its exit status, or that the caller left.

    It is a sandbox like those in the background: when this process dies, it goes on. Raises as run_detached().
    """
    record = create_sandbox(repo, request)
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC)
    with ours:
        try:
            with theirs:
                _start(repo, record, theirs)
        except BaseException:
            _abandon(repo, record)
            raise
        return attend(ours, Terminal.of(request.terminal), with_input=request.interactive, ends_input=True)


def start_sandbox(repo: Repository, word: str) -> Found:
    """Start a recorded sandbox again, with the changes that it has. One that runs is left alone.

    Raises UnknownSandbox, and SandboxError when the program does not start; the sandbox stays as it was.
    """
    found = find_sandbox(repo, word)
    if not found.monitor:
        _start(repo, found.record, None)
    return found


def _start(repo: Repository, record: Record, first: socket | None) -> None:
    """Start the monitor and wait until the program runs; warnings come out of the caller's monitor."""
    report_read, report_write = os.pipe()
    keep = (report_write,) if first is None else (report_write, first.fileno())
    try:
        start_background(lambda: _supervise(repo, record, report_write, first), keep=keep, folder=repo.project)
    except BaseException:
        os.close(report_read)
        raise
    finally:
        os.close(report_write)
    with os.fdopen(report_read, "rb") as report:
        said = _read_report(repo, report.fileno())
    if said is not None:
        raise said


def _abandon(repo: Repository, record: Record) -> None:
    """Leave nothing of a sandbox that did not start, or whose start was interrupted."""
    with suppress(EnvgitError):
        found = look_at(repo, record)
        if found is not None and found.monitor:
            kill_sandbox(repo, found)
        remove_unused(repo, record.id)


def _read_report(repo: Repository, fd: int) -> EnvgitError | None:
    rest = b""
    while piece := os.read(fd, 65536):
        *messages, rest = (rest + piece).split(_END)
        for message in messages:
            kind, text = message[:1], message[1:].decode("utf-8", "surrogateescape")
            if kind == _NOTE:
                repo.monitor.note(text)
            elif kind == _WARNING:
                repo.monitor.warn(text)
            elif kind == _STARTED:
                return None
            elif kind == _FAILED:
                name, words, hint = text.split(_FIELD)
                return getattr(errors, name, SandboxError)(words, hint=hint or None)
    return SandboxError("the monitor ended before the program ran", hint="envgit doctor")


class _Reporter(NullMonitor):
    """What the caller hears of the start: a Monitor that passes warnings on until the program runs."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def note(self, message: str) -> None:
        self._tell(_NOTE, message)

    def warn(self, message: str) -> None:
        self._tell(_WARNING, message)

    def started(self) -> None:
        self._tell(_STARTED, "")
        if self._fd >= 0:  # else the caller was killed meanwhile
            os.close(self._fd)
            self._fd = -1

    def failed(self, error: EnvgitError) -> None:
        self._tell(_FAILED, _FIELD.join((type(error).__name__, error.message, error.hint or "")))

    def _tell(self, kind: bytes, text: str) -> None:
        if self._fd >= 0:
            try:
                os.write(self._fd, kind + text.encode("utf-8", "surrogateescape").replace(_END, b"?") + _END)
            except OSError:  # the caller was killed: the sandbox goes on
                os.close(self._fd)
                self._fd = -1


def _supervise(caller: Repository, record: Record, report: int, first: socket | None) -> None:
    """The whole life of a monitor."""
    os.set_inheritable(report, False)
    reporter = _Reporter(report)
    environ = {**caller.environ, **dict(record.caller)}
    repo = Repository(caller.git_dir, environ, reporter)
    held = become_monitor(repo, record.id)
    if held is None:
        busy = f"{record.name} is in use by another command, which starts, copies or removes it"
        reporter.failed(Conflict(busy, hint="envgit ps -a"))
        return
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(repo, record, reporter.started)
        if first is not None:
            supervisor.attachments.add(first, attached=True, patient=True)
        supervisor.supervise()
    except BaseException as error:
        known = error if isinstance(error, EnvgitError) else SandboxError(f"{type(error).__name__}: {error}")
        if supervisor is not None:
            supervisor.give_up(known.message)
        os.close(held)  # before anybody hears of it: they may remove or start it again
        reporter.failed(known)
        if supervisor is not None:
            supervisor.finish()
        return
    try:
        if record.request.remove:
            remove_held(repo, record.id)
            remove_own_volumes(repo, record)
    except Exception as error:  # the program has ended as it has; what is left can be removed again
        supervisor.note(f"it could not be removed: {error}")
    finally:
        os.close(held)
        supervisor.finish()
