"""The life cycle of containers over the built-in runner: create, start, state, kill, delete, run, exec (runtime.md).

Between `create` and `start` the sandbox is finished and its first process waits at a gate, the last step before execve.
No process of ours stays behind: it belongs to whoever reaps orphans (conmon), and what is known of it is in its folder.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress

from envgit.errors import SandboxError
from envgit.exec.cgroups.group import Group, find_group
from envgit.exec.launch import launch
from envgit.exec.oci.fields import Fields, parse_object
from envgit.exec.oci.from_oci import from_oci, with_process
from envgit.exec.oci.hooks import read_hooks, run_all_hooks
from envgit.exec.oci.making import MOST_CONFIG_BYTES, Executing, Making, Streams, check_console
from envgit.exec.oci.state import Folder, Record, check_root, find_status, format_state, is_alive, list_ids
from envgit.exec.process import end
from envgit.exec.runner import run
from envgit.exec.spec import Inside
from envgit.light_typing import NamedTuple

_KILL_MILLISECONDS = 10_000


class Container(NamedTuple):
    """A container as the state directory and the machine have it now."""

    record: Record
    status: str
    annotations: dict[str, str]

    def state(self) -> dict[str, object]:
        return format_state(self.record, self.status, self.annotations)


class Runtime:
    """Containers below one state directory. `warn` receives what a configuration asks for and does not get."""

    def __init__(self, root: str, warn: Callable[[str], None]) -> None:
        self.root = root
        self.warn = warn
        if os.path.lexists(root):
            check_root(root)

    def create(self, id: str, bundle: str, created: str, streams: Streams) -> None:
        """Make a container whose program waits for start(); nothing is left when it fails. `created`: RFC 3339."""
        making = Making(Folder(self.root, id), bundle, created, streams, self.warn)
        check_console(making.spec, streams)
        with making.claimed(with_gate=True) as gate:
            start = launch(making.spec, warn=self.warn, outlives=True, gate=gate)
            sandbox = making.finish(start)
            try:
                making.announce(sandbox)
            except BaseException:
                end(sandbox.pid)
                raise

    def start(self, id: str) -> None:
        """Let the program of a created container go."""
        folder = Folder(self.root, id)
        lock = folder.lock()
        try:
            record = folder.read()
            status = find_status(folder, record)
            if status != "created":
                raise SandboxError(f"cannot start container {id}: it is {status}")
            config = Fields(folder.read_config(), "")
            folder.open_gate()
        finally:
            os.close(lock)
        state = format_state(record, "running", config.mapping("annotations"))
        run_all_hooks(read_hooks(config)["poststart"], state, self.warn)

    def run(self, id: str, bundle: str, created: str, streams: Streams) -> int:
        """Run a container in the foreground and return its program's status; nothing of it is left afterwards."""
        making = Making(Folder(self.root, id), bundle, created, streams, self.warn)
        with making.claimed(with_gate=False):
            try:
                status = run(making.spec, companions=making, on_warning=self.warn)
            finally:
                making.forget()
        run_all_hooks(making.hooks["poststop"], making.state("stopped"), self.warn)
        return status

    def look(self, id: str) -> Container:
        """Return a container; SandboxError when there is none."""
        folder = Folder(self.root, id)
        record = folder.read()
        annotations = Fields(folder.read_config(), "").mapping("annotations")
        return Container(record, find_status(folder, record), annotations)

    def containers(self) -> list[Container]:
        """Return all containers; one that is being deleted is left out."""
        found = []
        for id in list_ids(self.root):
            with suppress(SandboxError, FileNotFoundError):
                found.append(self.look(id))
        return found

    def kill(self, id: str, number: int, *, everything: bool = False) -> None:
        """Send a signal to the first process, or to every process. SandboxError unless created or running."""
        record = Folder(self.root, id).read()
        if not is_alive(record):
            raise SandboxError(f"cannot kill container {id}: it is not running")
        if everything and number != signal.SIGKILL:
            _signal_all(record, number)
        else:
            _signal(record, number)

    def delete(self, id: str, *, force: bool = False) -> None:
        """Remove a stopped container; with `force` kill it first, and be content when there is none."""
        folder = Folder(self.root, id)
        try:
            lock = folder.lock()
        except SandboxError:
            if force:
                return
            raise
        try:
            if force and not folder.is_recorded():
                folder.discard()
                return
            record = folder.read()
            status = find_status(folder, record)
            if status != "stopped":
                if not force:
                    hint = f"envgit-oci kill {id} KILL, or envgit-oci delete --force {id}"
                    raise SandboxError(f"cannot delete container {id}: it is {status}", hint=hint)
                _kill_and_wait(record)
            config = Fields(folder.read_config(), "")
            _remove_group(record.group)
            folder.remove()
        finally:
            os.close(lock)
        state = format_state(record, "stopped", config.mapping("annotations"))
        run_all_hooks(read_hooks(config)["poststop"], state, self.warn)

    def exec(self, id: str, process: object, streams: Streams, *, detach: bool) -> int:
        """Run another process, an OCI `process` object, in a container; return its status, 0 when detached.

        `process` is a function of the container's own process object where it is callable.
        """
        folder = Folder(self.root, id)
        record = folder.read()
        if not is_alive(record):
            raise SandboxError(f"cannot execute in container {id}: it is not running")
        config = folder.read_config()
        bundle = from_oci(config, os.fsencode(record.bundle))
        own = Fields(config, "").object("process").value
        wanted = Fields(process(own) if callable(process) else process, "process")
        warnings: list[str] = []
        spec = with_process(bundle.spec, wanted, warnings)._replace(root=Inside(record.pid, record.start_time))
        for warning in warnings:
            self.warn(warning)
        executing = Executing(spec, find_group(record.group) or Group(), streams, wanted)
        if detach:
            check_console(spec, streams)
            start = launch(spec, warn=self.warn, outlives=True)
            sandbox = executing.finish(start)
            try:
                executing.announce(sandbox)
            except BaseException:
                end(sandbox.pid)
                raise
            return 0
        return run(spec, companions=executing, on_warning=self.warn)


