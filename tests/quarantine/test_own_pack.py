"""Packs that this user has elsewhere: what is in files is not read when they come, and all the more when it is used."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest

from envgit.errors import CorruptObject
from envgit.monitor import NullMonitor
from envgit.quarantine import Checked, own_pack
from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.own_pack import survey_pack
from envgit.store.deflate import compress, crc32
from envgit.store.objects import hash_object
from envgit.store.pack_index import format_index
from envgit.store.pack_writer import RECORD, entry_header
from envgit.trees import GitContent
from tests.quarantine.builder import NUMBERS, Environment, Objects
from tests.quarantine.conftest import Home, photograph


def stored(objects: Objects) -> list[list[bytes]]:
    """Return [id, entry] of every object."""
    return [
        [oid, entry_header(NUMBERS[type], len(data)) + compress(data)] for oid, (type, data) in objects.known.items()
    ]


def pack_and_index(entries: list[list[bytes]]) -> tuple[bytes, bytes]:
    """A pack of these entries, and an index that says of each that it is what its id says."""
    pack = b"PACK\0\0\0\2" + len(entries).to_bytes(4, "big")
    records = []
    for oid, entry in entries:
        records.append(RECORD.pack(oid, crc32(entry), len(pack)))
        pack += entry
    pack += sha1(pack).digest()
    return pack, format_index(b"".join(sorted(records)), pack[-20:])


def lend(home: Home, pack: bytes, index: bytes | None, *tips: bytes, admit: bool = True) -> Checked:
    name = f"pack-{pack[-20:].hex()}"
    with home.quarantine(pack) as arrived:
        if index is not None:
            Path(arrived.git_dir, "objects/pack", name + ".idx").write_bytes(index)
        checked = arrived.check(tips, NullMonitor(), lent=[name])
        if admit:
            arrived.admit()
    home.store.objects.refresh()
    return checked


@pytest.fixture
def read_whole(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes reading a pack as a whole impossible."""

    def forbid() -> None:
        def fail(*_: object) -> None:
            raise RefusedObjects("the pack was read as a whole")

        monkeypatch.setattr("envgit.quarantine.checking.check_pack", fail)

    return forbid


def made(data: bytes = b"content of the file\n") -> tuple[Environment, bytes, bytes]:
    """An environment with a plain file and one of chunks; its commit; the id of the plain file."""
    environment = Environment()
    big = environment.file(b"big", random.Random(3).randbytes(9 << 20))
    plain = environment.file(b"plain", data)
    tip = environment.commit(environment.root(big, plain))
    assert isinstance(plain.content, GitContent)
    return environment, tip, plain.content.oid


def test_files_are_not_read_and_everything_else_is(home: Home, read_whole: Callable[[], None]) -> None:
    environment, tip, _ = made()
    pack, index = pack_and_index(stored(environment.objects))
    read_whole()
    checked = lend(home, pack, index, tip)
    assert (checked.objects, checked.commits) == (len(environment.objects.known), 1)
    for oid, item in environment.objects.known.items():
        assert home.store.objects.read(oid) == item


def test_what_is_not_said_to_be_lent_is_read_as_a_whole(home: Home, read_whole: Callable[[], None]) -> None:
    environment, tip, _ = made()
    pack, index = pack_and_index(stored(environment.objects))
    read_whole()
    with pytest.raises(RefusedObjects, match="as a whole"), home.quarantine(pack) as arrived:
        Path(arrived.git_dir, "objects/pack", f"pack-{pack[-20:].hex()}.idx").write_bytes(index)
        arrived.check([tip], NullMonitor())


def test_a_lying_index_is_found_out_when_the_file_is_read(home: Home) -> None:
    """Two files of one size change places in the index: nothing but their hashes can tell."""
    environment, _, one = made(b"one\n")
    other = environment.file(b"other", b"two\n")
    assert isinstance(other.content, GitContent)
    tip = environment.commit(environment.root(environment.file(b"plain", b"one\n"), other))
    entries = stored(environment.objects)
    for entry in entries:
        entry[0] = {one: other.content.oid, other.content.oid: one}.get(entry[0], entry[0])
    lend(home, *pack_and_index(entries), tip)
    for oid in (one, other.content.oid):
        with pytest.raises(CorruptObject, match=oid.hex()):
            home.store.objects.read(oid)


def _wrong(entry: list[bytes], data: bytes) -> list[bytes]:
    return [entry[0], entry_header(3, len(data)) + compress(data)]


@pytest.mark.parametrize("kind", ["commit", "tree", "blob"])
def test_an_entry_that_is_not_what_the_index_says(home: Home, kind: str) -> None:
    """Of a file the size tells; of what describes files everything does."""
    environment, tip, oid = made()
    if kind != "blob":
        oid = next(each for each, (type, _) in environment.objects.known.items() if type == kind)
    entries = stored(environment.objects)
    place = next(number for number, entry in enumerate(entries) if entry[0] == oid)
    type, data = environment.objects.known[oid]
    wrong = data.replace(b"A U Thor", b"B U Thor") if kind == "commit" else data[:-1]
    entries[place][1] = entry_header(NUMBERS[type], len(wrong)) + compress(wrong)
    before = photograph(home.git_dir)
    with pytest.raises(RefusedObjects):
        lend(home, *pack_and_index(entries), tip)
    assert photograph(home.git_dir) == before


