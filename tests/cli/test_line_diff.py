"""Edits turn the old lines into the new ones, in bounded time."""

from __future__ import annotations

import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.cli import line_diff
from envgit.cli.line_diff import Edit, find_edits, group_hunks

LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n", b"d"]), max_size=30)


def _apply(old: list[bytes], new: list[bytes], edits: list[Edit]) -> list[bytes]:
    result: list[bytes] = []
    at = 0
    for edit in edits:
        result += old[at : edit.old_from] + new[edit.new_from : edit.new_to]
        at = edit.old_to
    return result + old[at:]


def _check(old: list[bytes], new: list[bytes]) -> list[Edit]:
    edits = find_edits(old, new)
    assert _apply(old, new, edits) == new
    for before, after in zip(edits, edits[1:], strict=False):
        assert before.old_to < after.old_from and before.new_to < after.new_from
        assert after.old_from - before.old_to == after.new_from - before.new_to
    return edits


@given(LINES, LINES)
@settings(max_examples=200, deadline=None)
def test_edits_apply(old: list[bytes], new: list[bytes]) -> None:
    edits = _check(old, new)
    covered = [edit for hunk in group_hunks(edits, len(old), len(new), 3) for edit in hunk.edits]
    assert covered == edits


@given(LINES, LINES)
@settings(max_examples=100, deadline=None)
def test_edits_apply_when_myers_gives_up(old: list[bytes], new: list[bytes]) -> None:
    before = line_diff.MOST_EDITS
    line_diff.MOST_EDITS = 2  # type: ignore[misc]
    try:
        _check(old, new)
    finally:
        line_diff.MOST_EDITS = before  # type: ignore[misc]


def test_shortest_script() -> None:
    assert find_edits([b"a", b"b", b"c"], [b"a", b"x", b"c"]) == [Edit(1, 2, 1, 2)]
    assert find_edits([], [b"a"]) == [Edit(0, 0, 0, 1)]
    assert find_edits([b"a"], [b"a"]) == []


def test_insertions_slide_down_as_in_git() -> None:
    old = [b"{\n", b"1\n", b"}\n", b"end\n"]
    new = [b"{\n", b"1\n", b"}\n", b"{\n", b"1\n", b"}\n", b"end\n"]
    assert find_edits(old, new) == [Edit(3, 3, 3, 6)]


def test_files_that_differ_everywhere_are_compared_in_bounded_time() -> None:
    choice = random.Random(1)
    old = [b"%d\n" % choice.randrange(10**9) for _ in range(30_000)]
    new = [line if choice.random() < 0.3 else b"%d\n" % choice.randrange(10**9) for line in old]
    started = time.process_time()
    edits = _check(old, new)
    assert time.process_time() - started < 20
    kept = len(old) - sum(edit.old_to - edit.old_from for edit in edits)
    assert kept > 8000
