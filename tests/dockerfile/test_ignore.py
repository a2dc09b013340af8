""".dockerignore: what the reference describes, and a literal translation of its rules as a witness."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.dockerfile.errors import DockerfileError
from envgit.dockerfile.ignore import DockerIgnore


@pytest.mark.parametrize(
    ("text", "ignored", "kept"),
    [
        ("", "", "a a/b .dockerignore"),
        ("# comment\n\n  \n", "", "a #"),
        ("a", "a a/b a/b/c", "b b/a ab"),
        ("/a", "a a/b", "b/a"),
        ("//a//b/", "a/b a/b/c", "a b"),
        ("./a", "a", "b"),
        ("a/../b", "b b/a", "a"),
        ("a/", "a a/b", "b/a"),
        ("  a  \n\tb\t", "a b", "c"),
        ("a\r\nb\r\n", "a b", "c"),
        ("\ufeffa\n", "a", "b"),
        (" #a", "#a", "a"),
        (".", "", "a a/b"),
        ("/", "", "a a/b"),
        ("..", "", "a"),
        # the examples of the reference
        ("*/temp*", "somedir/temporary.txt somedir/temp somedir/temp/x", "temp temporary a/b/temp"),
        ("*/*/temp*", "somedir/subdir/temporary.txt", "somedir/temp temp"),
        ("temp?", "tempa tempb tempa/x", "temp tempab x/tempa"),
        ("**/*.go", "a.go x/a.go x/y/a.go x/y.go/z", "a.goo go"),
        ("*.md\n!README.md", "a.md", "README.md x/a.md"),
        ("*.md\n!README*.md\nREADME-secret.md", "a.md README-secret.md", "README.md README-x.md"),
        ("*.md\nREADME-secret.md\n!README*.md", "a.md", "README.md README-secret.md"),
        # **
        ("**", "a a/b .x", ""),
        ("**\n!a", "b b/a", "a a/b"),
        ("a/**", "a/b a/b/c", "a b/a"),
        ("a/**/b", "a/b a/x/b a/x/y/b a/x/b/z", "a ab a/bb"),
        ("**/a", "a x/a x/y/a x/a/y", "ba x/ba"),
        ("**a", "a ba x/ba a/c ba/c", "ab x/ab"),
        ("a**", "a ab a/b ab/c", "b/a"),
        ("**/a/**", "a/b x/a/b", "a x/a"),
        ("**/a/*.c", "a/x.c z/a/x.c", "a/x/y.c"),
        ("**/**/a", "a x/a", "ab"),
        ("a/**/**/b", "a/b a/x/b", "a"),
        ("***", "a a/b", ""),
        # exceptions
        ("a\n!a/b", "a a/c", "a/b a/b/c"),
        ("a\n!a/b\na/b/c", "a a/b/c a/b/c/d", "a/b a/b/d"),
        ("a\n!a/b\na", "a a/b", "c"),
        ("!a\na", "a", "b"),
        ("* \n! a", "b", "a"),
        ("a\n!/a/b", "a", "a/b"),
        ("*\n!src/**/*.c", "x src src/a src/a.h", "src/a.c src/x/y/a.c"),
        ("a/*\n!a/b*", "a/c", "a a/b a/bc/d"),
        # characters
        ("a[bc]d", "abd acd", "aed abcd"),
        ("a[^b]d", "acd", "abd"),
        ("[a-c]", "a b", "d"),
        ("a\\*", "a*", "ab"),
        ("a\\!b", "a!b", "ab"),
        ("\\!a", "!a", "a"),
        ("\\#a", "#a", "a"),
        ("a.b", "a.b", "axb"),
        ("a+b(c)|d{e}$f^g", "a+b(c)|d{e}$f^g", "aab"),
        ("*.[ch]", "a.c a.h", "a.x x/a.c"),
        ("*a*b*", "ab xaybz", "ba x/ab"),
        ("é?", "éé", "é"),
    ],
)
def test_rules(text: str, ignored: str, kept: str) -> None:
    rules = DockerIgnore.parse(text.encode())
    assert [path for path in ignored.split() if not rules.ignores(path)] == []
    assert [path for path in kept.split() if rules.ignores(path)] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n!\n", "x/.dockerignore:2: ! without a pattern"),
        ("[a", "x/.dockerignore:1: '[a' is no pattern: a [ has no ]"),
        ("# c\n\na\\", "x/.dockerignore:3: 'a\\' is no pattern: it ends with \\"),
        ("[z-a]", "x/.dockerignore:1: a range from z to a has no character"),
        ("![]", "x/.dockerignore:1: '[]' is no pattern: ] is in the wrong place"),
    ],
)
def test_bad_patterns(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as error:
        DockerIgnore.parse(text.encode(), "x/.dockerignore")
    assert error.value.message == message


def test_names_that_are_not_utf8() -> None:
    name = os.fsdecode(b"a\xff")
    assert DockerIgnore.parse(b"a\xff").ignores(name)
    assert DockerIgnore.parse(b"a?").ignores(name)
    assert not DockerIgnore.parse(b"a").ignores(name)


@pytest.mark.parametrize(
    ("text", "directory", "may"),
    [
        ("a", "a", False),
        ("a\n!b", "a", False),
        ("a\n!a/b", "a", True),
        ("a\n!a/b/c", "a/b", True),
        ("a\n!a/b/c", "a/x", False),
        ("a\n!*/b", "a", True),
        ("a\n!?/b", "a", True),
        ("a\n!??/b", "a", False),
        ("a\n!a", "a/b", False),
        ("*\n!**/x", "a/b/c", True),
        ("*\n!a/**/x", "a/b/c", True),
        ("*\n!a/**/x", "b", False),
        ("*\n![^x]b", "a", True),
        ("*\n!a\\/b", "a", True),
        ("*\n!src/*.c", "src", True),
        ("*\n!src/*.c", "doc", False),
    ],
)
def test_which_directories_a_walk_must_enter(text: str, directory: str, may: bool) -> None:
    assert DockerIgnore.parse(text.encode()).may_contain(directory) == may


PARTS = st.sampled_from(
    ("a", "b", "ab", "*", "?", "**", "a*", "*b", "*a*", "**a", "a**", "[ab]", "[^b]", "\\a", "***", "a?")
)
PATTERNS = st.builds(
    lambda sign, parts: sign + "/".join(parts), st.sampled_from(("", "", "!")), st.lists(PARTS, min_size=1, max_size=4)
)
PATHS = st.lists(st.sampled_from(("a", "b", "ab", "ba", "aab", "c")), min_size=1, max_size=5).map("/".join)


@settings(max_examples=600, deadline=None)
@given(st.lists(PATTERNS, max_size=4), st.lists(PATHS, min_size=1, max_size=8))
def test_a_literal_translation_agrees(patterns: list[str], paths: list[str]) -> None:
    rules = DockerIgnore.parse("\n".join(patterns).encode())
    for path in paths:
        assert rules.ignores(path) == witness(patterns, path), (patterns, path)
        parent = path.rpartition("/")[0]
        if parent and witness(patterns, parent) and not witness(patterns, path):
            assert rules.may_contain(parent), (patterns, path)


def witness(patterns: list[str], path: str) -> bool:
    """Go through the rules from first to last, for the path and each directory above it, without any shortcut."""
    names = path.split("/")
    above = ["/".join(names[: end + 1]) for end in range(len(names))]
    is_ignored = False
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if any(matches(bare, item) for item in above):
            is_ignored = bare == pattern
    return is_ignored


def matches(pattern: str, path: str) -> bool:
    plain = pattern[2:]
    if pattern.startswith("**") and not re.search(r"[*?\[\\]", plain):
        return path.endswith(plain) or path == plain.removeprefix("/")
    expression = ""
    rest = pattern
    while rest:
        if rest.startswith("**"):
            rest = rest[2:].removeprefix("/")
            expression += "(.*/)?" if rest else ".*"
        elif rest[0] == "[":
            inside, _, rest = rest.partition("]")
            expression += inside + "]"
        elif rest[0] == "\\":
            expression, rest = expression + re.escape(rest[1]), rest[2:]
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
            rest = rest[1:]
    return re.fullmatch(expression, path) is not None


def test_no_pattern_takes_long() -> None:
    rules = DockerIgnore.parse(("*a" * 40 + "b\n" + "**/a/" * 20 + "b\n").encode())
    assert not rules.ignores("a" * 250)
    assert not rules.ignores("/".join("a" * 1000))
