"""Long histories: how commits share layers, and that the lower layers stay."""

from __future__ import annotations

import pytest

from envgit.publishing.grouping import MOST_LAYERS, group


@pytest.mark.parametrize("count", [0, 1, 2, 99, 100, 101, 102, 117, 500, 1000, 4999, 25_000, 40_000, 1_000_000])
def test_every_commit_is_in_one_block(count: int) -> None:
    ranges = group(count)
    assert len(ranges) <= MOST_LAYERS
    assert [start for start, _ in ranges] == [0, *(end for _, end in ranges)][: len(ranges)]
    assert (ranges[-1][1] if ranges else 0) == count


@pytest.mark.parametrize("count", range(101, 3000, 97))
def test_sizes_are_powers_of_two_and_shrink(count: int) -> None:
    first, *others = group(count)
    sizes = [end - start for start, end in others]
    assert first == (0, 1) and sizes[-1] == 1 and sizes == sorted(sizes, reverse=True)
    assert all(
        size & (size - 1) == 0 and (start - 1) % size == 0 for size, (start, _) in zip(sizes, others, strict=True)
    )


def test_up_to_a_hundred_each_has_its_own() -> None:
    assert group(100) == [(number, number + 1) for number in range(100)]


def test_a_push_makes_few_layers() -> None:
    """Of 5,000 commits pushed one by one: two new layers a push, and each commit packed about nine times in all."""
    before = set(group(101))
    made = work = 0
    for count in range(102, 5000):
        now = set(group(count))
        new = now - before
        assert (count - 1, count) in new
        made, work, before = made + len(new), work + sum(end - start for start, end in new), now
    assert made / 4898 < 2.1 and work / 4898 < 9
