"""Many sandboxes of one revision at once: each with its own changes and its number in ENVGIT_INDEX.

One monitor looks after all of them; the page cache of the revision's files is shared. Starts overlap: while one child builds its
sandbox the next is cloned.
"""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from envgit.errors import SandboxError, UsageError
from envgit.exec import linux
from envgit.exec.launch import Launch, Sandbox, launch
from envgit.exec.process import FORWARDED, end, start_time
from envgit.exec.reactor import READABLE, Reactor
from envgit.exec.runner import Ending
from envgit.exec.spec import OverlayRoot
from envgit.layers.plan_file import Plan
from envgit.repo import Repository
from envgit.sandbox.companions import RunCompanions
from envgit.sandbox.describing import Described, describe
from envgit.sandbox.request import RunRequest
from envgit.sandbox.running import hold_plan, mounted_layers, new_id, overlay_of, prepare_upper, remove_sandbox_folder
from envgit.sandbox.state import SandboxState, remove_state, write_state
from envgit.stack import ensure_plan
from envgit.store import storage

INDEX_VARIABLE = "ENVGIT_INDEX"
MOST_COPIES = 10_000
_STARTING_AT_ONCE = 8
"""Children that build their sandboxes at the same time: more only wait for each other."""

_SIGNALFD_BYTES = 128


class Copy(NamedTuple):
    """How one copy ended. `error`: why it did not start; then `status` is 125, 126 or 127."""

    number: int
    """From 0; what the program finds in ENVGIT_INDEX."""
    id: str
    status: int
    error: SandboxError | None = None


def run_copies(repo: Repository, request: RunRequest, count: int, *, keep: bool = False) -> tuple[Copy, ...]:
    """Run the request's program in `count` sandboxes over its revision until all have ended; return them by index, from 0.

    Standard input is empty; the other two descriptors are shared. A signal to this process goes to every copy. With `keep`
    the folder `sandboxes/ID` of each copy stays, for the caller to remove. Raises UsageError for what copies cannot have.
    """
    _check(request, count)
    assert request.revision is not None
    oid = repo.resolve_bytes(request.revision)
    plan = ensure_plan(repo, oid)
    if plan.asked and not request.settled:
        from envgit.sandbox.grants import settle_request

        request = settle_request(repo, request, plan.asked)._replace(publish=(), publish_all=False)
    if request.mounts or request.volumes_from:
        from envgit.sandbox.mounts import prepare_mounts

        prepare_mounts(repo, request.mounts, request.volumes_from)  # before any lock: it may take the repository's
    plan, start_lock = hold_plan(repo, oid, plan)
    try:
        herd = _Herd(repo, request, plan, count, keep)
        herd.keep_layers()
    finally:
        os.close(start_lock)  # gc holds the repository's lock while it waits for this one
    return herd.run()


def _check(request: RunRequest, count: int) -> None:
    if not 1 <= count <= MOST_COPIES:
        raise UsageError(f"-n takes 1 to {MOST_COPIES}, not {count}", hint="envgit run -n 100 REV -- CMD")
    if request.revision is None:
        raise UsageError("copies need a revision: the worktree is one", hint=f"envgit run -n {count} HEAD -- CMD")
    unfit = {
        "-t": request.terminal, "-i": request.interactive, "--name": bool(request.name), "-d": request.detach,
        "-p": bool(request.publish) or request.publish_all, "--runtime": bool(request.runtime),
    }  # fmt: skip
    for option, given in unfit.items():
        if given:
            raise UsageError(f"{option} and -n do not go together", hint="run the copies one by one for that")


