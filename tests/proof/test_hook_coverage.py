"""No mutation of the repository escapes the fault hook: else the crash tests would not know that it is there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from envgit.store import storage

from .child import envgit
from .conftest import Fresh
from .scenarios import SCENARIOS, Scenario

CREATES = os.O_CREAT
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink")
HARMLESS = ("tmp_", "cut", "layers/.", "layers/new-", "layers/handover.new", "sandboxes/")
"""Names that only become something by a later step that is announced, or that gc removes: killed before, they are litter."""


def unannounced(project: Path, words: tuple[str, ...]) -> list[str]:
    """Return the mutations, by path, that came without a step of their own."""
    memory = os.memfd_create("mutations")
    folder = str(project / ".envgit") + "/"

    def install() -> None:
        announced = True

        def announce(step: str) -> None:
            nonlocal announced
            announced = True

        def watch(event: str, args: tuple[Any, ...]) -> None:
            nonlocal announced
            if event == "open" and not (isinstance(args[2], int) and args[2] & CREATES):
                return
            if event not in EVENTS and event != "open" or not isinstance(args[0], str | bytes):
                return
            path = os.fsdecode(args[1] if event in ("os.rename", "os.link") else args[0])
            if not path.startswith(folder):
                return
            name = path[len(folder) :]
            if not announced and not name.startswith(HARMLESS) and not os.path.basename(name).startswith("tmp_"):
                os.write(memory, f"{event} {name}\n".encode())
            announced = False

        storage.set_fault_hook(announce)
        sys.addaudithook(watch)

    envgit(project, *words, prepare=install).good()
    os.lseek(memory, 0, os.SEEK_SET)
    with open(memory) as file:
        return file.read().splitlines()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: str(scenario.name))
def test_every_mutation_is_announced(fresh: Fresh, scenario: Scenario) -> None:
    project = fresh()
    scenario.prepare(project)
    assert unannounced(project, scenario.words) == []
