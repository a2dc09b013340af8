from __future__ import annotations

import os
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import CorruptObject, StorageError
from envgit.store import storage
from envgit.store.consolidate import consolidate, plan_merge
from envgit.store.deflate import compress, decompress, store
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.pack_index import PackIndex, format_index
from envgit.store.pack_writer import RECORD, remove_leftovers
from envgit.store.repository import GitRepository
from tests.store.conftest import Git, assert_fsck_silent, make_commit


def put_all(repository: GitRepository, blobs: list[bytes]) -> list[bytes]:
    with repository.objects.pack_session() as session:
        oids = [session.put("blob", data) for data in blobs]
        result = session.finish()
    assert result.object_count == len(set(blobs))
    return oids


def corpus(seed: int) -> list[bytes]:
    pick = random.Random(seed)
    sizes = [0, 1, 15, 16, 2047, 2048, 16384, 16385, 65535, 65536, 200_000, 9_000_000]
    return [bytes(pick.choice((0, 7, 99)) for _ in range(size)) for size in sizes[:8]] + [
        pick.randbytes(size) for size in sizes
    ]


@given(st.binary(max_size=3000))
def test_streams_are_zlibs(data: bytes) -> None:
    for stream in (compress(data), store(data)):
        assert zlib.decompress(stream) == data
        assert decompress(stream + b"next entry", len(data)) == data


def test_stored_streams_cross_block_borders() -> None:
    for size in (65534, 65535, 65536, 131070, 131071):
        assert zlib.decompress(store(bytes(size))) == bytes(size)


def test_everything_written_is_read_by_us_and_by_git(repository: GitRepository, git: Git) -> None:
    blobs = corpus(1)
    oids = put_all(repository, blobs)
    fresh = ObjectStore(repository.git_dir)
    for oid, data in zip(oids, blobs, strict=True):
        assert fresh.read(oid) == ("blob", data)
        assert git("cat-file", "-s", oid.hex()) == str(len(data))
    git("verify-pack", *[str(path) for path in Path(repository.objects.objects_dir, "pack").glob("*.idx")])
    assert_fsck_silent(repository.git_dir)


def test_nothing_put_leaves_no_file(repository: GitRepository) -> None:
    with repository.objects.pack_session() as session:
        assert session.finish().object_count == 0
    assert os.listdir(repository.objects.objects_dir + "/pack") == []


def test_an_aborted_session_leaves_no_file(repository: GitRepository) -> None:
    with pytest.raises(ZeroDivisionError), repository.objects.pack_session() as session:
        session.put("blob", os.urandom(3_000_000))
        raise ZeroDivisionError
    assert os.listdir(repository.objects.objects_dir + "/pack") == []


def test_what_the_store_has_is_not_written_again(repository: GitRepository) -> None:
    put_all(repository, [b"a", b"b"])
    with repository.objects.pack_session() as session:
        session.put("blob", b"a")
        assert session.finish().object_count == 0


def test_all_stays_readable_through_gc_and_repack(repository: GitRepository, git: Git) -> None:
    text = b"".join(b"line %d\n" % number for number in range(3000))
    tip: tuple[bytes, ...] = ()
    for number in range(12):
        tip = (make_commit(repository, *tip, text=f"{number} {text.decode()}", files=3),)
    repository.refs.update("refs/heads/main", tip[0], None)
    everything = git("rev-list", "--objects", "--no-object-names", "main").split()
    before = {name: repository.objects.read(bytes.fromhex(name)) for name in everything}
    for words in (("gc", "--prune=now", "-q"), ("repack", "-adfq", "--depth=50")):
        git(*words)
        for reader in (repository.objects, ObjectStore(repository.git_dir)):
            assert {name: reader.read(bytes.fromhex(name)) for name in everything} == before
    assert "chain length" in git("verify-pack", "-v", *map(str, Path(repository.git_dir).glob("objects/pack/*.idx")))


def test_loose_objects_are_read(repository: GitRepository, git: Git) -> None:
    oid = git("hash-object", "-w", "--stdin", data=b"loose" * 999)
    assert repository.objects.read(bytes.fromhex(oid)) == ("blob", b"loose" * 999)
    assert repository.objects.contains(bytes.fromhex(oid))
    assert repository.objects.candidates(oid[:6]) == [bytes.fromhex(oid)]


def test_a_missing_object_is_named(repository: GitRepository) -> None:
    with pytest.raises(MissingObject, match="ab" * 20):
        repository.objects.read(b"\xab" * 20)


