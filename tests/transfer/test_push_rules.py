"""What a push the short way refuses: git's rules for refs, in git's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.transfer.transport import RefUpdate
from tests.transfer.made_history import MadeHistory, all_objects, git, make_bare
from tests.transfer.short_way import MAIN, assert_sound, push


@pytest.fixture
def made(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "source")


@pytest.fixture
def bare(tmp_path: Path) -> str:
    return make_bare(tmp_path / "bare.git")


@pytest.fixture
def forked(made: MadeHistory, bare: str) -> tuple[bytes, bytes, bytes]:
    """The other side's main is `left`; `right` is another child of `first`."""
    first = made.commit({"a": b"1"})
    left = made.commit({"a": b"2"}, [first])
    right = made.commit({"a": b"3"}, [first], branch="right")
    assert push(made, bare, RefUpdate(MAIN, None, left)) == [""]
    return first, left, right


def test_history_is_not_lost_without_force(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    _, left, right = forked
    assert push(made, bare, RefUpdate(MAIN, left, right)) == ["non-fast-forward"]
    assert right.hex() not in all_objects(bare)
    assert push(made, bare, RefUpdate(MAIN, left, right, force=True)) == [""]
    assert git("rev-parse", "main", cwd=bare) == right.hex()


def test_a_lease_is_compared(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    first, left, right = forked
    assert push(made, bare, RefUpdate(MAIN, first, right, lease=True)) == ["stale info"]
    assert push(made, bare, RefUpdate(MAIN, None, right, lease=True)) == ["stale info"]
    assert push(made, bare, RefUpdate(MAIN, left, right, lease=True)) == [""]


def test_unknown_history_there_has_to_be_fetched_first(made: MadeHistory, bare: str, tmp_path: Path) -> None:
    other = MadeHistory(tmp_path / "elsewhere")
    theirs = other.commit({"a": b"theirs"})
    assert push(other, bare, RefUpdate(MAIN, None, theirs)) == [""]
    mine = made.commit({"a": b"mine"})
    assert push(made, bare, RefUpdate(MAIN, None, mine)) == ["fetch first"]


def test_tags_do_not_move_without_force(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    first, left, _ = forked
    assert push(made, bare, RefUpdate("refs/tags/t", None, first)) == [""]
    assert push(made, bare, RefUpdate("refs/tags/t", None, left)) == ["already exists"]
    assert push(made, bare, RefUpdate("refs/tags/t", None, left, force=True)) == [""]


@pytest.mark.parametrize(
    "name", ["refs/envgit/kept/x", "refs/heads/../x", "refs/heads/a b", "HEAD", "refs/heads/x.lock", "main"]
)
def test_names_that_may_not_be(made: MadeHistory, bare: str, name: str) -> None:
    tip = made.commit({"a": b"1"})
    assert push(made, bare, RefUpdate(name, None, tip)) == ["funny refname"]
    assert all_objects(bare) == set()


def test_a_name_below_or_above_another_branch_is_refused(made: MadeHistory, bare: str) -> None:
    tip = made.commit({"a": b"1"})
    assert push(made, bare, RefUpdate("refs/heads/a/b", None, tip)) == [""]
    (reason,) = push(made, bare, RefUpdate("refs/heads/a", None, tip))
    assert "refs/heads/a/b exists" in reason


def test_deletions(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    first, left, _ = forked
    assert push(made, bare, RefUpdate("refs/heads/x", None, first)) == [""]
    assert push(made, bare, RefUpdate("refs/heads/x", None, None)) == [""]
    assert push(made, bare, RefUpdate("refs/heads/x", None, None)) == ["remote ref does not exist"]
    assert push(made, bare, RefUpdate(MAIN, None, None)) == ["deletion of the current branch prohibited"]
    git("pack-refs", "--all", cwd=bare)
    assert push(made, bare, RefUpdate("refs/heads/y", None, left)) == [""]
    assert_sound(bare)


def test_up_to_date_is_said(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    assert push(made, bare, RefUpdate(MAIN, None, forked[1])) == ["up to date"]


def test_atomic_is_all_or_nothing(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    first, _, right = forked
    updates = RefUpdate("refs/heads/new", None, first), RefUpdate(MAIN, None, right)
    assert push(made, bare, *updates, atomic=True) == ["atomic push failed", "non-fast-forward"]
    assert git("branch", "--list", "new", cwd=bare) == ""
    assert push(made, bare, *updates) == ["", "non-fast-forward"]


def test_a_branch_must_be_a_commit(made: MadeHistory, bare: str) -> None:
    with made.objects.pack_session() as session:
        blob = session.put("blob", b"x")
        session.finish()
    made.objects.refresh()
    assert push(made, bare, RefUpdate(MAIN, None, blob)) == ["a branch must be a commit"]


def test_reflogs_that_are_kept_get_the_move(made: MadeHistory, bare: str, forked: tuple[bytes, bytes, bytes]) -> None:
    log = Path(bare, "logs", MAIN)
    log.parent.mkdir(parents=True)
    log.touch()
    new = made.commit({"a": b"5"}, [forked[1]])
    assert push(made, bare, RefUpdate(MAIN, None, new)) == [""]
    assert log.read_text().endswith("\tpush\n")
