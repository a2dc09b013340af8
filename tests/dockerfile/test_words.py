"""Variables, quotes and escapes: the behaviour that the Dockerfile reference and POSIX describe, and bash as a witness."""

from __future__ import annotations

import itertools
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.words import expand, expand_words

VARIABLES = {
    "set": "value",
    "empty": "",
    "path": "/usr/local/lib/x.tar.gz",
    "spaced": " a  b ",
    "star": "a*b?c",
    "é": "accent",
    "u_1": "u",
}
lookup = VARIABLES.get


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("two  words", "two  words"),
        ("$set", "value"),
        ("${set}", "value"),
        ("a$set-b", "avalue-b"),
        ("$setx", ""),
        ("${set}x", "valuex"),
        ("$set$set", "valuevalue"),
        ("$unset.", "."),
        ("$empty.", "."),
        ("$é", "accent"),
        ("$u_1", "u"),
        ("$1x", "x"),
        ("$123x", "x"),
        ("$@ $* $# $? $- $$ $! $0", "       "),
        ("$", "$"),
        ("a$", "a$"),
        ("$ $. $/ $(x)", "$ $. $/ $(x)"),
        # quotes
        ("'$set'", "$set"),
        ('"$set"', "value"),
        ('"it\'s"', "it's"),
        ("'say \"x\"'", 'say "x"'),
        ("a'b'c\"d\"e", "abcde"),
        ("''", ""),
        ("'a\\b'", "a\\b"),
        # escapes
        ("\\$set", "$set"),
        ("\\\\$set", "\\value"),
        ("a\\b\\ c", "ab c"),
        ("\\'\\\"", "'\""),
        ("end\\", "end"),
        ('"\\$set \\" \\\\ \\n"', '$set " \\ \\n'),
        ("\\${set}", "${set}"),
        ("'it'\\''s'", "it's"),
        # ${} with a word
        ("${unset:-w} ${empty:-w} ${set:-w}", "w w value"),
        ("${unset-w} ${empty-w} ${set-w}", "w  value"),
        ("${unset:+w} ${empty:+w} ${set:+w}", "  w"),
        ("${unset+w} ${empty+w} ${set+w}", " w w"),
        ("${set:?no} ${set?no} ${empty?no}", "value value "),
        ("${unset:-}", ""),
        ("${unset:-a b}", "a b"),
        ("${unset:-$set}", "value"),
        ("${unset:-${empty:-${set}}}", "value"),
        ("${unset:-'a}b'}", "a}b"),
        ('${unset:-"a}$set"}', "a}value"),
        ("${unset:-a\\}b}", "a}b"),
        ("${unset:-\\$set}", "$set"),
        ('"${unset:-"a b"}"', "a b"),
        ("${1:-x}${#:-y}${@:-z}", "xyz"),
        ("${+w}", ""),
        # patterns
        ("${path#*/}", "usr/local/lib/x.tar.gz"),
        ("${path##*/}", "x.tar.gz"),
        ("${path%.*}", "/usr/local/lib/x.tar"),
        ("${path%%.*}", "/usr/local/lib/x"),
        ("${path#/usr}", "/local/lib/x.tar.gz"),
        ("${path#nothing}", "/usr/local/lib/x.tar.gz"),
        ("${path%}", "/usr/local/lib/x.tar.gz"),
        ("${path#/?s}", "r/local/lib/x.tar.gz"),
        ("${path#[/]}", "/usr/local/lib/x.tar.gz"),
        ("${star#a\\*}", "b?c"),
        ("${star%\\?c}", "a*b"),
        ("${unset#x}", ""),
        ("${set#${set%ue}}", "ue"),
        ("${path/l/L}", "/usr/Local/lib/x.tar.gz"),
        ("${path//l/L}", "/usr/LocaL/Lib/x.tar.gz"),
        ("${path//\\//-}", "-usr-local-lib-x.tar.gz"),
        ("${path/.*/}", "/usr/local/lib/x"),
        ("${path//l*l/}", "/usr/ib/x.tar.gz"),
        ("${set/x/y}", "value"),
        ("${set//?/ab}", "ababababab"),
        ("${set/$empty/y}", "yvalue"),
        ("${unset/x/y}", ""),
        ("${path/$set/y}", "/usr/local/lib/x.tar.gz"),
        # not special
        ("{a} #b %c ~ `x` *", "{a} #b %c ~ `x` *"),
        ("a<<b < c", "a<<b < c"),
        ("日本 ${é} 😀", "日本 accent 😀"),
    ],
)
def test_expand(word: str, result: str) -> None:
    assert expand(word, lookup) == result


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("'open", "no '"),
        ('"open', 'no "'),
        ('"open\\"', 'no "'),
        ("it's", "no '"),
        ("${", "none of the known"),
        ("${}", "none of the known"),
        ("${set", "none of the known"),
        ("${{set}", "none of the known"),
        ("${:-x}", "none of the known"),
        ("${.}", "none of the known"),
        ("${set=x}", "none of the known"),
        ("${set:=x}", "none of the known"),
        ("${set:x}", "none of the known"),
        ("${set:#x}", "none of the known"),
        ("${set:%x}", "none of the known"),
        ("${set:}", "}"),
        ("${set:-x", "}"),
        ("${set:-${set}", "}"),
        ("${set#x", "}"),
        ("${set/x}", "/"),
        ("${set/x/y", "}"),
        ("${set#a\\b}", "pattern"),
        ("${set%\\}", "}"),
        ("${unset?}", "unset: is not set"),
        ("${unset:?}", "unset: is not set"),
        ("${empty:?}", "empty: is empty"),
        ("${unset?set it first}", "unset: set it first"),
        ("${empty:?say $set}", "empty: say value"),
        ("${x:-" * 200 + "}" * 200, "too deeply"),
    ],
)
def test_bad_words(word: str, part: str) -> None:
    with pytest.raises(ExpansionError) as error:
        expand(word, lookup)
    assert part in error.value.message