class _Herd:
    """All copies of one call and what is known of them."""

    def __init__(self, repo: Repository, request: RunRequest, plan: Plan, count: int, keep: bool) -> None:
        self._repo = repo
        self._request = request
        self._plan = plan
        self._count = count
        self._keep = keep
        self._next = 0
        self._stopping = 0
        self._starting: dict[int, Launch] = {}
        self._running: dict[int, Ending] = {}
        self._done: dict[int, Copy] = {}
        self._own_id = new_id()
        self._ids = [new_id() for _ in range(count)]
        self._described = self._describe()
        self._layers = (*plan.layers, *mounted_layers(self._described.spec.mounts))
        self._companions: dict[int, RunCompanions] = {}
        self._reactor = Reactor()
        self._null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def keep_layers(self) -> None:
        """Name the layers for gc until run() is over: in a state of this process, which lives longer than its copies."""
        own = os.getpid()
        write_state(self._repo, SandboxState(self._own_id, own, start_time(own), "-", self._layers))

    def run(self) -> tuple[Copy, ...]:
        watched = {number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        signals = linux.signalfd({int(number) for number in watched})
        try:
            self._reactor.watch(signals, READABLE, lambda events: self._signalled(signals))
            self._start_some()
            self._reactor.run(until=lambda: len(self._done) == self._count)
        finally:
            for start in self._starting.values():
                start.abort()
            for ending in self._running.values():
                ending.kill()
            for companions in self._companions.values():
                companions.close()
            os.close(signals)
            os.close(self._null)
            self._reactor.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._clean_up()
        return tuple(self._done[index] for index in range(self._count))

    def _describe(self) -> Described:
        """Describe one copy; the others differ in their upper directory and their number."""
        root = OverlayRoot((), b"", b"", volatile=not self._keep)
        return describe(self._repo, self._request, self._plan, root)

    def _start_some(self) -> None:
        while self._next < self._count and len(self._starting) < _STARTING_AT_ONCE and not self._stopping:
            index = self._next
            self._next += 1
            try:
                self._start(index)
            except SandboxError as error:
                self._failed(index, error)
        if self._stopping:
            for index in range(self._next, self._count):
                self._done[index] = Copy(index, self._ids[index], 128 + self._stopping)
            self._next = self._count

    def _start(self, index: int) -> None:
        upper = prepare_upper(self._repo, self._ids[index], self._plan)
        companions = RunCompanions(self._request, self._described.way, (), self._ids[index], None, self._repo.monitor)
        self._companions[index] = companions
        spec = companions.limit(self._described.spec)
        number = (os.fsencode(INDEX_VARIABLE), b"%d" % index)
        root = overlay_of(self._repo, self._plan, upper, volatile=not self._keep)
        start = launch(spec._replace(root=root, env=(*spec.env, number)), stdio=(self._null, 1, 2))
        self._starting[index] = start
        try:
            companions.created(start.pid)
        except BaseException:
            self._starting.pop(index).abort()
            raise
        start.release()
        self._reactor.watch(start.failure, READABLE, lambda events: self._started(index))

    def _started(self, index: int) -> None:
        start = self._starting.pop(index)
        self._reactor.unwatch(start.failure)
        try:
            self._attend(index, start.confirm())
        except SandboxError as error:
            if index in self._running:
                self._running.pop(index).kill()
            self._failed(index, error)
        self._start_some()

    def _attend(self, index: int, sandbox: Sandbox) -> None:
        """Look after a copy that runs; whatever fails here, run() or _started() ends it."""
        taken = False
        try:
            self._running[index] = ending = _watch_over(sandbox.pid)
            write_state(
                self._repo,
                SandboxState(self._ids[index], sandbox.pid, sandbox.start_time, "-", self._layers),
            )
            taken = True
            self._companions[index].started(sandbox, self._reactor)
            ending.watch(self._reactor, lambda: self._ended(index))
        finally:
            if not taken and sandbox.route >= 0:
                os.close(sandbox.route)

    def _ended(self, index: int) -> None:
        status = self._running.pop(index).status
        assert status is not None
        companions = self._companions.pop(index)
        companions.ended(status)
        companions.close()
        self._done[index] = Copy(index, self._ids[index], status)

    def _failed(self, index: int, error: SandboxError) -> None:
        if index in self._companions:
            self._companions.pop(index).close()
        self._done[index] = Copy(index, self._ids[index], error.exit_code, error)

    def _signalled(self, signals: int) -> None:
        try:
            number = int.from_bytes(os.read(signals, _SIGNALFD_BYTES)[:4], "little")
        except BlockingIOError:
            return
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            self._stopping = number
        for ending in self._running.values():
            ending.deliver(number)
        self._start_some()

    def _clean_up(self) -> None:
        remove_state(self._repo, self._own_id)
        for id in self._ids:
            if self._keep:
                storage.unlink(self._repo.path("sandboxes", id, "state"), step="sandbox-state-remove")
            elif os.path.lexists(self._repo.path("sandboxes", id)):
                remove_sandbox_folder(self._repo, id)


def _watch_over(pid: int) -> Ending:
    try:
        return Ending(pid)
    except OSError:
        end(pid)
        raise
