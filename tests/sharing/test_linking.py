from __future__ import annotations

import errno
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.errors import CorruptObject, EnvgitError, StorageError
from envgit.sharing import linking
from envgit.sharing.linking import KEEP_TEXT, NotShareable, link_pack
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import PackSession
from tests.proof.child import wait_status


def write_pack(objects: Path, *blobs: bytes) -> Path:
    """Write a pack into a new folder and return its path without extension."""
    (objects / "pack").mkdir(parents=True, exist_ok=True)
    session = PackSession(str(objects), lambda oid: False)
    for blob in blobs:
        session.put("blob", blob)
    return objects / "pack" / session.finish().name


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "a", b"one", b"two", bytes(5000))


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "b/objects/pack"
    folder.mkdir(parents=True)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_linked_pack_is_the_same_inode_and_is_read(pack: Path, there: Path) -> None:
    done = link_pack(str(pack), str(there))
    assert done == (pack.name, "linked", pack.with_suffix(".pack").stat().st_size)
    for extension in (".pack", ".idx"):
        assert there.joinpath(pack.name + extension).samefile(pack.with_suffix(extension))
    objects = ObjectStore(str(there.parent.parent))
    assert [objects.read(oid)[1] for _, oid, _ in objects.packs()[0].index.entries()].count(b"one") == 1


def test_again_is_fine_and_completes_what_is_missing(pack: Path, there: Path) -> None:
    link_pack(str(pack), str(there))
    assert link_pack(f"{pack}.pack", str(there)).how == "present"
    there.joinpath(pack.name + ".idx").unlink()
    assert link_pack(str(pack), str(there), keep=True).how == "present"
    assert names(there) == [pack.name + ".idx", pack.name + ".keep", pack.name + ".pack"]
    assert there.joinpath(pack.name + ".keep").read_bytes() == KEEP_TEXT


def test_a_keep_of_somebody_else_stays(pack: Path, there: Path) -> None:
    there.joinpath(pack.name + ".keep").write_bytes(b"mine")
    link_pack(str(pack), str(there), keep=True)
    assert there.joinpath(pack.name + ".keep").read_bytes() == b"mine"


def test_without_index_only_the_pack(pack: Path, there: Path) -> None:
    pack.with_suffix(".idx").unlink()
    with pytest.raises(NotShareable):
        link_pack(str(pack), str(there))
    assert names(there) == []
    assert link_pack(str(pack), str(there), index=False).how == "linked"
    assert names(there) == [pack.name + ".pack"]


def test_the_name_comes_from_the_content(pack: Path, there: Path) -> None:
    for extension in (".pack", ".idx"):
        pack.with_suffix(extension).rename(pack.parent / ("pack-odd" + extension))
    assert link_pack(str(pack.parent / "pack-odd"), str(there)).name == pack.name


def test_what_a_damaged_disk_left_is_replaced(pack: Path, there: Path) -> None:
    there.joinpath(pack.name + ".pack").write_bytes(b"PACK half")
    assert link_pack(str(pack), str(there)).how == "linked"


def refused(pack: Path, there: Path, error: type[EnvgitError], says: str) -> None:
    before = {path.name: path.lstat() for path in pack.parent.iterdir()}
    with pytest.raises(error, match=says):
        link_pack(str(pack), str(there), keep=True)
    assert names(there) == []
    assert {path.name: path.lstat() for path in pack.parent.iterdir()} == before


@pytest.mark.parametrize("extension", [".pack", ".idx"])
@pytest.mark.parametrize("mode", [0o464, 0o446, 0o666, 0o622])
def test_what_others_may_write_is_refused(pack: Path, there: Path, extension: str, mode: int) -> None:
    pack.with_suffix(extension).chmod(mode)
    refused(pack, there, NotShareable, "others may write it")


@pytest.mark.root_only
@pytest.mark.parametrize("extension", [".pack", ".idx"])
def test_what_belongs_to_others_is_refused(pack: Path, there: Path, extension: str) -> None:
    os.chown(pack.with_suffix(extension), 12345, 0)
    refused(pack, there, NotShareable, "it belongs to user 12345")


@pytest.mark.user_only
def test_what_belongs_to_root_is_refused_for_a_user(there: Path) -> None:
    with pytest.raises(NotShareable, match="belongs to user 0"):
        linking.open_own("/etc/passwd")


