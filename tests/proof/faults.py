"""Faults at named steps: record them, kill at the k-th, fail the k-th with an errno, or pause there."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from envgit.store import storage

from .child import Result, envgit

Patch = Callable[[], None]


def nothing() -> None:
    """No patch."""


def kill_at(k: int, patch: Patch = nothing) -> Patch:
    """Return what installs: kill -9 before the k-th step (from 0) is done."""
    return _at(k, lambda step: os.kill(os.getpid(), signal.SIGKILL), patch)


def fail_at(k: int, error: int, patch: Patch = nothing) -> Patch:
    """Return what installs: the k-th step fails with an errno, once."""

    def fail(step: str) -> None:
        raise OSError(error, os.strerror(error))

    return _at(k, fail, patch)


def pause_at(name: str, there: Path, go_on: Path, patch: Patch = nothing) -> Patch:
    """Return what installs: before the first step of this name, create `there`, then wait until `go_on` exists."""
    done = False

    def hook(step: str) -> None:
        nonlocal done
        if step == name and not done:
            done = True
            there.touch()
            while not go_on.exists():
                time.sleep(0.002)

    def install() -> None:
        patch()
        storage.set_fault_hook(hook)

    return install


def _at(k: int, action: Callable[[str], None], patch: Patch) -> Patch:
    count = 0
    owner = 0

    def hook(step: str) -> None:
        nonlocal count
        count += 1
        if count == k + 1:
            action(step)

    def install() -> None:
        nonlocal owner
        patch()
        owner = os.getpid()
        storage.set_fault_hook(hook)

    return install


def record(project: Path, words: Sequence[str], patch: Patch = nothing) -> tuple[Result, list[str]]:
    """Run a command and return its result and the steps it reached, those of its own children included."""
    memory = os.memfd_create("steps")

    def install() -> None:
        patch()
        storage.set_fault_hook(lambda step: None if os.write(memory, step.encode() + b"\n") else None)

    result = envgit(project, *words, prepare=install)
    os.lseek(memory, 0, os.SEEK_SET)
    with open(memory, encoding="ascii") as file:
        return result, file.read().split()
