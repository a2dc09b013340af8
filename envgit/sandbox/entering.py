"""Running a second program in a running sandbox: `exec`."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from envgit.errors import Conflict, EnvgitError, SandboxError
from envgit.exec.background import start_background
from envgit.exec.runner import Companions, run
from envgit.exec.spec import Inside, SandboxSpec
from envgit.repo import Repository
from envgit.sandbox.describing import describe
from envgit.sandbox.registry import Found, find_sandbox
from envgit.stack import ensure_plan

_STARTED = "started"


class EnterRequest(NamedTuple):
    """What to run in it. Without `user` and `workdir`: those of the sandbox's own program."""

    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    workdir: str | None = None
    terminal: bool = False
    interactive: bool = False


def enter_sandbox(repo: Repository, word: str, request: EnterRequest) -> int:
    """Run a program in all namespaces of a running sandbox, with the same posture and in its control group; return its status.

    Standard input is empty unless `interactive`. The program ends with this process, or with the sandbox. Raises UnknownSandbox,
    Conflict when it does not run, SandboxError (125, 126, 127).
    """
    found = _find_running(repo, word)
    spec, companions = _describe(repo, found, request)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        stdin = 0 if request.interactive else null
        return run(spec, stdio=(stdin, 1, 2), companions=companions, on_warning=repo.monitor.warn)
    finally:
        os.close(null)


def enter_detached(repo: Repository, word: str, request: EnterRequest) -> None:
    """As enter_sandbox(), in the background and without standard streams; returns when the program runs."""
    found = _find_running(repo, word)
    spec, companions = _describe(repo, found, request)
    report_read, report_write = os.pipe()

    def attend() -> None:
        is_started = False

        def started(pid: int, start_time: int) -> None:
            nonlocal is_started
            is_started = True
            _report(report_write, _STARTED)

        try:
            run(spec._replace(terminal=False), companions=companions, on_started=started)
        except BaseException as error:
            if not is_started:
                known = error if isinstance(error, EnvgitError) else SandboxError(f"{type(error).__name__}: {error}")
                _report(report_write, "\0".join((str(known.exit_code), known.message, known.hint or "")))

    try:
        start_background(attend, keep=(report_write,), folder=repo.project)
    finally:
        os.close(report_write)
    with os.fdopen(report_read, "rb") as report:
        said = report.read().decode("utf-8", "surrogateescape")
    if said == _STARTED:
        return
    if not said:
        raise SandboxError("the process in the background ended before the program ran", hint="envgit doctor")
    status, message, hint = said.split("\0")
    raise _with_status(SandboxError(message, hint=hint or None), int(status))


def _report(fd: int, text: str) -> None:
    """Say how the start went, once; a caller that was killed does not keep the program from running."""
    with suppress(OSError):
        os.write(fd, text.encode("utf-8", "surrogateescape"))
    os.close(fd)


class _Joined(Companions):
    """Puts the program into the sandbox's control group before it starts."""

    def __init__(self, group: tuple[str, ...]) -> None:
        self._group = group

    def created(self, pid: int) -> None:
        from envgit.exec.cgroups.group import find_group

        group = find_group(self._group)
        if group is None:
            raise SandboxError("the control group of the sandbox is gone", hint="is it just ending? envgit ps")
        group.add(pid)


def _find_running(repo: Repository, word: str) -> Found:
    found = find_sandbox(repo, word)
    if not found.runs:
        what = found.phase if found.phase != "created" else "not running"
        raise Conflict(f"{found.name} is {what}", hint=f"envgit start {found.name}")
    return found


def _describe(repo: Repository, found: Found, request: EnterRequest) -> tuple[SandboxSpec, Companions | None]:
    record, status = found.record, found.status
    plan = ensure_plan(repo, bytes.fromhex(record.oid))
    own = record.runs
    asked = own._replace(
        env=(*own.env, *request.env),
        user=request.user or own.user,
        workdir=request.workdir or own.workdir,
        terminal=request.terminal,
        mounts=(),
        volumes_from=(),
        publish=(),
        publish_all=False,
        network="none",
    )
    spec = describe(repo, asked, plan, Inside(status.pid, status.start_time)).spec
    spec = spec._replace(argv=tuple(os.fsencode(word) for word in request.command))
    return spec, _Joined(status.group) if status.group else None


def _with_status(error: EnvgitError, status: int) -> EnvgitError:
    error.exit_code = status
    return error
