"""Packs that lie: about their length, their objects, their deltas. Every one is refused and leaves nothing."""

from __future__ import annotations

import re
import zlib
from hashlib import sha1
from pathlib import Path

import pytest

from envgit.errors import StorageError
from envgit.exec.limited import Limits
from envgit.monitor import NullMonitor
from envgit.quarantine.checking import Request, check
from envgit.quarantine.errors import CheckExceeded, RefusedObjects
from envgit.quarantine.pack_scan import MAX_OBJECT_BYTES
from envgit.store.objects import hash_object
from envgit.store.pack_index import PackIndex
from tests.quarantine import builder
from tests.quarantine.builder import Environment, copy, distance, entry, insert, number, seal
from tests.quarantine.conftest import Home

BASE = b"a base of some length, so that there is something to copy from it\n" * 4


def sound() -> tuple[bytes, bytes]:
    made = Environment()
    tip = made.commit(made.root(tool=b"another tool\n"))
    return made.objects.pack(), tip


def delta(commands: bytes, *, base: int = len(BASE), result: int) -> bytes:
    return number(base) + number(result) + commands


def after_base(second: bytes, *more: bytes) -> bytes:
    """A pack of a blob and what builds on it."""
    return seal(entry("blob", BASE) + second + b"".join(more), 2 + len(more))


BACK = len(entry("blob", BASE))


def ofs(data: bytes, back: int = BACK, **lie: int) -> bytes:
    return entry(6, data, base=distance(back), size=lie.get("size"))


def ref(data: bytes, oid: bytes = hash_object("blob", BASE)) -> bytes:
    return entry(7, data, base=oid)


def test_the_sound_one_is_accepted(home: Home) -> None:
    pack, tip = sound()
    assert home.accept(pack, tip).commits == 1
    assert home.store.objects.contains(tip)


