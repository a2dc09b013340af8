"""config.json is read as data from somebody else: what is refused is named, what is tighter is said, nothing crashes."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.errors import SandboxError
from envgit.exec.oci import from_oci as module
from envgit.exec.oci.fields import Fields, parse_object
from envgit.exec.oci.from_oci import from_oci
from envgit.exec.oci.hooks import read_hooks
from envgit.exec.spec import MASKED_PATHS, READONLY_PATHS, JoinedNamespace, Mount
from envgit.model import IdMapExtent

from .runtime import Oci, example

Change = Callable[[dict[str, Any]], object]


def read(change: Change) -> module.Bundle:
    config = example("true")
    change(config)
    return from_oci(config, b"/bundle")


def _namespace(config: dict[str, Any], kind: str, path: str | None = None) -> None:
    """Take a namespace out, or give it a path."""
    rest = [each for each in config["linux"]["namespaces"] if each["type"] != kind]
    config["linux"]["namespaces"] = rest + ([{"type": kind, "path": path}] if path is not None else [])


def _add_mount(**mount: object) -> Change:
    return lambda config: config["mounts"].append(mount)


REFUSED: list[tuple[Change, str]] = [
    (lambda c: c.pop("ociVersion"), "ociVersion must be a string"),
    (lambda c: c.update(ociVersion="2.0.0"), "ociVersion '2.0.0'"),
    (lambda c: c.update(root=None), "root.path must be"),
    (lambda c: c.update(windows={"x": 1}), "windows is not for this platform"),
    (lambda c: c["process"].update(cwd="tmp"), "process.cwd must be an absolute"),
    (lambda c: c["process"].update(args=[]), "process.args must name"),
    (lambda c: c["process"].update(args=["a", 1]), r"process.args\[1\] must be a string"),
    (lambda c: c["process"].update(args=["a\0b"]), "contains NUL"),
    (lambda c: c["process"].update(args=["\ud800"]), "half a surrogate"),
    (lambda c: c["process"].update(env=["A"]), "is not NAME=VALUE"),
    (lambda c: c["process"]["user"].update(uid=-1), "process.user.uid must be a number"),
    (lambda c: c["process"]["user"].update(uid=True), "process.user.uid must be a number"),
    (lambda c: c["process"]["user"].update(uid=2**32 - 1), "process.user.uid must be a number"),
    (lambda c: c["process"]["user"].update(username="x"), "username"),
    (lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_X", "soft": 1, "hard": 1}]), "unknown 'RLIMIT_X'"),
    (lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]), "soft is above hard"),
    (lambda c: c["process"].update(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2), "given twice"),
    (lambda c: c["process"].update(oomScoreAdj=2000), "oomScoreAdj must be"),
    (lambda c: _namespace(c, "pid"), "host's pid namespace"),
    (lambda c: _namespace(c, "ipc"), "host's ipc namespace"),
    (lambda c: _namespace(c, "uts"), "host's uts namespace"),
    (lambda c: _namespace(c, "mount"), "host's mount namespace"),
    (lambda c: _namespace(c, "pid", "/proc/1/ns/pid"), "joining a pid namespace"),
    (lambda c: _namespace(c, "user", "/proc/1/ns/user"), "joining a user namespace"),
    (lambda c: _namespace(c, "network", "relative"), "must be absolute"),
    (lambda c: c["linux"]["namespaces"].append({"type": "time"}), "a time namespace"),
    (lambda c: c["linux"]["namespaces"].append({"type": "user"}), "user is given twice"),
    (lambda c: c["linux"]["namespaces"].append({"type": "x"}), "unknown 'x'"),
    (lambda c: c["linux"].update(uidMappings=[]), "must not be empty"),
    (lambda c: c["linux"].update(intelRdt={"a": 1}), "linux.intelRdt"),
    (lambda c: c["linux"].update(rootfsPropagation="shared"), "no mount leaves"),
    (lambda c: c["linux"].update(devices=[{"path": "/dev/sda"}]), "device /dev/sda"),
    (lambda c: c["linux"].update(sysctl={"kernel.core_pattern": "|/x"}), "core_pattern"),
    (lambda c: c["linux"].update(sysctl={"net.../kernel/x": "1"}), "not a setting"),
    (lambda c: c["linux"].update(sysctl={"net./../x": "1"}), "not a setting"),
    (lambda c: (_namespace(c, "network"), c["linux"].update(sysctl={"net.ipv4.ip_forward": "1"})), "not a setting"),
    (lambda c: c["linux"].update(maskedPaths=["x"]), "must be absolute"),
    (lambda c: c["linux"].update(seccomp={"defaultAction": "SCMP_ACT_NOPE"}), "linux.seccomp"),
    (_add_mount(destination="/x", type="ext4", source="/dev/sda"), "ext4 on /x"),
    (_add_mount(destination="/x", type="bind", source="/srv", options=["rshared"]), "'rshared'"),
    (_add_mount(destination="/x", type="tmpfs", options=["size=1e"]), "not a number"),
    (_add_mount(destination="/x", type="bind", source="/srv", uidMappings=[{}]), "id-mapped"),
    (_add_mount(destination="/proc/sys", type="proc", source="proc"), "proc on /proc/sys"),
    (lambda c: c.update(hooks={"createContainer": [{"path": "/x"}]}), "nothing of the host runs"),
    (lambda c: c.update(hooks={"nope": [{"path": "/x"}]}), "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_refused_by_name(change: Change, says: str) -> None:
    config = example("true")
    from_oci(copy.deepcopy(config), b"/bundle")  # the control
    change(config)
    with pytest.raises(SandboxError, match=says):
        from_oci(config, b"/bundle")
        read_hooks(Fields(config, ""))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(domainname="x"), "domainname"),
        (lambda c: c["process"].update(apparmorProfile="x"), "process.apparmorProfile"),
        (lambda c: c["process"]["capabilities"].update(ambient=["CAP_CHOWN"]), "ambient stays empty"),
        (lambda c: c["process"]["capabilities"]["bounding"].append("CAP_NEW"), "unknown 'CAP_NEW'"),
        (lambda c: c["process"]["user"].update(uid=5), "starts with none"),
        (lambda c: c["linux"]["resources"].update(cpu={"shares": 5}), "cpu.shares is not supported and not enforced"),
        (lambda c: c["linux"]["resources"].update(hugepageLimits=[1]), "hugepageLimits"),
        (lambda c: c["linux"]["resources"].update(devices=[{"allow": True}]), "no further device"),
        (_add_mount(destination="/x", type="bind", source="/srv", options=["rslave"]), "rslave"),
    ],
)
def test_not_granted_is_said(change: Change, says: str) -> None:
    assert any(says in warning for warning in read(change).warnings)
    assert not any(says in warning for warning in read(lambda config: None).warnings)


def test_our_posture_is_never_loosened() -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["maskedPaths"] = ["/etc/secret"]
        config["linux"]["readonlyPaths"] = []
        config["mounts"] = [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["rw", "suid", "dev", "exec"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["rw"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["size=2m", "suid"]},
            {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "rw"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]},
        ]

    spec = read(change).spec
    assert set(spec.masked) == {*MASKED_PATHS, b"/etc/secret"} and set(spec.readonly) == set(READONLY_PATHS)
    assert spec.mounts == () and spec.shm_bytes == 2 << 20


def test_mounts_are_mapped() -> None:
    def change(config: dict[str, Any]) -> None:
        config["mounts"] = [
            {"destination": "/a/../b", "type": "bind", "source": "rel", "options": ["rbind", "ro", "noexec"]},
            {"destination": "/c", "source": "/srv", "options": ["bind"]},
            {"destination": "/d", "type": "tmpfs", "options": ["size=64k", "mode=755", "ro"]},
            {"destination": "/dev/shm", "type": "bind", "source": "/srv/shm", "options": ["bind"]},
        ]

    assert read(change).spec.mounts == (
        Mount("bind", b"/b", b"/bundle/rel", True, True),
        Mount("bind", b"/c", b"/srv"),
        Mount("tmpfs", b"/d", b"", True, False, ((b"size", b"64k"), (b"mode", b"755"))),
        Mount("bind", b"/dev/shm", b"/srv/shm"),
    )


def test_limits_are_read() -> None:
    def change(config: dict[str, Any]) -> None:
        config["linux"]["resources"] = {
            "memory": {"limit": 1 << 26, "swap": -1}, "pids": {"limit": 7}, "cpu": {"quota": 5000, "period": 10000}
        }  # fmt: skip

    limits = read(change).resources.limits
    assert (limits.memory_bytes, limits.total_bytes, limits.pids, limits.nano_cpus) == (1 << 26, None, 7, 10**9 // 2)
    unlimited = {"memory": {"limit": -1}, "pids": {"limit": -1}, "cpu": {"quota": -1}}
    assert not read(lambda config: config["linux"].update(resources=unlimited)).resources.limits.controllers


def test_namespaces_are_joined_by_path() -> None:
    spec = read(lambda config: _namespace(config, "network", "/run/netns/x")).spec
    assert spec.network == "none" and spec.joined == (JoinedNamespace("network", b"/run/netns/x"),)
    assert read(lambda config: _namespace(config, "network")).spec.network == "host"


def _without_user(config: dict[str, Any]) -> None:
    _namespace(config, "user")
    del config["linux"]["uidMappings"], config["linux"]["gidMappings"]


def test_root_of_the_machine_is_never_root_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(module, "read_extents", lambda path: module.INITIAL_MAP)
    with pytest.raises(SandboxError, match="no user namespace") as caught:
        read(_without_user)
    assert "--userns=auto" in (caught.value.hint or "")


def test_root_of_a_user_namespace_gets_another_one_with_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    owned = (IdMapExtent(0, 1000, 1), IdMapExtent(1, 100000, 65536))
    monkeypatch.setattr(module, "read_extents", lambda path: owned)
    assert read(_without_user).spec.idmap.uids == (IdMapExtent(0, 0, 1), IdMapExtent(1, 1, 65536))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        found += [each for key, inner in value.items() if key != "seccomp" for each in _places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [each for key, inner in enumerate(value[:3]) for each in _places(inner, (*path, key))]
    return found


PLACES = _places(example("true"))


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), JSON), min_size=1, max_size=3))
def test_anything_anywhere_is_read_or_refused(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    config: Any = example("true")
    for path, value in changes:
        if not path:
            config = value
            continue
        at = config
        try:
            for key in path[:-1]:
                at = at[key]
            at[path[-1]] = value
        except (TypeError, KeyError, IndexError):
            continue
    try:
        from_oci(config, b"/bundle")
        read_hooks(Fields(config, ""))
        Fields(config, "").mapping("annotations")
    except SandboxError as error:
        assert error.message


HOSTILE = (
    b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b'{"ociVersion": "1.0.2"}', b"[" * 100_000, b'{"a":' * 50_000,
    b'{"ociVersion": NaN}', b'{"process": {"args": ["\\ud800"]}}', b'{"ociVersion": "1.0.2", "process": [], "root": {}}',
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_end_in_one_clear_error(oci: Oci, text: bytes) -> None:
    (oci.bundle / "config.json").write_bytes(text)
    for command in ("create", "run"):
        done = oci(command, "one", status=1)
        assert done.err.startswith("envgit-oci: ") and len(done.err.splitlines()[0]) < 500
    assert oci("list", "-q").out == ""


def test_what_is_no_file_ends_in_an_error(oci: Oci) -> None:
    os.mkfifo(oci.bundle / "config.json")
    oci("create", "one", status=1)
    os.unlink(oci.bundle / "config.json")
    os.mkdir(oci.bundle / "config.json")
    oci("create", "one", status=1)
    os.rmdir(oci.bundle / "config.json")
    (oci.bundle / "config.json").symlink_to("/dev/zero")
    assert "larger than" in oci("create", "one", status=1).err


def test_json_is_read_as_json() -> None:
    assert parse_object(b'{"a": 1}', "x") == {"a": 1}
    assert json.loads(json.dumps(example("true"))) == example("true")