def test_metadata_is_read(home: Home) -> None:
    """It is in blobs, as files are; what a directory says must have the hash that the one above says."""
    environment, tip, _ = made()
    metadata = next(
        oid for oid, (type, data) in environment.objects.known.items() if type == "blob" and b"plain" in data
    )
    entries = stored(environment.objects)
    place = next(number for number, entry in enumerate(entries) if entry[0] == metadata)
    data = environment.objects.known[metadata][1]
    entries[place] = _wrong(entries[place], data.replace(b"plain", b"plaiN"))
    with pytest.raises(RefusedObjects, match="other content than its id says"):
        lend(home, *pack_and_index(entries), tip)


@pytest.mark.parametrize("part", ["a chunk", "a file", "a folder"])
def test_what_is_missing_is_missing(home: Home, part: str) -> None:
    environment, tip, oid = made()
    known = environment.objects.known
    if part == "a chunk":
        oid = max(known, key=lambda each: len(known[each][1]))
    elif part == "a folder":
        oid = next(each for each, (type, _) in known.items() if type == "tree")
    entries = [entry for entry in stored(environment.objects) if entry[0] != oid]
    with pytest.raises(RefusedObjects, match="is missing"):
        lend(home, *pack_and_index(entries), tip)


def test_an_index_that_is_damaged_anywhere_is_made_anew(home: Home) -> None:
    environment, tip, _ = made()
    pack, index = pack_and_index(stored(environment.objects))
    pick = random.Random(8)
    spots = [9, 1000, 1040, len(index) - 30, len(index) - 5, *(pick.randrange(8, len(index)) for _ in range(8))]
    for spot in spots:
        damaged = index[:spot] + bytes([index[spot] ^ 1]) + index[spot + 1 :]
        lend(home, pack, damaged, tip, admit=False)
    for cut in (0, 7, 1031, len(index) // 2, len(index) - 1):
        lend(home, pack, index[:cut], tip, admit=False)
    lend(home, pack, None, tip)
    for oid, item in environment.objects.known.items():
        assert home.store.objects.read(oid) == item


def test_a_pack_that_is_damaged_anywhere_is_refused(home: Home) -> None:
    """The checksums of entries, which cost little, say so; then reading all of it says where."""
    environment, tip, _ = made()
    pack, index = pack_and_index(stored(environment.objects))
    pick = random.Random(9)
    before = photograph(home.git_dir)
    for spot in [*(pick.randrange(12, len(pack) - 20) for _ in range(6)), 4, 10, len(pack) - 1]:
        damaged = pack[:spot] + bytes([pack[spot] ^ 1]) + pack[spot + 1 :]
        with pytest.raises(RefusedObjects):
            lend(home, damaged, index, tip)
    with pytest.raises(RefusedObjects):
        lend(home, pack[: len(pack) // 2] + pack[-20:], index, tip)
    assert photograph(home.git_dir) == before


@pytest.mark.parametrize("claim", [257 << 20, 1 << 45])
def test_sizes_that_no_object_has(home: Home, claim: int) -> None:
    environment, tip, oid = made()
    entries = stored(environment.objects)
    place = next(number for number, entry in enumerate(entries) if entry[0] == oid)
    entries[place][1] = entry_header(3, claim) + compress(b"")
    with pytest.raises(RefusedObjects, match="an object of"):
        lend(home, *pack_and_index(entries), tip)


def test_packs_with_deltas_twins_and_gaps_are_read_as_a_whole(tmp_path: Path) -> None:
    data = b"some content\n" * 9
    oid = hash_object("blob", data)
    plain = [oid, entry_header(3, len(data)) + compress(data)]
    delta = [hash_object("blob", b"x"), entry_header(7, 3) + oid + compress(b"abc")]

    def survey(pack: bytes, index: bytes) -> object:
        (tmp_path / "p.pack").write_bytes(pack)
        (tmp_path / "p.idx").write_bytes(index)
        return survey_pack(str(tmp_path / "p"), lambda _: None)

    assert survey(*pack_and_index([plain])) == [(oid, "blob", len(data), b"", 12, crc32(plain[1]))]
    assert survey(*pack_and_index([plain, delta])) is None
    assert survey(*pack_and_index([plain, plain])) is None
    pack, _ = pack_and_index([plain, delta])
    short = pack[:8] + b"\0\0\0\1" + pack[12:-20]
    short += sha1(short).digest()
    assert survey(short, format_index(RECORD.pack(oid, crc32(plain[1]), 12), short[-20:])) is None
    assert own_pack.survey_pack(str(tmp_path / "nothing"), lambda _: None) is None
