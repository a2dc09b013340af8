"""Hooks of config.json that run in the runtime's namespaces, as the runtime specification's life cycle orders them."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping

from envgit.errors import SandboxError
from envgit.exec.oci.fields import Fields
from envgit.exec.process import PYTHON_IGNORES, exit_status
from envgit.light_typing import NamedTuple

POINTS = ("prestart", "createRuntime", "poststart", "poststop")
_INSIDE = ("createContainer", "startContainer")
_POLL_SECONDS = 0.01
_MOST_SECONDS = 3600


class Hook(NamedTuple):
    path: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    timeout_seconds: int | None = None


def read_hooks(config: Fields) -> dict[str, tuple[Hook, ...]]:
    """Return the hooks of each point; SandboxError for those that would run inside the sandbox, which are not supported."""
    hooks = config.object("hooks")
    for point in hooks.names():
        if point in _INSIDE:
            raise SandboxError(f"config.json: hooks.{point} is not supported: nothing of the host runs in a sandbox")
        if point not in POINTS:
            raise SandboxError(f"config.json: hooks.{point} is unknown")
    return {point: tuple(_read_hook(each) for each in hooks.objects(point)) for point in POINTS}


def run_hooks(hooks: tuple[Hook, ...], state: Mapping[str, object]) -> None:
    """Run hooks in order with the state on standard input. Raises SandboxError at the first that fails."""
    for hook in hooks:
        _run(hook, json.dumps(state).encode())


def run_all_hooks(hooks: tuple[Hook, ...], state: Mapping[str, object], warn: Callable[[str], None]) -> None:
    """Run every hook, whatever the others do: the specification wants failures of poststart and poststop only logged."""
    for hook in hooks:
        try:
            run_hooks((hook,), state)
        except SandboxError as error:
            warn(error.message)


def _read_hook(fields: Fields) -> Hook:
    path = fields.text("path")
    if not path.startswith("/"):
        raise SandboxError(f"config.json: {fields.name}.path must be absolute")
    env = {}
    for item in fields.texts("env"):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise SandboxError(f"config.json: {fields.name}.env: {item!r} is not NAME=VALUE")
        env[name] = value
    timeout = fields.number("timeout", 0, most=_MOST_SECONDS) if fields.value.get("timeout") is not None else None
    if timeout == 0:
        raise SandboxError(f"config.json: {fields.name}.timeout must be greater than zero")
    return Hook(path, fields.texts("args") or (path,), env, timeout)


def _run(hook: Hook, text: bytes) -> None:
    memory = os.memfd_create("state")
    try:
        os.write(memory, text)
        os.lseek(memory, 0, os.SEEK_SET)
        actions = [(os.POSIX_SPAWN_DUP2, memory, 0)]
        pid = os.posix_spawn(
            hook.path, hook.args, dict(hook.env), file_actions=actions, setsigmask=(), setsigdef=PYTHON_IGNORES
        )
    except OSError as error:
        raise SandboxError(f"hook {hook.path}: {error.strerror}") from error
    finally:
        os.close(memory)
    status = _wait(pid, hook)
    if status:
        raise SandboxError(f"hook {hook.path} failed with status {status}")


def _wait(pid: int, hook: Hook) -> int:
    if hook.timeout_seconds is None:
        return exit_status(os.waitpid(pid, 0)[1])
    until = time.monotonic() + hook.timeout_seconds
    while True:
        done, raw = os.waitpid(pid, os.WNOHANG)
        if done:
            return exit_status(raw)
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise SandboxError(f"hook {hook.path} took longer than {hook.timeout_seconds} s")
        time.sleep(_POLL_SECONDS)
