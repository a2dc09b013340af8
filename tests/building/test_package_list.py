"""Lists of installed packages: one spelling, and no way to smuggle anything in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.building.package_sets.package_list import (
    format_package_list,
    merge_package_lists,
    parse_package_list,
)
from envgit.declaration.lock_file import LockedPackage
from envgit.declaration.values import MANAGERS
from envgit.errors import CorruptObject

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
HASHES = st.sampled_from(["", "sha256:" + "0a" * 32, "sha512-" + "Ab+/" * 21 + "A=="])
PACKAGES = st.builds(
    LockedPackage, st.sampled_from(MANAGERS), WORDS, WORDS, st.sampled_from(["", "all", "amd64"]), HASHES
)


@given(st.lists(PACKAGES, unique_by=lambda package: (package.manager, package.name, package.architecture)))
def test_a_list_is_read_back_and_has_one_spelling(packages: list[LockedPackage]) -> None:
    text = format_package_list(packages)
    assert parse_package_list(text) == tuple(sorted(packages))
    assert format_package_list(reversed(packages)) == text
    assert merge_package_lists(text, b"") == merge_package_lists(b"", text) == merge_package_lists(text, text) == text


def test_what_is_installed_later_takes_the_place_of_what_was_there() -> None:
    old = b"apt\ta\t1\tamd64\t\napt\tb\t1\tall\t\n"
    new = b"apt\ta\t2\tamd64\t\npip\ta\t1\t\t"
    assert merge_package_lists(old, new) == b"apt\ta\t2\tamd64\t\napt\tb\t1\tall\t\npip\ta\t1\t\t\n"
    assert merge_package_lists(old[:-1], new) == merge_package_lists(old, new)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"apt\ta\t1\tall", "is none"),
        (b"apt\ta\t1\tall\t\tmore", "is none"),
        (b"yum\ta\t1\tall\t", "is none"),
        (b"apt\t\t1\tall\t", "damaged"),
        (b"apt\ta\t\tall\t", "damaged"),
        (b"apt\ta b\t1\tall\t", "damaged"),
        (b"apt\ta\x1b[31m\t1\tall\t", "damaged"),
        (b"apt\t" + b"a" * 600 + b"\t1\tall\t", "damaged"),
        (b"apt\ta\t1\tall\tsha256:xyz", "damaged"),
        (b"apt\ta\t1\tall\t--hash=1", "damaged"),
        (b"apt\t\xc3\xa4\t1\tall\t", "not ASCII"),
        (b"\0", "is none"),
    ],
)
def test_a_line_that_no_script_writes_is_refused_by_number(line: bytes, says: str) -> None:
    with pytest.raises(CorruptObject, match=f"line 2 .*{says}"):
        parse_package_list(b"apt\ta\t1\tall\t\n" + line)


def test_a_list_without_end_is_refused() -> None:
    with pytest.raises(CorruptObject, match="more than 100,000 lines"):
        parse_package_list(b"\n" * 100_001)
