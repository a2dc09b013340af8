"""The probes say what really works here, and leave nothing behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from envgit.exec import idmap, linux
from envgit.exec.probe import probe_host


def test_this_host_is_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fds = os.listdir("/proc/self/fd")
    assert [finding for finding in probe_host() if finding.required and not finding.ok] == []
    assert os.listdir(tmp_path) == [] and os.listdir("/proc/self/fd") == fds


def test_refused_namespace_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> int:
        raise OSError(1, "Operation not permitted", "clone")

    monkeypatch.setattr(linux, "clone_process", refuse)
    namespace = next(finding for finding in probe_host() if finding.name == "user namespace")
    assert not namespace.ok and "not permitted" in namespace.detail


def test_missing_newuidmap_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idmap, "HELPER_FOLDERS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    ids = next(finding for finding in probe_host() if finding.name == "ids")
    assert not ids.ok and not ids.required and "uidmap" in ids.fix
