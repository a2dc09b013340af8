"""Clones that find their history in the shared packs of the same user."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.sharing import known
from envgit.sharing.packs import offer_packs
from envgit.sharing.reach import find_reachable
from envgit.store.object_store import ObjectStore
from envgit.store.objects import Commit, Signature, encode_commit, encode_tree
from tests.sharing.conftest import User


def git(folder: Path, *words: str, stdin: bytes = b"") -> str:
    environ = {**os.environ, "GIT_COMMITTER_DATE": "1700000000 +0000", "GIT_AUTHOR_DATE": "1700000000 +0000"}
    done = subprocess.run(
        ["git", "--git-dir", str(folder), *words], input=stdin, capture_output=True, env=environ, check=True
    )
    return done.stdout.decode().strip()


def commit(folder: Path, files: dict[str, bytes], parents: tuple[str, ...] = ()) -> str:
    """Write a commit in a pack of its own."""
    with ObjectStore(str(folder)).pack_session() as session:
        tree = encode_tree([(0o100644, name.encode(), session.put("blob", content)) for name, content in files.items()])
        top = session.put("tree", encode_tree([(0o040000, b"rootfs", session.put("tree", tree))]))
        who = Signature(b"Ann", b"ann@example.org", 1_700_000_000)
        made = Commit(tree=top, parents=tuple(oids(*parents)), author=who, committer=who, message=b"x\n")
        oid = session.put("commit", encode_commit(made))
        session.finish()
    return oid.hex()


def take_known(objects: ObjectStore, environ: dict[str, str], wanted: list[bytes]) -> frozenset[bytes]:
    """Take what is known into a repository without a quarantine."""
    folder = objects.objects_dir + "/pack"
    before = set(os.listdir(folder))
    taken = known.take_known(objects, environ, wanted, folder)
    for name in set(os.listdir(folder)) - before:
        stem, _, suffix = name.rpartition(".")
        assert stem in taken.packs and suffix in ("pack", "idx")
        subprocess.run(["git", "verify-pack", f"{folder}/{stem}.idx"], check=True, capture_output=True)
    objects.refresh()
    return taken.tips


@pytest.fixture
def fetched(user: User) -> tuple[Path, list[str]]:
    """A repository with two commits and a tag that came as one pack of 1.2 MB, which is shared."""
    folder = Path(user.store("fetched").git_dir)
    pick = random.Random(3)
    files = {f"f{number}": pick.randbytes(40_000) for number in range(30)}
    first = commit(folder, files)
    second = commit(folder, {**files, "new": b"new"}, (first,))
    git(folder, "update-ref", "refs/heads/main", second)
    git(folder, "tag", "-m", "tag", "v1", first)
    tag = git(folder, "rev-parse", "v1")
    git(folder, "repack", "-a", "-d", "-q")
    name = next((folder / "objects/pack").glob("*.pack")).stem
    assert offer_packs(str(folder), user.environ, (name,)) == 1
    return folder, [second, tag, first]


def oids(*names: str) -> list[bytes]:
    return [bytes.fromhex(name) for name in names]


def test_known_history_is_linked_and_whole(user: User, fetched: tuple[Path, list[str]]) -> None:
    folder, names = fetched
    objects = user.store("clone")
    unknown = bytes(20)
    assert take_known(objects, user.environ, [*oids(*names), unknown]) == frozenset(oids(*names))
    clone = Path(objects.git_dir)
    assert next((clone / "objects/pack").glob("*.pack")).stat().st_nlink == 3
    git(clone, "update-ref", "refs/heads/main", names[0])
    git(clone, "update-ref", "refs/tags/v1", names[1])
    git(clone, "fsck", "--full", "--strict")
    assert git(clone, "rev-list", "--objects", "--all", "--count") == git(
        folder, "rev-list", "--objects", "--all", "--count"
    )


def test_what_is_not_known_is_not_linked(user: User, fetched: tuple[Path, list[str]]) -> None:
    objects = user.store("clone")
    assert take_known(objects, user.environ, [bytes(20), b"\1" * 20]) == frozenset()
    assert os.listdir(objects.objects_dir + "/pack") == []


def test_history_that_is_not_whole_is_fetched(user: User, fetched: tuple[Path, list[str]]) -> None:
    """A pack that was fetched into a repository which had the rest."""
    folder, names = fetched
    files = {f"g{number}": random.Random(number).randbytes(40_000) for number in range(30)}
    third = commit(folder, files, (names[0],))
    git(folder, "update-ref", "refs/heads/main", third)
    listed = git(folder, "rev-list", "--objects", third, f"^{names[0]}")
    stem = folder / "objects/pack/pack"
    name = "pack-" + git(folder, "pack-objects", str(stem), stdin="".join(
        line.split()[0] + "\n" for line in listed.splitlines()).encode())  # fmt: skip
    assert offer_packs(str(folder), user.environ, (name,)) == 1
    for path in user.packs.iterdir():
        if not path.name.startswith(name):
            path.unlink()
    objects = user.store("clone")
    assert take_known(objects, user.environ, oids(third)) == frozenset()
    assert os.listdir(objects.objects_dir + "/pack") == []


def test_in_a_repository_that_has_the_rest_it_is_enough(user: User, fetched: tuple[Path, list[str]]) -> None:
    folder, names = fetched
    before = {path.stem for path in (folder / "objects/pack").glob("*.pack")}
    third = commit(folder, {f"g{number}": random.Random(number).randbytes(40_000) for number in range(30)}, (names[0],))
    objects = user.store("clone")
    assert take_known(objects, user.environ, oids(names[0])) == frozenset(oids(names[0]))
    (name,) = {path.stem for path in (folder / "objects/pack").glob("*.pack")} - before
    assert offer_packs(str(folder), user.environ, (name,)) == 1
    assert take_known(objects, user.environ, oids(third)) == frozenset(oids(third))


def test_of_a_pack_about_something_else_nothing_is_taken(user: User, fetched: tuple[Path, list[str]]) -> None:
    """Nobody gets the bulk of another project with a small commit of it."""
    folder, _ = fetched
    small = commit(folder, {"small": b"small"})
    git(folder, "update-ref", "refs/heads/small", small)
    for path in user.packs.iterdir():
        path.unlink()
    for path in (folder / "objects/pack").glob("*.keep"):
        path.unlink()
    git(folder, "repack", "-a", "-d", "-q")
    name = next((folder / "objects/pack").glob("*.pack")).stem
    assert offer_packs(str(folder), user.environ, (name,)) == 1
    objects = user.store("clone")
    assert take_known(objects, user.environ, oids(small)) == frozenset()
    assert os.listdir(objects.objects_dir + "/pack") == []


@pytest.mark.parametrize("how", ["damaged pack", "damaged index", "no folder", "off", "no pack"])
def test_whatever_is_wrong_it_is_fetched(user: User, fetched: tuple[Path, list[str]], how: str) -> None:
    _, names = fetched
    pack, index = (next(user.packs.glob(f"*.{extension}")) for extension in ("pack", "idx"))
    match how:
        case "damaged pack":
            data = bytearray(pack.read_bytes())
            data[12:-20] = bytes(len(data) - 32)
            pack.unlink()
            pack.write_bytes(data)
        case "damaged index":
            index.unlink()
            index.write_bytes(b"\377tOc\0\0\0\2" + bytes(5000))
        case "no folder":
            shutil.rmtree(user.shared)
        case "no pack":
            pack.unlink()
        case _:
            (user.home / ".gitconfig").write_text("[envgit]\n\tcache = off\n")
    objects = user.store("clone")
    assert take_known(objects, user.environ, oids(*names)) == frozenset()


def test_reachable_is_what_git_says(user: User, fetched: tuple[Path, list[str]]) -> None:
    folder, names = fetched
    listed = {line.split()[0] for line in git(folder, "rev-list", "--objects", "--all").splitlines()}
    assert {oid.hex() for oid in find_reachable(ObjectStore(str(folder)), oids(*names))} == listed
    cut = find_reachable(ObjectStore(str(folder)), oids(names[0]), cut=oids(names[0]))
    assert bytes.fromhex(names[2]) not in cut
    with pytest.raises(EnvgitError):
        find_reachable(ObjectStore(str(folder)), [bytes(20)])
