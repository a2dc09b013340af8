"""Archives that lie, escape, collide, exhaust or stop early: one clear error each, or the documented reading."""

from __future__ import annotations

import io
import struct

import pytest

from envgit.errors import EnvgitError, HostileInput, SourceError
from envgit.layers.sources.tar import import_tar
from envgit.layers.sources.tar_limits import TarLimits
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore
from tests.sources.tar_builder import END, field, file, header, long_name, padded, pax, raw_pax

SMALL = TarLimits(
    entries=50, extended_header_bytes=4096, path_bytes=2048, sparse_segments=8, hole_bytes=1 << 20,
    content_bytes=1 << 20, ratio=20, ratio_free_bytes=1 << 20,
)  # fmt: skip


def old_sparse(pairs: list[tuple[int, int]], real: int, data: bytes, *, extended: bool = False) -> bytes:
    table = b"".join(field(offset, 12) + field(length, 12) for offset, length in pairs).ljust(96, b"\0")
    tail = table + bytes([extended]) + field(real, 12)
    return header(b"s", b"S", len(data), magic=b"ustar  \0", tail=tail) + padded(data)


def sparse_01(text: bytes, size: bytes, data: bytes) -> bytes:
    return pax((b"GNU.sparse.map", text), (b"GNU.sparse.size", size)) + file(b"s", data)


