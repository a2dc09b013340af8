"""What a remote calls its refs is its own choice: nothing here is read instead of something else because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.hub import clone, commit, hub_git, make_hub, make_pair
from tests.lab import Lab


@pytest.fixture
def trio(lab: Lab, tmp_path: Path) -> tuple[Lab, Lab, Path]:
    return make_pair(lab, tmp_path)


def pack_ref(hub: Path, name: str, oid: str) -> None:
    """Write a ref that stock git would not make a file for."""
    path = hub / "packed-refs"
    lines = path.read_text().splitlines() if path.exists() else ["# pack-refs with: peeled fully-peeled sorted "]
    path.write_text("\n".join([lines[0], *sorted([*lines[1:], f"{oid} {name}"], key=lambda line: line[41:])]) + "\n")


def test_a_new_tag_on_a_commit_that_is_here(trio: tuple[Lab, Lab, Path]) -> None:
    ours, theirs, _ = trio
    ours("tag", "v1")
    ours("push", "origin", "v1")
    assert "[new tag]" in theirs("fetch").out
    assert theirs.head("v1") == ours.head()


def test_tags_named_like_something_else_do_not_come_unasked(trio: tuple[Lab, Lab, Path], tmp_path: Path) -> None:
    ours, theirs, hub = trio
    old = ours.head()
    made = commit(ours, "new")
    ours("push")
    short = made[:7]
    for name in ("main", "origin/main", short, "2024", "v1"):
        hub_git(hub, "update-ref", f"refs/tags/{name}", old)
    said = theirs("fetch")
    assert "main (a branch)" in said.err and "origin/main (a branch of a remote)" in said.err and "--tags" in said.err
    assert theirs("tag").out.split() == ["2024", "v1"]
    assert theirs("rev-parse", "origin/main", status=None).out.strip() in (made, "")
    theirs("reset", "--hard", "origin/main")
    assert theirs.head() == made
    fresh = clone(hub, tmp_path / "fresh", ours)
    assert fresh("tag").out.split() == ["2024", "v1"] and fresh.head() == made


def test_tags_that_were_asked_for_are_read_with_a_warning(trio: tuple[Lab, Lab, Path]) -> None:
    ours, theirs, hub = trio
    old = ours.head()
    made = commit(ours, "new")
    ours("push")
    for name in ("main", "origin/main", made[:7]):
        hub_git(hub, "update-ref", f"refs/tags/{name}", old)
    theirs("fetch", "--tags")
    for name, other in (("main", None), ("origin/main", "refs/remotes/origin/main"), (made[:7], made)):
        said = theirs("log", "-n1", name)
        if other is not None:
            assert f"{name} is ambiguous: refs/tags/{name} is taken, but it may stand for {other}" in said.err
            assert said.err.count("ambiguous") == 1
    theirs("pull")
    assert "main is ambiguous: refs/tags/main is taken" in theirs("log", "-n1", "main").err
    assert "ambiguous" not in theirs("log", "-n1", "refs/heads/main").err
    assert "ambiguous" not in theirs("log", "-n1", "heads/main").err
    assert theirs.head("refs/heads/main") == made


def test_a_branch_called_head_replaces_nothing(trio: tuple[Lab, Lab, Path]) -> None:
    ours, theirs, hub = trio
    old = ours.head()
    made = commit(ours, "new")
    ours("push")
    hub_git(hub, "update-ref", "refs/heads/HEAD", old)
    theirs("fetch")
    assert theirs.git("symbolic-ref", "refs/remotes/origin/HEAD").strip() == "refs/remotes/origin/main"
    assert theirs.head("origin") == made
    for words in (
        ("push", "origin", "main:HEAD"),
        ("push", "origin", "main:refs/heads/HEAD"),
        ("fetch", "origin", "main:refs/heads/HEAD"),
        ("fetch", "origin", "main:HEAD"),
    ):
        theirs.fails(*words, status=2, says="cannot be a destination", hint="main:copy")


@pytest.mark.parametrize("by", ["", "file://"])
def test_names_that_cannot_be_kept_are_left_out(trio: tuple[Lab, Lab, Path], tmp_path: Path, by: str) -> None:
    ours, _, hub = trio
    for name in ("d/" * 1000 + "x", "y" * 252, "good"):
        pack_ref(hub, f"refs/heads/{name}", ours.head())
    made = clone(f"{by}{hub}", tmp_path / "fresh", ours)
    assert made("branch", "-r").out.split() == ["origin/good", "origin/main"]
    said = made("fetch").err
    assert said.count("warning") == 1 and "2 refs of" in said and "cannot be kept here" in said


def test_a_branch_that_became_a_folder_and_back(trio: tuple[Lab, Lab, Path]) -> None:
    ours, theirs, hub = trio
    ours("push", "origin", "main:foo")
    theirs("fetch")
    for old, new in (("foo", "foo/bar"), ("foo/bar", "foo")):
        hub_git(hub, "branch", "-m", old, "moved-away")
        hub_git(hub, "branch", "-m", "moved-away", new)
        theirs.fails("fetch", status=1, says=f"origin/{new} cannot be remembered", hint="envgit fetch --prune origin")
        theirs("fetch", "--prune")
        assert theirs("branch", "-r").out.split() == [f"origin/{new}", "origin/main"]
        assert theirs("fetch").err == "" and theirs.git("fsck") is not None


def test_fetching_into_a_branch_with_uncommitted_changes(trio: tuple[Lab, Lab, Path]) -> None:
    ours, theirs, _ = trio
    made = commit(ours, "new")
    ours("push")
    old = theirs.head()
    theirs("checkout", "-b", "other")
    theirs.sh("echo mine > /srv/mine")
    theirs("checkout", "main")
    theirs.fails(
        "fetch", "origin", "main:other", status=1, says="has uncommitted changes", hint="envgit checkout other"
    )
    assert theirs.head("other") == old
    theirs("checkout", "-b", "clean")
    theirs("run", "--", "true")
    theirs("checkout", "main")
    theirs("fetch", "origin", "main:clean")
    theirs("checkout", "clean")
    assert theirs.head() == made and theirs.changes() == []
    theirs("checkout", "other")
    assert theirs.changes() == ["A srv/mine"]


def test_a_branch_name_with_a_quote_follows(trio: tuple[Lab, Lab, Path]) -> None:
    ours, _, _ = trio
    ours("checkout", "-b", 'a"b')
    ours("push", "-u", "origin", 'a"b')
    assert "up to date with 'origin/a\"b'" in ours("status").out
    assert ours("pull").out == "Already up to date.\n"


def test_a_refspec_that_means_nothing_is_left_aside(trio: tuple[Lab, Lab, Path]) -> None:
    ours, _, _ = trio
    ours.git("config", "--add", "remote.origin.fetch", "+refs/heads/*:refs/remotes/x")
    for words in (("status",), ("branch", "-v"), ("remote", "-v")):
        assert "remote.origin.fetch" in ours(*words, status=None).err
    assert "up to date with 'origin/main'" in ours("status", status=None).out


def test_undo_of_a_push_says_that_the_other_side_keeps_it(trio: tuple[Lab, Lab, Path]) -> None:
    ours, _, hub = trio
    made = commit(ours, "new")
    ours("push")
    said = ours("undo").err
    assert "other side still has" in said and "--force-with-lease" in said
    assert hub_git(hub, "rev-parse", "main").strip() == made


def test_two_remotes_with_one_branch(trio: tuple[Lab, Lab, Path], tmp_path: Path) -> None:
    ours, theirs, _ = trio
    ours("remote", "add", "two", str(make_hub(tmp_path / "two.git")))
    for remote in ("origin", "two"):
        ours("push", remote, "main:amb")
    ours.fails("checkout", "amb", status=1, says="several remotes have a branch amb", hint="checkout -b amb two/amb")
    ours.fails("remote", "add", "HEAD", str(tmp_path), status=2, says="cannot be the name of a remote", hint="origin")
    assert theirs.head() == ours.head()


def test_no_empty_sections_stay_in_the_configuration(trio: tuple[Lab, Lab, Path]) -> None:
    ours, _, hub = trio
    config = ours.git_dir / "config"
    ours("remote", "rename", "origin", "hub")
    assert '"origin"' not in config.read_text() and ours.git("config", "branch.main.remote").strip() == "hub"
    ours("remote", "add", "two", str(hub))
    ours.git("config", "--add", "remote.two.x", "y")
    ours("remote", "remove", "hub")
    assert '"hub"' not in config.read_text() and '[branch "main"]' not in config.read_text()
    assert ours("remote").out == "two\n" and not config.with_name("config.lock").exists()


def test_single_branch_clone_of_a_repository_whose_head_is_a_tag(trio: tuple[Lab, Lab, Path], tmp_path: Path) -> None:
    ours, _, hub = trio
    ours("tag", "v1")
    ours("push", "origin", "v1")
    (hub / "HEAD").write_text("ref: refs/tags/v1\n")
    made = clone(hub, tmp_path / "fresh", ours, "--single-branch")
    assert made.head() == ours.head()


def test_the_first_pull_counts_its_commits(trio: tuple[Lab, Lab, Path], tmp_path: Path) -> None:
    ours, _, hub = trio
    commit(ours, "new")
    ours("push")
    folder = tmp_path / "empty"
    folder.mkdir()
    fresh = ours.at(folder)
    fresh("init", ".")
    fresh("remote", "add", "origin", str(hub))
    count = len(ours.git("rev-list", "HEAD").split())
    assert f"{count} commit" in fresh("pull", "origin", "main").out
    assert fresh.head() == ours.head()
