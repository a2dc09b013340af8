"""Patterns of sources: what filepath.Match of Go documents."""

from __future__ import annotations

import fnmatch
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.glob import is_pattern, match

MATCHES = [
    ("", ""),
    ("abc", "abc"),
    ("*", ""),
    ("*", "abc"),
    ("*c", "abc"),
    ("a*", "a"),
    ("a*", "abc"),
    ("a*/b", "abc/b"),
    ("a*b*c*d*e*/f", "axbxcxdxe/f"),
    ("a*b*c*d*e*/f", "axbxcxdxexxx/f"),
    ("a*b?c*x", "abxbbxdbxebxczzx"),
    ("ab[c]", "abc"),
    ("ab[b-d]", "abc"),
    ("ab[^e-g]", "abc"),
    ("a\\*b", "a*b"),
    ("a?b", "aéb"),
    ("a[é]b", "aéb"),
    ("a[^a]b", "aéb"),
    ("[a-é]*", "b"),
    ("[\\]a]", "]"),
    ("[\\-]", "-"),
    ("[x\\-]", "-"),
    ("[x\\-z]", "x"),
    ("arr[[]0].txt", "arr[0].txt"),
    ("[*]", "*"),
    ("[?]", "?"),
    ("a]", "a]"),
    ("a^b", "a^b"),
    ("a!b", "a!b"),
    ("[!x]", "!"),
    ("[^a]", "/"),
    ("a[^x]b", "a/b"),
    ("**", "ab"),
    ("a**b", "axb"),
    (".*", ".hidden"),
    ("*", ".hidden"),
    ("hom?.txt", "home.txt"),
    ("*.go", "main.go"),
    ("{a,b}", "{a,b}"),
    ("*x", "xxx"),
]
MISMATCHES = [
    ("", "a"),
    ("a", ""),
    ("*", "a/b"),
    ("?", "/"),
    ("a?b", "a/b"),
    ("a*b", "a/b"),
    ("a*", "ab/c"),
    ("a*/b", "a/c/b"),
    ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f"),
    ("a*b?c*x", "abxbbxdbxebxczzy"),
    ("ab[e-g]", "abc"),
    ("ab[^c]", "abc"),
    ("ab[^b-d]", "abc"),
    ("a\\*b", "ab"),
    ("a???b", "aéb"),
    ("[a-ζ]*", "α/x"),
    ("[z-a]", "m"),
    ("*x", "xxa"),
    ("*[/x]*c", "x/c"),
    ("**", "a/b"),
    ("a/", "a"),
    ("{a,b}", "a"),
    ("*.txt", "a.txt.gz"),
]
BAD = [
    "[",
    "[]",
    "[]a]",
    "[^]",
    "[^",
    "[a",
    "[^bc",
    "[-]",
    "[x-]",
    "[-x]",
    "[a-b-c]",
    "[\\",
    "a[",
    "a\\",
    "\\",
    "x[a-",
    "*[",
    "[a][",
]


@pytest.mark.parametrize(("pattern", "name"), MATCHES)
def test_matches(pattern: str, name: str) -> None:
    assert match(pattern, name)


@pytest.mark.parametrize(("pattern", "name"), MISMATCHES)
def test_mismatches(pattern: str, name: str) -> None:
    assert not match(pattern, name)


@pytest.mark.parametrize("pattern", BAD)
@pytest.mark.parametrize("name", ["", "a", "xyz/"])
def test_bad_patterns_are_bad_whatever_the_name(pattern: str, name: str) -> None:
    with pytest.raises(ExpansionError, match="is no pattern"):
        match(pattern, name)


def test_names_that_are_not_utf8() -> None:
    name = os.fsdecode(b"a\xffb")
    assert match("a?b", name)
    assert match(name, name)
    assert not match("ab", name)


@pytest.mark.parametrize(
    ("text", "yes"),
    [("a", False), ("a\\*", False), ("a*", True), ("?", True), ("[a]", True), ("a]", False), ("a\\\\*", True)],
)
def test_is_pattern(text: str, yes: bool) -> None:
    assert is_pattern(text) == yes


@settings(max_examples=500, deadline=None)
@given(st.text("ab*?[]", max_size=10), st.text("ab", max_size=10))
def test_names_without_slash_match_as_those_of_the_shell(pattern: str, name: str) -> None:
    try:
        ours = match(pattern, name)
    except ExpansionError:
        return
    assert ours == fnmatch.fnmatchcase(name, pattern)


def test_no_pattern_takes_long() -> None:
    assert not match("*a" * 500 + "b", "a" * 5000)
