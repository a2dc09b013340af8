"""The one spelling of %meta and %links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import CorruptObject, HostileInput
from envgit.layers.metadata import (
    escape,
    format_directory,
    format_links,
    parse_directory,
    parse_links,
    unescape,
)
from envgit.model import Entry

OWN = Entry(b".", "d", 0o755)
HASH = bytes(range(32))
HEX = HASH.hex().encode()


def test_golden_directory() -> None:
    entries = [
        Entry(b"z", "l", 0, 1, 2, -1, target=b"a b\\"),
        Entry(b"a b", "f", 0o4755, 0, 4294967294, 5, 3, HASH, sparse=True, xattrs=((b"user.x=", b"\0"),)),
        Entry(b"c", "c", 0o600, device=(1, 3)),
        Entry(b"d", "d", sha256=HASH),
        Entry(b"p", "p", 0o1644),
    ]
    text = (
        b"envgit-directory 1\n"
        b". 0755 0 0 0 links=" + HEX + b" x:user.d=\n"
        b"a\\040b f 4755 0 4294967294 5 3 " + HEX + b" sparse x:user.x\\075=AA==\n"
        b"c c 0600 0 0 0 1:3\n"
        b"d d " + HEX + b"\n"
        b"p p 1644 0 0 0\n"
        b"z l 1 2 -1 a\\040b\\134\n"
    )
    own = OWN._replace(xattrs=((b"user.d", b""),))
    assert format_directory(own, entries, HASH) == text
    assert parse_directory(text) == (own, sorted(entries), HASH)


@given(st.binary(max_size=40))
def test_escape_round_trip(raw: bytes) -> None:
    text = escape(raw)
    assert unescape(text) == raw
    assert all(0x20 < byte < 0x7F for byte in text)


GOOD = b"envgit-directory 1\n. 0755 0 0 0\nf f 0644 0 0 0 1 " + HEX + b"\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\n",
        GOOD.replace(b"0755", b"755"),
        GOOD.replace(b"0644", b"10644"),
        GOOD.replace(b" 0 0 0 1 ", b" 0 0 -0 1 "),
        GOOD.replace(b" 0 0 0 1 ", b" 00 0 0 1 "),
        GOOD.replace(b" 0 0 0 1 ", b" +1 0 0 1 "),
        GOOD.replace(b" 0 0 0 1 ", b" 1_0 0 0 1 "),
        GOOD.replace(b" 0 0 0 1 ", b" 4294967295 0 0 1 "),
        GOOD.replace(HEX, HEX.upper()),
        GOOD.replace(HEX, HEX[:-2]),
        GOOD.replace(b"f f", b"\\146 f"),
        GOOD.replace(b"f f", b".. f"),
        GOOD.replace(b"f f", b"a\\057b f"),
        GOOD.replace(b"f f", b"a\\000b f"),
        GOOD.replace(b"f f", b"f s"),
        GOOD.replace(b"\nf", b"\nf f 0644 0 0 0 1 " + HEX + b"\nf"),
        GOOD[:-1] + b" x:user.a=AA\n",
        GOOD[:-1] + b" x:user.a=AA==\\040\n",
        GOOD[:-1] + b" x:user.overlay.opaque=eQ==\n",
        GOOD[:-1] + b" x:security.selinux=eQ==\n",
        GOOD[:-1] + b" x:user.b=AA== x:user.a=AA==\n",
        GOOD[:-1] + b" sparse sparse\n",
        GOOD + b"g c 0644 0 0 0 0:0\n",
        GOOD + b"g l 0 0 0 \n",
        GOOD + b"a f 0644 0 0 0 1 " + HEX + b"\n",
        b"envgit-directory 2" + GOOD[18:],
        GOOD.replace(b" 0 0 0 1 ", b" 0 0 " + b"9" * 5000 + b" 1 "),
    ],
)
def test_anything_else_is_damaged(bad: bytes) -> None:
    parse_directory(GOOD)
    with pytest.raises(CorruptObject):
        parse_directory(bad)


MTIMES = (-(2**63) * 10**9, 2**63 * 10**9 - 1)
SIZES = (0, 2**63 - 1)
NUMBERS = (0, 2**32 - 1)
OWNERS = (0, 2**32 - 2)


@pytest.mark.parametrize("mtime", [*MTIMES, -1, 10**27])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("owner", OWNERS)
def test_extremes_that_a_filesystem_can_have(mtime: int, size: int, owner: int) -> None:
    text = b"envgit-directory 1\n. 0755 %d 0 %d\nf f 0644 0 %d %d %d %b\n" % (owner, mtime, owner, mtime, size, HEX)
    assert format_directory(*parse_directory(text)) == text


_anything = st.one_of(st.integers(), st.integers(-(10**30), 10**30))


def around(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(_anything, st.sampled_from((low - 1, low, high, high + 1)), st.integers(low, high))


@given(around(*MTIMES), around(*SIZES), around(*OWNERS), around(*NUMBERS), around(*NUMBERS))
def test_numbers_are_accepted_exactly_in_their_ranges(
    mtime: int, size: int, owner: int, major: int, minor: int
) -> None:
    for line, ranges in (
        (b"f f 0644 0 %d %d %d %b" % (owner, mtime, size, HEX), ((owner, OWNERS), (mtime, MTIMES), (size, SIZES))),
        (b"f l %d 0 %d t" % (owner, mtime), ((owner, OWNERS), (mtime, MTIMES))),
        (b"f b 0644 0 0 0 %d:%d" % (major, minor), ((major, NUMBERS), (minor, NUMBERS))),
    ):
        text = b"envgit-directory 1\n. 0755 0 0 0\n" + line + b"\n"
        if all(low <= number <= high for number, (low, high) in ranges):
            parse_directory(text)
        else:
            with pytest.raises(CorruptObject):
                parse_directory(text)


def test_every_time_of_a_real_filesystem_is_stored(tmp_path: Path) -> None:
    """tmpfs has the whole range; other filesystems keep the nearest time that they have."""
    folders = [tmp_path, *(Path(name) for name in ("/dev/shm",) if os.access(name, os.W_OK))]
    for folder in folders:
        path = folder / f"envgit-test-{os.getpid()}"
        path.write_bytes(b"")
        try:
            for mtime in (*MTIMES, 0, -1, 10**27):
                os.utime(path, ns=(0, mtime))
                entry = Entry(b"f", "f", 0o644, 0, 0, os.stat(path).st_mtime_ns, 0, HASH)
                assert parse_directory(format_directory(OWN, [entry])).entries == [entry]
        finally:
            path.unlink()


def test_links() -> None:
    links = ((b"a", b"b/c d"), (b"b/a", b"z"))
    text = b"a b/c\\040d\nb/a z\n"
    assert format_links(links) == text
    assert parse_links(text) == links
    for bad in (b"", b"a\n", b"a b", b"b a\n", b"a b\na c\n", b"b/a z\na b\n", b"a /b\n", b"a b//c\n", b"a ../b\n"):
        with pytest.raises(CorruptObject):
            parse_links(bad)


def test_duplicates_are_refused_when_written() -> None:
    with pytest.raises(HostileInput):
        format_directory(OWN, [Entry(b"d", "d", sha256=HASH), Entry(b"d", "d", sha256=HASH)])