def test_another_escape_character() -> None:
    assert expand('c:\\x`$set`` "a`"b\\" \'`\'', lookup, escape="`") == 'c:\\x$set` a"b\\ `'


def test_quotes_are_text_in_heredocs() -> None:
    text = "it's \"$set\" '${unset:-x}' \\$set\n"
    assert expand(text, lookup, quotes=False) == "it's \"value\" 'x' $set\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("  ", ()),
        ("a b  c", ("a", "b", "c")),
        ("a\tb\nc", ("a", "b", "c")),
        ("$spaced", ("a", "b")),
        ("x$spaced", ("x", "a", "b")),
        ("${spaced}x", ("a", "b", "x")),
        ('"$spaced"', (" a  b ",)),
        ("'a b' c\\ d", ("a b", "c d")),
        ('x" y "z', ("x y z",)),
        ("$unset", ()),
        ("'' \"\"", ()),
        ("80${unset:-81} 82", ("8081", "82")),
        ("${unset:-80 443}", ("80", "443")),
        ("a${unset:-b}c${unset:-d}e", ("abcde",)),
        ("${unset:-'80 443'}", ("80", "443")),
    ],
)
def test_expand_words(text: str, words: tuple[str, ...]) -> None:
    assert expand_words(text, lookup) == words


def test_patterns_are_those_of_bash() -> None:
    """One bash evaluates every combination of these values, patterns and operators."""
    values = ("", "a", "abab", "aabb", "a/b/a", "ab\nab", "baab", "a.b.c")
    patterns = ("a", "ab", "*", "?", "a*", "*a", "*b", "a*b", "?a", "*a*", "a?*", "**", "*.*", "?.?", "a*b*", "x")
    cases = list(itertools.product(values, ("#", "##", "%", "%%", "/", "//"), patterns))
    script = ["shopt -u patsub_replacement extglob 2>/dev/null"]
    ours = []
    for value, operator, pattern in cases:
        if "\n" in value and ("*" in pattern or "?" in pattern):
            continue  # those of bash match a newline
        end = "/<r>" if "/" in operator else ""
        script.append(f"v={shlex.quote(value)}; printf '%s\\0' \"${{v{operator}{pattern}{end}}}\"")
        ours.append(expand(f"${{v{operator}{pattern}{end}}}", {"v": value}.get))
    shown = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, check=True).stdout.decode()
    assert ours == shown.split("\0")[:-1]
    assert len(ours) > 600


def test_newlines_end_what_wildcards_match() -> None:
    assert expand("${v#*}${v##*}|${v%%*}|${v/*/x}|${v//?/y}", {"v": "a\nb"}.get) == "a\nb\nb|a\n|x\nb|y\ny"


def test_patterns_take_no_long_time() -> None:
    value = "a" * 2000
    assert expand("${v##" + "*a" * 30 + "*b}", {"v": value}.get) == value
    assert expand("${v%%b" + "*a" * 30 + "*}", {"v": value}.get) == value


@settings(max_examples=500, deadline=None)
@given(st.text("a$\\'\"{}:-+?#%/*<` 1x\n", max_size=20), st.sampled_from(("\\", "`")))
def test_any_word_is_expanded_or_refused(word: str, escape: str) -> None:
    for action in (expand, expand_words):
        try:
            action(word, {"a": "A B", "x": ""}.get, escape=escape)
        except ExpansionError as error:
            assert error.message


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_quoting_is_undone(text: str) -> None:
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert expand(quoted, lookup) == text
    assert expand("".join(f"\\{char}" for char in text), lookup) == text
