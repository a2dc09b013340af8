"""Values that a start cannot use are refused in words, before anything is read without end or taken for something else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported, SandboxError, UsageError
from envgit.exec.identity import resolve_identity
from envgit.sandbox import networking, registry
from envgit.sandbox.describing import _PROFILE_BYTES, _read_profile, check_hostname
from envgit.sandbox.networking import choose_way
from envgit.sandbox.request import RunRequest
from envgit.sandbox.status import Status, boot_id


def test_a_seccomp_profile_is_a_file_of_bounded_size(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in ("/dev/zero", str(tmp_path / "fifo"), str(tmp_path)):
        with pytest.raises((UsageError, OSError)):
            _read_profile(path)
    (tmp_path / "large").write_bytes(b" " * (_PROFILE_BYTES + 1))
    with pytest.raises(UsageError, match="larger than 1 MiB"):
        _read_profile(str(tmp_path / "large"))
    (tmp_path / "fits").write_bytes(b" " * _PROFILE_BYTES)
    assert len(_read_profile(str(tmp_path / "fits"))) == _PROFILE_BYTES


def test_hostnames_are_what_the_kernel_takes() -> None:
    assert check_hostname("x" * 64)
    for name in ("x" * 65, "é" * 33):
        with pytest.raises(UsageError, match="the hostname has 6"):
            check_hostname(name)


def test_users_and_groups_that_are_none() -> None:
    with pytest.raises(SandboxError, match="no group after the colon"):
        resolve_identity(b":", b"", b"")
    with pytest.raises(SandboxError, match="no group 'nosuch'") as caught:
        resolve_identity(b"root:nosuch", b"root:x:0:0::/root:/bin/sh\n", b"")
    assert caught.value.hint == "use a number instead, or add the group first, with groupadd or addgroup"


def test_a_hint_keeps_its_capitals(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **options: object) -> None:
        raise HostUnsupported("no tun device", hint='echo KERNEL=="tun", MODE="0666"')

    monkeypatch.setattr(networking, "choose", refuse)
    said: list[str] = []
    assert choose_way(RunRequest(), said.append).network == "none"
    assert said == ['no tun device; this sandbox has none. Echo KERNEL=="tun", MODE="0666"']


class FakeGroup:
    def __init__(self) -> None:
        self.done: list[str] = []

    def kill(self) -> None:
        self.done.append("kill")

    def remove(self) -> None:
        self.done.append("remove")


def test_the_group_of_a_dead_sandbox_goes_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    from envgit.exec.cgroups import group as groups

    id = "0123456789ab"
    seen: list[tuple[str, ...]] = []
    group = FakeGroup()

    def find(lines: tuple[str, ...]) -> FakeGroup:
        seen.append(lines)
        return group

    monkeypatch.setattr(groups, "find_group", find)
    own = f"v2:/sys/fs/cgroup/x/envgit-{id}"
    registry.remove_group(id, Status(boot=boot_id(), group=(own, "v2:/sys/fs/cgroup/user.slice")))
    assert seen == [(own,)] and group.done == ["kill", "remove"]
    registry.remove_group(id, Status(boot="another", group=(own,)))
    registry.remove_group(id, Status(boot=boot_id(), group=("v2:/sys/fs/cgroup/user.slice",)))
    registry.remove_group(id, Status(boot=boot_id(), group=(f"v2:/sys/fs/cgroup/envgit-{id}/../user.slice",)))
    assert len(seen) == 1
