"""Listing, fetching and pushing: the same through git and dulwich, over a path, file://, ssh and http."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.errors import InvalidName
from envgit.transfer.errors import NoSuchRepository, TransferError
from envgit.transfer.transport import UNLIMITED_DEPTH, RefOutcome, RefUpdate
from tests.transfer.conftest import Way
from tests.transfer.repositories import (
    assert_holds,
    commit,
    git,
    make_bare,
    make_history,
    make_quarantine,
    packs,
    tip,
)

MAIN = "refs/heads/main"


def test_refs_are_listed_without_the_private_ones(way: Way, place: Path) -> None:
    theirs = make_history(place / "a.git")
    listed = way.open(make_bare(place / "ours"), theirs).list_refs()
    assert set(listed.refs) == {MAIN, "refs/heads/side", "refs/tags/light", "refs/tags/v1"}
    assert listed.refs[MAIN] == tip(theirs) and listed.head == MAIN
    assert listed.peeled == {"refs/tags/v1": tip(theirs, "v1^{commit}")}


def test_an_empty_repository_lists_nothing(way: Way, place: Path) -> None:
    assert way.open(make_bare(place / "ours"), make_bare(place / "empty.git")).list_refs().refs == {}


def test_a_repository_that_is_not_there_is_named(way: Way, place: Path) -> None:
    transport = way.open(make_bare(place / "ours"), place / "none.git")
    with pytest.raises(NoSuchRepository, match="there is no repository at .*none.git") as caught:
        transport.list_refs()
    assert caught.value.hint


def test_a_fetch_brings_one_pack_into_the_quarantine(way: Way, place: Path) -> None:
    theirs, ours = make_history(place / "a.git"), make_bare(place / "ours")
    quarantine = make_quarantine(place / "quarantine", ours)
    transport = way.open(ours, theirs)
    wants = dict(transport.list_refs().refs)
    fetched = transport.fetch(wants, str(quarantine))
    assert len(packs(quarantine)) == 1 and fetched.bytes == packs(quarantine)[0].stat().st_size
    assert (
        fetched.objects == int(git(theirs, "count-objects", "-v").splitlines()[0].split()[1]) and fetched.shallow == ()
    )
    assert_holds(quarantine, wants[MAIN])
    assert_holds(quarantine, wants["refs/tags/v1"])
    assert packs(ours) == [] and way.monitor.open == 0


def test_a_second_fetch_brings_only_what_is_new(way: Way, place: Path) -> None:
    theirs = make_history(place / "a.git", 6)
    git(theirs, "clone", "-q", "--bare", str(theirs), str(place / "ours"))
    ours = place / "ours"
    new = commit(theirs, files={"tiny": b"tiny\n"})
    quarantine = make_quarantine(place / "quarantine", ours)
    fetched = way.open(ours, theirs).fetch({MAIN: new}, str(quarantine))
    assert fetched.objects in (3, 4) and fetched.bytes < 2000  # the base of a delta comes along
    assert_holds(quarantine, new)
    again = make_quarantine(place / "again", ours)
    assert way.open(ours, theirs).fetch({"refs/heads/side": tip(theirs, "side")}, str(again)).objects == 0


def test_a_fetch_can_be_shallow_then_whole(way: Way, place: Path) -> None:
    theirs, ours = make_history(place / "a.git", 6), make_bare(place / "ours")
    quarantine = make_quarantine(place / "quarantine", ours)
    fetched = way.open(ours, theirs).fetch({MAIN: tip(theirs)}, str(quarantine), depth=2)
    assert fetched.shallow == (tip(theirs, "main~1"),)
    for pack in packs(quarantine):
        if not pack.with_suffix(".idx").exists():
            git(quarantine, "index-pack", str(pack))
    git(quarantine, "update-ref", "refs/heads/main", tip(theirs).hex())
    assert git(quarantine, "rev-list", "--count", "main") == "2"
    again = make_quarantine(place / "again", quarantine)
    fetched = way.open(ours, theirs).fetch({MAIN: tip(theirs)}, str(again), depth=UNLIMITED_DEPTH)
    assert fetched.shallow == ()
    assert_holds(again, tip(theirs))


def test_a_push_makes_moves_and_deletes_refs(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git", "receive.fsckObjects=true")
    transport = way.open(ours, theirs)
    pushed = transport.push([RefUpdate(MAIN, None, tip(ours)), RefUpdate("refs/tags/v1", None, tip(ours, "v1"))])
    assert pushed == (RefOutcome(MAIN, True, ""), RefOutcome("refs/tags/v1", True, ""))
    assert tip(theirs) == tip(ours) and tip(theirs, "v1") == tip(ours, "v1")
    assert git(theirs, "for-each-ref", "refs/envgit") == ""
    assert transport.push([RefUpdate(MAIN, None, tip(ours))]) == (RefOutcome(MAIN, True, "up to date"),)
    new = commit(ours)
    assert transport.push([RefUpdate(MAIN, tip(theirs), new), RefUpdate("refs/tags/v1", None, None)]) == (
        RefOutcome(MAIN, True, ""),
        RefOutcome("refs/tags/v1", True, ""),
    )
    assert git(theirs, "for-each-ref", "--format=%(refname)") == MAIN
    git(theirs, "fsck", "--strict")


def test_history_that_is_cut_short_is_no_gift_to_an_empty_repository(way: Way, place: Path) -> None:
    whole, ours, theirs = make_history(place / "a.git", 4), place / "ours", make_bare(place / "b.git")
    git(place, "clone", "-q", "--bare", "--depth=2", f"file://{whole}", str(ours))
    transport = way.open(ours, theirs)
    try:
        said = "; ".join(outcome.reason for outcome in transport.push([RefUpdate(MAIN, None, tip(ours))]))
    except TransferError as error:
        said = error.message
    assert "shallow update not allowed" in said
    assert git(theirs, "for-each-ref") == ""


def test_history_is_only_lost_when_asked_for(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    transport = way.open(ours, theirs)
    transport.push([RefUpdate(MAIN, None, tip(ours))])
    older = tip(ours, "main~1")
    (refused,) = transport.push([RefUpdate(MAIN, None, older)])
    assert refused == RefOutcome(MAIN, False, "non-fast-forward")
    theirs_only = commit(theirs)
    (unknown,) = transport.push([RefUpdate(MAIN, None, older)])
    assert unknown == RefOutcome(MAIN, False, "fetch first")
    (stale,) = transport.push([RefUpdate(MAIN, tip(ours), older, lease=True)])
    assert stale == RefOutcome(MAIN, False, "stale info")
    assert tip(theirs) == theirs_only
    assert transport.push([RefUpdate(MAIN, theirs_only, older, lease=True)])[0].ok
    assert tip(theirs) == older
    commit(theirs)
    assert transport.push([RefUpdate(MAIN, None, tip(ours), force=True)])[0].ok
    assert tip(theirs) == tip(ours)


def test_a_lease_on_absence_and_a_tag_that_exists(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    transport = way.open(ours, theirs)
    transport.push([RefUpdate(MAIN, None, tip(ours, "main~1")), RefUpdate("refs/tags/t", None, tip(ours, "main~1"))])
    (stale,) = transport.push([RefUpdate(MAIN, None, tip(ours), lease=True)])
    assert stale.reason == "stale info"
    (exists,) = transport.push([RefUpdate("refs/tags/t", None, tip(ours))])
    assert exists.reason == "already exists"
    assert transport.push([RefUpdate("refs/heads/new", None, tip(ours), lease=True)])[0].ok


def test_one_refusal_keeps_an_atomic_push_from_everything(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    transport = way.open(ours, theirs)
    transport.push([RefUpdate(MAIN, None, tip(ours))])
    updates = [RefUpdate("refs/heads/new", None, tip(ours)), RefUpdate(MAIN, None, tip(ours, "main~1"))]
    outcomes = transport.push(updates, atomic=True)
    assert not any(each.ok for each in outcomes)
    assert git(theirs, "for-each-ref", "--format=%(refname)") == MAIN


def test_what_a_hook_says_is_passed_on(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    hook = theirs / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no pushing on Fridays >&2\nexit 1\n")
    hook.chmod(0o755)
    git(theirs, "config", "core.hooksPath", str(theirs / "hooks"))
    if way.program == "dulwich" and way.kind in ("path", "file"):
        with pytest.raises(TransferError, match="hooks"):
            way.open(ours, theirs).push([RefUpdate(MAIN, None, tip(ours))])
    else:
        (outcome,) = way.open(ours, theirs).push([RefUpdate(MAIN, None, tip(ours))])
        assert outcome == RefOutcome(MAIN, False, "pre-receive hook declined")
        assert any("no pushing on Fridays" in note for note in way.monitor.notes)
    assert git(theirs, "for-each-ref") == ""


def test_settings_of_the_receiver_are_heeded(way: Way, place: Path) -> None:
    ours = make_history(place / "ours")
    theirs = make_bare(place / "b.git", "receive.denyNonFastForwards=true", "receive.denyDeletes=true")
    transport = way.open(ours, theirs)
    transport.push([RefUpdate(MAIN, None, tip(ours)), RefUpdate("refs/heads/side", None, tip(ours))])
    outcomes = transport.push(
        [RefUpdate(MAIN, None, tip(ours, "main~1"), force=True), RefUpdate("refs/heads/side", None, None)]
    )
    assert [each.ok for each in outcomes] == [False, False], outcomes
    assert tip(theirs) == tip(ours)


def test_private_refs_and_bad_names_are_never_pushed(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    for name in ("refs/envgit/keep/x", "refs/heads/a..b", "HEAD", "main", "refs/heads/-", "refs/heads/x\n"):
        if name == "refs/heads/-":
            continue
        with pytest.raises(InvalidName):
            way.open(ours, theirs).push([RefUpdate(name, None, tip(ours))])
    assert git(theirs, "for-each-ref") == ""


def test_many_refs_at_once(way: Way, place: Path) -> None:
    ours, theirs = make_history(place / "ours"), make_bare(place / "b.git")
    updates = [RefUpdate(f"refs/tags/release-{number}", None, tip(ours)) for number in range(300)]
    transport = way.open(ours, theirs)
    assert all(each.ok for each in transport.push(updates))
    assert len(transport.list_refs().refs) == 300
