"""What a push is told: leases, deletions, mirrors, and what it says afterwards."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.end_to_end.hub import clone, commit, hub_git, make_hub, make_pair
from tests.lab import Lab, run_envgit


def test_a_lease_on_a_named_commit(lab: Lab, tmp_path: Path) -> None:
    ours, theirs, hub = make_pair(lab, tmp_path)
    old = ours.head()
    there = commit(theirs, "theirs")
    theirs("push")
    mine = commit(ours, "mine")
    said = ours("push", f"--force-with-lease=main:{old}", "origin", "main", status=1)
    assert "stale info" in said.out and "envgit fetch origin; envgit log origin/main" in said.err
    ours("fetch")  # what was seen last is no longer what is expected
    assert "stale info" in ours("push", f"--force-with-lease=main:{old[:8]}", "origin", "main", status=1).out
    assert "stale info" in ours("push", "--force-with-lease=main:", "origin", "main", status=1).out
    assert hub_git(hub, "rev-parse", "main").strip() == there
    ours("push", f"--force-with-lease=main:{there}", "origin", "main")
    assert hub_git(hub, "rev-parse", "main").strip() == mine
    ours("push", "--force-with-lease=new:", "origin", "main:new")
    commit(ours, "more")
    assert "stale info" in ours("push", "--force-with-lease=new:", "origin", "main:new", status=1).out
    # An id that is not here can be expected: only the other side has to have it.
    unknown = "--force-with-lease=refs/heads/main:" + "5" * 40
    assert "stale info" in ours("push", unknown, "origin", "main", status=1).out
    # One ref with its own lease, the others with what was seen last.
    ours("push", "--force-with-lease", f"--force-with-lease=main:{mine}", "origin", "main", "main:new")
    assert hub_git(hub, "rev-parse", "new", "main").split() == [ours.head()] * 2


def test_leases_that_mean_nothing(lab: Lab, tmp_path: Path) -> None:
    ours, _, _ = make_pair(lab, tmp_path)
    commit(ours, "mine")
    push = "push", "origin", "main"
    ours.fails(*push, "--force-with-lease=main:nothere", status=2, says="expects 'nothere'", hint="origin/main")
    ours.fails(*push, "--force-with-lease=other:HEAD", status=2, says="about other, which is not pushed", hint="branch")
    ours.fails(*push, "--force-with-lease=:HEAD", status=2, says="names no branch", hint="BRANCH:EXPECT")
    assert "ahead of 'origin/main' by 1 commit" in ours("status").out


def test_tags_are_deleted_by_their_short_names(lab: Lab, tmp_path: Path) -> None:
    ours, _, hub = make_pair(lab, tmp_path)
    ours("tag", "v1")
    ours("tag", "both")
    ours("push", "origin", "v1", "both", "main:refs/heads/both")
    assert "[deleted]" in ours("push", "--delete", "origin", "v1").out
    ours.fails("push", "--delete", "origin", "both", status=2, says="a branch and a tag there", hint="refs/tags/both")
    ours("push", "origin", ":refs/tags/both")
    ours("push", "--delete", "origin", "both")
    assert hub_git(hub, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


def test_a_mirror_in_the_configuration(lab: Lab, tmp_path: Path) -> None:
    hub = make_hub(tmp_path / "hub.git")
    lab("remote", "add", "origin", str(hub))
    lab.git("config", "remote.origin.fetch", "+refs/*:refs/*")
    lab("push", "origin", "main:copy")
    assert hub_git(hub, "rev-parse", "copy").strip() == lab.head()
    assert lab.git("for-each-ref", "--format=%(refname)", "refs/heads").split() == ["refs/heads/main"]


def test_a_quiet_push_says_what_was_rejected(lab: Lab, tmp_path: Path) -> None:
    ours, theirs, hub = make_pair(lab, tmp_path)
    commit(theirs, "theirs")
    theirs("push")
    commit(ours, "mine")
    done = ours("push", "-q", status=1)
    assert done.out == "" and "[rejected]" in done.err and "main -> main" in done.err
    assert "envgit fetch origin, then envgit log main..origin/main" in done.err
    assert ours("push", status=1).err.count("[rejected]") == 0  # standard output has it
    done = ours("push", str(hub), "main", status=1)
    assert f"envgit fetch {hub} main, then envgit log main..FETCH_HEAD" in done.err
    hub_git(hub, "config", "receive.denyNonFastForwards", "true")
    assert "receive.denyNonFastForwards" in ours("push", "--force", status=1).err


def test_a_branch_that_is_checked_out_there(lab: Lab, tmp_path: Path) -> None:
    copy = clone(lab.path, tmp_path / "copy", lab)
    commit(copy, "more")
    done = copy("push", status=1)
    assert "checked out" in done.out and "envgit push origin main:NAME" in done.err


def test_the_way_back_from_a_forced_push(lab: Lab, tmp_path: Path) -> None:
    ours, theirs, hub = make_pair(lab, tmp_path)
    old = commit(ours, "old")
    ours("push")
    ours("reset", "--hard", "HEAD~1")
    commit(ours, "new")
    said = ours("push", "--force").err
    hint = next(line for line in said.splitlines() if "what it was there" in line)
    assert f"envgit push --force origin {old[:12]}:main" in hint
    ours(*hint.partition("envgit ")[2].split())
    assert hub_git(hub, "rev-parse", "main").strip() == old
    unknown = commit(theirs, "never fetched")
    theirs("push", "--force")
    assert unknown[:12] not in ours("push", "--force").err  # it is not here: it cannot be pushed


def test_what_follows_is_named(lab: Lab, tmp_path: Path) -> None:
    ours, _, _ = make_pair(lab, tmp_path)
    ours("branch", "two")
    ours("push", "origin", "main:other")
    done = ours("push", "-u", "origin", "main:other", "two")
    assert "main follows origin/other now" in done.out and "two follows origin/two now" in done.out
    done = ours("push", "-u", "origin", "main")
    assert done.out.splitlines() == ["Everything up-to-date", "main follows origin/main now"]


def test_fetch_all_goes_on_after_a_failure(lab: Lab, tmp_path: Path) -> None:
    ours, theirs, hub = make_pair(lab, tmp_path)
    made = commit(theirs, "theirs")
    theirs("push")
    ours("remote", "add", "absent", str(tmp_path / "absent.git"))
    done = ours.fails("fetch", "--all", status=2, says="could not fetch from absent", hint="envgit fetch absent")
    assert "absent: " in done.err and str(hub) in done.out
    assert ours.head("origin/main") == made


@pytest.mark.parametrize("words", [("--depth", "1"), ("--single-branch",)])
def test_a_hub_whose_head_has_no_commits(lab: Lab, tmp_path: Path, words: tuple[str, ...]) -> None:
    ours, _, hub = make_pair(lab, tmp_path)
    ours("push", "origin", "main:other")
    hub_git(hub, "symbolic-ref", "HEAD", "refs/heads/master")
    made = clone(f"file://{hub}", tmp_path / "cut", ours, *words)
    assert made.head() == ours.head() and made("branch", "-r").out.split() == ["origin/main"]


def test_a_single_branch_that_is_not_there(lab: Lab, tmp_path: Path) -> None:
    _, _, hub = make_pair(lab, tmp_path)
    words = "clone", "--single-branch", "-b", "nowhere", str(hub), str(tmp_path / "none")
    done = run_envgit(*words, cwd=tmp_path, status=2)
    assert "no branch or tag 'nowhere'" in done.err and "there are: main" in done.err
    assert not (tmp_path / "none").exists()


def test_a_bundle_replaces_files_only(lab: Lab, tmp_path: Path) -> None:
    link, fifo, file = tmp_path / "link", tmp_path / "fifo", tmp_path / "file"
    file.write_text("old")
    link.symlink_to(file)
    os.mkfifo(fifo)
    for taken, kind in ((link, "symbolic link"), (fifo, "device or pipe"), (tmp_path, "directory")):
        lab.fails("bundle", "-o", str(taken), status=2, says=kind, hint="envgit bundle -o FILE")
    assert link.is_symlink() and fifo.is_fifo() and file.read_text() == "old"
    lab.fails("bundle", "-o", "/dev/null", status=2, says="device", hint="envgit bundle -o FILE")
    assert Path("/dev/null").is_char_device()
    lab.fails("bundle", "-o", "-", status=2, says="standard output", hint="envgit bundle -o FILE")
    absent = lab.fails("bundle", "-o", str(tmp_path / "no/x"), status=2, says=f"no folder {tmp_path}/no", hint="mkdir")
    assert ".envgit-bundle" not in absent.err
    assert "or envgit clone" in lab("bundle", "-o", str(file)).err
    commit(lab, "more")
    assert "or envgit clone" not in lab("bundle", "HEAD~1..main", "-o", str(file)).err


def test_what_is_meant_for_registries_and_programs(lab: Lab, tmp_path: Path) -> None:
    lab.fails(
        "export", "main", "docker://r.example/x", status=2, says="by push", hint="envgit push main docker://r.example/x"
    )
    lab.fails("export", "main", "x", status=2, says="not a destination", hint="docker-archive:")
    for host in ("127.0.0.1:5955", "localhost:5000", "r.example:443", "[::1]:5000"):
        lab.fails(
            "push", "main", f"docker://{host}", status=2, says="a host without a name", hint=f"docker://{host}/NAME"
        )
    lab("remote", "add", "origin", str(make_hub(tmp_path / "hub.git")))
    lab.fails("push", status=2, says="ENVGIT_GIT is foo", hint="dulwich", ENVGIT_GIT="foo")
    lab.fails("merge", "x", status=2, says="not in this version", hint="envgit restore --source")


def test_a_bundle_is_not_pushed_to(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "all.bundle"
    lab("bundle", "-o", str(file))
    lab.fails("push", str(file), "main:new", status=2, says="cannot be pushed to", hint=f"envgit bundle -o {file}")


def test_a_branch_without_commits_that_follows_one(lab: Lab, tmp_path: Path) -> None:
    ours, _, _ = make_pair(lab, tmp_path)
    ours.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    ours.git("config", "branch.unborn.remote", "origin")
    ours.git("config", "branch.unborn.merge", "refs/heads/main")
    count = len(ours.git("rev-list", "origin/main").split())
    assert f"behind 'origin/main' by {count} commit" in ours("status").out
    ours.git("symbolic-ref", "HEAD", "refs/heads/main")
