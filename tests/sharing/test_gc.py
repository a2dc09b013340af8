"""What each kind of tidying does to shared packs: stock git's, ours, a deleted project, a deleted shared folder."""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from envgit.gc import _disk_bytes
from envgit.sharing import keeping
from envgit.sharing.keeping import release_packs
from envgit.sharing.linking import KEEP_TEXT
from envgit.sharing.trimming import trim
from envgit.store.consolidate import is_due
from envgit.store.object_store import ObjectStore
from tests.lab import remove
from tests.proof import faults
from tests.proof.child import envgit
from tests.sharing.conftest import User, assert_git_is_content, first_and_last, packs_of
from tests.sharing.test_linking import write_pack

FUTURE_NS = (int(time.time()) + 10**8) * 10**9


def shared_pack(user: User, project: str) -> Path:
    """Return the one pack of a project that is kept for sharing."""
    (keep,) = (user.folder / project / ".envgit/objects/pack").glob("*.keep")
    return keep.with_suffix(".pack")


@pytest.fixture
def two(user: User, base: Path) -> User:
    user.init("one", base)
    user.init("two", base)
    return user


def test_two_imports_of_one_base_are_one_pack(two: User) -> None:
    assert shared_pack(two, "one").samefile(shared_pack(two, "two"))
    own = [status for name, status in packs_of(two.folder / "two").items() if status.st_nlink == 1]
    assert sum(status.st_size for status in own) < 20_000
    for project in ("one", "two"):
        two(project, "fsck")
        assert_git_is_content(two.folder / project)


@pytest.mark.parametrize("words", ["gc", "gc --aggressive --prune=now", "repack -a -d -q", "repack -A -d -q"])
def test_stock_git_leaves_it_alone(two: User, words: str) -> None:
    kept = shared_pack(two, "two")
    inode = kept.stat().st_ino
    two("two", "run", "--", "sh", "-c", "echo x > /srv/x")
    two("two", "commit", "-m", "x")
    subprocess.run(["git", "--git-dir", two.folder / "two/.envgit", *words.split()], check=True, capture_output=True)
    assert kept.stat().st_ino == inode and kept.stat().st_nlink == 3
    two("two", "fsck")
    assert_git_is_content(two.folder / "two")


@pytest.mark.parametrize("words", [(), ("--aggressive",), ("--prune=now",), ("--aggressive", "--prune=now")])
def test_our_gc_leaves_it_alone_while_it_is_used(two: User, words: tuple[str, ...]) -> None:
    kept = shared_pack(two, "two")
    for number in range(3):
        two("two", "run", "--", "sh", "-c", f"echo {number} > /srv/x")
        two("two", "commit", "-m", "x")
    two("two", "gc", *words)
    assert kept.stat().st_nlink == 3
    two("two", "fsck")
    assert_git_is_content(two.folder / "two")


def test_commits_are_merged_beside_kept_packs(two: User) -> None:
    folder = two.folder / "two/.envgit/objects"
    for number in range(30):
        write_pack(folder, b"%d" % number)
    assert is_due(str(folder))
    two("two", "gc")
    assert not is_due(str(folder)) and shared_pack(two, "two").stat().st_nlink == 3
    for number in range(23):
        (folder / f"pack/pack-{number:040x}.keep").write_bytes(b"")
        (folder / f"pack/pack-{number:040x}.idx").write_bytes(b"")
    assert not is_due(str(folder))


