"""The monitor of a recorded sandbox: runs its program, again by its restart policy, and serves who asks.

One process per sandbox, no thread, asleep in epoll while nothing happens. Everything that others need to know is in files that
the next command can read after it was killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from envgit.errors import EnvgitError, SandboxError, StorageError
from envgit.exec import linux
from envgit.exec.guard import start_guard
from envgit.exec.launch import Sandbox
from envgit.exec.process import ENDING, FORWARDED, end
from envgit.exec.reactor import READABLE, Reactor
from envgit.exec.runner import Companions
from envgit.repo import Repository
from envgit.sandbox.attachments import Attachments
from envgit.sandbox.log_file import LogFile
from envgit.sandbox.record import Record
from envgit.sandbox.restart_policy import next_delay, parse_restart_policy
from envgit.sandbox.running import run_once
from envgit.sandbox.status import Status, boot_id, write_status
from envgit.sandbox.stop_signal import parse_signal
from envgit.sandbox.streams import Streams
from envgit.worktree import worktree_name

if TYPE_CHECKING:
    from envgit.exec.cgroups.kind import Group
    from envgit.exec.ports.publish import Bound

PASSED_ON = frozenset((*FORWARDED, signal.SIGWINCH))
_SIGNALFD_BYTES = 128
_RETRY_SECONDS = 1.0


class Supervisor(Companions):
    """Supervises one sandbox in this process, which holds its lock. `started` is called once, when the program first runs."""

    takes_terminal = True

    def __init__(self, repo: Repository, record: Record, on_started: Callable[[], None]) -> None:
        self._repo = repo
        self._record = record
        self._on_started = on_started
        self._folder = repo.path("sandboxes", record.id)
        self._policy = parse_restart_policy(record.request.restart)
        self._stop_signal = parse_signal(record.request.stop_signal or "TERM")
        self._status = Status(monitor=os.getpid(), boot=boot_id())
        self._sandbox: Sandbox | None = None
        self._guard = 0
        self._guard_fd = -1
        self._stay_ended = False
        self._woken = False
        self._unwritten = False
        self._began = 0.0
        request = record.request
        self._log = LogFile(self._folder, request.log_max_bytes, request.log_max_files)
        self.attachments = Attachments(self._folder, self)
        self._streams = Streams(
            self._log,
            self.attachments.send,
            self.attachments.resume,
            lambda: self.attachments.is_behind,
            interactive=request.interactive,
            terminal=request.terminal,
        )

    def supervise(self) -> Status:
        """Run the program until it stays ended; return how. Raises SandboxError when it never started."""
        delay = 0.0
        while True:
            self._began = time.monotonic()
            code = self._run()
            lived = time.monotonic() - self._began
            if self._stay_ended or not self._policy.wants(code, self._status.restarts):
                break
            delay = next_delay(delay, lived)
            self._put(phase="restarting")
            self._wait(delay)
            if self._stay_ended:
                break
            self._put(restarts=self._status.restarts + 1)
        self._put(phase="exited", exit_by_user=self._stay_ended)
        self._log.close()
        return self._status

    def give_up(self, reason: str) -> None:
        """Note why this monitor ends though its work is not done; a sandbox that never ran stays as it was."""
        if self._status.started_ns:
            self._put(
                phase="dead",
                pid=0,
                start_time=0,
                ports=(),
                group=(),
                exit_code=SandboxError.exit_code,
                finished_ns=time.time_ns(),
                error=reason,
            )

    def note(self, reason: str) -> None:
        """Note what went wrong after the program had ended."""
        self._put(error=reason)

    def finish(self) -> None:
        """Tell everybody who waits; the last thing that is done."""
        self.attachments.finish(self._status.exit_code)

    # the runner's calls

    def created(self, pid: int) -> None:
        self._end_guard()  # of a start that failed and is tried again
        try:
            self._set_guard(pid)
        except OSError as error:
            raise SandboxError(f"its guard cannot be started: {error.strerror or error}") from error

    def furnished(self, ports: tuple[Bound, ...], group: Group | None) -> None:
        """What was made beside the sandbox, before it started."""
        self._status = self._status._replace(
            ports=tuple((port.address, port.host_port, port.port, port.protocol) for port in ports),
            group=group.record if group is not None else (),
        )

    def ran_out_of_memory(self) -> None:
        """The kernel ended a program because a limit was reached."""
        self._status = self._status._replace(out_of_memory=True)

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        self._sandbox = sandbox
        self._streams.watch(reactor, sandbox.terminal)
        self.attachments.watch(reactor)
        self._watch_guard(reactor)
        self._put(
            phase="running",
            pid=sandbox.pid,
            start_time=sandbox.start_time,
            started_ns=time.time_ns(),
            error="",
            exit_code=0,
        )
        self._put_later(reactor)
        self._on_started()
        self._on_started = lambda: None

    def ended(self, status: int) -> None:
        self._end_run()

    # what clients ask

    def take_input(self, data: bytes) -> bool:
        return self._streams.take_input(data)

    def end_input(self) -> None:
        self._streams.end_input()

    def resize(self, rows: int, columns: int) -> None:
        self._streams.resize(rows, columns)

    def signal(self, number: int) -> str | None:
        if number in (signal.SIGKILL, self._stop_signal):
            self.stay_ended()
        if self._sandbox is None:
            return None if self._stay_ended else "it is between two starts"
        try:
            # The runner takes what it passes on from this process's signals: so the exit status says which one it was.
            passed_on = number in PASSED_ON and number != signal.SIGWINCH
            os.kill(os.getpid() if passed_on else self._sandbox.pid, number)
        except OSError as error:
            return error.strerror or "it has ended"
        return None

    def resume_output(self) -> None:
        self._streams.resume_output()

    def stay_ended(self) -> None:
        self._stay_ended = True
        self._woken = True

    # parts

    def _run(self) -> int:
        try:
            self._check_worktree()
            request = self._record.runs
            code = run_once(self._repo, request, self._record.id, stdio=self._streams.prepare(), beside=self, keep=True)
        except EnvgitError as error:
            if not self._status.started_ns:
                raise
            self._end_run()
            code = error.exit_code if isinstance(error, SandboxError) else SandboxError.exit_code
            self._put(error=error.message)
        self._put(pid=0, start_time=0, ports=(), group=(), exit_code=code, finished_ns=time.time_ns())
        return code

    def _check_worktree(self) -> None:
        """A worktree's sandbox must not come back in another branch's worktree."""
        wanted = self._record.worktree
        if wanted and worktree_name(self._repo.branch_name()) != wanted:
            raise SandboxError(f"it works in the worktree of {wanted}, and another branch is checked out")

    def _end_run(self) -> None:
        self._sandbox = None
        self.attachments.unwatch()
        self._streams.drain()
        self._end_guard()

    def _end_guard(self) -> None:
        if self._guard:
            with suppress(ProcessLookupError):
                os.kill(self._guard, signal.SIGKILL)
            os.waitpid(self._guard, 0)
            os.close(self._guard_fd)
            self._guard = 0

    def _set_guard(self, pid: int) -> None:
        guard = start_guard(pid)
        try:
            self._guard_fd = os.pidfd_open(guard)
        except OSError:
            end(guard)
            raise
        self._guard = guard

    def _watch_guard(self, reactor: Reactor) -> None:
        """A guard that is killed is replaced."""

        def gone(events: int) -> None:
            reactor.unwatch(self._guard_fd)
            os.close(self._guard_fd)
            os.waitpid(self._guard, 0)
            self._guard = 0
            self._replace_guard(reactor)

        reactor.watch(self._guard_fd, READABLE, gone)

    def _replace_guard(self, reactor: Reactor) -> None:
        """Start another one, now or, when there is no place for a process or descriptor, later."""
        if self._sandbox is None:
            return
        try:
            self._set_guard(self._sandbox.pid)
        except ProcessLookupError:
            return
        except OSError:
            reactor.after(_RETRY_SECONDS, partial(self._replace_guard, reactor))
            return
        self._watch_guard(reactor)

    def _wait(self, seconds: float) -> None:
        """Wait between two starts, for clients and for a signal that ends this process, as at the end of the machine's day."""
        reactor = Reactor()
        signals = linux.signalfd({int(number) for number in PASSED_ON})
        try:

            def signalled(events: int) -> None:
                if int.from_bytes(os.read(signals, _SIGNALFD_BYTES)[:4], "little") in ENDING:
                    self.stay_ended()

            reactor.watch(signals, READABLE, signalled)
            self.attachments.watch(reactor)
            self._woken = False
            self._put_later(reactor)
            reactor.after(seconds, self._wake)
            reactor.run(until=lambda: self._woken)
        finally:
            self.attachments.unwatch()
            reactor.close()
            os.close(signals)

    def _wake(self) -> None:
        self._woken = True

    def _put(self, **changes: object) -> None:
        """Change the status; on a disk that refuses, memory alone knows for a while."""
        self._status = self._status._replace(**changes)  # type: ignore[arg-type]
        try:
            write_status(self._repo, self._record.id, self._status)
            self._unwritten = False
        except StorageError:
            self._unwritten = True

    def _put_later(self, reactor: Reactor) -> None:
        """Try again now and then to write a status that the disk refused."""
        if self._unwritten:
            self._put()
        if self._unwritten:
            reactor.after(_RETRY_SECONDS, partial(self._put_later, reactor))
