"""What the other side lacks: exactly what git's own walk says, without looking at shared history."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.store.objects import Tag, encode_tag
from envgit.transfer.missing import MissingWalk
from tests.transfer.made_history import MadeHistory, reachable


@pytest.fixture
def made(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "source")


def _missing(made: MadeHistory, tips: list[bytes], haves: list[bytes]) -> set[str]:
    found = [oid.hex() for oid, _ in MissingWalk(made.objects, tips, haves).iter_all()]
    assert len(found) == len(set(found))
    return set(found)


def test_everything_is_missing_from_an_empty_repository(made: MadeHistory) -> None:
    tip = made.commit({"a/b/c": b"1", "a/d": b"2", "e": b"1"})
    assert _missing(made, [tip], []) == reachable(made.git_dir)


def test_nothing_is_missing_from_one_that_has_the_tip(made: MadeHistory) -> None:
    tip = made.commit({"a": b"1"})
    assert _missing(made, [tip], [tip]) == set()


def test_only_the_changed_path_is_missing(made: MadeHistory) -> None:
    first = made.commit({"a/b/c": b"1", "a/d/e": b"2", "f/g": b"3"})
    second = made.commit({"a/b/c": b"new", "a/d/e": b"2", "f/g": b"3"}, [first])
    expected = reachable(made.git_dir, second.hex()) - reachable(made.git_dir, first.hex())
    assert _missing(made, [second], [first]) == expected
    assert len(expected) == 5  # commit, top, a, b, c


def test_shared_history_is_not_walked(made: MadeHistory) -> None:
    tip = None
    for number in range(200):
        tip = made.commit({"f": b"%d" % number}, [tip] if tip else [])
    assert tip is not None
    new = made.commit({"f": b"last"}, [tip])
    reads: list[bytes] = []

    class Counted:
        contains, shallow = made.objects.contains, made.objects.shallow

        def read(self, oid: bytes) -> tuple[str, bytes]:
            reads.append(oid)
            return made.objects.read(oid)

    assert len(list(MissingWalk(Counted(), [new], [tip]).iter_all())) == 3
    assert len(reads) <= 6


def test_tags_are_followed_and_given_out(made: MadeHistory) -> None:
    commit = made.commit({"a": b"1"})
    with made.objects.pack_session() as session:
        inner = session.put("tag", encode_tag(Tag(commit, "commit", b"in", None, b"x\n")))
        outer = session.put("tag", encode_tag(Tag(inner, "tag", b"out", None, b"x\n")))
        session.finish()
    assert _missing(made, [outer], [commit]) == {inner.hex(), outer.hex()}
    assert _missing(made, [outer], [outer]) == set()
    assert _missing(made, [commit], [outer]) == set()


def test_a_tag_of_a_tree_or_file_is_given_out_with_it(made: MadeHistory) -> None:
    with made.objects.pack_session() as session:
        blob = session.put("blob", b"content")
        tag = session.put("tag", encode_tag(Tag(blob, "blob", b"t", None, b"x\n")))
        session.finish()
    assert _missing(made, [tag], []) == {blob.hex(), tag.hex()}


def test_paths_are_those_of_the_tree(made: MadeHistory) -> None:
    tip = made.commit({"rootfs/etc/x": b"1"})
    paths = {path for _, path in MissingWalk(made.objects, [tip], []).iter_all()}
    assert paths == {b"", b"rootfs", b"rootfs/etc", b"rootfs/etc/x"}


def test_haves_that_are_not_here_do_not_count(made: MadeHistory) -> None:
    tip = made.commit({"a": b"1"})
    assert _missing(made, [tip], [b"\x11" * 20]) == reachable(made.git_dir)


@pytest.mark.parametrize("seed", range(12))
def test_random_histories_agree_with_git(made: MadeHistory, seed: int) -> None:
    """Never less than git's exact answer; more only by what moved between folders."""
    dice = random.Random(seed)
    commits: list[bytes] = []
    for number in range(25):
        files = {
            f"d{dice.randrange(3)}/e{dice.randrange(3)}/f{dice.randrange(4)}": b"%d" % dice.randrange(9)
            for _ in range(8)
        }
        parents = dice.sample(commits, min(len(commits), dice.choice((0, 1, 1, 1, 2, 3))))
        commits.append(made.commit(files, parents, branch=f"b{number}"))
    for _ in range(6):
        tips, haves = dice.sample(commits, 2), dice.sample(commits, dice.randrange(4))
        needed = reachable(made.git_dir, *(oid.hex() for oid in tips))
        known = reachable(made.git_dir, *(oid.hex() for oid in haves)) if haves else set()
        found = _missing(made, tips, haves)
        assert needed - known <= found <= needed
        new = {commit.oid.hex() for commit in MissingWalk(made.objects, tips, haves).commits}
        assert new == {oid for oid in needed - known if bytes.fromhex(oid) in commits}


def test_commits_come_after_their_parents(made: MadeHistory) -> None:
    first = made.commit({"a": b"1"})
    left = made.commit({"a": b"2"}, [first])
    right = made.commit({"a": b"3"}, [first])
    merge = made.commit({"a": b"4"}, [left, right])
    order = [commit.oid for commit in MissingWalk(made.objects, [merge], []).commits]
    assert order[0] == first and order[-1] == merge and set(order[1:3]) == {left, right}


def test_what_any_known_parent_has_is_known_for_all_new_commits(made: MadeHistory) -> None:
    """So the parts of a split push, which a merge ties to the commit, are not sent again with it."""
    first = made.commit({"a": b"1"})
    files = {f"d/{number}": b"%d" % number for number in range(9)}
    whole = made.commit({"a": b"1", **files}, [first])
    part = made.commit({"a": b"1", **dict(list(files.items())[:6])}, [first], branch="part")
    merge = made.commit({"a": b"1", **files}, [whole, part])
    found = _missing(made, [merge], [part])
    assert len(found) == 2 + 2 + 3  # commits, trees, files
    assert found == reachable(made.git_dir, merge.hex()) - reachable(made.git_dir, part.hex())
