"""Choosing a map, and working on files inside the tree namespace."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.exec import idmap, runner
from envgit.exec.identity import Identity, resolve_identity
from envgit.exec.program import MAXIMUM_GROUPS, mapped_groups
from envgit.model import DiskIds, IdMap, IdMapExtent
from tests.exec.test_run import MakeSpec


def test_parse_skips_bad_lines() -> None:
    text = b"ann:100:65536\nbob:1:2\n1001:7:8\nann:x:1\nann:5\n\n"
    assert idmap.parse_subordinate_ids(text, b"ann", 1001) == ((100, 65536), (7, 8))


def test_disk_ids_of_each_kind() -> None:
    whole = (IdMapExtent(0, 1879048192, 65536),)
    assert idmap.disk_ids(IdMap("range", whole, whole)) == DiskIds(shift=1879048192)
    two = (IdMapExtent(0, 1001, 1), IdMapExtent(1, 100000, 65535))
    assert idmap.disk_ids(IdMap("subordinate", two, two)) == DiskIds()
    one = (IdMapExtent(0, 1001, 1),)
    assert idmap.disk_ids(IdMap("single", one, one)) == DiskIds(single=True, ids=1)


def test_tree_namespace_chowns_what_the_map_holds(tmp_path: Path) -> None:
    chosen = idmap.choose_idmap()
    ids = idmap.disk_ids(chosen)

    def work() -> int:
        path = tmp_path / "file"
        path.touch()
        owner = ids.to_disk(33)
        os.chown(path, owner, owner)
        return 42 if path.stat().st_uid == owner else 1

    assert idmap.run_in_tree_namespace(chosen, work) == 42


def test_single_id_sandbox(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same as a user without newuidmap has; root cannot have it, its layers belong to the range."""
    if os.geteuid() == 0:
        return
    monkeypatch.setattr(idmap, "HELPER_FOLDERS", ())
    spec = make_spec("sh", "-c", "id -u; cat /proc/self/uid_map; cat /proc/self/setgroups")
    assert spec.idmap.kind == "single" and runner.run(spec) == 0
    assert capfd.readouterr().out.split() == ["0", "0", str(os.getuid()), "1", "deny"]


def test_identity_reads_hostile_files() -> None:
    passwd = b"root:x:0:0::/root:/bin/sh\nbad\nx:y\nann:x:1000:1001::/home/ann:\nevil:x:99999999999:0::/:\n"
    group = b"g:x:7:ann,bob\nh:x:notanumber:ann\n"
    assert resolve_identity(b"ann", passwd, group) == Identity(1000, 1001, (7, 1001), b"/home/ann")
    assert resolve_identity(b"ann:g", passwd, group) == Identity(1000, 7, (), b"/home/ann")
    assert resolve_identity(b"", b"", b"") == Identity(0, 0, (0,), b"/root")
    assert resolve_identity(b"5:6", b"", b"") == Identity(5, 6, (), b"/")
    for user in (b"nobody", b"evil", b"ann:nogroup", b"99999999999"):
        with pytest.raises(idmap.SandboxError):
            resolve_identity(user, passwd, group)


def test_identity_ignores_what_no_program_could_have() -> None:
    passwd = b"root:x:0:0::/ro\0ot:/bin/sh\n"
    group = b"g:x:7:root\nout:x:4294967295:root\nbig:x:100000:root\n"
    assert resolve_identity(b"", passwd, group) == Identity(0, 0, (0, 7, 100000, 4294967295), b"/ro")


def test_groups_outside_the_map_do_not_stop_the_program(make_spec: MakeSpec) -> None:
    spec = make_spec("true")
    known = tuple(number for extent in spec.idmap.gids for number in range(extent.inside, extent.inside + extent.size))
    wanted = (*known, 100000, 4294967295)
    assert mapped_groups(wanted, spec) == known[:MAXIMUM_GROUPS]
