"""A hard link that is made or broken without a change of content is a change that everything shows."""

from __future__ import annotations

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.any_ids

MAKE = "cd /srv; echo same > a; ln a b"
BREAK = "cd /srv; cp -p a c; mv c b"


def test_a_broken_link_is_shown_committed_and_summed_up(lab: Lab) -> None:
    lab.sh(MAKE)
    assert lab.changes() == ["A srv/a", "A srv/b"]
    lab("commit", "-m", "linked")
    assert lab.changes() == []
    lab.sh(BREAK)
    assert lab.changes() == ["M srv/a", "M srv/b"]
    status = lab("status").out
    assert "M srv/a (hard links srv/b -> none)" in status
    assert "M srv/b (hard links srv/a -> none)" in status
    assert "old link srv/b" in lab("diff", "--", "srv/a").out
    change = lab("status", "--json").json()["changes"][0]
    assert (change["kind"], change["old"]["links"], change["new"]["links"]) == ("P", [{"path": "srv/b"}], [])
    assert "2 paths with other properties" in lab("commit", "-m", "apart").out
    assert lab("diff", "--name-status", "HEAD~", "HEAD").lines() == ["M\tsrv/a", "M\tsrv/b"]
    assert "new link srv/a" in lab("diff", "HEAD", "HEAD~", "--", "srv/b").out
    assert lab("status", "--porcelain").out == ""
    assert "old link" in lab("show").out
    lab("fsck")


def test_a_link_that_is_made_and_given_up_is_restored(lab: Lab) -> None:
    lab.sh("cd /srv; echo same > a; cp -p a b")
    lab("commit", "-m", "two files")
    lab.sh("cd /srv; ln -f a b")
    assert lab.changes() == ["M srv/a", "M srv/b"]
    lab("restore", "srv")
    assert lab.changes() == []
    assert lab.sh("stat -c %h /srv/a").out == "1\n"
    lab.sh("cd /srv; ln -f a b")
    lab("commit", "-m", "one file")
    lab.sh(BREAK)
    lab("restore", "srv/b")
    assert lab.changes() == []
    assert lab.sh("stat -c %h /srv/a").out == "2\n"


def test_restoring_something_else_keeps_links(lab: Lab) -> None:
    lab.sh(MAKE)
    lab("commit", "-m", "linked")
    lab.sh("echo new > /srv/new; chmod 700 /srv")
    lab("restore", "srv")
    assert lab.changes() == []
    assert lab.sh("stat -c %h /srv/a").out == "2\n"
