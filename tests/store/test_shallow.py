"""History that is cut short: git's `shallow` file, read as git reads it and written so that no crash breaks it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.errors import Conflict, CorruptObject, RepositoryBusy, StorageError, UnknownRevision
from envgit.store import storage
from envgit.store.history import is_ancestor, iter_commits, merge_bases
from envgit.store.object_store import ObjectStore
from envgit.store.recovery import recover
from envgit.store.refs import RefStore
from envgit.store.repository import GitRepository
from envgit.store.revisions import resolve_commit, resolve_range
from envgit.store.shallow import check_rewritable, plan_shallow, read_shallow, visible_parents, write_shallow
from tests.lab import Lab, run_envgit
from tests.store.conftest import make_commit, run_git

ONE, TWO, THREE = (bytes([number]) * 20 for number in (1, 2, 3))


@pytest.fixture
def line(repository: GitRepository) -> list[bytes]:
    """Six commits in a row, and a side branch from the second that is merged by the last."""
    row: list[bytes] = []
    for number in range(5):
        row.append(make_commit(repository, *row[-1:], text=f"c{number}", seconds=1_700_000_000 + number))
    side = make_commit(repository, row[1], text="side", seconds=1_700_000_010)
    row.append(make_commit(repository, row[-1], side, text="merge", seconds=1_700_000_020))
    repository.refs.update("refs/heads/main", row[-1], None)
    return [*row, side]


def cut_clone(repository: GitRepository, folder: Path, depth: int) -> tuple[ObjectStore, RefStore]:
    run_git(
        repository.git_dir, "clone", "-q", "--bare", f"--depth={depth}", f"file://{repository.git_dir}", str(folder)
    )
    return ObjectStore(str(folder)), RefStore(str(folder))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_walks_are_gits(repository: GitRepository, line: list[bytes], tmp_path: Path, depth: int) -> None:
    objects, refs = cut_clone(repository, tmp_path / "cut", depth)
    git_dir = str(tmp_path / "cut")
    assert objects.shallow() == read_shallow(git_dir) != frozenset()
    walks = {
        "--date-order": iter_commits(objects, [line[5]]),
        "--topo-order": iter_commits(objects, [line[5]], topo=True),
        "--first-parent": iter_commits(objects, [line[5]], first_parent=True),
    }
    for word, walk in walks.items():
        assert [oid.hex() for oid in walk] == run_git(git_dir, "rev-list", word, "HEAD").split()
    for spec in ("HEAD~1", "HEAD~2", "HEAD^2", "HEAD^2~1", "HEAD~4", "HEAD~9", "HEAD^^2"):
        theirs = run_git(git_dir, "rev-parse", "-q", "--verify", spec, check=False)
        try:
            assert resolve_commit(objects, refs, spec).hex() == theirs
        except UnknownRevision:
            assert theirs == ""
    for oid in iter_commits(objects, [line[5]]):
        for form in ("^@", "^!"):
            wanted, hidden = resolve_range(objects, refs, oid.hex() + form)
            words = run_git(git_dir, "rev-parse", oid.hex() + form).split()
            assert [*(each.hex() for each in wanted), *("^" + each.hex() for each in hidden)] == words


def test_the_end_of_history_is_said(repository: GitRepository, line: list[bytes], tmp_path: Path) -> None:
    objects, refs = cut_clone(repository, tmp_path / "cut", 2)
    with pytest.raises(UnknownRevision, match="cut short at") as caught:
        resolve_commit(objects, refs, "HEAD~2")
    assert "envgit fetch --unshallow" in str(caught.value.hint)
    with pytest.raises(UnknownRevision) as caught:
        resolve_commit(objects, refs, ":/nowhere said")
    assert "cut short" in str(caught.value.hint)
    with pytest.raises(UnknownRevision, match="cut short"):
        resolve_range(objects, refs, "HEAD~1^-1")
    with pytest.raises(UnknownRevision) as caught:
        resolve_commit(objects, refs, "HEAD^3")
    assert "cut short" not in caught.value.message
    for oid in objects.shallow():
        with pytest.raises(Conflict, match="parents are not here"):
            check_rewritable(objects, oid, "amend")
    check_rewritable(objects, line[5], "amend")


def test_ancestry_ends_at_the_cut(repository: GitRepository, line: list[bytes], tmp_path: Path) -> None:
    objects, _ = cut_clone(repository, tmp_path / "cut", 2)
    assert not is_ancestor(objects, line[0], line[5])
    assert is_ancestor(objects, line[4], line[5])
    assert merge_bases(objects, line[4], line[6]) == []  # their common ancestor is not here
    assert visible_parents(objects, line[5], (line[4], line[6])) == (line[4], line[6])
    assert visible_parents(objects, line[4], (line[3],)) == ()
    assert visible_parents(objects, line[4], ()) == ()


def test_the_file_is_read_again_when_git_replaced_it(
    repository: GitRepository, line: list[bytes], tmp_path: Path
) -> None:
    objects, _ = cut_clone(repository, tmp_path / "cut", 1)
    assert len(list(iter_commits(objects, [line[5]]))) == 1
    run_git(str(tmp_path / "cut"), "fetch", "-q", "--deepen=1", "origin", "main")
    assert len(list(iter_commits(objects, [line[5]]))) == 3
    run_git(str(tmp_path / "cut"), "fetch", "-q", "--unshallow", "origin", "main")
    assert objects.shallow() == frozenset() and len(list(iter_commits(objects, [line[5]]))) == 7


@pytest.mark.parametrize(
    "content",
    [b"x\n", b"00\n", b"\n", b"A" * 40 + b"\n", b"1" * 39 + b"\n", b"1" * 40 + b" main\n", b"\0" * 40 + b"\n",
     b"1" * 40 + b"\r\n", b"# comment\n", b"\xff" * 40 + b"\n", b"1" * 40 + b"\n\n" + b"2" * 40 + b"\n"],
)  # fmt: skip
def test_damage_is_said(repository: GitRepository, line: list[bytes], content: bytes) -> None:
    Path(repository.git_dir, "shallow").write_bytes(content)
    with pytest.raises(CorruptObject, match="line [12] is not the id"):
        repository.objects.shallow()
    with pytest.raises(CorruptObject):
        list(iter_commits(repository.objects, [line[5]]))


def test_what_cannot_be_read_is_no_traceback(repository: GitRepository) -> None:
    Path(repository.git_dir, "shallow").mkdir()
    with pytest.raises((CorruptObject, StorageError), match="shallow"):
        repository.objects.shallow()


def test_written_as_git_reads_it(repository: GitRepository, line: list[bytes]) -> None:
    write_shallow(repository.git_dir, {line[3], line[6]})
    assert read_shallow(repository.git_dir) == {line[3], line[6]}
    assert run_git(repository.git_dir, "rev-parse", "--is-shallow-repository") == "true"
    theirs = run_git(repository.git_dir, "rev-list", "HEAD").split()
    assert [oid.hex() for oid in iter_commits(repository.objects, [line[5]])] == theirs and len(theirs) == 4
    write_shallow(repository.git_dir, ())
    assert run_git(repository.git_dir, "rev-parse", "--is-shallow-repository") == "false"
    assert not [name for name in os.listdir(repository.git_dir) if name.startswith("shallow")]


def test_git_that_writes_it_is_not_disturbed(repository: GitRepository, line: list[bytes]) -> None:
    lock = Path(repository.git_dir, "shallow.lock")
    lock.write_bytes(b"half of a li")
    with pytest.raises(RepositoryBusy) as caught:
        write_shallow(repository.git_dir, [line[3]])
    assert str(lock) in str(caught.value.hint)
    assert lock.read_bytes() == b"half of a li" and read_shallow(repository.git_dir) == frozenset()


def _steps(work: Callable[[], None]) -> list[str]:
    reached: list[str] = []
    storage.set_fault_hook(reached.append)
    work()
    storage.set_fault_hook(None)
    return reached


@pytest.mark.parametrize("after", [(), (THREE,)])
def test_killed_at_every_step(repository: GitRepository, after: tuple[bytes, ...], tmp_path: Path) -> None:
    """It lists the old commits or the new ones, and the next writer gets through."""
    git_dir = repository.git_dir
    write_shallow(git_dir, [ONE, TWO])
    steps = _steps(lambda: write_shallow(git_dir, after))
    assert len(steps) >= 6
    for kill_at in range(len(steps)):
        write_shallow(git_dir, [ONE, TWO])
        child = os.fork()
        if not child:
            left = [kill_at]

            def hook(step: str, left: list[int] = left) -> None:
                if not left[0]:
                    os._exit(9)
                left[0] -= 1

            storage.set_fault_hook(hook)
            write_shallow(git_dir, after)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, steps[kill_at]
        assert read_shallow(git_dir) in ({ONE, TWO}, frozenset(after)), steps[kill_at]
        recover(repository.refs)
        assert not any(name.startswith("shallow.") for name in os.listdir(git_dir)), steps[kill_at]
        write_shallow(git_dir, [TWO])
        assert read_shallow(git_dir) == {TWO}
        left_over = [name for name in os.listdir(git_dir) if name.startswith("shallow") and name != "shallow"]
        assert left_over == [], steps[kill_at]


def test_what_a_transfer_changes() -> None:
    both = {ONE, TWO}
    assert plan_shallow((), (), [ONE]) == {ONE}
    assert plan_shallow([ONE], [ONE], [TWO]) == {TWO}  # deepened
    assert plan_shallow(both, both, ()) == frozenset()  # unshallow
    assert plan_shallow(both, [ONE], [ONE, THREE]) == {ONE, TWO, THREE}  # another transfer added TWO meanwhile
    assert plan_shallow([TWO], [ONE, TWO], [ONE, TWO]) == {TWO}  # another one deepened ONE meanwhile
    assert plan_shallow((), (), [ONE, TWO], complete=[ONE]) == {TWO}  # what is here whole is not cut


# through the command line


@pytest.fixture
def cut_lab(lab: Lab, tmp_path: Path) -> Lab:
    """A clone of three environments of which only the last two are here."""
    for number in (1, 2, 3):
        lab("run", "--", "sh", "-c", f"echo {number} > /srv/n{number}")
        lab("commit", "-m", f"change {number}")
    target = tmp_path / "cut/.envgit"
    subprocess.run(
        ["git", "clone", "-q", "--bare", "--depth=2", f"file://{lab.git_dir}", str(target)], check=True, timeout=60
    )
    run_envgit("init", cwd=target.parent)
    return Lab(target.parent)


@pytest.mark.any_ids
def test_every_verb_works_on_a_cut_history(cut_lab: Lab) -> None:
    lab = cut_lab
    log = lab("log", "--oneline").lines()
    assert len(log) == 2 and log[0].endswith("change 3") and "(grafted" in log[1] and log[1].endswith("change 2")
    assert [commit["cut"] for commit in lab("log", "--json").json()["commits"]] == [False, True]
    assert lab("log", "--graph", "--oneline").status == 0
    assert "n3" in lab("show", "--stat").out
    assert "bin/busybox" in lab("show", "--stat", "HEAD~1").out or "bin/sh" in lab("show", "--stat", "HEAD~1").out
    assert lab("diff", "--name-status", "HEAD~1", "HEAD").lines()[-1].endswith("srv/n3")
    assert lab.sh("cat /srv/n1 /srv/n2 /srv/n3").out == "1\n2\n3\n"
    assert lab.look("HEAD~1", "cat /srv/n2") == "2\n"
    lab.fails("show", "HEAD~2", status=2, says="history is cut short at", hint="envgit fetch --unshallow")
    lab.fails("run", "HEAD~2", "--", "true", status=125, says="history is cut short at", hint="--unshallow")
    assert lab("status").status == 0
    lab.sh("echo 4 > /srv/n4")
    lab("commit", "-m", "change 4")
    lab("undo")
    lab("commit", "-m", "change 4")
    lab("commit", "--amend", "-m", "four")
    fsck = lab("fsck")
    assert "no problems" in fsck.err and "history is cut short at" in fsck.err
    assert lab("export-recipe", status=3).out.count("FROM ") == 1
    lab("gc", "--prune=now")
    assert len(lab("log", "--oneline").lines()) == 3
    assert "no problems" in lab("fsck").err
    lab("branch", "other", "HEAD~2")
    lab("checkout", "other")
    lab.fails("commit", "--amend", "-m", "x", status=1, says="its parents are not here", hint="envgit fetch")
    lab("checkout", "main")
    lab("branch", "-d", "other")


@pytest.mark.any_ids
def test_a_plan_that_is_older_than_the_cut_is_not_followed(lab: Lab) -> None:
    for number in (1, 2):
        lab.sh(f"echo {number} > /srv/n")
        lab("commit", "-m", f"change {number}")
    assert lab.look("main~1", "cat /srv/n") == "1\n"
    write_shallow(str(lab.git_dir), [bytes.fromhex(lab.head("main~1"))])
    assert lab.look("main~1", "cat /srv/n") == "1\n"
    lab.fails("run", "main~2", "--", "true", status=125, says="history is cut short at", hint=None)


@pytest.mark.any_ids
def test_unrelated_only_here(cut_lab: Lab, lab: Lab) -> None:
    lab("branch", "side", "HEAD~2")
    cut_lab.git("fetch", "-q", "--depth=1", f"file://{lab.git_dir}", "side:side")
    cut_lab.fails("diff", "main...side", status=2, says="cut short", hint="--unshallow")
    cut_lab.git("fetch", "-q", "--unshallow", f"file://{lab.git_dir}", "side")
    assert cut_lab("diff", "--name-only", "side...main").lines()[-1].endswith("srv/n3")
    assert len(cut_lab("log", "--oneline").lines()) == 4
    assert not (cut_lab.git_dir / "shallow").exists()


@pytest.mark.any_ids
def test_a_damaged_list_is_a_clear_error(cut_lab: Lab) -> None:
    kept = (cut_lab.git_dir / "shallow").read_bytes()
    (cut_lab.git_dir / "shallow").write_bytes(b"\x1b[31m\n")
    cut_lab.fails("log", status=2, says="shallow is damaged", hint="clone")
    assert "shallow is damaged" in cut_lab("fsck", status=1).out
    (cut_lab.git_dir / "shallow").write_bytes(kept)
    assert "no problems" in cut_lab("fsck").err
