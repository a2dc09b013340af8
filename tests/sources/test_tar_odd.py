"""Odd but honest archives, and what is made of them."""

from __future__ import annotations

import gzip
import io
import lzma

import pytest
import zstandard

from envgit.layers.sources.source import Imported
from envgit.layers.sources.tar import import_tar
from envgit.model import Entry
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore
from tests.sources.tar_builder import END, field, file, header, long_name, padded, pax


def read(data: bytes) -> tuple[dict[bytes, Entry], Imported, MemoryStore, NullMonitor]:
    store, monitor = MemoryStore(), NullMonitor()
    imported = import_tar(io.BytesIO(data), store, monitor)
    return store.paths(imported.root), imported, store, monitor


def test_names_are_read_as_tar_reads_them() -> None:
    names = [b"./a", b"b//c", b"./d/./e", b"caf\xe9", b"CASE", b"case", b" ", b"x\ny"]
    paths, *_ = read(header(b"./", b"5", mode=0o700) + b"".join(file(name) for name in names) + END)
    assert {b"a", b"b/c", b"d/e", b"caf\xe9", b"CASE", b"case", b" ", b"x\ny"} <= paths.keys()
    assert paths[b""].mode == 0o700


def test_the_last_of_two_entries_wins() -> None:
    paths, imported, store, _ = read(file(b"f", b"1") + file(b"f", b"22") + END)
    assert paths[b"f"].size == 2
    assert store.content(imported.root, b"f") == b"22"


def test_a_directory_takes_its_last_attributes_and_keeps_its_children() -> None:
    paths, *_ = read(file(b"d/f") + header(b"d/", b"5", mode=0o1777) + END)
    assert paths[b"d"].mode == 0o1777
    assert b"d/f" in paths


def test_hard_links_also_to_symbolic_links_and_with_a_size() -> None:
    archive = (
        file(b"f", b"x") + header(b"g", b"1", 1, b"./f") + header(b"l", b"2", link=b"f") + header(b"m", b"1", link=b"l")
    )
    paths, imported, *_ = read(archive + END)
    assert imported.links == ((b"f", b"g"), (b"l", b"m"))
    assert paths[b"m"].target == b"f"


def test_a_replaced_name_leaves_its_hard_link_set() -> None:
    paths, imported, store, _ = read(file(b"f", b"1") + header(b"g", b"1", link=b"f") + file(b"f", b"2") + END)
    assert imported.links == ()
    assert store.content(imported.root, b"g") == b"1"


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        (b"1.5", 1_500_000_000),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"1.1234567899", 1_123_456_789),
        (b"-1.5", -1_500_000_000),
        (b"-0.25", -250_000_000),
        (b"0", 0),
        (b"7.", 7_000_000_000),
    ],
)
def test_times_are_exact(text: bytes, ns: int) -> None:
    paths, *_ = read(pax((b"mtime", text)) + file(b"f") + END)
    assert paths[b"f"].mtime_ns == ns


def test_a_time_beyond_all_filesystems_is_reported() -> None:
    _, imported, *_ = read(pax((b"mtime", b"99999999999999")) + file(b"f") + END)
    assert [entry.path for entry in imported.left_out] == [b"f"]


def test_numbers_in_base_256() -> None:
    paths, *_ = read(file(b"f", uid=4_000_000, gid=2**31, mtime=-1) + END)
    assert (paths[b"f"].uid, paths[b"f"].gid, paths[b"f"].mtime_ns) == (4_000_000, 2**31, -1_000_000_000)


def test_old_headers() -> None:
    paths, *_ = read(
        header(b"v7/", b"\0", magic=bytes(8)) + header(b"v7/f", b"\0", magic=bytes(8)) + header(b"c", b"7") + END
    )
    assert paths[b"v7"].type == "d"
    assert paths[b"v7/f"].type == paths[b"c"].type == "f"


def test_global_headers_are_defaults() -> None:
    globals_ = pax((b"comment", b"x"), (b"mtime", b"5"), type_=b"g")
    paths, *_ = read(globals_ + file(b"f") + pax((b"mtime", b"6")) + file(b"g") + END)
    assert (paths[b"f"].mtime_ns, paths[b"g"].mtime_ns) == (5_000_000_000, 6_000_000_000)


