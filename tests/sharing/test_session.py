from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.errors import CorruptObject
from envgit.sharing import packs
from envgit.sharing.lookup import Lookup
from envgit.sharing.packs import can_link, offer_packs
from envgit.sharing.session import SharingSession, open_session
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import PackSession
from tests.proof.child import wait_status
from tests.sharing.conftest import User, first_and_last

BLOBS = [random.Random(5).randbytes(40_000 + number) for number in range(60)]
OTHERS = [random.Random(6).randbytes(40_000 + number) for number in range(60)]


def put(user: User, objects: ObjectStore, blobs: list[bytes]) -> list[bytes]:
    with open_session(objects, user.environ) as writer:
        oids = [writer.put("blob", blob) for blob in blobs]
        writer.finish()
    fresh = ObjectStore(objects.git_dir)
    assert [fresh.read(oid) for oid in oids] == [("blob", blob) for blob in blobs]
    return oids


def files(objects: ObjectStore, extension: str = ".pack") -> list[str]:
    return sorted(name for name in os.listdir(objects.objects_dir + "/pack") if name.endswith(extension))


def test_the_second_repository_links_what_the_first_wrote(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    put(user, first, BLOBS)
    put(user, second, [*BLOBS, b"my own"])
    shared = files(first)[0]
    assert set(files(second)) > {shared} and len(files(second)) == 2
    assert user.packs.joinpath(shared).stat().st_nlink == 3
    assert files(first, ".keep") == files(second, ".keep") == [shared.replace(".pack", ".keep")]


def test_what_is_here_already_is_neither_written_nor_linked(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    put(user, second, BLOBS)
    put(user, first, [*BLOBS, *OTHERS])
    before = files(second)
    put(user, second, BLOBS)
    assert files(second) == before


def test_of_a_pack_that_is_mostly_something_else_only_the_objects_are_taken(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    oids = put(user, first, BLOBS + OTHERS)
    put(user, second, BLOBS[:20])
    assert files(second) != files(first) and len(files(second)) == 1
    objects = ObjectStore(second.git_dir)
    assert sorted(oid for pack in objects.packs() for _, oid, _ in pack.index.entries()) == sorted(oids[:20])


def test_half_of_a_pack_is_enough(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    put(user, first, BLOBS[:50] + OTHERS[:50])
    put(user, second, [b"new", *BLOBS[:50], *OTHERS[:10]])
    assert len(files(second)) == 2 and files(first)[0] in files(second)


def test_small_packs_are_not_shared(user: User) -> None:
    put(user, user.store("first"), BLOBS[:2])
    assert user.shared_names() == []
    assert files(ObjectStore(str(user.folder / "first")), ".keep") == []


def test_commits_of_everyday_are_plain_sessions(user: User) -> None:
    assert type(user.store("first").pack_session()) is PackSession


@pytest.mark.parametrize("why", ["off", "no home", "open to others", "another filesystem"])
def test_where_nothing_can_be_shared_everything_works(user: User, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    match why:
        case "off":
            (user.home / ".gitconfig").write_text("[envgit]\n\tcache = off\n")
        case "no home":
            del user.environ["HOME"]
        case "open to others":
            user.home.chmod(0o777)
        case _:
            user.environ["XDG_CACHE_HOME"] = "/dev/shm"
            monkeypatch.setattr(packs, "open_place", lambda *_: "/dev/shm/none")
    objects = user.store("first")
    assert type(open_session(objects, user.environ)) is PackSession
    put(user, objects, BLOBS)
    assert files(objects, ".keep") == []


def test_on_another_filesystem_nothing_can_be_linked(tmp_path: Path) -> None:
    assert can_link(str(tmp_path), str(tmp_path))
    assert not can_link("/dev/shm", str(tmp_path))
    assert not can_link(str(tmp_path), "/proc")
    assert list(tmp_path.iterdir()) == []


def test_the_shared_folder_deleted_in_the_middle_costs_nothing(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    put(user, first, BLOBS)
    with open_session(second, user.environ) as writer:
        oids = [writer.put("blob", blob) for blob in BLOBS[:30]]
        shutil.rmtree(user.shared)
        oids += [writer.put("blob", blob) for blob in BLOBS[30:]]
        writer.finish()
    fresh = ObjectStore(second.git_dir)
    assert [fresh.read(oid)[1] for oid in oids] == BLOBS
    put(user, user.store("third"), BLOBS)


def test_a_damaged_shared_pack_is_an_error_when_it_is_read_and_names_the_way_out(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    put(user, first, BLOBS + OTHERS)
    shared = next(user.packs.glob("*.pack"))
    data = bytearray(shared.read_bytes())
    data[200_000:200_010] = bytes(10)
    shared.unlink()
    shared.write_bytes(data)
    with open_session(second, user.environ) as writer:
        for blob in BLOBS[:20]:
            writer.put("blob", blob)
        with pytest.raises(CorruptObject, match="shared pack is damaged") as caught:
            writer.finish()
    assert caught.value.hint is not None and str(user.shared) in caught.value.hint
    assert files(second) == []
    shutil.rmtree(user.shared)
    put(user, second, BLOBS[:20])


def test_a_damaged_shared_index_is_passed_over(user: User) -> None:
    put(user, user.store("first"), BLOBS)
    index = next(user.packs.glob("*.idx"))
    index.unlink()
    index.write_bytes(b"\377tOc\0\0\0\2" + bytes(3000))
    put(user, user.store("second"), BLOBS)


def test_aborted_it_leaves_nothing(user: User) -> None:
    put(user, user.store("first"), BLOBS)
    second = user.store("second")
    with open_session(second, user.environ) as writer:
        writer.put("blob", BLOBS[0])
        writer.put("blob", OTHERS[0])
    assert os.listdir(second.objects_dir + "/pack") == []


def steps_of(user: User, objects: ObjectStore) -> list[str]:
    reached: list[str] = []
    storage.set_fault_hook(reached.append)
    try:
        put(user, objects, BLOBS[:30] + OTHERS[:30])
    finally:
        storage.set_fault_hook(None)
    return reached


@pytest.fixture
def half(user: User) -> Iterator[User]:
    """A user whose first repository shares half of what the second will want."""
    put(user, user.store("first"), BLOBS[:30])
    yield user


def test_killed_at_any_step_the_next_one_does_it(half: User) -> None:
    steps = steps_of(half, half.store("whole"))
    assert {"link-pack", "link-index", "pack-rename", "share-keep"} <= set(steps)
    for number in first_and_last(steps):
        step = steps[number]
        shutil.rmtree(half.shared)
        put(half, half.store(f"first{number}"), BLOBS[:30])
        objects = half.store(f"second{number}")
        pid = os.fork()
        if pid == 0:
            left = [number]

            def die(step: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            storage.set_fault_hook(die)
            try:
                put(half, objects, BLOBS[:30] + OTHERS[:30])
            finally:
                os._exit(1)
        assert wait_status(pid) == 128 + signal.SIGKILL, step
        for pack in ObjectStore(objects.git_dir).packs():  # what can be seen is whole
            pack.open()
        put(half, objects, BLOBS[:30] + OTHERS[:30])
        put(half, half.store(f"third{number}"), BLOBS[:30] + OTHERS[:30])
        for name in ("first", "second", "third"):
            shutil.rmtree(half.folder / f"{name}{number}")


@pytest.mark.parametrize("number", [28, 5])
def test_a_shared_folder_on_a_failing_disk_does_not_stop_an_import(half: User, number: int) -> None:
    steps = steps_of(half, half.store("whole"))
    chosen = sorted({step for step in steps if step.startswith("share-")})
    assert chosen
    for step in chosen:
        shutil.rmtree(half.shared)
        put(half, half.store("first-" + step), BLOBS[:30])
        objects = half.store("with-" + step)
        hit: list[str] = []

        def fail(reached: str, step: str = step, hit: list[str] = hit) -> None:
            if reached == step:
                hit.append(reached)
                raise OSError(number, os.strerror(number))

        storage.set_fault_hook(fail)
        try:
            put(half, objects, BLOBS[:30] + OTHERS[:30])
        finally:
            storage.set_fault_hook(None)
        assert hit, step


def test_two_at_once_share(user: User) -> None:
    stores = [user.store("one"), user.store("two")]
    writers = [open_session(objects, user.environ) for objects in stores]
    for blob in BLOBS:
        for writer in writers:
            writer.put("blob", blob)
    for writer in writers:
        assert isinstance(writer, SharingSession)
        writer.finish()
    assert files(stores[0]) == files(stores[1])  # the same content has the same name
    put(user, user.store("three"), BLOBS)


def test_fetched_packs_are_offered(user: User) -> None:
    first = user.store("first")
    with first.pack_session() as writer:
        for blob in BLOBS:
            writer.put("blob", blob)
        name = writer.finish().name
    assert offer_packs(first.git_dir, user.environ, ()) == 0
    assert offer_packs(first.git_dir, user.environ, (name, "pack-" + "0" * 40)) == 1
    assert user.shared_names() == [name]
    put(user, user.store("second"), BLOBS)
    assert user.packs.joinpath(name + ".pack").stat().st_nlink == 3


def test_many_packs_of_others_are_asked_rarely(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hundred packs that have nothing cost some hundred questions, not one for each object."""
    asked = 0

    class Index:
        def find(self, oid: bytes) -> int | None:
            nonlocal asked
            asked += 1
            return None

    class Nothing:
        index = Index()
        path = "pack-x.pack"

    class Store:
        def packs(self) -> list[Nothing]:
            return [Nothing()] * 100

    lookup = Lookup(Store())  # type: ignore[arg-type]
    for number in range(25_000):
        assert not lookup.find(number.to_bytes(20, "big"))
    assert asked < 100 * (25_000 // 256 + 20)
    assert list(lookup.uses()) == []


def test_a_pack_with_the_second_half_is_found(user: User) -> None:
    first, second = user.store("first"), user.store("second")
    small = [b"%d" % number for number in range(3000)]
    put(user, first, BLOBS)
    put(user, second, [*small, *BLOBS])
    assert files(first)[0] in files(second)
