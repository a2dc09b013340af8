"""Words on the command line that are no text, no number, no pattern; and tags of what is no commit."""

from __future__ import annotations

import pytest

from tests.lab import Lab

NO_TEXT = b"\xff".decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("revision", ["main~²", "main~" + "9" * 5000, "main^" + "9" * 5000])
def test_a_number_that_is_none_is_an_unknown_revision(lab: Lab, revision: str) -> None:
    lab.fails("show", revision, status=2, says="envgit: ", hint=None)


def test_bytes_that_are_no_text_are_kept(lab: Lab) -> None:
    lab("tag", "-a", "-m", NO_TEXT, NO_TEXT)
    assert lab.git("cat-file", "tag", NO_TEXT).endswith(NO_TEXT + "\n")
    lab("commit", "--allow-empty", "-m", NO_TEXT, "--author", f"{NO_TEXT} <a@example.org>")
    assert lab.git("log", "-1", "--format=%an").strip() == NO_TEXT
    assert len(lab("log", "--format=%H", f"--author={NO_TEXT}").lines()) == 1


@pytest.mark.parametrize("option", ["--author=[", "--grep=("])
def test_a_pattern_that_is_none_is_a_usage_error(lab: Lab, option: str) -> None:
    lab.fails("log", option, status=2, says="is not a regular expression", hint=None)


def test_a_tag_of_a_tree_does_not_stop_listing(lab: Lab) -> None:
    lab.git("tag", "tree", "HEAD^{tree}")
    assert lab("tag").lines() == ["tree"]
    assert len(lab("log", "--all", "--format=%H").lines()) == 1
    lab.git("tag", "-d", "tree")


def test_log_looks_no_further_than_asked(lab: Lab) -> None:
    for number in range(3):
        lab("commit", "--allow-empty", "-m", str(number))
    assert [len(lab("log", "--format=%s", f"-n{count}").lines()) for count in (0, 1, 2, 9)] == [0, 1, 2, 4]
    assert lab("log", "--format=%s", "-n1", "--skip=1").lines() == ["1"]


def test_a_damaged_branch_hides_nothing_and_can_be_deleted(lab: Lab) -> None:
    lab("branch", "fine")
    (lab.git_dir / "refs" / "heads" / "evil").write_text("garbage\n")
    assert "fine" in lab("branch", status=None).out
    assert "evil is damaged" in lab("fsck", status=None).out + lab("fsck", status=None).err
    assert "small" in lab("log", "--all", "--oneline", status=None).out
    lab("branch", "-D", "evil", status=None)
    assert "no problems" in lab("fsck").err + lab("fsck").out


@pytest.mark.parametrize("word", ["../../..:../../etc", "f" * 40 + ":-", "", "x"])
def test_reset_hard_is_the_way_out_of_a_damaged_pointer(lab: Lab, word: str) -> None:
    lab.sh("echo kept > /srv/x")
    lab("commit", "-qm", "more")
    (lab.git_dir / "checkouts" / "main" / "base").write_text(word)
    lab("reset", "--hard")
    assert lab.sh("cat /srv/x").out == "kept\n"