def read_process(path: str) -> object:
    """Return the process object of a file; SandboxError when there is none."""
    try:
        with open(path, "rb") as file:
            return parse_object(file.read(MOST_CONFIG_BYTES), path)
    except OSError as error:
        raise SandboxError(f"{path}: {error.strerror}") from error


def processes_of(record: Record) -> list[int]:
    """Return the pids of everything in the container's pid namespace, first process first."""
    own = _namespace_of(record)
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit() and _is_in(int(name), own))


def _namespace_of(record: Record) -> str:
    try:
        return os.readlink(f"/proc/{record.pid}/ns/pid_for_children")
    except OSError:
        return ""


def _is_in(pid: int, namespace: str) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == namespace
    except OSError:
        return False


def _signal_all(record: Record, number: int) -> None:
    """Send a signal to every process of the container, and to no other that has got the pid of one meanwhile."""
    own = _namespace_of(record)
    for pid in processes_of(record):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if is_alive(record) and _is_in(pid, own):  # the second look: of the process that the descriptor means
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, number)
        finally:
            os.close(fd)


def _signal(record: Record, number: int) -> None:
    """Send a signal to exactly the process that was recorded."""
    try:
        fd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(record):
            signal.pidfd_send_signal(fd, number)
    finally:
        os.close(fd)


def _kill_and_wait(record: Record) -> None:
    try:
        fd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(record):
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            waiter = select.poll()
            waiter.register(fd, select.POLLIN)
            if not waiter.poll(_KILL_MILLISECONDS):
                raise SandboxError(f"container {record.id} does not end: process {record.pid} is stuck in the kernel")
    finally:
        os.close(fd)


def _remove_group(record: tuple[str, ...]) -> None:
    group = find_group(record)
    if group is not None:
        group.kill()
        group.remove()
