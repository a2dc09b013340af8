"""Refspecs map names as git's do, and never lead to what belongs to one repository alone."""

from __future__ import annotations

import pytest

from envgit.errors import UsageError
from envgit.remotes.refspec import Refspec, full_destination, parse_fetch_refspec, parse_push_refspec


def test_a_pattern_maps_what_it_matches() -> None:
    spec = parse_fetch_refspec("+refs/heads/*:refs/remotes/origin/*")
    assert spec == Refspec(True, "refs/heads/*", "refs/remotes/origin/*")
    assert spec.map("refs/heads/a/b") == "refs/remotes/origin/a/b"
    assert spec.map("refs/tags/v1") is None
    assert str(spec) == "+refs/heads/*:refs/remotes/origin/*"
    assert parse_fetch_refspec("refs/heads/x-*-y:refs/heads/z-*").map("refs/heads/x-1-y") == "refs/heads/z-1"
    assert parse_fetch_refspec("refs/heads/ab*ba:refs/heads/*").map("refs/heads/aba") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", Refspec(False, "refs/heads/main", "")),
        ("+main:mine", Refspec(True, "refs/heads/main", "refs/heads/mine")),
        ("tags/v1:tags/v1", Refspec(False, "refs/tags/v1", "refs/tags/v1")),
        ("HEAD", Refspec(False, "HEAD", "")),
        ("HEAD:x", Refspec(False, "HEAD", "refs/heads/x")),
    ],
)
def test_short_names_are_branches(text: str, expected: Refspec) -> None:
    assert parse_fetch_refspec(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", ":", "a:b:c", "a b", "../x", "refs/heads/*:x", "x:refs/heads/*", "refs/heads/**:refs/heads/**", "a..b",
     "a:refs/envgit/kept/x", "refs/envgit/builds/x:y", "-x\n:y", "refs/heads/.lock", "x.lock"],
)  # fmt: skip
def test_what_is_no_refspec(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_fetch_refspec(text)
    assert caught.value.hint


def test_pushes() -> None:
    assert parse_push_refspec("HEAD~1:refs/heads/x") == Refspec(False, "HEAD~1", "refs/heads/x")
    assert parse_push_refspec(":gone") == Refspec(False, "", "gone")
    assert parse_push_refspec("+main") == Refspec(True, "main", "")
    assert full_destination("x", "refs/tags/v1") == "refs/tags/x"
    assert full_destination("x", "refs/heads/main") == "refs/heads/x"
    for bad in ("refs/envgit/kept/x", "a..b", "refs/heads/x.lock"):
        with pytest.raises(UsageError):
            full_destination(bad, "")
    for bad in ("a:b:c", "a:"):
        with pytest.raises(UsageError):
            parse_push_refspec(bad)
