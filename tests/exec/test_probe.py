"""The probes say what really works here, and leave nothing behind."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported
from envgit.exec import idmap, linux, probe, runner
from envgit.exec.probe import probe_host
from envgit.exec.spec import SandboxSpec


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


def test_a_host_without_user_namespaces(monkeypatch: pytest.MonkeyPatch, make_spec: Callable[..., SandboxSpec]) -> None:
    def refuse(flags: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", "clone")

    monkeypatch.setattr(linux, "clone_process", refuse)
    monkeypatch.setattr(probe, "_setting", lambda name: "0" if name == "user/max_user_namespaces" else "")
    with pytest.raises(HostUnsupported, match="user.max_user_namespaces") as caught:
        runner.run(make_spec("true"))
    assert "envgit doctor" in str(caught.value.hint)
    namespace = next(finding for finding in probe_host() if finding.name == "user namespace")
    assert namespace.fix == "sudo sysctl -w user.max_user_namespaces=15000"


def test_ubuntus_restriction_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(flags: int) -> int:
        raise OSError(13, "Permission denied", "clone")

    setting = {"kernel/apparmor_restrict_unprivileged_userns": "1"}
    monkeypatch.setattr(linux, "clone_process", refuse)
    monkeypatch.setattr(probe, "_setting", lambda name: setting.get(name, ""))
    namespace = next(finding for finding in probe_host() if finding.name == "user namespace")
    assert "AppArmor" in namespace.detail
    assert namespace.fix == "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"


def test_missing_newuidmap_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idmap, "HELPER_FOLDERS", ())
    monkeypatch.setattr(os, "geteuid", lambda: 1001)
    ids = next(finding for finding in probe_host() if finding.name == "ids")
    assert not ids.ok and not ids.required and "uidmap" in ids.fix


def test_the_network_is_reported_with_what_helps(tmp_path: Path) -> None:
    finding = probe.probe_network(folders=(os.fsencode(tmp_path),))
    assert not finding.ok and not finding.required
    assert "passt" in finding.fix
    assert "network" in [each.name for each in probe_host()]
