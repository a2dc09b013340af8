"""A process on its way into a container: what the configuration asks for, and what is made for it outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack

from envgit.errors import SandboxError
from envgit.exec.cgroups.group import Group, create_group
from envgit.exec.cgroups.limits import raise_hard_limits
from envgit.exec.launch import Launch, Sandbox
from envgit.exec.oci.console import send_terminal, set_terminal_size
from envgit.exec.oci.fields import Fields, parse_object
from envgit.exec.oci.from_oci import Bundle, from_oci
from envgit.exec.oci.hooks import Hook, read_hooks, run_all_hooks, run_hooks
from envgit.exec.oci.state import Folder, Record, format_state
from envgit.exec.reactor import Reactor
from envgit.exec.runner import Companions
from envgit.exec.spec import SandboxSpec
from envgit.light_typing import NamedTuple

MOST_CONFIG_BYTES = 16 << 20


class Streams(NamedTuple):
    """Where the caller wants to learn of a process: a file for its pid, a socket for its terminal."""

    pid_file: str = ""
    console_socket: str = ""


class Executing(Companions):
    """A process on its way into a container: limits, group, terminal, pid file."""

    def __init__(self, spec: SandboxSpec, group: Group, streams: Streams, process: Fields) -> None:
        self.spec = spec
        self.group = group
        self.streams = streams
        self.process = process
        self.takes_terminal = bool(streams.console_socket)

    def created(self, pid: int) -> None:
        raise_hard_limits(pid, self.spec.rlimits)
        self.group.add(pid)

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        self.announce(sandbox)

    def finish(self, start: Launch) -> Sandbox:
        """Let a process that outlives us build its sandbox; return when it waits at the gate, or its program runs."""
        try:
            self.created(start.pid)
            start.release()
        except BaseException:
            start.abort()
            raise
        return start.confirm()

    def announce(self, sandbox: Sandbox) -> None:
        if sandbox.terminal >= 0:
            set_terminal_size(sandbox.terminal, self.process)
            if self.streams.console_socket:
                send_terminal(sandbox.terminal, self.streams.console_socket)
                os.close(sandbox.terminal)
        if self.streams.pid_file:
            _write_whole(self.streams.pid_file, b"%d" % sandbox.pid)


class Making(Executing):
    """A container on its way: what its configuration says, and what is made for it outside."""

    def __init__(
        self, folder: Folder, bundle: str, created: str, streams: Streams, warn: Callable[[str], None]
    ) -> None:
        self.warn = warn
        self.folder = folder
        self.bundle = os.path.abspath(bundle)
        self.when = created
        self.text = read_configuration(self.bundle)
        config = Fields(parse_object(self.text, "config.json"), "")
        self.asked: Bundle = from_oci(config.value, os.fsencode(self.bundle))
        if not self.asked.spec.argv[0]:
            raise SandboxError("config.json: process is missing")
        self.hooks: dict[str, tuple[Hook, ...]] = read_hooks(config)
        self.annotations = config.mapping("annotations")
        self.pid = 0
        super().__init__(self.asked.spec, Group(), streams, config.object("process"))
        for warning in self.asked.warnings:
            warn(warning)

    def claimed(self, *, with_gate: bool) -> Claim:
        return Claim(self, with_gate)

    def prepare(self) -> None:
        """Write the configuration down and make the control group."""
        self.folder.write_config(self.text)
        self.group = create_group(f"oci-{self.folder.id}".replace("+", "_"), self.asked.resources.limits)
        for notice in self.group.notices:
            self.warn(notice)
        self.spec = self.spec._replace(rlimits=merge_limits(self.spec.rlimits, self.group.rlimits))

    def created(self, pid: int) -> None:
        super().created(pid)
        self.pid = pid
        state = self.state("creating")
        run_hooks((*self.hooks["prestart"], *self.hooks["createRuntime"]), state)

    def announce(self, sandbox: Sandbox) -> None:
        super().announce(sandbox)
        self.folder.write(
            Record(self.folder.id, sandbox.pid, sandbox.start_time, self.bundle, self.when, self.group.record)
        )

    def started(self, sandbox: Sandbox, reactor: Reactor) -> None:
        super().started(sandbox, reactor)
        run_all_hooks(self.hooks["poststart"], self.state("running"), self.warn)

    def state(self, status: str) -> dict[str, object]:
        return format_state(Record(self.folder.id, self.pid, 0, self.bundle, self.when), status, self.annotations)

    def forget(self) -> None:
        """Remove what was made outside."""
        self.group.kill()
        self.group.remove()
        self.folder.remove()


class Claim:
    """The time in which a container is made: its folder is locked, and goes again when making it fails."""

    def __init__(self, making: Making, with_gate: bool) -> None:
        self._making = making
        self._with_gate = with_gate
        self._stack = ExitStack()

    def __enter__(self) -> int:
        lock = self._making.folder.claim()
        self._stack.callback(os.close, lock)
        try:
            self._making.prepare()
            if not self._with_gate:
                return -1
            gate = self._making.folder.make_gate()
            self._stack.callback(os.close, gate)
            return gate
        except BaseException:
            self.__exit__(SandboxError)
            raise

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        with self._stack:
            if kind is not None:
                self._making.forget()


def read_configuration(bundle: str) -> bytes:
    """Return the config.json of a bundle; SandboxError when there is none, or it is no sensible file."""
    path = os.path.join(bundle, "config.json")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            text = file.read(MOST_CONFIG_BYTES + 1)
    except OSError as error:
        raise SandboxError(f"{path}: {error.strerror}", hint="envgit-oci spec writes one") from error
    if len(text) > MOST_CONFIG_BYTES:
        raise SandboxError(f"{path} is larger than {MOST_CONFIG_BYTES >> 20} MiB")
    return text


def merge_limits(
    asked: tuple[tuple[int, int, int], ...], substitutes: tuple[tuple[int, int, int], ...]
) -> tuple[tuple[int, int, int], ...]:
    """Return resource limits: what was asked for wins over what stands in for a control group."""
    return (*asked, *(each for each in substitutes if each[0] not in {number for number, _, _ in asked}))


def check_console(spec: SandboxSpec, streams: Streams) -> None:
    """Raise SandboxError unless a process that outlives us has a terminal exactly when somebody takes it."""
    if spec.terminal and not streams.console_socket:
        raise SandboxError("process.terminal is true, and nobody would have the terminal", hint="--console-socket PATH")
    if streams.console_socket and not spec.terminal:
        raise SandboxError("--console-socket without process.terminal makes no sense")


def _write_whole(path: str, text: bytes) -> None:
    """Write a file that nobody ever sees half written."""
    temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.new")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        with open(fd, "wb") as file:
            file.write(text)
        os.rename(temporary, path)
    except OSError as error:
        raise SandboxError(f"pid file {path}: {error.strerror}") from error
