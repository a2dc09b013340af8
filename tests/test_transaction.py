"""The promise of a transaction: kill it anywhere, fail it anywhere; it happened whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from envgit.errors import Conflict, EnvgitError, StorageError
from envgit.store import storage
from envgit.store.objects import Signature
from envgit.store.operations import (
    Operation,
    format_operation,
    iter_operations,
    parse_operation,
    read_operation,
)
from envgit.store.pointers import read_pointer
from envgit.store.reflog import read_reflog
from envgit.store.repository import GitRepository, create_bare
from envgit.transaction import KEPT_PREFIX, Transaction
from tests.store.conftest import assert_fsck_silent, make_commit, run_git


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    return create_bare(str(tmp_path / "lab.envgit"))


@pytest.fixture(autouse=True)
def no_faults() -> object:
    yield
    storage.set_fault_hook(None)


def begin(repository: GitRepository, *words: str, wait_seconds: float = 10) -> Transaction:
    who = Signature(b"t", b"t@t", 1_700_000_000, b"+0200")
    return Transaction(repository.objects, repository.refs, words, committer=lambda: who, wait_seconds=wait_seconds)


def prepare(repository: GitRepository) -> tuple[bytes, bytes]:
    """main at a commit, a packed branch `old`, one worktree pointer; returns (main's commit, an unreferenced child)."""
    one = make_commit(repository, text="one")
    with begin(repository, "init") as transaction:
        transaction.set_ref("refs/heads/main", one)
        transaction.set_ref("refs/heads/old", one)
        transaction.set_worktree("main", f"{one.hex()}:7")
        transaction.finish("init")
    run_git(repository.git_dir, "pack-refs", "--all")
    return one, make_commit(repository, one, text="two")


def change(repository: GitRepository) -> None:
    """A whole command: write objects, move two refs, delete a packed one, move HEAD and a pointer."""
    with begin(repository, "change") as transaction:
        old = repository.refs.resolve("refs/heads/main")
        assert old is not None
        new = make_commit(repository, old, text="new")
        transaction.set_ref("refs/heads/main", new)
        transaction.set_ref("refs/heads/a/b", new)
        transaction.set_ref("refs/heads/old", None)
        transaction.set_head("refs/heads/a/b")
        transaction.set_worktree("main", f"{new.hex()}:-")
        transaction.finish("change")


def state(repository: GitRepository) -> tuple[object, ...]:
    refs = run_git(repository.git_dir, "for-each-ref", "--format=%(refname)").split()
    head = repository.refs.read_head()
    pointer = read_pointer(repository.git_dir, "main") or ""
    return refs, head.symbolic, pointer[40:]


BEFORE = (["refs/heads/main", "refs/heads/old"], "refs/heads/main", ":7")
AFTER = (["refs/heads/a/b", "refs/heads/main"], "refs/heads/a/b", ":-")


def count_steps(tmp_path: Path) -> list[str]:
    scratch = create_bare(str(tmp_path / "count.envgit"))
    prepare(scratch)
    steps: list[str] = []
    storage.set_fault_hook(steps.append)
    change(scratch)
    storage.set_fault_hook(None)
    assert state(scratch) == AFTER
    return steps


def test_killed_at_every_step_it_is_whole_or_absent(tmp_path: Path) -> None:
    steps = count_steps(tmp_path)
    assert len(steps) > 40
    committed = max(index for index, step in enumerate(steps) if step == "operation-commit")
    for position, name in enumerate(steps):
        repository = create_bare(str(tmp_path / f"{position}.envgit"))
        prepare(repository)
        child = os.fork()
        if not child:
            left = position

            def kill(_: str) -> None:
                nonlocal left
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left -= 1

            storage.set_fault_hook(kill)
            change(repository)
            os._exit(99)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, name
        with begin(repository, "next", wait_seconds=0) as transaction:
            transaction.set_ref("refs/heads/later", repository.refs.resolve("refs/heads/main"))
            transaction.finish("later")
        repository.refs.update("refs/heads/later", None, repository.refs.resolve("refs/heads/later"))
        assert state(repository) == (AFTER if position > committed else BEFORE), name
        rubbish = [*Path(repository.git_dir).rglob("*.lock"), *Path(repository.git_dir).rglob("tmp_*")]
        assert rubbish == [], name
        assert_fsck_silent(repository.git_dir)


@pytest.mark.parametrize("error", [28, 5])
def test_failed_at_every_step_it_is_whole_or_absent(tmp_path: Path, error: int) -> None:
    steps = count_steps(tmp_path)
    for position, name in enumerate(steps):
        repository = create_bare(str(tmp_path / f"{error}-{position}.envgit"))
        prepare(repository)
        left = position

        def fail(_: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise OSError(error, os.strerror(error))

        storage.set_fault_hook(fail)
        try:
            change(repository)
        except EnvgitError as raised:
            assert isinstance(raised, StorageError), name
        storage.set_fault_hook(None)
        with begin(repository, "next", wait_seconds=0):
            pass
        assert state(repository) in (BEFORE, AFTER), name
        assert not [*Path(repository.git_dir).rglob("*.lock"), *Path(repository.git_dir).rglob("tmp_*")], name
        assert_fsck_silent(repository.git_dir)


def test_operations_parse_to_what_was_formatted() -> None:
    operation = Operation(
        3, 1_700_000_000, "-0330", ("commit", "-m", "a b\\é\n", ""), ("refs/heads/main", "ab" * 20),
        (("refs/heads/é", None, b"\1" * 20), ("refs/heads/x", b"\2" * 20, None)), (("main", None, "x:-"),),
    )  # fmt: skip
    data = format_operation(operation)
    assert parse_operation(3, data) == operation
    for position in range(len(data)):
        with pytest.raises(EnvgitError):
            parse_operation(3, data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])


def test_what_a_move_leaves_behind_is_kept(repository: GitRepository) -> None:
    one, two = prepare(repository)
    with begin(repository, "forward") as transaction:
        transaction.set_ref("refs/heads/main", two)
        transaction.finish("forward")
    assert repository.refs.resolve(KEPT_PREFIX + one.hex()) is None
    with begin(repository, "back") as transaction:
        transaction.set_ref("refs/heads/main", one)
        operation = transaction.finish("back")
    assert repository.refs.resolve(KEPT_PREFIX + two.hex()) == two
    assert (KEPT_PREFIX + two.hex(), None, two) in operation.refs
    run_git(repository.git_dir, "reflog", "expire", "--expire=now", "--all")
    run_git(repository.git_dir, "gc", "--prune=now", "-q")
    assert repository.objects.read(two)[0] == "commit"


def test_reflogs_are_gits(repository: GitRepository) -> None:
    one, two = prepare(repository)
    with begin(repository, "commit") as transaction:
        transaction.set_ref("refs/heads/main", two)
        transaction.finish("commit: second  line\nx")
    with begin(repository, "checkout") as transaction:
        transaction.set_head("refs/heads/old")
        transaction.finish("checkout: moving from main to old")
    log = run_git(repository.git_dir, "reflog", "show", "HEAD", "--format=%H %gs").splitlines()
    assert log[0] == f"{one.hex()} checkout: moving from main to old"
    assert log[1] == f"{two.hex()} commit: second line x"
    assert run_git(repository.git_dir, "rev-parse", "main@{1}", "@{-1}").split() == [one.hex(), two.hex()]
    assert [entry.new for entry in read_reflog(repository.git_dir, "refs/heads/main")] == [one, two]


def test_nothing_to_change_is_no_operation(repository: GitRepository) -> None:
    one, _ = prepare(repository)
    with begin(repository, "none") as transaction:
        transaction.set_ref("refs/heads/main", one)
        transaction.set_head("refs/heads/main")
        assert transaction.finish("none").number == 0
    assert [operation.number for operation in iter_operations(repository.git_dir)] == [1]


def test_what_stock_git_moves_afterwards_is_never_redone(repository: GitRepository) -> None:
    one, two = prepare(repository)
    with begin(repository, "forward") as transaction:
        transaction.set_ref("refs/heads/main", two)
        transaction.finish("forward")
    run_git(repository.git_dir, "update-ref", "refs/heads/main", one.hex())
    with begin(repository, "next"):
        assert repository.refs.resolve("refs/heads/main") == one


def test_a_branch_can_move_below_its_own_name(repository: GitRepository) -> None:
    one, _ = prepare(repository)
    with begin(repository, "branch") as transaction:
        transaction.set_ref("refs/heads/old", None)
        transaction.set_ref("refs/heads/old/new", one)
        transaction.finish("branch: renamed")
    assert repository.refs.resolve("refs/heads/old/new") == one
    with pytest.raises(Conflict), begin(repository, "branch") as transaction:
        transaction.set_ref("refs/heads/main/x", one)
        transaction.finish("branch")
    assert (read_operation(repository.git_dir) or Operation(0, 0, "", ())).number == 2


def test_concurrent_writers_lose_no_commit(repository: GitRepository) -> None:
    prepare(repository)
    git_dir = repository.git_dir

    def work() -> None:
        for _ in range(10):
            change(create_view(git_dir))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run_git(git_dir, "rev-list", "--count", "main") == "41"
    assert_fsck_silent(git_dir)


def create_view(git_dir: str) -> GitRepository:
    from envgit.store.repository import open_

    return open_(git_dir)


def test_the_hot_path_imports_no_git_library() -> None:
    code = (
        "import sys, envgit.transaction, envgit.store.revisions, envgit.store.repository;"
        "print(*{'pygit2', 'dulwich', 'json', 'subprocess', 'tempfile', 'logging', 'shutil'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
