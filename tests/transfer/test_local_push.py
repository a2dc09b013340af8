"""Pushes between folders: what arrives is exactly what the refs reach, whole packs are shared, and git's rules for refs hold."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import StorageError
from envgit.store import storage
from envgit.store.objects import Tag, encode_tag
from envgit.store.operations import iter_operations
from envgit.transfer.push_rules import judge_updates
from envgit.transfer.transport import RefUpdate
from tests.transfer.made_history import MadeHistory, all_objects, git, make_bare, reachable
from tests.transfer.short_way import MAIN, assert_sound, packs, push, random_bytes, way


@pytest.fixture(autouse=True)
def no_faults() -> object:
    yield
    storage.set_fault_hook(None)


@pytest.fixture
def made(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "source")


@pytest.fixture
def bare(tmp_path: Path) -> str:
    return make_bare(tmp_path / "bare.git")


def test_whole_packs_are_linked_and_git_accepts_the_result(made: MadeHistory, bare: str) -> None:
    first = made.commit({"rootfs/a": random_bytes(2 << 20)})
    second = made.commit({"rootfs/a": random_bytes(2 << 20), "rootfs/b": random_bytes(2 << 20, 2)}, [first])
    assert push(made, bare, RefUpdate(MAIN, None, second)) == [""]
    assert packs(bare) == packs(made.git_dir)
    assert git("rev-parse", "main", cwd=bare) == second.hex()
    assert all_objects(bare) == reachable(bare)
    assert_sound(bare)


def test_little_packs_arrive_as_one(made: MadeHistory, bare: str) -> None:
    tip = None
    for number in range(5):
        tip = made.commit({"f": b"%d" % number}, [tip] if tip else [])
    assert push(made, bare, RefUpdate(MAIN, None, tip)) == [""]
    assert len(packs(bare)) == 1
    assert all_objects(bare) == reachable(bare)
    assert_sound(bare)


def test_nothing_that_the_pushed_refs_do_not_reach_gets_across(made: MadeHistory, bare: str) -> None:
    first = made.commit({"a": random_bytes(2 << 20)})
    secret = made.commit({"a": random_bytes(2 << 20), "secret": b"password"}, [first], branch="private")
    git("repack", "-a", "-d", "-q", cwd=made.git_dir)
    assert push(made, bare, RefUpdate(MAIN, None, first)) == [""]
    assert secret.hex() not in all_objects(bare)
    assert all_objects(bare) == reachable(bare)
    assert_sound(bare)


@pytest.mark.parametrize("seed", range(6))
def test_deltas_are_copied_as_far_as_their_bases_go_along(made: MadeHistory, bare: str, seed: int) -> None:
    dice = random.Random(seed)
    text = b"".join(b"line %d\n" % dice.randrange(10**9) for _ in range(2000))
    commits: list[bytes] = []
    for number in range(12):
        text = text.replace(b"line 1", b"line %d" % number, 1) + b"more %d\n" % number
        commits.append(made.commit({"a/text": text, "b": b"%d" % number}, commits[-1:]))
    git("repack", "-a", "-d", "-f", "-q", cwd=made.git_dir)
    for number in sorted(dice.sample(range(12), 3)):
        assert push(made, bare, RefUpdate(MAIN, None, commits[number])) == [""]
        assert all_objects(bare) == reachable(bare)
        assert_sound(bare)


def test_loose_objects_are_pushed(made: MadeHistory, bare: str) -> None:
    tip = made.commit({"a": b"1", "b/c": b"2"})
    (name,) = packs(made.git_dir)
    content = Path(made.git_dir, "objects/pack", name).read_bytes()
    for path in Path(made.git_dir, "objects/pack").iterdir():
        path.unlink()
    Path(made.git_dir, "kept.pack").write_bytes(content)
    with Path(made.git_dir, "kept.pack").open("rb") as file:
        import subprocess

        subprocess.run(["git", "unpack-objects", "-q"], cwd=made.git_dir, stdin=file, check=True)
    made.objects.refresh()
    assert push(made, bare, RefUpdate(MAIN, None, tip)) == [""]
    assert_sound(bare)


def test_an_object_that_a_young_enough_pack_has_is_not_copied(made: MadeHistory, bare: str) -> None:
    """Content that the other side has under an unrelated commit; its pack is made young, as git does."""
    big = random_bytes(2 << 20)
    one = made.commit({"x": big, "y": b"1"})
    assert push(made, bare, RefUpdate(MAIN, None, one)) == [""]
    (pack,) = packs(bare)
    os.utime(f"{bare}/objects/pack/{pack}", (1, 1))
    other = made.commit({"elsewhere/x": big}, branch="other")
    assert push(made, bare, RefUpdate("refs/heads/other", None, other)) == [""]
    assert sum(os.stat(f"{bare}/objects/pack/{name}").st_size for name in packs(bare) if name != pack) < 10_000
    assert os.stat(f"{bare}/objects/pack/{pack}").st_mtime > 1_000_000
    assert_sound(bare)


def test_tags_and_branches_at_once(made: MadeHistory, bare: str) -> None:
    tip = made.commit({"a": b"1"})
    with made.objects.pack_session() as session:
        tag = session.put("tag", encode_tag(Tag(tip, "commit", b"v1", None, b"x\n")))
        session.finish()
    made.objects.refresh()
    assert push(made, bare, RefUpdate(MAIN, None, tip), RefUpdate("refs/tags/v1", None, tag)) == ["", ""]
    transport = way(made, bare)
    assert transport is not None
    there = transport.list_refs()
    assert there.refs == {MAIN: tip, "refs/tags/v1": tag}
    assert there.peeled == {"refs/tags/v1": tip}
    assert there.head == MAIN
    assert_sound(bare)


# projects


def test_a_push_into_a_project_is_an_operation_there(made: MadeHistory, tmp_path: Path) -> None:
    theirs = MadeHistory(tmp_path / "theirs")
    tip = made.commit({"a": b"1"})
    assert push(made, theirs.git_dir, RefUpdate("refs/heads/given", None, tip)) == [""]
    assert theirs.refs.resolve("refs/heads/given") == tip
    (operation,) = iter_operations(theirs.git_dir)
    assert operation.command[:2] == ("receive", "--from")
    assert_sound(theirs.git_dir)


def test_a_branch_that_somebody_works_on_is_not_moved(made: MadeHistory, tmp_path: Path) -> None:
    theirs = MadeHistory(tmp_path / "theirs")
    first = made.commit({"a": b"1"})
    second = made.commit({"a": b"2"}, [first])
    assert push(made, theirs.git_dir, RefUpdate(MAIN, None, first)) == [""]  # nobody has worked on it yet
    assert push(made, theirs.git_dir, RefUpdate(MAIN, None, second)) == ["branch is currently checked out"]
    Path(theirs.git_dir, "checkouts/side").mkdir(parents=True)
    Path(theirs.git_dir, "checkouts/side/base").write_text(f"{first.hex()}:abc\n")
    assert push(made, theirs.git_dir, RefUpdate("refs/heads/side", None, first)) == ["branch is currently checked out"]


# trouble on the way


STEPS = ("link-pack", "pack-write", "pack-sync", "pack-rename", "index-rename", "push-intent", "ref-lock", "ref-rename")


def _fail_at(step: str, action: Callable[[], None]) -> None:
    def hook(reached: str) -> None:
        if reached == step:
            storage.set_fault_hook(None)
            action()

    storage.set_fault_hook(hook)


def _raise() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_changes_nothing_and_a_retry_works(made: MadeHistory, bare: str, step: str) -> None:
    tip = made.commit({"a": random_bytes(2 << 20)})
    tip = made.commit({"a": b"2"}, [tip])
    _fail_at(step, _raise)
    transport = way(made, bare)
    assert transport is not None
    try:
        (outcome,) = transport.push([RefUpdate(MAIN, None, tip)])
        assert not outcome.ok and "No space left" in outcome.reason
    except StorageError as error:
        assert "No space left" in error.message
    storage.set_fault_hook(None)
    assert git("for-each-ref", cwd=bare) == ""
    assert push(made, bare, RefUpdate(MAIN, None, tip)) == [""]
    assert_sound(bare)


@pytest.mark.parametrize("step", (*STEPS, "ref-folder-sync", "push-intent-unlink", "ref-sync", "pack-create"))
def test_a_killed_push_leaves_nothing_that_stops_the_next(made: MadeHistory, bare: str, step: str) -> None:
    tip = made.commit({"a": random_bytes(2 << 20)})
    tip = made.commit({"a": b"2"}, [tip])
    git("gc", "--quiet", cwd=bare)
    child = os.fork()
    if not child:
        _fail_at(step, lambda: os._exit(9))
        try:
            push(made, bare, RefUpdate(MAIN, None, tip), RefUpdate("refs/heads/b/c", None, tip))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    reasons = push(made, bare, RefUpdate(MAIN, None, tip), RefUpdate("refs/heads/b/c", None, tip))
    assert set(reasons) <= {"", "up to date"}
    assert git("rev-parse", "main", "b/c", cwd=bare).split() == [tip.hex()] * 2
    assert_sound(bare)


def test_a_ref_that_git_holds_is_refused_alone(made: MadeHistory, bare: str) -> None:
    tip = made.commit({"a": b"1"})
    Path(bare, MAIN + ".lock").touch()
    held, free = push(made, bare, RefUpdate(MAIN, None, tip), RefUpdate("refs/heads/b", None, tip))
    assert "held by a git command" in held and free == ""
    assert Path(bare, MAIN + ".lock").exists()


@pytest.mark.parametrize("kind", ["bare", "project"])
@pytest.mark.parametrize("lease", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_a_ref_that_moves_after_it_was_judged_stays(
    made: MadeHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lease: bool, there: bool
) -> None:
    first = made.commit({"a": b"1"})
    ours = made.commit({"a": b"2"}, [first])
    theirs = made.commit({"a": b"3"}, [first], branch="theirs")
    other = make_bare(tmp_path / "bare.git") if kind == "bare" else MadeHistory(tmp_path / "theirs").git_dir
    name = "refs/heads/given"
    push(made, other, RefUpdate("refs/heads/theirs", None, theirs))
    if there:
        push(made, other, RefUpdate(name, None, first))

    def judge(*words: Any) -> dict[str, str]:
        reasons = judge_updates(*words)
        git("update-ref", name, theirs.hex(), cwd=other)
        return reasons

    monkeypatch.setattr("envgit.transfer.local_path.judge_updates", judge)
    (reason,) = push(made, other, RefUpdate(name, first if there else None, ours, lease=lease))
    assert reason not in ("", "up to date")
    assert git("rev-parse", name, cwd=other) == theirs.hex()


def test_a_pack_that_vanishes_meanwhile_is_found_elsewhere(made: MadeHistory, bare: str) -> None:
    tip = made.commit({"a": random_bytes(2 << 20)})
    tip = made.commit({"a": b"2"}, [tip])
    _fail_at("link-pack", lambda: None)
    transport = way(made, bare)
    assert transport is not None

    def repack(step: str) -> None:
        if step == "ref-lock":
            storage.set_fault_hook(None)
            git("repack", "-a", "-d", "-q", cwd=made.git_dir)

    storage.set_fault_hook(repack)
    assert transport.push([RefUpdate(MAIN, None, tip)])[0].ok
    assert_sound(bare)


def test_damage_here_is_noticed_before_anything_moves(made: MadeHistory, bare: str) -> None:
    first = made.commit({"a": b"1" * 5000})
    tip = made.commit({"a": b"2" * 5000}, [first])
    for name in packs(made.git_dir):
        path = Path(made.git_dir, "objects/pack", name)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.chmod(0o600)
        path.write_bytes(data)
        path.chmod(0o444)
    transport = way(made, bare)
    assert transport is not None
    with pytest.raises(Exception, match="damaged|malformed"):
        transport.push([RefUpdate(MAIN, None, tip)])
    assert git("for-each-ref", cwd=bare) == ""


def test_pushes_at_the_same_time_all_arrive(made: MadeHistory, bare: str) -> None:
    commits: list[bytes] = []
    for number in range(6):
        commits.append(made.commit({f"f{number}": random_bytes(200_000, number)}, commits[-1:]))
    children: list[int] = []
    for number, oid in enumerate(commits):
        child = os.fork()
        if not child:
            status = 1
            try:
                status = push(made, bare, RefUpdate(f"refs/heads/b{number}", None, oid)) != [""]
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 6
    assert len(git("for-each-ref", cwd=bare).splitlines()) == 6
    assert_sound(bare)


def test_a_gc_of_stock_git_there_keeps_what_was_pushed(made: MadeHistory, bare: str) -> None:
    """Linked packs have our inode, and so an old time: a gc before the refs move would take them for garbage."""
    tip = made.commit({"a": random_bytes(2 << 20)})
    for name in packs(made.git_dir):
        os.utime(f"{made.git_dir}/objects/pack/{name}", (1, 1))

    def collect(step: str) -> None:
        if step == "push-intent":
            storage.set_fault_hook(None)
            git("gc", "-q", "--prune=1.hour.ago", cwd=bare)

    storage.set_fault_hook(collect)
    assert push(made, bare, RefUpdate(MAIN, None, tip)) == [""]
    assert_sound(bare)
    assert reachable(bare) == reachable(made.git_dir)
