"""Pull and its undo: the worktree follows, and nothing of it is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.hub import commit, make_pair
from tests.lab import Lab


@pytest.fixture
def pair(lab: Lab, tmp_path: Path) -> tuple[Lab, Lab]:
    ours, theirs, _ = make_pair(lab, tmp_path)
    return ours, theirs


def bring(theirs: Lab, text: str = "theirs", path: str = "/srv/theirs") -> str:
    made = commit(theirs, text, path)
    theirs("push")
    return made


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_undo_takes_the_worktree_back(pair: tuple[Lab, Lab], when: str) -> None:
    ours, theirs = pair
    before = ours.head()
    made = bring(theirs)
    if when == "before":
        ours("run", "--", "true")
    ours("pull")
    if when == "after":
        ours("run", "--", "true")
    ours("undo")
    assert ours.head() == before and ours.changes() == []
    assert "No such file" in ours.sh("cat /srv/theirs", status=1).err
    ours.fails("commit", "-m", "nothing", status=1, says="nothing to commit", hint=None)
    ours("undo")  # redo
    assert ours.head() == made and ours.changes() == []
    ours("undo")
    ours("pull")
    assert ours.head() == made and ours.sh("cat /srv/theirs").out == "theirs\n"


def test_undo_takes_uncommitted_changes_back_with_the_base(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    before = ours.head()
    made = bring(theirs)
    ours.sh("echo mine > /srv/mine")
    ours("pull")
    ours.sh("echo more > /srv/more")
    ours("undo")
    assert ours.head() == before and ours.changes() == ["A srv/mine", "A srv/more"]
    ours("undo")
    assert ours.head() == made and ours.changes() == ["A srv/mine", "A srv/more"]
    assert ours.sh("cat /srv/theirs /srv/mine").out == "theirs\nmine\n"


def test_undo_is_refused_where_changes_touch_what_was_pulled(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    made = bring(theirs)
    ours("pull")
    ours.sh("echo changed > /srv/theirs")
    ours.fails("undo", status=1, says="touch what would be taken back: srv/theirs", hint="envgit restore")
    assert ours.head() == made and ours.changes() == ["M srv/theirs"]
    ours.sh("echo theirs > /srv/theirs")  # only copied up now
    ours("undo")
    assert ours.changes() == []


@pytest.mark.parametrize(
    ("touch", "coming", "beside"),
    [
        ("echo x >> /etc/motd; echo welcome > /etc/motd", "rm /etc/motd", "true"),
        ("echo x >> /etc/motd; echo welcome > /etc/motd", "rm /etc/motd", "echo mine > /opt/mine"),
        ("echo x >> /etc/motd; echo welcome > /etc/motd", "echo theirs > /etc/motd", "true"),
        ("echo x >> /etc/motd; echo welcome > /etc/motd", "echo theirs > /etc/motd", "echo mine > /opt/mine"),
        ("echo x > /srv/d/f; rm /srv/d/f", "mkdir /srv/e; echo y > /srv/e/f", "true"),
        ("echo x > /srv/d/f; rm /srv/d/f", "mkdir /srv/e; echo y > /srv/e/f", "echo mine > /opt/mine"),
        (
            "mv /srv/lines /srv/moved; mv /srv/moved /srv/lines",
            "rm /srv/lines; mkdir /srv/lines; echo y > /srv/lines/x",
            "true",
        ),
        (
            "mv /srv/lines /srv/moved; mv /srv/moved /srv/lines",
            "rm /srv/lines; mkdir /srv/lines; echo y > /srv/lines/x",
            "echo mine > /opt/mine",
        ),
        ("chmod 700 /srv; chmod 755 /srv", "chmod 700 /srv", "true"),
        ("mkdir -p /var/log/x; echo x > /var/log/x/y", "mkdir /var/log/x; echo y > /var/log/x/y", "true"),
    ],
)
def test_what_is_no_change_is_not_in_the_way(pair: tuple[Lab, Lab], touch: str, coming: str, beside: str) -> None:
    ours, theirs = pair
    for each in (ours, theirs):
        each.sh("true")
    theirs.sh(coming)
    theirs("commit", "-m", "coming")
    theirs("push")
    ours.sh(f"mkdir -p /srv/d; {touch}; rmdir /srv/d; {beside}", status=None)
    before = ours.head()
    ours("pull")
    assert ours.changes() == (["A opt/mine"] if beside != "true" else [])
    assert ours("diff", "HEAD", "--name-only").out.split() == (["opt/mine"] if beside != "true" else [])
    ours("undo")
    assert ours.head() == before
    assert ours.changes() == (["A opt/mine"] if beside != "true" else [])
    assert ours.sh("cat /etc/motd").out == "welcome\n"
