"""Clone, fetch, pull, push between repositories of one user: what git users expect, and nothing lost."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.hub import clone, commit, make_hub
from tests.lab import Lab, assert_stock_git_is_content, run_envgit


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    return make_hub(tmp_path / "hub.git")


@pytest.fixture
def pair(lab: Lab, bare: Path, tmp_path: Path) -> tuple[Lab, Lab]:
    """A project that pushed to the hub, and a clone of the hub."""
    lab("remote", "add", "origin", str(bare))
    lab("push")
    return lab, clone(bare, tmp_path / "other", lab)


def test_the_round(pair: tuple[Lab, Lab], bare: Path, tmp_path: Path) -> None:
    ours, theirs = pair
    assert theirs.head() == ours.head()
    assert theirs.look("main", "cat /etc/motd") == "welcome\n"
    made = commit(theirs, "theirs")
    said = theirs("push").out
    assert f"{ours.head()[:7]}..{made[:7]}" in said and "main -> main" in said
    assert "behind" not in ours("status").out
    ours("fetch")
    assert "behind 'origin/main' by 1 commit (envgit pull)" in ours("status").out
    assert ours("status", "--json").json()["behind"] == 1
    pulled = ours("pull")
    assert "1 commit of origin/main" in pulled.out
    assert ours.head() == made and ours.sh("cat /srv/note").out == "theirs\n"
    assert ours("pull").out == "Already up to date.\n"
    assert ours("push").out == "Everything up-to-date\n"
    ours("undo")
    assert ours.head() != made
    assert_stock_git_is_content(bare, tmp_path)


def test_the_first_push_sets_what_the_branch_follows(lab: Lab, bare: Path) -> None:
    lab.fails("push", status=2, says="there is no remote yet", hint="envgit remote add origin")
    lab("remote", "add", "origin", str(bare))
    said = lab("push").out
    assert "[new branch]" in said and "main follows origin/main now" in said
    assert lab("branch", "-v").out.count("[origin/main]") == 1
    assert lab.git("config", "branch.main.merge").strip() == "refs/heads/main"
    lab("branch", "--unset-upstream")
    assert "[origin" not in lab("branch", "-v").out
    lab("branch", "-u", "origin/main")
    assert "up to date with 'origin/main'" in lab("status").out
    lab.fails("branch", "-u", "origin/mian", status=2, says="no branch 'origin/mian'", hint="origin/main")


def test_pull_keeps_uncommitted_changes_that_do_not_meet(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    commit(theirs, "theirs", "/srv/theirs")
    theirs("push")
    ours.sh("echo mine > /srv/mine; echo changed > /etc/motd")
    assert "lie on the new commit" in ours("pull").err
    assert ours.head() == theirs.head()
    assert ours.changes() == ["M etc/motd", "A srv/mine"]
    assert ours.sh("cat /srv/theirs /srv/mine /etc/motd").out == "theirs\nmine\nchanged\n"
    ours("commit", "-m", "both")
    assert ours.look("HEAD", "cat /srv/theirs /srv/mine") == "theirs\nmine\n"
    ours("push")
    theirs("pull")
    assert theirs.sh("cat /srv/mine").out == "mine\n"


@pytest.mark.parametrize(
    ("change", "coming", "path"),
    [
        ("echo mine > /srv/note", "echo theirs > /srv/note", "srv/note"),
        ("rm /etc/motd", "echo theirs > /etc/motd", "etc/motd"),
        ("rm -r /srv; mkdir /srv", "echo theirs > /srv/note", "srv"),
        ("rm -r /opt; echo file > /opt", "mkdir -p /opt/a; echo x > /opt/a/b", "opt"),
        ("mkdir /srv/d; echo 1 > /srv/d/mine", "mkdir /srv/d; echo 2 > /srv/d/theirs", "srv/d"),
        ("echo x > /srv/x", "chmod 700 /srv; echo y > /srv/y", "srv"),
    ],
)
def test_pull_refuses_uncommitted_changes_that_meet(pair: tuple[Lab, Lab], change: str, coming: str, path: str) -> None:
    ours, theirs = pair
    theirs.sh(coming)
    theirs("commit", "-m", "coming")
    theirs("push")
    ours.sh(change)
    before, dirty = ours.head(), ours.changes()
    ours.fails("pull", status=1, says=f"touch what the new commits change: {path}", hint="envgit restore")
    assert ours.head() == before and ours.changes() == dirty
    assert ours.head("origin/main") == theirs.head()


def test_branches_that_have_gone_apart(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    commit(theirs, "theirs")
    theirs("push")
    mine = commit(ours, "mine")
    done = ours("push", status=1)
    assert "fetch first" in done.out and "envgit fetch" in done.err
    ours.fails(
        "pull",
        status=1,
        says="main and origin/main have gone apart: 1 commit only here, 1 only there",
        hint="envgit branch mine",
    )
    assert "have gone apart: 1 and 1" in ours("status").out
    assert ours.head() == mine
    done = ours("push", status=1)
    assert "not a fast-forward" in done.out
    stale = ours("push", "--force-with-lease").out
    assert "forced update" in stale
    theirs.fails("pull", status=1, says="gone apart", hint="reset --hard origin/main")
    assert theirs.head() != mine and theirs.head("origin/main") == mine
    commit(theirs, "more")
    assert "forced update" in theirs("push", "--force-with-lease").out
    assert "stale info" in ours("push", "--force-with-lease", status=1).out
    assert "stale info" in ours("push", "--force-with-lease=main", "origin", "main", status=1).out
    ours("push", "--force")
    assert "history was replaced there" in theirs("fetch").out


def test_branches_and_tags(pair: tuple[Lab, Lab], bare: Path) -> None:
    ours, theirs = pair
    ours("checkout", "-b", "feature")
    made = commit(ours, "feature")
    ours("tag", "-a", "v1", "-m", "one")
    ours("tag", "light", "HEAD~1")
    ours("push", "-u", "origin", "feature", "v1")
    said = theirs("fetch").out
    assert "[new branch]" in said and "feature -> origin/feature" in said and "[new tag]" in said
    assert theirs.head("v1^{commit}") == made
    assert theirs("branch", "-r").out.split() == ["origin/feature", "origin/main"]
    assert "new branch 'feature'" in theirs("checkout", "feature").out
    assert theirs.head() == made and "up to date with 'origin/feature'" in theirs("status").out
    ours("push", "--tags")
    assert "light" in subprocess.run(["git", "-C", bare, "tag"], capture_output=True, text=True, check=True).stdout
    ours("tag", "-f", "light", "HEAD")
    assert "the tag exists there" in ours("push", "origin", "light", status=1).out
    ours("push", "-f", "origin", "light")
    theirs("tag", "light", "HEAD~1")
    assert "would replace the tag" in theirs("fetch", "--tags", status=1).out
    theirs("fetch", "--tags", "--force")
    assert theirs.head("light") == ours.head("light")
    ours("push", "--delete", "origin", "feature")
    assert "feature" in theirs("fetch", "--prune").out
    assert theirs("branch", "-r").out.split() == ["origin/main"]
    assert "follows 'origin/feature', which is not known here" in theirs("status").out
    assert "there is no such ref" in ours("push", "--delete", "origin", "feature", status=1).out


def test_what_is_only_ours_stays_here(pair: tuple[Lab, Lab], bare: Path) -> None:
    ours, theirs = pair
    commit(ours, "gone")
    ours("reset", "--hard", "HEAD~1")
    assert "refs/envgit/kept/" in ours.git("for-each-ref", "--format=%(refname)")
    ours("push", "--all")
    ours("push", "--tags")
    there = subprocess.run(
        ["git", "-C", bare, "for-each-ref", "--format=%(refname)"], capture_output=True, text=True, check=True
    )
    assert "refs/envgit" not in there.stdout
    assert "refs/envgit" not in clone(ours.path, ours.path.parent / "local", ours).git("for-each-ref")
    ours.fails("push", "origin", "HEAD:refs/envgit/x", status=2, says="of this repository alone", hint="push branches")
    theirs.fails(
        "fetch", "origin", "refs/envgit/kept/x:refs/heads/y", status=2, says="refs/envgit/", hint="branches and tags"
    )


def test_pieces_of_a_push_on_its_way_are_not_fetched(pair: tuple[Lab, Lab], bare: Path) -> None:
    ours, theirs = pair
    for name in ("refs/heads/envgit-upload/1", "refs/envgit/kept/x"):
        subprocess.run(["git", "-C", bare, "update-ref", name, ours.head()], check=True)
    theirs("fetch")
    assert theirs("branch", "-r").out.split() == ["origin/main"]
    assert "envgit-upload" not in clone(bare, bare.parent / "fresh", ours).git("for-each-ref")


def test_dry_runs_change_nothing(pair: tuple[Lab, Lab], bare: Path) -> None:
    ours, theirs = pair
    made = commit(ours, "mine")
    before = subprocess.run(["git", "-C", bare, "for-each-ref"], capture_output=True, check=True).stdout
    done = ours("push", "--dry-run")
    assert made[:7] in done.out and "nothing was" in done.err
    assert subprocess.run(["git", "-C", bare, "for-each-ref"], capture_output=True, check=True).stdout == before
    ours("push")
    refs = theirs.git("for-each-ref")
    assert made[:7] in theirs("fetch", "--dry-run").out
    assert theirs.git("for-each-ref") == refs
    assert theirs("op", "log").out == theirs("op", "log").out


def test_clone_choices(pair: tuple[Lab, Lab], bare: Path, tmp_path: Path) -> None:
    ours, _ = pair
    ours("tag", "v0")
    ours("checkout", "-b", "feature")
    commit(ours, "one")
    commit(ours, "two")
    ours("push", "origin", "feature", "v0")
    at_tag = clone(bare, tmp_path / "tag", ours, "-b", "v0")
    assert at_tag.head() == ours.head("v0") and at_tag.git("symbolic-ref", "HEAD", status=128)
    branch = clone(bare, tmp_path / "branch", ours, "-b", "feature", "--single-branch", "-o", "hub")
    assert branch.head() == ours.head("feature") and branch("branch", "-r").out.split() == ["hub/feature"]
    done = run_envgit("clone", "-b", "featur", str(bare), str(tmp_path / "none"), cwd=tmp_path, status=2)
    assert "no branch or tag 'featur'" in done.err and "did you mean feature" in done.err
    assert not (tmp_path / "none").exists()
    short = clone(f"file://{bare}", tmp_path / "short", ours, "--depth", "1", "-b", "feature")
    assert len(short.git("log", "--format=%h").split()) == 1
    assert short.look("HEAD", "cat /srv/note") == "two\n"
    made = commit(short, "three")
    short("push")
    ours("pull", "origin", "feature")
    assert ours.head() == made
    short("fetch", "--unshallow")
    assert len(short.git("log", "--format=%h").split()) == len(ours.git("log", "--format=%h").split())


def test_an_empty_repository_is_cloned_and_gets_its_first_push(lab: Lab, bare: Path, tmp_path: Path) -> None:
    empty = clone(bare, tmp_path / "empty", lab)
    assert empty("status").lines()[0] == "On branch main"
    empty("import", f"dir:{tmp_path / 'hub.git'}", status=None)
    empty("push")
    assert clone(bare, tmp_path / "again", lab).head() == empty.head()


def test_a_project_folder_is_a_remote(lab: Lab, tmp_path: Path) -> None:
    copy = clone(lab.path, tmp_path / "copy", lab)
    assert copy.head() == lab.head()
    assert copy.look("main", "cat /etc/motd") == "welcome\n"
    made = commit(lab, "more")
    copy("pull")
    assert copy.head() == made
    relative = run_envgit("clone", os.path.relpath(lab.path, tmp_path), cwd=tmp_path, status=None)
    assert relative.status in (0, 1), relative.err


def test_remotes_are_listed_changed_and_asked(pair: tuple[Lab, Lab], bare: Path) -> None:
    ours, _ = pair
    assert ours("remote").out == "origin\n"
    assert ours("remote", "-v").out == f"origin\t{bare} (fetch)\norigin\t{bare} (push)\n"
    assert ours.git("remote").strip() == "origin"
    ours.fails("remote", "add", "origin", str(bare), status=1, says="exists already", hint="set-url")
    ours.fails("remote", "add", "a/b", str(bare), status=2, says="cannot be the name of a remote", hint="origin")
    ours.fails("remote", "remove", "orign", status=2, says="no remote 'orign'", hint="did you mean origin?")
    ours.fails("remote", "ad", "x", "y", status=2, says="no action on remotes", hint="add")
    shown = ours("remote", "show", "origin").out
    assert "HEAD: main" in shown and "branch main" in shown and "(fetched)" in shown
    ours("remote", "rename", "origin", "hub")
    assert "up to date with 'hub/main'" in ours("status").out
    ours("fetch", "hub")
    ours("remote", "set-url", "hub", str(bare) + "-moved")
    assert ours("remote", "get-url", "hub").out == f"{bare}-moved\n"
    ours.fails("fetch", status=2, says="hub.git-moved", hint=None)
    ours("remote", "remove", "hub")
    assert ours("remote").out == "" and "refs/remotes" not in ours.git("for-each-ref")
    assert "follows" not in ours("status").out


def test_bundles(pair: tuple[Lab, Lab], tmp_path: Path) -> None:
    ours, theirs = pair
    whole, part = tmp_path / "whole.bundle", tmp_path / "part.bundle"
    ours("bundle", "-o", str(whole))
    cloned = clone(whole, tmp_path / "from-bundle", ours)
    assert cloned.head() == ours.head()
    old = ours.head()
    made = commit(ours, "later")
    said = ours("bundle", f"{old}..main", "-o", str(part))
    assert "must have 1 commit" in said.err
    assert part.stat().st_size < whole.stat().st_size
    cloned("fetch", str(part), "main:refs/remotes/origin/main")
    assert cloned.head("origin/main") == made
    fresh = tmp_path / "fresh"
    run_envgit("init", str(fresh), cwd=tmp_path)
    ours.at(fresh).fails("fetch", str(part), "main", status=2, says=old[:7], hint=None)
    ours.fails("bundle", "main..main", status=2, says="would be empty", hint="older beginning")
    ours.fails("bundle", "HEAD~1..nowhere", status=2, says="no branch or tag", hint="main")
    subprocess.run(["git", "clone", "-q", "--bare", str(whole), str(tmp_path / "stock")], check=True)


def test_fetching_into_the_checked_out_branch_is_refused(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    commit(ours, "new")
    ours("push")
    theirs.fails("fetch", "origin", "main:main", status=1, says="is checked out", hint="envgit pull")
    theirs("fetch", "origin", "main:copy")
    assert theirs.head("copy") == ours.head()
    theirs("fetch", "origin", "main")
    assert theirs.head("FETCH_HEAD") == ours.head()
    theirs.fails("fetch", "origin", "mian", status=2, says="no branch or tag 'mian'", hint="did you mean main?")