def test_gc_lets_a_pack_go_that_nothing_needs(two: User, base: Path, tmp_path: Path) -> None:
    """The base was replaced: its pack would else stay for ever, because it is kept."""
    other = tmp_path / "other"
    shutil.copytree(base, other, symlinks=True)
    for path in (other / "usr/lib").iterdir():
        path.write_bytes(random.Random(path.name).randbytes(300_000))
    kept = shared_pack(two, "two")
    two("two", "checkout", "-b", "new")
    two("two", "import", "--from", f"dir:{other}")
    two("two", "gc", "--prune=now")
    assert kept.exists()  # main has it
    git = ["git", "--git-dir", str(two.folder / "two/.envgit")]
    tree = subprocess.run([*git, "rev-parse", "new^{tree}"], check=True, capture_output=True, text=True).stdout.strip()
    message = subprocess.run([*git, "log", "-1", "--format=%B", "new"], check=True, capture_output=True).stdout
    orphan = subprocess.run([*git, "commit-tree", tree], input=message, check=True, capture_output=True, text=False,
                            env={**os.environ, **two.environ}).stdout.strip().decode()  # fmt: skip
    for ref in ("refs/heads/new", "refs/heads/main"):
        subprocess.run([*git, "update-ref", ref, orphan], check=True)
    two("two", "reset", "--hard", "new")
    for name in ("a", "b"):  # what the last operation names is never dropped
        two("two", "branch", name)
        two("two", "gc", "--prune=now")
    assert not kept.exists()
    assert shared_pack(two, "one").stat().st_nlink == 2
    two("two", "fsck")
    two("one", "fsck")
    assert_git_is_content(two.folder / "two")


def test_a_project_that_is_deleted_harms_nobody(two: User, base: Path) -> None:
    remove(two.folder / "one")
    two("two", "fsck")
    two.init("three", base)
    two("three", "fsck")
    assert shared_pack(two, "three").samefile(shared_pack(two, "two"))


def test_the_shared_folder_deleted_harms_nobody(two: User, base: Path) -> None:
    shutil.rmtree(two.shared)
    two("two", "fsck")
    two("two", "gc", "--prune=now")
    two.init("three", base)
    two.init("four", base)
    assert shared_pack(two, "three").samefile(shared_pack(two, "four"))
    for project in ("one", "two", "three", "four"):
        two(project, "fsck")


def test_gc_drops_shared_packs_that_no_project_has(two: User) -> None:
    (name,) = two.shared_names()
    two("one", "gc", "--prune=now")
    remove(two.folder / "two")
    assert two.shared_names() == [name]
    two.store("other")
    remove(two.folder / "one")
    two(".", "init", "three")
    two("three", "gc")
    assert two.shared_names() == [name]  # used a moment ago
    report = json.loads(two("three", "gc", "--prune=now", "--dry-run", "--json").out)
    assert report["shared_removed"] == [name] and report["bytes_freed"] > 2_000_000
    assert two.shared_names() == [name]
    assert "removed 1 shared pack that no project uses" in two("three", "gc", "--prune=now").out
    assert two.shared_names() == [] and list((two.shared / "used").iterdir()) == []
    assert list((two.shared / "projects").iterdir()) == []


