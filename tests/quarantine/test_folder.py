"""The life of a quarantine: what git finds in it, what a killed command leaves, what is moved and when."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from envgit.errors import StorageError
from envgit.monitor import NullMonitor
from envgit.quarantine import Quarantine
from envgit.quarantine.errors import RefusedObjects
from envgit.store import storage
from envgit.store.shallow import read_shallow, write_shallow
from tests.quarantine.builder import Environment
from tests.quarantine.conftest import Home, photograph


def git(git_dir: str, *words: str) -> str:
    done = subprocess.run(["git", "--git-dir", git_dir, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def grown(home: Home, *, file: bytes = b"new\n") -> tuple[bytes, bytes]:
    """A pack with a commit on top of ours, without what we have; and its tip."""
    made = home.environment
    before = set(made.objects.known)
    tip = made.commit(made.root(made.file(b"new", file)), home.base)
    return made.objects.pack(before), tip


def test_git_sees_our_objects_and_tips(home: Home) -> None:
    kept = home.environment.commit(home.environment.root(tool=b"kept\n"), home.base)
    home.accept(home.environment.objects.pack(), kept)
    home.store.refs.update("refs/envgit/kept/" + kept.hex(), kept, None)
    home.store.refs.update("refs/tags/v1", home.base, None)
    home.store.refs.update("refs/remotes/origin/main", home.base, None)
    with home.quarantine() as made:
        assert git(made.git_dir, "cat-file", "-t", home.base.hex()) == "commit"
        names = git(made.git_dir, "for-each-ref", "--format=%(refname)").split()
        assert names == ["refs/have/0", "refs/heads/main", "refs/remotes/origin/main", "refs/tags/v1"]
        assert git(made.git_dir, "fsck", "--strict", "--no-dangling") == ""


def test_a_ref_whose_object_is_gone_is_not_offered(home: Home) -> None:
    Path(home.git_dir, "refs/heads/broken").write_text("1" * 40 + "\n")
    with home.quarantine() as made:
        assert git(made.git_dir, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


@pytest.mark.parametrize("name", ["plain", "with space", '"quoted"', "#hash", "new\nline", "back\\slash", "a:b"])
def test_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    home = Home(tmp_path / name / ".envgit")
    with home.quarantine() as made:
        assert git(made.git_dir, "cat-file", "-t", home.base.hex()) == "commit"


def test_stock_git_fetches_into_it_and_sends_only_what_is_new(home: Home, tmp_path: Path) -> None:
    git(str(home.git_dir), "clone", "-q", "--bare", str(home.git_dir), str(tmp_path / "other"))
    pack, tip = grown(home)
    subprocess.run(["git", "--git-dir", str(tmp_path / "other"), "unpack-objects", "-q"], input=pack, check=True)
    git(str(tmp_path / "other"), "update-ref", "refs/heads/main", tip.hex())
    with home.quarantine() as made:
        git(made.git_dir, "fetch", "-q", "--no-tags", "--no-write-fetch-head", f"file://{tmp_path}/other", tip.hex())
        checked = made.check([tip], NullMonitor())
        assert (checked.commits, checked.objects) == (1, checked.objects) and checked.objects < 12
        names = made.admit()
    assert len(names) == 1 and Path(home.git_dir, "objects/pack", names[0] + ".idx").exists()
    assert git(str(home.git_dir), "fsck", "--strict", "--no-dangling") == ""
    assert git(str(home.git_dir), "cat-file", "-t", tip.hex()) == "commit"


def test_leaving_without_admitting_leaves_nothing(home: Home) -> None:
    before = photograph(home.git_dir)
    pack, tip = grown(home)
    with home.quarantine(pack) as made:
        made.check([tip], NullMonitor())
    made.discard()
    assert photograph(home.git_dir) == before and os.listdir(home.git_dir / "incoming") == []


def test_what_a_killed_command_left_is_removed_and_what_lives_is_not(home: Home) -> None:
    pid = os.fork()
    if pid == 0:
        home.quarantine(b"x" * 64)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    incoming = home.git_dir / "incoming"
    (incoming / "stray").write_bytes(b"x")
    (incoming / "link").symlink_to(home.git_dir / "objects")
    assert len(os.listdir(incoming)) == 3
    with home.quarantine() as living, home.quarantine() as other:
        assert sorted(os.listdir(incoming)) == sorted(os.path.basename(made.git_dir) for made in (living, other))
    assert os.listdir(incoming) == [] and (home.git_dir / "objects/pack").is_dir()


@pytest.mark.parametrize("place", ["objects/11", "objects/info/grafts", "objects/junk"])
def test_objects_that_are_in_no_pack_are_refused(home: Home, place: str) -> None:
    with home.quarantine() as made:
        Path(made.git_dir, place).mkdir()
        with pytest.raises(RefusedObjects, match="not all in packs"):
            made.check([home.base], NullMonitor())


def test_several_packs_are_one_arrival(home: Home) -> None:
    made = Environment()
    first = made.commit(made.root(tool=b"one\n"))
    known = set(made.objects.known)
    second = made.commit(made.root(tool=b"two\n"), first)
    packs = made.objects.pack(set(made.objects.known) - known), made.objects.pack(known)
    assert "is missing" in home.refuse(packs[1], second)
    with home.quarantine(*packs) as arrived:
        assert arrived.check([second], NullMonitor()).commits == 2
        assert len(arrived.admit()) == 2
    assert git(str(home.git_dir), "fsck", "--strict", "--no-dangling") == ""


def test_a_pack_that_is_here_already_is_not_moved(home: Home) -> None:
    pack, tip = grown(home)
    home.accept(pack, tip)
    before = photograph(home.git_dir)
    with home.quarantine(pack) as made:
        made.check([tip], NullMonitor())
        assert made.admit() == ()
    assert photograph(home.git_dir) == before


def test_nothing_arrived_and_the_tip_is_here(home: Home) -> None:
    with home.quarantine() as made:
        assert made.check([home.base], NullMonitor()) == (0, 0, 0)
        assert made.admit() == ()


def test_admitting_unchecked_is_a_mistake_of_the_program(home: Home) -> None:
    with home.quarantine(b"x" * 64) as made, pytest.raises(AssertionError):
        made.admit()


STEPS = ("admit-pack-sync", "admit-index-sync", "admit-pack", "admit-index", "admit-folder", "quarantine-remove",
         "quarantine-folder", "quarantine-file")  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["killed", "full"])
def test_whatever_fails_the_next_one_succeeds(home: Home, step: str, how: str) -> None:
    pack, tip = grown(home)

    def fault(reached: str) -> None:
        if reached == step:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(28, "No space left on device")

    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            storage.set_fault_hook(fault)
            home.accept(pack, tip)
        except StorageError:
            status = 7
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == (-signal.SIGKILL if how == "killed" else 7)
    assert git(str(home.git_dir), "fsck", "--strict", "--no-dangling") == ""
    home.accept(pack, tip)
    assert git(str(home.git_dir), "cat-file", "-t", tip.hex()) == "commit"
    assert git(str(home.git_dir), "fsck", "--strict", "--no-dangling") == ""
    assert os.listdir(home.git_dir / "incoming") == []


# history cut short


def chain(made: Environment, count: int) -> list[bytes]:
    """Commits, oldest first."""
    line: list[bytes] = []
    for number in range(count):
        line.append(made.commit(made.root(made.file(b"n", b"%d\n" % number)), *line[-1:]))
    return line


def test_history_may_be_cut_where_it_was_said_to_be(home: Home) -> None:
    made = Environment()
    old, cut, tip = chain(made, 3)
    pack = made.objects.pack([old])
    assert "is missing" in home.refuse(pack, tip)
    home.accept(pack, tip, shallow=[cut])
    assert read_shallow(str(home.git_dir)) == {cut}


def test_nobody_cuts_history_that_is_here(home: Home) -> None:
    pack, tip = grown(home)
    home.accept(pack, tip, shallow=[tip, home.base])
    assert read_shallow(str(home.git_dir)) == frozenset()


def test_what_was_cut_can_be_fetched_later(home: Home) -> None:
    made = Environment()
    line = chain(made, 4)
    home.accept(made.objects.pack(line[:2]), line[3], shallow=[line[2]])
    home.store.refs.update("refs/heads/shallow", line[3], None)
    with home.quarantine(made.objects.pack([line[0]])) as arrived:
        assert read_shallow(arrived.git_dir) == {line[2]}
        with pytest.raises(RefusedObjects, match="is missing"):
            arrived.check([line[3]], NullMonitor(), shallow=[b"x" * 20])
    home.accept(made.objects.pack([line[0]]), line[3], shallow=[line[1]])
    assert read_shallow(str(home.git_dir)) == {line[1]}
    with home.quarantine(made.objects.pack()) as arrived:
        os.unlink(arrived.git_dir + "/shallow")  # as git leaves it when everything came
        arrived.check([line[3]], NullMonitor())
        arrived.admit()
    assert read_shallow(str(home.git_dir)) == frozenset()
    write_shallow(str(home.git_dir), [])
    assert git(str(home.git_dir), "rev-list", "--count", "refs/heads/shallow") == "4"


def test_a_second_check_keeps_where_the_first_ones_were_cut(home: Home) -> None:
    """As a fetch with a depth does: branches first, then the tags that follow."""
    made = Environment()
    line, other = chain(made, 3), [made.commit(made.root(tool=b"%d" % number)) for number in range(1)]
    other += [made.commit(made.root(tool=b"1"), *other), made.commit(made.root(tool=b"2"), *other)]
    cut = {line[1], other[1]}
    with home.quarantine(made.objects.pack([line[0], other[0]])) as arrived:
        other_tip = made.commit(made.root(), other[1])
        del made.objects.known[other_tip]
        arrived.check([line[2], other[1]], NullMonitor(), shallow=cut)
        arrived.check([line[2]], NullMonitor(), shallow=cut)
        arrived.admit()
    assert read_shallow(str(home.git_dir)) == cut


@pytest.mark.parametrize("gone", [False, True])
def test_what_the_check_leaned_on_may_go_before_it_is_admitted(home: Home, gone: bool) -> None:
    """branch -D (and gc) meanwhile: what arrived is complete without it, or is not admitted."""
    made = home.environment
    packs = set(home.git_dir.glob("objects/pack/*"))
    before = set(made.objects.known)
    side = made.commit(made.root(made.file(b"side", b"side\n")), home.base)
    home.accept(made.objects.pack(before), side)
    home.store.refs.update("refs/heads/side", side, None)
    known = set(made.objects.known)
    tip = made.commit(made.root(made.file(b"side", b"side\n"), made.file(b"more", b"more\n")), side)
    with home.quarantine(made.objects.pack(known)) as arrived:
        arrived.check([tip], NullMonitor())
        home.store.refs.update("refs/heads/side", None, side)
        if gone:
            for path in set(home.git_dir.glob("objects/pack/*")) - packs:
                path.unlink()
            left = photograph(home.git_dir)
            with pytest.raises(RefusedObjects, match="is missing"):
                arrived.admit()
            assert photograph(home.git_dir) == left
        else:
            assert len(arrived.admit()) == 1
            assert git(str(home.git_dir), "rev-list", "--count", tip.hex()) == "3"


def test_a_quarantine_needs_a_repository(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        Quarantine.create(str(tmp_path / "nothing"))
