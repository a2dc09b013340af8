"""Sandboxes with volumes: run one, and look at what it left."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.exec import runner
from envgit.exec.spec import Mount, OverlayRoot, SandboxSpec


def output(capfd: pytest.CaptureFixture[str], spec: SandboxSpec, status: int = 0) -> str:
    capfd.readouterr()
    code = runner.run(spec)
    out, err = capfd.readouterr()
    assert code == status, (code, out, err)
    return out


def bind(source: Path, target: bytes = b"/x", **fields: object) -> Mount:
    return Mount("bind", target, os.fsencode(source), **fields)  # type: ignore[arg-type]


def upper_of(spec: SandboxSpec) -> Path:
    assert isinstance(spec.root, OverlayRoot)
    return Path(os.fsdecode(spec.root.upper))