@pytest.mark.parametrize("extension", [".pack", ".idx"])
@pytest.mark.parametrize("kind", ["symlink", "fifo", "folder", "missing", "socket"])
def test_what_is_no_file_is_refused(pack: Path, there: Path, extension: str, kind: str) -> None:
    path = pack.with_suffix(extension)
    path.rename(pack.parent / "real")
    match kind:
        case "symlink":
            path.symlink_to("real")
        case "fifo":
            os.mkfifo(path, 0o600)
        case "folder":
            path.mkdir(0o700)
        case "socket":
            os.mknod(path, 0o140600)
    refused(pack, there, NotShareable, "cannot share")


@pytest.mark.parametrize(
    "content", [b"", b"PACK", b"PACK\0\0\0\2", b"PACK\0\0\0\7" + bytes(40), b"KCAP\0\0\0\2" + bytes(40)]
)
def test_what_is_no_pack_is_refused(pack: Path, there: Path, content: bytes) -> None:
    path = pack.with_suffix(".pack")
    path.unlink()
    path.write_bytes(content)
    refused(pack, there, CorruptObject, "is not a pack")


def test_an_index_of_another_pack_is_refused(pack: Path, there: Path, tmp_path: Path) -> None:
    other = write_pack(tmp_path / "c", b"three")
    os.replace(other.with_suffix(".idx"), pack.with_suffix(".idx"))
    refused(pack, there, CorruptObject, "does not belong to its index")


@pytest.mark.parametrize("content", [b"", b"\377tOc", bytes(2000)])
def test_a_damaged_index_is_refused(pack: Path, there: Path, content: bytes) -> None:
    pack.with_suffix(".idx").unlink()
    pack.with_suffix(".idx").write_bytes(content)
    refused(pack, there, CorruptObject, "index")


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another filesystem."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_on_another_filesystem_it_is_copied_or_nothing(pack: Path, elsewhere: Path) -> None:
    with pytest.raises(NotShareable, match="another filesystem"):
        link_pack(str(pack), str(elsewhere), copy=False)
    assert names(elsewhere) == []
    assert link_pack(str(pack), str(elsewhere)).how == "copied"
    for extension in (".pack", ".idx"):
        copy = elsewhere / (pack.name + extension)
        assert copy.read_bytes() == pack.with_suffix(extension).read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o444
    assert len(names(elsewhere)) == 2


@pytest.mark.parametrize("number", [errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.ENOENT])
def test_without_links_it_is_copied(pack: Path, there: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    assert link_pack(str(pack), str(there)).how in ("copied", "cloned")
    assert there.joinpath(pack.name + ".pack").read_bytes() == pack.with_suffix(".pack").read_bytes()


def steps_of(pack: Path, there: Path) -> list[str]:
    reached: list[str] = []
    storage.set_fault_hook(reached.append)
    try:
        link_pack(str(pack), str(there), keep=True)
    finally:
        storage.set_fault_hook(None)
    return reached


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_killed_at_any_step_the_next_one_completes_it(pack: Path, tmp_path: Path, elsewhere: Path, where: str) -> None:
    above = tmp_path if where == "here" else elsewhere
    first = above / "first"
    first.mkdir()
    count = len(steps_of(pack, first))
    assert count >= 6
    for number in range(count):
        folder = above / f"killed{number}/objects/pack"
        folder.mkdir(parents=True)
        pid = os.fork()
        if pid == 0:
            left = [number]

            def die(step: str, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            storage.set_fault_hook(die)
            try:
                link_pack(str(pack), str(folder), keep=True)
            finally:
                os._exit(1)
        assert wait_status(pid) == 128 + signal.SIGKILL
        visible = ObjectStore(str(folder.parent.parent)).packs()
        assert [each.index.count for each in visible] in ([], [3])
        for each in visible:  # what can be seen is whole
            each.open()
        link_pack(str(pack), str(folder), keep=True)
        assert {name for name in names(folder) if not name.startswith("tmp_")} == set(names(first))


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_is_an_error_and_leaves_no_visible_pack(
    pack: Path, tmp_path: Path, elsewhere: Path, where: str, number: int
) -> None:
    above = tmp_path if where == "here" else elsewhere
    first = above / "first"
    first.mkdir()
    steps = steps_of(pack, first)
    for place, name in enumerate(steps):
        folder = above / f"failed{place}/objects/pack"
        folder.mkdir(parents=True)
        left = [place]

        def fail(step: str, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(number, os.strerror(number))

        storage.set_fault_hook(fail)
        try:
            with pytest.raises(StorageError):
                link_pack(str(pack), str(folder), keep=True)
        finally:
            storage.set_fault_hook(None)
        assert [path for path in names(folder) if path.startswith("tmp_")] == []
        whole = [path for path in names(folder) if path.endswith(".idx")]
        assert whole == [] or name in ("link-folder", "link-index-copy-folder")
