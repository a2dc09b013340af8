"""The program that makes the attempts: compiled for the session, its catalogue and its verdicts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

SOURCES = Path(__file__).parent
FAILED = ("ESCAPED", "REACHED", "error")
"""Verdicts that no sandbox may get. "attempted" is judged by `host.Host.harm`."""

ABSENT = frozenset((
    "ENOENT", "ENOSYS", "ENODEV", "ENXIO", "ENOTSUP", "EOPNOTSUPP", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT",
    "ENOPROTOOPT",
))  # fmt: skip
"""What an unconfined attempt gets when this kernel does not have the facility at all."""


class Attempt(NamedTuple):
    """One escape attempt; `control` as probe.h says."""

    group: str
    name: str
    control: str
    criterion: str


class Verdict(NamedTuple):
    kind: str
    evidence: str

    @property
    def failed(self) -> bool:
        return self.kind in FAILED


def build(folder: Path) -> Path:
    """Compile the attempts into one static program in `folder`."""
    program = folder / "probe"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    flags = ("-static", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result", "-Wno-format-truncation")
    done = subprocess.run(
        ["gcc", *flags, "-o", program, *sources], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return program


def catalogue(program: Path) -> dict[str, Attempt]:
    """Return every attempt by its name."""
    text = subprocess.run([program, "--list"], capture_output=True, text=True, timeout=20, check=True).stdout
    attempts = [Attempt(*line.split("\t")) for line in text.splitlines()]
    return {attempt.name: attempt for attempt in attempts if attempt.criterion}


def parse_verdicts(text: str) -> dict[str, Verdict]:
    """Return the verdicts that the program printed, by name of the attempt."""
    found: dict[str, Verdict] = {}
    for line in text.splitlines():
        name, *rest = line.rstrip("\r").split("\t")
        if len(rest) == 2:
            kind, evidence = rest
            found[name] = Verdict(kind, evidence)
    return found


def failures(verdicts: dict[str, Verdict], expected: Iterable[str]) -> list[str]:
    """Return a line for each attempt that succeeded or gave no verdict."""
    missing = [f"{name}: no verdict" for name in expected if name not in verdicts]
    return missing + [f"{name}: {got.kind} {got.evidence}" for name, got in verdicts.items() if got.failed]
