from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from envgit.errors import Conflict, CorruptObject, InvalidName, RefMoved, RepositoryBusy, UnsupportedRepository
from envgit.store.lock import RepositoryLock
from envgit.store.ref_names import check_ref_name
from envgit.store.refs import RefStore
from envgit.store.repository import GitRepository, check_repository, create_bare
from tests.store.conftest import Git, assert_fsck_silent, make_commit

NAMES = [
    "refs/heads/a", "refs/heads/a/b", "refs/heads/.a", "refs/heads/a.lock", "refs/heads/a.lock/b", "refs/heads/a..b",
    "refs/heads/a b", "refs/heads/a~", "refs/heads/a^", "refs/heads/a:", "refs/heads/a?", "refs/heads/a*", "refs/heads/[",
    "refs/heads/a\\b", "refs/heads/a/", "refs/heads//a", "refs/heads/a.", "refs/heads/@{", "refs/heads/@", "refs/heads/é",
    "refs/heads/a\x7f", "refs/heads/a\x01", "refs/heads/-a", "refs/heads/x/.b", "refs/heads/a@{0", "refs/heads/{}",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_judged_as_git_does(name: str, git: Git) -> None:
    try:
        check_ref_name(name)
        ours = ""
    except InvalidName:
        ours = "refused"
    assert bool(ours) == _refused(git, name)


def _refused(git: Git, name: str) -> bool:
    try:
        git("check-ref-format", name)
    except AssertionError:
        return True
    return False


def test_loose_packed_and_symbolic_refs_are_read(repository: GitRepository, git: Git) -> None:
    oid = make_commit(repository)
    for name in ("main", "a/b", "packed"):
        repository.refs.update(f"refs/heads/{name}", oid, None)
    git("tag", "-a", "-m", "t", "v1", oid.hex())
    git("pack-refs", "--all")
    git("symbolic-ref", "refs/heads/alias", "refs/heads/a/b")
    other = make_commit(repository, oid)
    repository.refs.update("refs/heads/main", other, oid)
    expected = git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    assert [f"{name} {found.hex()}" for name, found in repository.refs.iter_refs()] == expected
    assert repository.refs.read_head() == ("refs/heads/main", other)
    assert [name for name, _ in repository.refs.iter_refs("refs/heads/a")] == ["refs/heads/a/b", "refs/heads/alias"]
    git("symbolic-ref", "--delete", "refs/heads/alias")
    repository.refs.update("refs/heads/packed", None, oid)
    repository.refs.update("refs/heads/a/b", None, oid)
    assert git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main", "refs/tags/v1"]
    assert git("rev-parse", "v1^{}") == oid.hex()
    assert_fsck_silent(repository.git_dir)


def test_compare_and_swap_refuses_a_moved_ref(repository: GitRepository, git: Git) -> None:
    one, two = make_commit(repository, text="1"), make_commit(repository, text="2")
    repository.refs.update("refs/heads/main", one, None)
    for expected in (None, two):
        with pytest.raises(RefMoved):
            repository.refs.update("refs/heads/main", two, expected)
    assert git("rev-parse", "main") == one.hex()
    assert not list(Path(repository.git_dir).rglob("*.lock")) and not list(Path(repository.git_dir).glob("tmp_*"))


def test_a_file_and_a_folder_of_one_name_conflict(repository: GitRepository) -> None:
    oid = make_commit(repository)
    repository.refs.update("refs/heads/a", oid, None)
    with pytest.raises(Conflict):
        repository.refs.check_available("refs/heads/a/b")
    with pytest.raises(Conflict):
        repository.refs.update("refs/heads/a/b", oid, None)
    repository.refs.update("refs/heads/a", None, oid)
    repository.refs.update("refs/heads/a/b/c", oid, None)
    with pytest.raises(Conflict):
        repository.refs.check_available("refs/heads/a")
    repository.refs.update("refs/heads/a/b/c", None, oid)
    os.makedirs(repository.git_dir + "/refs/heads/a/empty")
    repository.refs.update("refs/heads/a", oid, None)
    assert repository.refs.resolve("refs/heads/a") == oid


def test_a_ref_in_the_way_is_packed_and_keeps_its_value(repository: GitRepository, git: Git) -> None:
    oid = make_commit(repository)
    for name in ("refs/heads/a", "refs/heads/b", "refs/heads/z"):
        repository.refs.update(name, oid, None)
    git("tag", "-a", "-m", "t", "v1", oid.hex())
    git("pack-refs", "--all")
    newer = make_commit(repository, oid)
    repository.refs.update("refs/heads/a", newer, oid)
    held = repository.refs.lock("refs/heads/a", None, newer)
    repository.refs.make_way("refs/heads/a")
    below = repository.refs.lock("refs/heads/a/b", newer, None)
    assert repository.refs.resolve("refs/heads/a") == newer
    assert git("rev-parse", "refs/heads/a", "v1^{}").split() == [newer.hex(), oid.hex()]
    held.commit()
    below.commit()
    expected = ["refs/heads/a/b", "refs/heads/b", "refs/heads/z", "refs/tags/v1"]
    assert git("for-each-ref", "--format=%(refname)").split() == expected
    assert git("rev-parse", "refs/heads/a/b", "v1^{}").split() == [newer.hex(), oid.hex()]
    assert_fsck_silent(repository.git_dir)


def test_nothing_goes_below_a_symbolic_ref(repository: GitRepository, git: Git) -> None:
    repository.refs.update("refs/heads/main", make_commit(repository), None)
    git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    with pytest.raises(Conflict, match="symbolic"):
        repository.refs.make_way("refs/heads/alias")


def test_gits_own_lock_is_respected(repository: GitRepository) -> None:
    oid = make_commit(repository)
    Path(repository.git_dir, "refs/heads/main.lock").write_bytes(b"")
    with pytest.raises(RepositoryBusy, match="main.lock"):
        repository.refs.update("refs/heads/main", oid, None)


def test_a_damaged_ref_is_an_error_not_an_absent_one(repository: GitRepository) -> None:
    Path(repository.git_dir, "refs/heads/main").write_bytes(b"")
    with pytest.raises(CorruptObject, match="refs/heads/main"):
        repository.refs.read_head()


def test_threads_that_swap_lose_no_update(repository: GitRepository, git: Git) -> None:
    tip = make_commit(repository)
    repository.refs.update("refs/heads/main", tip, None)
    wins: list[bytes] = []

    def work(oid: bytes) -> None:
        try:
            RefStore(repository.git_dir).update("refs/heads/main", oid, tip)
            wins.append(oid)
        except RefMoved:
            return

    threads = [threading.Thread(target=work, args=(make_commit(repository, tip, text=str(n)),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [git("rev-parse", "main")] == [oid.hex() for oid in wins]


def test_the_lock_names_its_holder_and_dies_with_it(repository: GitRepository) -> None:
    path = repository.git_dir + "/lock"
    with RepositoryLock(path) as held:
        held.acquire(b"envgit import")
        with pytest.raises(RepositoryBusy, match=rf"process {os.getpid()} \(envgit import\)"):
            RepositoryLock(path).acquire(b"envgit commit", 0.05)
    RepositoryLock(path).acquire(b"envgit commit", 0)


def test_unknown_features_are_refused_by_name(tmp_path: Path) -> None:
    git_dir = str(tmp_path / "x")
    create_bare(git_dir)
    Path(git_dir, "requires").write_text("envgit-format-1\nteleport\n")
    with pytest.raises(UnsupportedRepository, match="teleport"):
        check_repository(git_dir)


@pytest.mark.root_only
def test_somebody_elses_repository_is_refused(tmp_path: Path) -> None:
    git_dir = str(tmp_path / "x")
    create_bare(git_dir)
    assert os.stat(git_dir).st_mode & 0o777 == 0o700
    os.chown(git_dir, 12345, 12345)
    with pytest.raises(UnsupportedRepository, match="12345"):
        check_repository(git_dir)
    check_repository(git_dir, trusted_uids=(12345,))
