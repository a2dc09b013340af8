"""Uncommitted changes belong to their branch; nothing is ever lost by moving around."""

from __future__ import annotations

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.any_ids


def test_uncommitted_changes_stay_with_their_branch(lab: Lab) -> None:
    lab("branch", "other")
    lab.sh("echo main > /srv/mine; rm /etc/motd")
    lab("checkout", "other")
    assert lab.changes() == []
    assert lab.sh("cat /etc/motd; ls /srv").out == "welcome\nlines\n"
    lab.sh("echo other > /srv/mine")
    lab("checkout", "main")
    assert lab.changes() == ["D etc/motd", "A srv/mine"]
    assert lab.sh("cat /srv/mine").out == "main\n"
    lab("checkout", "-")
    assert lab.sh("cat /srv/mine").out == "other\n"
    lab("commit", "-m", "other's")
    lab("checkout", "main")
    assert lab.sh("cat /srv/mine; test -e /etc/motd || echo gone").out == "main\ngone\n"
    lab("commit", "-m", "main's")
    assert lab.look("other", "cat /srv/mine /etc/motd") == "other\nwelcome\n"
    assert lab.look("main", "cat /srv/mine") == "main\n"


def test_a_new_branch_carries_uncommitted_changes(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/new")
    done = lab("checkout", "-b", "experiment")
    assert "came along" in done.out + done.err
    assert lab.paths() == ["srv/new"]
    lab("checkout", "main")
    assert lab.changes() == []
    lab("checkout", "experiment")
    lab("commit", "-m", "there")
    assert lab.look("experiment", "cat /srv/new") == "1\n"
    assert lab.look("main", "test -e /srv/new || echo absent") == "absent\n"


def test_a_new_branch_after_a_commit_carries_nothing(lab: Lab) -> None:
    lab.sh("echo hi > /etc/motd")
    lab("commit", "-m", "greet")
    done = lab("checkout", "-b", "experiment")
    assert "came along" not in done.out + done.err
    done = lab("checkout", "main")
    assert "uncommitted" not in (done.out + done.err).lower()


def test_a_new_branch_elsewhere_carries_nothing(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    lab.sh("echo 2 > /srv/two")
    lab("checkout", "-b", "back", "main~1")
    assert lab.changes() == []
    assert lab.sh("ls /srv").out == "lines\n"
    lab("checkout", "main")
    assert lab.paths() == ["srv/two"]


def test_reset_hard_can_be_undone_with_its_uncommitted_changes(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    tip = lab.head()
    lab.sh("echo 2 > /srv/two; rm /srv/lines")
    before = lab.changes()
    lab("reset", "--hard", "HEAD~1")
    assert lab.changes() == []
    assert lab.sh("ls /srv").out == "lines\n"
    lab("undo")
    assert lab.head() == tip
    assert lab.changes() == before
    assert lab.sh("ls /srv").out == "one\ntwo\n"
    lab("undo")
    assert lab.sh("ls /srv").out == "lines\n"


def test_reset_soft_shows_the_difference_as_changes(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one; rm /etc/motd")
    lab("commit", "-m", "one")
    tree = lab.head("HEAD^{tree}")
    lab("reset", "--soft", "HEAD~1")
    assert sorted(lab.paths()) == ["etc/motd", "srv/one"]
    lab("commit", "-m", "again")
    assert lab.head("HEAD^{tree}") == tree


def test_undo_of_a_commit_shows_its_changes_again(lab: Lab) -> None:
    start = lab.head()
    lab.sh("echo 1 > /srv/one; chmod 700 /etc; rm /srv/lines")
    before, paths = lab.changes(), lab.paths()
    lab("commit", "-m", "one")
    tip = lab.head()
    lab("undo")
    assert lab.head() == start
    assert lab.changes() == before
    lab("commit", "-m", "one")
    assert lab.head("HEAD^{tree}") == lab.head(f"{tip}^{{tree}}")
    lab.sh("echo more > /srv/more")
    lab("undo")
    assert sorted(lab.paths()) == sorted([*paths, "srv/more"])


def test_restore_takes_paths_back_and_undo_returns_them(lab: Lab) -> None:
    lab.sh("echo x > /etc/motd; rm /srv/lines; mkdir /srv/new; echo 1 > /srv/new/file; chmod 600 /etc/passwd")
    before = lab.changes()
    lab("restore", "etc/motd", "srv")
    assert lab.paths() == ["etc/passwd"]
    assert lab.sh("cat /etc/motd; ls /srv").out == "welcome\nlines\n"
    lab("undo")
    assert lab.changes() == before
    lab("commit", "-m", "changed")
    lab("restore", "--source", "HEAD~1", "etc/motd")
    assert lab.sh("cat /etc/motd").out == "welcome\n"
    assert lab.paths() == ["etc/motd"]
    lab("checkout", "HEAD", "--", "etc/motd")
    assert lab.changes() == []


def test_a_detached_head_keeps_its_changes_until_it_is_left(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    lab("checkout", "HEAD~1")
    lab.sh("echo d > /srv/detached")
    lab.fails("checkout", "main", status=1, says="uncommitted changes that belong to no branch", hint="checkout -b")
    lab("checkout", "-b", "kept")
    assert lab.paths() == ["srv/detached"]
    lab("commit", "-m", "detached no more")
    lab("checkout", "main")
    assert lab.look("kept", "cat /srv/detached") == "d\n"


def test_a_throw_away_run_changes_nothing(lab: Lab) -> None:
    lab.look("main", "echo x > /etc/motd; rm -r /srv; touch /new")
    assert lab.changes() == []
    assert lab.look("main", "cat /etc/motd; ls /srv") == "welcome\nlines\n"
    assert list((lab.git_dir / "sandboxes").iterdir()) == []


def test_every_kind_of_change_is_reported_and_recorded(lab: Lab) -> None:
    lab.sh(
        "echo more >> /etc/motd; chmod 4755 /srv/lines; mkdir -p /srv/d/e; ln -s lines /srv/link; mkfifo /srv/pipe; "
        "ln /srv/lines /srv/hard; rm /usr/share/doc/README; rmdir /opt; rm /etc/group; mkdir /etc/group; mv /media /medium"
    )
    kinds = dict(zip(lab.paths(), (line[0] for line in lab.changes()), strict=True))
    assert kinds["etc/motd"] == "M"
    assert kinds["usr/share/doc/README"] == "D"
    assert kinds["etc/group"] == "T"
    assert kinds["opt"] == "D"
    assert {"srv/link", "srv/pipe", "srv/hard", "media", "medium"} <= kinds.keys()
    assert "srv/lines" in kinds
    lab("commit", "-m", "every kind")
    assert lab.changes() == []
    lab.forget_layers()
    assert lab.changes() == []
    files = "/srv/lines /srv/hard /srv/pipe /srv/d/e /etc/group"
    shown = f"stat -c '%n %a %F' {files}; stat -c %h /srv/hard; readlink /srv/link; ls -d /opt /media 2>/dev/null; true"
    assert lab.look("main", shown).splitlines() == [
        "/srv/lines 4755 regular file",
        "/srv/hard 4755 regular file",
        "/srv/pipe 644 fifo",
        "/srv/d/e 755 directory",
        "/etc/group 755 directory",
        "2",
        "lines",
    ]


def test_changes_of_an_undone_detached_checkout_are_not_dropped_silently(lab: Lab) -> None:
    lab("commit", "--allow-empty", "-m", "second")
    lab("checkout", "HEAD~1")
    lab.sh("echo kept > /srv/new")
    lab("undo")
    assert lab("branch", "--show-current").out == "main\n"
    first = lab.head("HEAD~1")
    done = lab("checkout", "--detach", "main")
    assert "set aside" in done.err
    assert lab.changes() == []
    lab("undo")
    lab("checkout", first)
    assert lab.changes() == ["A srv/new"]


def test_what_is_no_environment_is_not_checked_out(lab: Lab) -> None:
    blob = lab.head("HEAD:config.json")
    (lab.git_dir / "refs/heads/blob").write_text(blob + "\n")
    tree = lab.head("HEAD^{tree}")
    (lab.git_dir / "refs/heads/tree").write_text(tree + "\n")
    before = (lab.git_dir / "HEAD").read_text()
    for words in (
        ("checkout", "blob"),
        ("checkout", "--detach", "blob"),
        ("checkout", "-b", "new", "tree"),
        ("checkout", "tree"),
        ("run", "blob", "--", "true"),
    ):
        lab.fails(*words, status=2 if "checkout" in words else 125, says="not a commit", hint=None)
        assert (lab.git_dir / "HEAD").read_text() == before
    for name in ("blob", "tree"):
        (lab.git_dir / "refs/heads" / name).unlink()
    assert lab("branch").out.split() == ["*", "main"]