def test_a_pack_in_use_is_never_dropped(two: User) -> None:
    (name,) = two.shared_names()
    assert trim(str(two.shared), FUTURE_NS).packs == ()
    remove(two.folder / "one")
    remove(two.folder / "two")
    fd = os.open(two.shared / "lock", os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert trim(str(two.shared), FUTURE_NS).packs == ()
    os.close(fd)
    assert trim(str(two.shared), FUTURE_NS, dry_run=True).packs == (name,)
    assert trim(str(two.shared), FUTURE_NS).packs == (name,)


def test_halves_in_the_shared_folder_are_tidied_up(two: User) -> None:
    (two.packs / ("pack-" + "1" * 40 + ".idx")).write_bytes(b"x")
    (two.packs / "tmp_pack_1").write_bytes(b"x")
    trim(str(two.shared), 0)
    assert len(list(two.packs.iterdir())) == 2
    (two.packs / ("pack-" + "1" * 40 + ".pack")).write_bytes(b"x")
    trim(str(two.shared), time.time_ns())
    assert len(list(two.packs.iterdir())) == 3  # perhaps its index comes in a moment
    trim(str(two.shared), FUTURE_NS)
    assert len(list(two.packs.iterdir())) == 2


@pytest.mark.root_only
def test_a_shared_folder_that_cannot_be_read_is_a_warning(two: User) -> None:
    (two.shared / "lock").unlink()
    (two.shared / "lock").mkdir()
    assert "shared packs were not looked at" in two("two", "gc").err


def test_what_killed_links_left_is_removed(two: User) -> None:
    folder = two.folder / "two/.envgit/objects/pack"
    stem = "pack-" + "2" * 40
    (folder / f"{stem}.pack").write_bytes(b"half")
    shutil.copy(shared_pack(two, "two").with_suffix(".keep"), folder / f"{stem}.keep")
    (folder / ("pack-" + "3" * 40 + ".keep")).write_bytes(b"of somebody else")
    two("two", "gc")
    assert (folder / f"{stem}.pack").exists()  # perhaps its index comes in a moment
    for path in folder.glob("*.keep"):
        os.utime(path, (1, 1))
    two("two", "gc")
    left = [path.name for digit in "23" for path in folder.glob(f"pack-{digit * 40}.*")]
    assert left == ["pack-" + "3" * 40 + ".keep"]


def test_no_more_packs_are_kept_than_a_lookup_can_ask(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = user.store("many")
    stems = [write_pack(Path(objects.objects_dir), *(b"%d %d" % (number, each) for each in range(number + 1)))
             for number in range(5)]  # fmt: skip
    for stem in stems:
        stem.with_suffix(".keep").write_bytes(KEEP_TEXT)
    stems[0].with_suffix(".keep").chmod(0o600)
    stems[0].with_suffix(".keep").write_bytes(b"the user's")
    monkeypatch.setattr(keeping, "_MOST_KEPT", 2)
    assert release_packs(objects, None) == (stems[2].name, stems[1].name)
    assert [stem.with_suffix(".keep").exists() for stem in stems] == [True, False, False, True, True]


def test_where_something_is_missing_nothing_is_let_go(user: User) -> None:
    objects = user.store("broken")
    stem = write_pack(Path(objects.objects_dir), b"x")
    stem.with_suffix(".keep").write_bytes(KEEP_TEXT)
    assert release_packs(objects, [bytes(20)]) == ()
    assert release_packs(objects, []) == (stem.name,)


def test_gc_killed_at_any_step_loses_nothing(two: User) -> None:
    environ = two.environ

    def patched(number: int) -> None:
        os.environ.update(environ)
        faults.kill_at(number)()

    _, steps = faults.record(two.folder / "two", ("gc", "--prune=now"), lambda: os.environ.update(environ))
    for number in first_and_last(steps):
        envgit(two.folder / "two", "gc", "--prune=now", prepare=lambda n=number: patched(n), environ=environ)  # type: ignore[misc]
        two("two", "fsck")
    assert shared_pack(two, "two").stat().st_nlink == 3


def test_bytes_that_others_have_are_not_freed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/own").write_bytes(bytes([1]) * 40_960)
    before = _disk_bytes(str(tmp_path / "a"))
    (tmp_path / "a/shared").write_bytes(bytes([1]) * 40_960)
    assert _disk_bytes(str(tmp_path / "a")) == before + 40_960
    os.link(tmp_path / "a/shared", tmp_path / "outside")
    assert _disk_bytes(str(tmp_path / "a")) == before
    os.link(tmp_path / "a/own", tmp_path / "a/twice")
    assert _disk_bytes(str(tmp_path / "a")) == before


def test_an_unreachable_pack_of_a_failed_import_is_dropped(user: User, base: Path) -> None:
    """Linked, then killed before the branch moved."""
    user.init("one", base)
    user(".", "init", "two")
    stem = shared_pack(user, "one").with_suffix("")
    target = user.folder / "two/.envgit/objects/pack"
    for extension in (".pack", ".idx"):
        os.link(stem.with_suffix(extension), target / (stem.name + extension))
    (target / (stem.name + ".keep")).write_bytes(KEEP_TEXT)
    user("two", "gc", "--prune=now")
    assert list(target.glob("*.pack")) == []
    assert len(ObjectStore(str(user.folder / "one/.envgit")).packs()) >= 1