def test_every_flipped_bit_is_detected_or_harmless(repository: GitRepository) -> None:
    blobs = [b"text %d " % number * 20 for number in range(20)]
    oids = put_all(repository, blobs)
    (pack,) = Path(repository.objects.objects_dir, "pack").glob("*.pack")
    pick = random.Random(3)
    detected = 0
    for path in (pack, pack.with_suffix(".idx")):
        good = path.read_bytes()
        os.chmod(path, 0o644)
        for _ in range(150):
            bad = bytearray(good)
            bad[pick.randrange(len(bad))] ^= 1 << pick.randrange(8)
            path.write_bytes(bad)
            reader = ObjectStore(repository.git_dir)
            for oid, data in zip(oids, blobs, strict=True):
                try:
                    assert reader.read(oid) == ("blob", data)
                except CorruptObject:
                    detected += 1
        path.write_bytes(good)
    assert detected > 100


def test_dead_writers_leftovers_go_and_living_ones_stay(repository: GitRepository) -> None:
    folder = Path(repository.objects.objects_dir, "pack")
    with repository.objects.pack_session() as session:
        session.put("blob", os.urandom(2_000_000))
        (folder / "tmp_pack_dead").write_bytes(b"x")
        (folder / "tmp_idx_dead").write_bytes(b"x")
        assert remove_leftovers(repository.objects.objects_dir) == 2
        assert session.finish().object_count == 1


@pytest.mark.parametrize("error", [28, 5])
def test_a_failing_disk_is_a_clear_error_and_leaves_nothing(repository: GitRepository, error: int) -> None:
    steps: list[str] = []
    storage.set_fault_hook(steps.append)
    put_all(repository, [b"first" * 999])
    before = set(os.listdir(repository.objects.objects_dir + "/pack"))
    for step in dict.fromkeys(steps):

        def fail(reached: str, step: str = step) -> None:
            if reached == step:
                raise OSError(error, os.strerror(error))

        storage.set_fault_hook(fail)
        with pytest.raises(StorageError), repository.objects.pack_session() as session:
            session.put("blob", b"second %b" % step.encode())
            session.finish()
        storage.set_fault_hook(None)
        left = set(os.listdir(repository.objects.objects_dir + "/pack")) - before
        assert not [name for name in left if name.startswith("tmp_")]
        before |= left
    assert_fsck_silent(repository.git_dir)


@given(st.lists(st.integers(1, 10**7), min_size=2, max_size=40).map(sorted))
def test_merging_leaves_a_geometric_row(sizes: list[int]) -> None:
    count = plan_merge(sizes)
    row = [sum(sizes[:count])] + sizes[count:] if count >= 2 else sizes
    assert all(above >= 2 * below for below, above in zip(row, row[1:], strict=False))


def test_a_history_of_2000_commits_stays_in_few_packs(repository: GitRepository, git: Git) -> None:
    tip: tuple[bytes, ...] = ()
    most = 0
    folder = repository.objects.objects_dir
    for number in range(2000):
        tip = (make_commit(repository, *tip, text=str(number)),)
        if len(repository.objects.packs()) >= 24:
            consolidate(folder)
            repository.objects.refresh()
        most = max(most, len(repository.objects.packs()))
    repository.refs.update("refs/heads/main", tip[0], None)
    assert most <= 24
    assert git("rev-list", "--count", "main") == "2000"
    assert_fsck_silent(repository.git_dir)


def test_offsets_beyond_2_gib_go_to_the_large_table(tmp_path: Path) -> None:
    offsets = [12, (1 << 31) - 1, 1 << 31, 5 << 32]
    records = sorted(RECORD.pack(bytes([200 - number]) * 20, number, offset) for number, offset in enumerate(offsets))
    path = tmp_path / "pack-x.idx"
    path.write_bytes(format_index(b"".join(records), bytes(20)))
    index = PackIndex(str(path))
    index.verify()
    assert [index.find(bytes([200 - number]) * 20) for number in range(4)] == offsets


def test_kept_and_deltified_packs_are_left_alone(repository: GitRepository, git: Git) -> None:
    for number in range(6):
        make_commit(repository, text=str(number))
    packs = sorted(Path(repository.objects.objects_dir, "pack").glob("*.pack"))
    packs[0].with_suffix(".keep").write_bytes(b"")
    result = consolidate(repository.objects.objects_dir)
    assert result is not None and packs[0].exists() and not packs[1].exists()
    assert_fsck_silent(repository.git_dir)
