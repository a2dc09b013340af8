"""Layers laid over each other: whiteouts, opaque directories, types that change, hard links, attributes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.images.image_builder import Builder, directory, tar
from tests.images.reading import Read, read
from tests.sources.tar_builder import file, header, pax


def stacked(tmp_path: Path, *archives: bytes, compression: str = "gzip") -> Read:
    builder = Builder()
    return read(f"oci:{builder.write(tmp_path / 'layout', builder.image(*archives, compression=compression))}")


def link(name: bytes, target: bytes) -> bytes:
    return header(name, b"1", link=target)


def symlink(name: bytes, target: bytes) -> bytes:
    return header(name, b"2", link=target)


A, B = file(b"d/a", b"a"), file(b"d/b", b"b")
STACKS: dict[str, tuple[tuple[bytes, ...], dict[str, str]]] = {
    "file replaced": ((tar(A), tar(file(b"d/a", b"new"))), {"d/a": "new"}),
    "file hidden": ((tar(A, B), tar(file(b"d/.wh.a"))), {"d/b": "b"}),
    "directory hidden": ((tar(A, B, file(b"x")), tar(file(b".wh.d"))), {"x": ""}),
    "hidden and made again, mark first": ((tar(A, B), tar(file(b".wh.d"), file(b"d/c", b"c"))), {"d/c": "c"}),
    "hidden and made again, mark last": ((tar(A, B), tar(file(b"d/c", b"c"), file(b".wh.d"))), {"d/c": "c"}),
    "opaque first": ((tar(A, B), tar(file(b"d/.wh..wh..opq"), file(b"d/c", b"c"))), {"d/c": "c"}),
    "opaque last": ((tar(A, B), tar(file(b"d/c", b"c"), file(b"d/.wh..wh..opq"))), {"d/c": "c"}),
    "opaque root": ((tar(A, B), tar(file(b".wh..wh..opq"), file(b"x", b"x"))), {"x": "x"}),
    "mark of nothing": ((tar(A), tar(file(b".wh.no"), file(b"no/.wh.x"), file(b"d/a/.wh.x"))), {"d/a": "a"}),
    "mark in the first layer": ((tar(A, file(b"d/.wh.a")),), {"d/a": "a"}),
    "marks act on all layers below": ((tar(A), tar(B), tar(file(b"d/.wh..wh..opq"))), {}),
    "hidden, then back": ((tar(A), tar(file(b"d/.wh.a")), tar(A)), {"d/a": "a"}),
    "mark that is a directory": ((tar(A, B), tar(directory(b"d/.wh.a"))), {"d/b": "b"}),
    "file over directory": ((tar(A, B), tar(file(b"d", b"now a file"))), {"d": "now a file"}),
    "directory over file": ((tar(file(b"d", b"f")), tar(A)), {"d/a": "a"}),
    "directory over link": ((tar(symlink(b"lib", b"usr/lib"), file(b"usr/lib/x", b"x")), tar(file(b"lib/y", b"y"))),
                            {"usr/lib/x": "x", "lib/y": "y"}),
    "link over directory": ((tar(A), tar(symlink(b"d", b"elsewhere"))), {}),
    "absolute names": ((tar(file(b"/d/a", b"a"), link(b"/d/b", b"/d/a")),), {"d/a": "a", "d/b": "a"}),
    "names with dots": ((tar(directory(b"./"), file(b"./d/./a", b"a")),), {"d/a": "a"}),
    "leftovers of AUFS": ((tar(directory(b".wh..wh.plnk"), file(b".wh..wh.plnk/1.2", b"x"), file(b".wh..wh.aufs"), A),),
                          {"d/a": "a"}),
    "no end mark": ((A,), {"d/a": "a"}),
    "empty archive": ((tar(A), tar()), {"d/a": "a"}),
    "nothing at all": ((), {}),
    "same layer twice": ((tar(A), tar(A)), {"d/a": "a"}),
}  # fmt: skip


@pytest.mark.parametrize("compression", ["gzip", "zstd", ""])
@pytest.mark.parametrize("name", STACKS)
def test_stacks(name: str, compression: str, tmp_path: Path) -> None:
    archives, expected = STACKS[name]
    found = stacked(tmp_path, *archives, compression=compression)
    assert found.text == expected
    assert found.imported.files == len(expected)
    assert found.imported.links or found.imported.bytes == sum(map(len, expected.values()))


def test_a_mark_in_a_directory_that_is_not_there_makes_no_directory(tmp_path: Path) -> None:
    found = stacked(tmp_path, tar(A), tar(file(b"d/.wh.a"), file(b"d/.wh..wh..opq"), file(b"gone/.wh.x")))
    assert found.kinds == {"d": "d"}


def test_directories_keep_their_attributes_unless_a_layer_has_them(tmp_path: Path) -> None:
    below = tar(directory(b"./", 0o711), directory(b"a", 0o1777, uid=5), directory(b"b", 0o700, mtime=9), file(b"c/x"))
    above = tar(file(b"a/new"), directory(b"b", 0o750, mtime=10), directory(b"c", 0o2755, gid=7))
    entries = stacked(tmp_path, below, above).entries
    assert (entries[b""].mode, entries[b"a"].mode, entries[b"a"].uid) == (0o711, 0o1777, 5)
    assert (entries[b"b"].mode, entries[b"b"].mtime_ns) == (0o750, 10 * 10**9)
    assert (entries[b"c"].mode, entries[b"c"].gid) == (0o2755, 7)


def test_attributes_owners_and_devices_come_through(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    archive = tar(
        pax(
            (b"SCHILY.xattr.security.capability", capability),
            (b"mtime", b"1.5"),
            (b"SCHILY.xattr.user.overlay.opaque", b"y"),
        )
        + file(b"ping", b"x", mode=0o4755, uid=3, gid=4),
        header(b"null", b"3", device=(1, 3), mode=0o666),
        header(b"pipe", b"6"),
    )
    found = stacked(tmp_path, archive)
    ping = found.entries[b"ping"]
    assert (ping.mode, ping.uid, ping.gid, ping.mtime_ns) == (0o4755, 3, 4, 1_500_000_000)
    assert ping.xattrs == ((b"security.capability", capability),)
    assert found.entries[b"null"].device == (1, 3)
    assert found.kinds["pipe"] == "p"


# hard links

THREE = tar(file(b"d/a", b"x"), link(b"b", b"d/a"), link(b"c", b"d/a"))
LINKS: dict[str, tuple[tuple[bytes, ...], tuple[tuple[bytes, ...], ...]]] = {
    "kept": ((THREE, tar(file(b"y"))), ((b"b", b"c", b"d/a"),)),
    "one replaced": ((THREE, tar(file(b"c", b"x"))), ((b"b", b"d/a"),)),
    "one hidden": ((THREE, tar(file(b".wh.b"))), ((b"c", b"d/a"),)),
    "the directory of one hidden": ((THREE, tar(file(b".wh.d"))), ((b"b", b"c"),)),
    "the directory of one opaque": ((THREE, tar(file(b"d/.wh..wh..opq"))), ((b"b", b"c"),)),
    "the directory of one replaced": ((THREE, tar(file(b"d", b"file"))), ((b"b", b"c"),)),
    "all but one gone": ((THREE, tar(file(b".wh.b"), file(b".wh.c"))), ()),
    "made again in a layer": ((THREE, tar(file(b"b", b"z"), link(b"c", b"b"))), ((b"b", b"c"),)),
    "to the layer below": ((tar(A), tar(link(b"e", b"d/a"))), ((b"d/a", b"e"),)),
    "to a set of the layer below": ((THREE, tar(link(b"e", b"b"))), ((b"b", b"c", b"d/a", b"e"),)),
    "below, and the target replaced after": ((THREE, tar(link(b"e", b"d/a"), file(b"d/a", b"new"))), ((b"b", b"c", b"e"),)),
    "below, and the target hidden": ((THREE, tar(link(b"e", b"d/a"), file(b".wh.d"))), ((b"b", b"c", b"e"),)),
    "below, and its directory opaque": ((THREE, tar(link(b"e", b"d/a"), file(b"d/.wh..wh..opq"))), ((b"b", b"c", b"e"),)),
    "to a link": ((tar(symlink(b"s", b"x"), link(b"t", b"s")),), ((b"s", b"t"),)),
    "to a link below": ((tar(symlink(b"s", b"x")), tar(link(b"t", b"s"))), ((b"s", b"t"),)),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_hard_links(name: str, tmp_path: Path) -> None:
    archives, expected = LINKS[name]
    found = stacked(tmp_path, *archives)
    assert found.imported.links == expected
    assert {path for names in expected for path in names} <= found.entries.keys()


def test_bytes_count_a_set_once(tmp_path: Path) -> None:
    assert stacked(tmp_path, THREE, tar(file(b"d/y", b"12345"))).imported.bytes == 6
