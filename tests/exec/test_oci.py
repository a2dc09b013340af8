"""The spec as OCI data says what the runner does."""

from __future__ import annotations

import json

import pytest

from envgit.errors import SandboxError
from envgit.exec.identity import Identity
from envgit.exec.mounts import check_target
from envgit.exec.oci import to_oci
from envgit.exec.runner import plan
from envgit.exec.spec import LiveRoot, Mount
from tests.exec.test_run import MakeSpec


def test_oci_spec_is_complete_and_json(make_spec: MakeSpec) -> None:
    spec = make_spec("sh", "-c", "true", mounts=(Mount("bind", b"/x", b"/srv", True),), rlimits=((7, 10, 20),))
    oci = json.loads(json.dumps(to_oci(spec, Identity(0, 0, (), b"/root"), b"/r")))
    assert oci["process"]["args"] == ["sh", "-c", "true"] and oci["process"]["noNewPrivileges"]
    assert oci["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]
    assert {entry["type"] for entry in oci["linux"]["namespaces"]} >= {"user", "network", "pid"}
    assert oci["mounts"][-1]["options"][-1] == "ro"
    assert to_oci(spec, Identity(5, 5, (), b"/"), b"/r")["process"]["capabilities"]["effective"] == []  # type: ignore[index]
    with pytest.raises(SandboxError):
        to_oci(make_spec("true", root=LiveRoot(1, 1)), Identity(0, 0, (), b"/"), b"/r")


def test_plan_is_described_in_order(make_spec: MakeSpec) -> None:
    lines = plan(make_spec("true", mounts=(Mount("tmpfs", b"/scratch"),), readonly_root=True))
    assert lines[0].startswith("overlay") and lines[1].startswith("fresh /dev")
    assert lines[-2:] == ["tmpfs on /scratch", "read-only /"]
    assert check_target(b"//srv/../opt/") == b"/opt"