def sparse_10(table: bytes, size: bytes, data: bytes = b"") -> bytes:
    keys = ((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", size))
    return pax(*keys, (b"GNU.sparse.name", b"s")) + file(b"GNUSparseFile.1/s", padded(table) + data)


LINK = header(b"l", b"2", link=b"/etc")
HOSTILE: dict[str, bytes] = {
    "absolute": file(b"/etc/passwd", b"x"),
    "absolute-twice": file(b"//etc/passwd", b"x"),
    "dotdot": file(b"../x"),
    "dotdot-inside": file(b"a/../../x"),
    "dotdot-harmless": file(b"a/../b"),
    "dotdot-end": header(b"a/..", b"5"),
    "dotdot-dot": file(b"./../x"),
    "dotdot-long-name": long_name(b"a/" * 60 + b"../x") + file(b"a"),
    "dotdot-pax": pax((b"path", b"../x")) + file(b"a"),
    "dotdot-global": pax((b"path", b"../x"), type_=b"g") + file(b"a"),
    "absolute-pax": pax((b"path", b"/x")) + file(b"a"),
    "nul-pax": pax((b"path", b"a\0b")) + file(b"a"),
    "empty-name": file(b""),
    "root-is-file": file(b"./."),
    "root-is-link": header(b".", b"2", link=b"/"),
    "long-component": long_name(b"n" * 256) + file(b"n"),
    "long-path": long_name(b"n/" * 3000 + b"x") + file(b"n"),
    "through-symlink": LINK + file(b"l/passwd", b"x"),
    "through-file": file(b"f") + file(b"f/x"),
    "through-fifo": header(b"p", b"6") + header(b"p/d", b"5"),
    "symlink-over-directory": header(b"d", b"5") + file(b"d/x") + header(b"d", b"2", link=b"/"),
    "file-over-directory": header(b"d", b"5") + file(b"d", b"x"),
    "symlink-empty": header(b"l", b"2"),
    "symlink-huge": long_name(b"t" * 4096, b"K") + header(b"l", b"2"),
    "symlink-huge-pax": pax((b"linkpath", b"t" * 3000)) + header(b"l", b"2"),
    "hardlink-missing": header(b"h", b"1", link=b"nothing"),
    "hardlink-later": header(b"h", b"1", link=b"f") + file(b"f"),
    "hardlink-self": header(b"h", b"1", link=b"h"),
    "hardlink-outside": header(b"h", b"1", link=b"../../etc/shadow"),
    "hardlink-absolute": header(b"h", b"1", link=b"/etc/shadow"),
    "hardlink-directory": header(b"d", b"5") + header(b"h", b"1", link=b"d"),
    "hardlink-root": header(b"h", b"1", link=b"."),
    "hardlink-through-symlink": LINK + header(b"h", b"1", link=b"l/shadow"),
    "hardlink-empty": header(b"h", b"1"),
    "whiteout": header(b"w", b"3", device=(0, 0)),
    "uid-negative": file(b"f", uid=-5),
    "uid-huge": file(b"f", uid=2**32 - 1),
    "gid-huge-pax": pax((b"gid", b"99999999999")) + file(b"f"),
    "uid-bad-pax": pax((b"uid", b"1e3")) + file(b"f"),
    "mtime-bad-pax": pax((b"mtime", b"nan")) + file(b"f"),
    "mtime-empty-pax": pax((b"mtime", b"")) + file(b"f"),
    "size-negative": header(b"f", size=-512),
    "size-bad-pax": pax((b"size", b"-1")) + file(b"f"),
    "size-huge-pax": pax((b"size", b"99999999999999999999")) + file(b"f"),
    "size-lies": header(b"f", size=5000) + bytes(512),
    "size-exabyte": header(b"f", size=1 << 62),
    "pax-no-length": raw_pax(b"path=x\n") + file(b"f"),
    "pax-length-zero": raw_pax(b"0 path=x\n") + file(b"f"),
    "pax-length-too-big": raw_pax(b"999 path=x\n") + file(b"f"),
    "pax-no-newline": raw_pax(b"9 path=xy") + file(b"f"),
    "pax-no-equals": raw_pax(b"8 pathx\n") + file(b"f"),
    "pax-huge": header(b"p", b"x", 1 << 40) + bytes(4096),
    "long-name-huge": header(b"p", b"L", 1 << 40) + bytes(4096),
    "pax-chain": pax((b"comment", b"x")) * 40 + file(b"f"),
    "pax-at-end": file(b"f") + pax((b"path", b"x")),
    "many-entries": b"".join(file(b"f%d" % i) for i in range(60)),
    "bad-checksum": file(b"a") + file(b"b")[:10] + b"Z" + file(b"b")[11:],
    "bad-number": file(b"a") + b"b".ljust(100, b"\0") + b"9" * 412,
    "no-tar": b"#!/bin/sh\necho hello\n" * 100,
    "short": b"hello",
    "multi-volume": header(b"m", b"M", 512) + bytes(512),
    "too-much-content": file(b"f", bytes(700_000)) + file(b"g", bytes(700_000)),
    "old-sparse-overlap": old_sparse([(0, 512), (256, 512)], 4096, bytes(1024)),
    "old-sparse-backwards": old_sparse([(2048, 512), (0, 512)], 4096, bytes(1024)),
    "old-sparse-beyond": old_sparse([(4000, 512)], 4096, bytes(512)),
    "old-sparse-lies": old_sparse([(0, 512)], 4096, bytes(1024)),
    "old-sparse-exabyte": old_sparse([(0, 512)], 1 << 62, bytes(512)),
    "old-sparse-endless": old_sparse([(0, 512)], 4096, b"", extended=True)
    + b"".join((field(512 * i, 12) + field(0, 12)) * 21 + b"\x01" + bytes(7) for i in range(1, 40)),
    "sparse-0.1-odd": sparse_01(b"0,512,1024", b"4096", bytes(512)),
    "sparse-0.1-words": sparse_01(b"0,x", b"4096", bytes(512)),
    "sparse-0.1-lies": sparse_01(b"0,512", b"4096", bytes(1024)),
    "sparse-0.1-no-size": pax((b"GNU.sparse.map", b"0,512")) + file(b"s", bytes(512)),
    "sparse-0.1-huge": sparse_01(b"0,512", b"9999999999999", bytes(512)),
    "sparse-0.1-many": sparse_01(b",".join(b"%d,0" % i for i in range(100)), b"4096", b""),
    "sparse-0.0-odd": pax((b"GNU.sparse.size", b"4096"), (b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.offset", b"0"))
    + file(b"s", bytes(512)),
    "sparse-1.0-endless": sparse_10(b"9" * 600, b"4096"),
    "sparse-1.0-many": sparse_10(b"100000\n", b"4096"),
    "sparse-1.0-cut": sparse_10(b"2\n0\n512\n", b"4096", bytes(512)),
    "sparse-1.0-bad-count": sparse_10(b"-1\n", b"4096"),
    "sparse-1.0-no-size": sparse_10(b"1\n0\n512\n", b"", bytes(512)),
    "sparse-2.0": pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + file(b"s"),
    "bzip2": b"BZh91AY&SY" + bytes(600),
    "zip": b"PK\x03\x04" + bytes(600),
    "gzip-broken": b"\x1f\x8b\x08" + b"\xff" * 600,
    "xz-broken": b"\xfd7zXZ\x00" + b"\xff" * 600,
    "zstd-broken": b"\x28\xb5\x2f\xfd" + b"\xff" * 600,
}


def read(data: bytes, limits: TarLimits = SMALL) -> tuple[MemoryStore, object, NullMonitor]:
    store, monitor = MemoryStore(), NullMonitor()
    return store, import_tar(io.BytesIO(data), store, monitor, limits), monitor


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_gives_one_clear_error(name: str) -> None:
    with pytest.raises((HostileInput, SourceError)) as caught:
        read(HOSTILE[name] + END)
    assert "\n" not in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


def test_there_are_enough_hostile_archives() -> None:
    assert len(HOSTILE) >= 60


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd"])
def test_a_compression_bomb_is_stopped_by_its_ratio(compression: str) -> None:
    import gzip
    import lzma

    import zstandard

    data = header(b"bomb", size=64 << 20) + bytes(64 << 20) + END
    pack = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.compress}[compression]
    with pytest.raises(HostileInput, match="times"):
        read(pack(data), TarLimits(ratio_free_bytes=1 << 20))


def test_a_zstd_frame_may_not_ask_for_much_memory() -> None:
    # A frame header with a window of 2 GiB.
    with pytest.raises(HostileInput, match="memory"):
        read(b"\x28\xb5\x2f\xfd\x00\xa8" + b"\x01\x00\x00" + bytes(600), TarLimits())


def test_control_characters_of_names_do_not_reach_the_message() -> None:
    with pytest.raises(HostileInput) as caught:
        read(file(b"../\x1b]0;evil\x07\xff") + END)
    assert caught.value.message.isprintable()


def test_every_truncation_is_noticed() -> None:
    archive = (
        header(b"d", b"5") + pax((b"mtime", b"1.5")) + file(b"d/f", bytes(range(256)) * 5) + long_name(b"n" * 150)
        + file(b"n") + old_sparse([(512, 512)], 4096, bytes(512)) + header(b"l", b"2", link=b"d")
    )  # fmt: skip
    read(archive + END)
    for offset in range(0, len(archive) + 1, 64):
        with pytest.raises(SourceError):
            read(archive[:offset])
    for offset in range(1, 512, 100):
        with pytest.raises(SourceError):
            read(archive + END[:offset])


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd"])
def test_every_truncation_of_compressed_data_is_noticed(compression: str) -> None:
    import gzip
    import lzma
    import random

    import zstandard

    archive = file(b"f", random.Random(1).randbytes(3000)) + END
    packed = {"gzip": gzip.compress, "xz": lzma.compress, "zstd": zstandard.compress}[compression](archive)
    read(packed)
    for offset in range(0, len(packed), 37):
        with pytest.raises(SourceError):
            read(packed[:offset])


def test_every_flipped_bit_gives_an_envgit_error_or_a_tree() -> None:
    archive = pax((b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"b")) + file(b"f", b"data") + sparse_10(
        b"1\n0\n512\n", b"4096", bytes(512)
    ) + END  # fmt: skip
    for offset in range(0, len(archive), 3):
        changed = bytearray(archive)
        changed[offset] ^= 1 << (offset % 8)
        try:
            read(bytes(changed))
        except EnvgitError:
            continue
        except struct.error:  # pragma: no cover
            pytest.fail(f"offset {offset}")