def test_long_names() -> None:
    name, target = b"n" * 120 + b"/" + b"m" * 120, b"t" * 300
    paths, *_ = read(long_name(name) + long_name(target, b"K") + header(b"short", b"2") + END)
    assert paths[name].target == target


def test_attributes_are_kept_translated_or_reported() -> None:
    v3 = b"\x01\x00\x00\x03" + bytes(16) + b"\xe8\x03\x00\x00"
    paths, imported, *_ = read(
        pax(
            (b"SCHILY.xattr.user.a", b"\0\xff=\n"),
            (b"SCHILY.xattr.security.capability", v3),
            (b"SCHILY.xattr.security.selinux", b"system_u"),
            (b"SCHILY.xattr.user.overlay.opaque", b"y"),
            (b"LIBARCHIVE.xattr.user.%25b", b"Yg"),
            (b"SCHILY.acl.access", b"user::rw-,user:bin:r--:2,group::r--,mask::r--,other::---"),
            (b"SCHILY.xattr.odd.name", b"x"),
        )
        + file(b"f")
        + pax((b"SCHILY.acl.access", b"user::rw-,user:nobody-knows:r--,group::r--,mask::r--,other::---"))
        + file(b"g")
        + END
    )
    attributes = dict(paths[b"f"].xattrs)
    assert attributes[b"user.a"] == b"\0\xff=\n"
    assert attributes[b"user.%b"] == b"b"
    assert attributes[b"security.capability"] == b"\x01\x00\x00\x02" + bytes(16)
    assert len(attributes[b"system.posix_acl_access"]) == 4 + 5 * 8
    assert len(attributes) == 4
    assert [entry.path for entry in imported.left_out] == [b"f", b"g"]


def test_sparse_maps_of_the_old_kind() -> None:
    table = (field(4096, 12) + field(3, 12)).ljust(96, b"\0")
    archive = header(b"s", b"S", 3, magic=b"ustar  \0", tail=table + b"\0" + field(10_000, 12)) + padded(b"abc")
    paths, imported, store, _ = read(archive + END)
    assert store.content(imported.root, b"s") == bytes(4096) + b"abc" + bytes(10_000 - 4099)
    assert paths[b"s"].sparse


@pytest.mark.parametrize("kind", ["gzip", "gzip-members", "gzip-padded", "xz", "xz-streams", "zstd", "zstd-frames"])
def test_compressed_in_one_or_more_pieces(kind: str) -> None:
    archive = file(b"f", b"data" * 1000) + END
    half = len(archive) // 2
    skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    data = {
        "gzip": gzip.compress(archive),
        "gzip-members": gzip.compress(archive[:half]) + gzip.compress(b"") + gzip.compress(archive[half:]),
        "gzip-padded": gzip.compress(archive) + bytes(5000),
        "xz": lzma.compress(archive),
        "xz-streams": lzma.compress(archive[:half]) + bytes(8) + lzma.compress(archive[half:]),
        "zstd": zstandard.compress(archive),
        "zstd-frames": skippable + zstandard.compress(archive[:half]) + skippable + zstandard.compress(archive[half:]),
    }[kind]
    _, imported, store, _ = read(data)
    assert store.content(imported.root, b"f") == b"data" * 1000


def test_what_is_not_imported_is_said() -> None:
    _, imported, _, monitor = read(
        header(b"label", b"V") + header(b"odd", b"Z", 3) + padded(b"abc") + file(b"f") + END + file(b"g") + END
    )
    assert [entry.path for entry in imported.left_out] == [b"label", b"odd"]
    assert len(monitor.warnings) == 1


def test_an_image_archive_is_pointed_out() -> None:
    *_, monitor = read(file(b"oci-layout", b"{}") + file(b"manifest.json", b"[]") + END)
    assert "docker export" in monitor.warnings[0]


def test_an_archive_without_entries_is_an_empty_root() -> None:
    paths, *_ = read(END)
    assert list(paths) == [b""]


def test_big_files_come_in_small_pieces() -> None:
    _, _, store, _ = read(file(b"f", bytes(9_000_000)) + END)
    assert store.largest_piece <= 1 << 20