@pytest.mark.parametrize("part", range(32))
def test_truncation(home: Home, part: int) -> None:
    pack, tip = sound()
    home.refuse(pack[: len(pack) * part // 32], tip)


@pytest.mark.parametrize("part", range(12))
def test_truncation_with_a_right_trailer(home: Home, part: int) -> None:
    pack, tip = sound()
    body = pack[: 12 + (len(pack) - 32) * part // 12]
    home.refuse(body + sha1(body).digest(), tip)


def test_nothing_at_all(home: Home) -> None:
    assert "cut off" in home.refuse(b"x" * 20, bytes(20))


CASES = {
    "magic": (seal(entry("blob", b"x"), 1, magic=b"JUNK"), "not a pack"),
    "version 4": (seal(entry("blob", b"x"), 1, version=4), "version 4"),
    "version 1": (seal(entry("blob", b"x"), 1, version=1), "version 1"),
    "huge count": (seal(entry("blob", b"x"), 0xFFFFFFFF), "cannot hold"),
    "one object too many claimed": (seal(entry("blob", b"x" * 99) * 1, 2), "cut off"),
    "one object too few claimed": (seal(entry("blob", b"x") + entry("blob", b"y"), 1), "after its last object"),
    "none claimed": (seal(entry("blob", b"x"), 0), "after its last object"),
    "garbage behind": (seal(entry("blob", b"x") + b"garbage", 1), "after its last object"),
    "zeros behind": (seal(entry("blob", b"x") + bytes(64), 1), "after its last object"),
    "another pack behind": (seal(entry("blob", b"x") + seal(entry("blob", b"y"), 1), 1), "after its last object"),
    "wrong trailer": (seal(entry("blob", b"x"), 1)[:-20] + bytes(20), "checksum"),
    "trailer off by one bit": (
        seal(entry("blob", b"x"), 1)[:-1] + bytes((seal(entry("blob", b"x"), 1)[-1] ^ 1,)),
        "checksum",
    ),
    "type 0": (seal(entry(0, b"x"), 1), "unknown type 0"),
    "type 5": (seal(entry(5, b"x"), 1), "unknown type 5"),
    "size too small": (seal(entry("blob", b"x" * 40, size=39), 1), "more than 39 bytes"),
    "size too large": (seal(entry("blob", b"x" * 40, size=41), 1), "40 bytes, not 41"),
    "size 0 of something": (seal(entry("blob", b"x", size=0), 1), "more than 0 bytes"),
    "bomb by stream": (seal(entry("blob", b"", size=5, stream=zlib.compress(bytes(50_000_000))), 1), "more than 5"),
    "bomb by size": (seal(entry("blob", b"", size=100_000_000), 1), "claims more bytes"),
    "too large an object": (seal(entry("blob", b"x", size=MAX_OBJECT_BYTES + 1), 1), "no object of an environment"),
    "size of 2^64": (seal(entry("blob", b"x", size=1 << 64), 1), "absurd|no object"),
    "size without end": (seal(b"\xbf" + b"\xff" * 200 + zlib.compress(b"x"), 1), "absurd"),
    "no stream": (seal(entry("blob", b"x", stream=b"") + bytes(8), 1), "damaged"),
    "stream of another kind": (seal(entry("blob", b"x" * 9, stream=zlib.compress(b"x" * 9, wbits=31)), 1), "damaged"),
    "raw deflate": (seal(entry("blob", bytes(range(9)), stream=zlib.compress(bytes(range(9)), wbits=-15)), 1), "damaged"),
    "stream with a dictionary": (seal(entry("blob", b"x" * 9, stream=b"\x78\xbb\0\0\0\1" + bytes(8)), 1), "damaged"),
    "wrong adler": (seal(entry("blob", b"x" * 9, stream=zlib.compress(b"x" * 9)[:-1] + b"\0"), 1), "damaged"),
    "the same object twice": (seal(entry("blob", b"x") * 2, 2), "twice"),
    "the same object by a delta": (after_base(ofs(delta(copy(0, len(BASE)), result=len(BASE)))), "twice"),
    "base before the pack": (seal(entry(6, b"x", base=distance(9_999)), 1), "outside it"),
    "base in the header": (seal(entry(6, b"x", base=distance(4)), 1), "outside it"),
    "base is itself": (seal(entry(6, b"x", base=b"\0"), 1), "outside it"),
    "base offset without end": (seal(bytes((0x61,)) + b"\xff" * 40 + zlib.compress(b"x"), 1), "outside it"),
    "base between two entries": (after_base(ofs(delta(insert(b"x"), result=1), BACK - 3)), "build on no object"),
    "base missing": (seal(ref(delta(insert(b"x"), result=1), b"m" * 20), 1), "build on no object"),
    "delta of another base": (after_base(ofs(delta(insert(b"x"), base=3, result=1))), "does not belong"),
    "delta copies beyond its base": (after_base(ofs(delta(copy(len(BASE) - 1, 9), result=9))), "beyond its base"),
    "delta copies from far away": (after_base(ofs(delta(copy(0xFFFFFFFF, 9), result=9))), "beyond its base"),
    "delta inserts beyond its end": (after_base(ofs(delta(b"\x7fxx", result=127))), "beyond its base"),
    "delta with the reserved command": (after_base(ofs(delta(b"\0", result=1))), "beyond its base"),
    "delta makes less": (after_base(ofs(delta(insert(b"xx"), result=3))), "less than it claims"),
    "delta makes more": (after_base(ofs(delta(insert(b"xx"), result=1))), "more than it claims"),
    "delta makes nothing of much": (after_base(ofs(delta(b"", result=3))), "less than it claims"),
    "delta claims 2^40 bytes": (after_base(ofs(delta(copy(0, 9), result=1 << 40))), "makes more than"),
    "delta claims 2^69 bytes": (after_base(ofs(number(len(BASE)) + b"\xff" * 9 + b"\x7f")), "makes more than|ends early"),
    "delta is empty": (after_base(ofs(b"")), "ends early"),
    "delta ends in its size": (after_base(ofs(b"\x80")), "ends early|does not belong"),
    "delta ends in a command": (after_base(ofs(delta(b"\xff\0", result=9))), "ends early"),
    "delta with a lie about its size": (after_base(ofs(delta(insert(b"x"), result=1), size=2)), "more than 2|bytes, not 2"),
    "a tree of nonsense by a delta": (
        seal((first := entry("tree", b"")) + entry(6, number(0) + number(4) + insert(b"junk"), base=distance(len(first))), 2),
        "cut off or malformed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_lies(home: Home, name: str) -> None:
    pack, said = CASES[name]
    message = home.refuse(pack, hash_object("blob", BASE))
    assert re.search(said, message), message


def test_ref_deltas_in_a_circle(home: Home) -> None:
    """Two deltas that each name the other's result: no order of them begins anywhere."""
    one, other = b"one" * 30, b"other" * 30
    first = ref(number(len(other)) + number(len(one)) + insert(one), hash_object("blob", other))
    second = ref(
        number(len(one)) + number(len(other)) + insert(other[:127]) + insert(other[127:]), hash_object("blob", one)
    )
    assert "2 deltas that build on no object" in home.refuse(seal(first + second, 2), bytes(20))


def test_a_base_in_our_own_store_is_not_in_the_pack(home: Home) -> None:
    """A thin pack would be incomplete for the next repository that links it."""
    base = hash_object("blob", b"example\n")
    assert home.store.objects.contains(base)
    pack = seal(ref(number(8) + number(1) + insert(b"x"), base), 1)
    assert "build on no object" in home.refuse(pack, home.base)


def test_a_chain_without_reasonable_end(home: Home) -> None:
    entries = [entry("blob", b"%09d" % 0)]
    for index in range(1, 4200):
        entries.append(ofs(number(9) + number(9) + insert(b"%09d" % index), len(entries[-1])))
    assert "chain of more than 4095" in home.refuse(seal(b"".join(entries), len(entries)), bytes(20))


def test_a_long_chain_is_fine_where_a_reader_follows_it(home: Home) -> None:
    entries = [entry("blob", b"%09d" % 0)]
    for index in range(1, 4000):
        entries.append(ofs(number(9) + number(9) + insert(b"%09d" % index), len(entries[-1])))
    made = Environment()
    tip = made.commit(made.root())
    entries += [entry(type, data) for type, data in made.objects.known.values()]
    home.accept(seal(b"".join(entries), len(entries)), tip)
    assert home.store.objects.read(hash_object("blob", b"%09d" % 3999))[1] == b"%09d" % 3999


def test_deltas_that_copy_a_base_into_gigabytes(home: Home) -> None:
    """100 bytes of delta make 200 MB: one after the other that is only slow, and the processor's time is limited."""
    size = 0xFFFFFF
    big = bytes(size)
    entries = [entry("blob", big)]
    total = 0
    for index in range(400):
        commands = copy(0, 0xFFFFFF) * 12 + insert(b"%d" % index)
        total += len(entries[-1])
        entries.append(
            entry(6, number(size) + number(0xFFFFFF * 12 + len(b"%d" % index)) + commands, base=distance(total))
        )
    limits = Limits(3 << 30, 1, 1 << 30)
    message = home.refuse(seal(b"".join(entries), len(entries)), bytes(20), kind=CheckExceeded, limits=limits)
    assert "1 seconds of processor time" in message


def test_too_little_memory_is_an_error_not_a_crash(home: Home) -> None:
    pack = seal(entry("blob", bytes(80 << 20)), 1)
    limits = Limits(48 << 20, 60, 1 << 30)
    assert "48 MiB of memory" in home.refuse(pack, bytes(20), kind=CheckExceeded, limits=limits)


def test_too_little_room_for_the_index_is_an_error(home: Home) -> None:
    pack, tip = sound()
    with pytest.raises(StorageError, match="cannot write"), home.quarantine(pack) as arrived:
        arrived.check([tip], NullMonitor(), limits=Limits(1 << 30, 60, 100))


def test_an_index_that_came_along_is_not_believed(home: Home) -> None:
    """One of another pack, of junk, and one that claims objects where there are none."""
    pack, tip = sound()
    for junk in (b"", b"junk" * 1000, bytes(5000)):
        with home.quarantine(pack) as arrived:
            index = Path(arrived.git_dir, "objects/pack", f"pack-{pack[-20:].hex()}.idx")
            index.write_bytes(junk)
            arrived.check([tip], NullMonitor())
            assert index.read_bytes()[:4] == b"\377tOc"


def test_flipped_bytes_change_nothing_or_are_refused(tmp_path: Path) -> None:
    """A small pack with one bit changed, sealed again. A few bits mean nothing (zlib's level, the version); all else is refused."""
    pack, tip = sound()
    (tmp_path / "own/objects/pack").mkdir(parents=True)
    path = tmp_path / "pack-1"
    request = Request(str(tmp_path / "own"), (str(path),), (tip,), (), (), ())
    path.with_suffix(".pack").write_bytes(pack)
    check(request, lambda _: None)
    oids = {oid for _, oid, _ in PackIndex(f"{path}.idx").entries()}
    accepted = tried = 0
    for position in range(0, len(pack) - 20, 3):
        flipped = bytearray(pack)
        flipped[position] ^= 1 << position % 8
        body = bytes(flipped[:-20])
        path.with_suffix(".pack").write_bytes(body + sha1(body).digest())
        tried += 1
        try:
            check(request, lambda _: None)
        except RefusedObjects:
            continue
        accepted += 1
        assert {oid for _, oid, _ in PackIndex(f"{path}.idx").entries()} == oids
    assert tried > 300 and accepted < tried / 20


def test_the_builder_spells_deltas_right(home: Home) -> None:
    made = Environment()
    tip = made.commit(made.root())
    parts = [entry("blob", BASE), ofs(delta(copy(2, 4) + insert(b"xyz"), result=7))]
    parts.append(ref(delta(copy(0, 10), result=10)))
    parts += [entry(type, data) for type, data in made.objects.known.values()]
    home.accept(seal(b"".join(parts), len(parts)), tip)
    assert home.store.objects.read(hash_object("blob", BASE[2:6] + b"xyz"))[0] == "blob"
    assert home.store.objects.read(hash_object("blob", BASE[:10]))[0] == "blob"
    assert builder.NUMBERS["blob"] == 3
