"""The spec as OCI data says what the runner does."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from envgit.errors import SandboxError
from envgit.exec.cgroups.limits import Limits
from envgit.exec.description import describe_start
from envgit.exec.identity import Identity
from envgit.exec.mount.plan import check_target
from envgit.exec.oci.from_oci import from_oci
from envgit.exec.oci.to_oci import Extras, to_oci
from envgit.exec.runner import plan
from envgit.exec.seccomp.filter import default_profile
from envgit.exec.spec import CAPABILITY_NUMBERS, DirectoryRoot, LiveRoot, Mount, SandboxSpec

MakeSpec = Callable[..., SandboxSpec]
ROOT = Identity(0, 0, (), b"/root")


def test_it_is_complete_and_json(make_spec: MakeSpec) -> None:
    spec = make_spec("sh", "-c", "true", mounts=(Mount("bind", b"/x", b"/srv", True),), rlimits=((7, 10, -1),))
    oci = json.loads(json.dumps(to_oci(spec, ROOT, b"/r")))
    assert oci["process"]["args"] == ["sh", "-c", "true"] and oci["process"]["noNewPrivileges"]
    assert oci["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 2**64 - 1}]
    assert {entry["type"] for entry in oci["linux"]["namespaces"]} >= {"user", "network", "pid"}
    assert "ro" in oci["mounts"][-1]["options"]
    assert set(oci["process"]["capabilities"]) == {"bounding", "effective", "permitted", "inheritable", "ambient"}
    assert to_oci(spec, Identity(5, 5, (), b"/"), b"/r")["process"]["capabilities"]["effective"] == []
    assert not any("*" in path for path in oci["linux"]["maskedPaths"])
    for cpu in os.listdir("/sys/devices/system/cpu"):
        path = f"/sys/devices/system/cpu/{cpu}/thermal_throttle"
        assert (path in oci["linux"]["maskedPaths"]) == (cpu.startswith("cpu") and os.path.exists(path))


def test_limits_filter_files_and_annotations(make_spec: MakeSpec) -> None:
    spec = make_spec("true", files=((b"/etc/hosts", b"x"), (b"/etc/motd", b"y")), oom_score_adj=5)
    extras = Extras(Limits(64 << 20, None, 10**9 // 2, 44), default_profile(spec.capabilities), {"b": "2", "a": "1"})
    oci = to_oci(spec, ROOT, b"/r", extras)
    resources = oci["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20, "swap": 128 << 20} and resources["pids"] == {"limit": 44}
    assert resources["cpu"] == {"quota": 50_000, "period": 100_000}
    assert oci["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO" and list(oci["annotations"]) == ["a", "b"]
    assert oci["process"]["oomScoreAdj"] == 5
    binds = [mount for mount in oci["mounts"] if mount["type"] == "bind"]
    assert [(mount["destination"], mount["source"]) for mount in binds] == [
        ("/etc/hosts", "files/0"),
        ("/etc/motd", "files/1"),
    ]


def test_volumes_say_how_their_ids_are_mapped(make_spec: MakeSpec) -> None:
    spec = make_spec("true", mounts=(Mount("bind", b"/x", b"/srv"),))
    shifted = to_oci(spec, ROOT, b"/r")["mounts"][-1]["options"]
    as_on_disk = to_oci(spec._replace(volume_ids_as_on_disk=True), ROOT, b"/r")["mounts"][-1]["options"]
    assert ("idmap" in shifted) == (spec.idmap.kind == "range") and "idmap" not in as_on_disk


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"root": LiveRoot(1, 1)}, "cannot join"),
        ({"network": "tap"}, "private network"),
        ({"mounts": (Mount("layers", b"/x", layers=(b"/a",)),)}, "revision"),
        ({"mounts": (Mount("volume", b"/x", b"/a", subpath=b"b"),)}, "volume"),
    ],
)
def test_what_oci_cannot_say_is_refused(make_spec: MakeSpec, fields: dict[str, object], says: str) -> None:
    with pytest.raises(SandboxError, match=says):
        to_oci(make_spec("true", **fields), ROOT, b"/r")


def test_there_and_back_again(make_spec: MakeSpec) -> None:
    """What from_oci reads from what to_oci wrote is the same sandbox."""
    spec = make_spec(
        "sh", "-c", "true",
        root=DirectoryRoot(b"/bundle/r"),
        env=((b"PATH", b"/bin"), (b"HOME", b"/root"), (b"A", b"\xff=")),
        cwd=b"/tmp", hostname=b"h", rlimits=((7, 10, 20), (4, 0, -1)), capabilities=("CAP_CHOWN", "CAP_KILL"),
        readonly_root=False, shm_bytes=1 << 20, sysctls=((b"net.ipv4.ip_forward", b"1"),), fresh_run=False,
        volume_ids_as_on_disk=True, umask=0o27, identity=Identity(3, 4, (5, 6), b"/"), oom_score_adj=7,
        mounts=(
            Mount("bind", b"/x", b"/srv", True, True),
            Mount("tmpfs", b"/y", b"", False, True, ((b"mode", b"700"), (b"size", b"1m"))),
        ),
    )  # fmt: skip
    assert spec.identity
    back = from_oci(to_oci(spec, spec.identity, b"r"), b"/bundle").spec
    for field in spec._fields:
        if field == "masked":
            assert set(back.masked) >= set(spec.masked)
        else:
            assert getattr(back, field) == getattr(spec, field), field


def test_every_capability_can_be_named(make_spec: MakeSpec) -> None:
    spec = make_spec("true", capabilities=tuple(CAPABILITY_NUMBERS), root=DirectoryRoot(b"/r"))
    assert set(from_oci(to_oci(spec, ROOT, b"/r"), b"/").spec.capabilities) == set(CAPABILITY_NUMBERS)


def test_a_start_is_described_in_order(make_spec: MakeSpec) -> None:
    spec = make_spec(
        "sh",
        "-c",
        "echo 'it'; \x1b[31m",
        mounts=(Mount("tmpfs", b"/scratch"),),
        readonly_root=True,
        rlimits=((7, 1, -1),),
    )
    lines = describe_start(spec, limits=("memory 64m",))
    kinds = [line.partition(":")[0] for line in lines]
    order = ["namespaces", "network", "ids", "limit", "mount", "hostname", "root", "session", "resource limit", "directory",
             "capabilities", "user", "no new privileges", "system call filter", "environment", "execute"]  # fmt: skip
    assert list(dict.fromkeys(kinds)) == order
    assert [line for line in lines if line.startswith("mount: ")] == [f"mount: {line}" for line in plan(spec)]
    assert "read-only /" in lines[kinds.index("hostname") - 1]
    assert lines[-1].isprintable() and lines[-1].startswith("execute: sh -c $'echo \\'it\\'; \\x1b[31m'")
    assert describe_start(spec) == describe_start(spec)
    with pytest.raises(SandboxError):
        describe_start(make_spec("true", mounts=(Mount("tmpfs", b"/proc"),)))
    joined = describe_start(make_spec("true", root=LiveRoot(12, 1)))
    assert "process 12" in joined[0] and "ids" not in joined


def test_plan_is_described_in_order(make_spec: MakeSpec) -> None:
    lines = plan(make_spec("true", mounts=(Mount("tmpfs", b"/scratch"),), readonly_root=True))
    assert lines[0].startswith("overlay") and lines[1].startswith("fresh /dev")
    assert lines[-1] == "read-only /" and any("/scratch" in line for line in lines)
    assert check_target(b"//srv/../opt/") == b"/opt"
