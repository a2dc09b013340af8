"""What real repositories hold is let in: packs of ours and of git's with all its deltas, and only what is new is looked at."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.monitor import NullMonitor
from envgit.quarantine import Quarantine
from envgit.quarantine.checking import Request, check
from envgit.store.object_store import ObjectStore
from envgit.store.repository import create_bare
from tests.lab import Lab
from tests.quarantine.builder import Environment
from tests.quarantine.conftest import Home


def admit_all(source: Path, target: Path, *, indexes: bool = True) -> tuple[int, int]:
    """Take every pack of `source` into the new repository `target`; return (objects, commits)."""
    create_bare(str(target))
    tips = [oid for _, oid in _refs(source)]
    with Quarantine.create(str(target)) as arrived:
        for path in (source / "objects/pack").iterdir():
            if path.suffix == ".pack" or (indexes and path.suffix == ".idx"):
                shutil.copy(path, Path(arrived.git_dir, "objects/pack", path.name))
        checked = arrived.check(tips, NullMonitor())
        arrived.admit()
    for name, oid in _refs(source):
        subprocess.run(["git", "--git-dir", str(target), "update-ref", name, oid.hex()], check=True)
    done = subprocess.run(["git", "--git-dir", str(target), "fsck", "--strict"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return checked.objects, checked.commits


def _refs(git_dir: Path) -> list[tuple[str, bytes]]:
    words = ["git", "--git-dir", str(git_dir), "for-each-ref", "--format=%(refname) %(objectname)"]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    return [(name, bytes.fromhex(oid)) for name, oid in (line.split() for line in lines)]


@pytest.mark.parametrize("repacked", [False, True])
def test_a_lab_with_history(lab: Lab, tmp_path: Path, repacked: bool) -> None:
    for number in range(3):
        lab.sh(
            f"echo {number} >/etc/number; ln -f /etc/number /root/number; seq 3000 >/etc/many{number}; mkfifo /tmp/f{number}"
        )
        lab("commit", "-m", f"change {number}")
    lab("tag", "-m", "words", "v1")
    if repacked:
        subprocess.run(["git", "--git-dir", str(lab.git_dir), "repack", "-adfq", "--depth=50"], check=True)
    _, commits = admit_all(lab.git_dir, tmp_path / "new", indexes=repacked)
    assert commits == 4


def test_big_files_and_two_processes(home: Home, tmp_path: Path) -> None:
    """More than 4 MiB, so that two processes share the work; with and without an index to say where."""
    pick = random.Random(5)
    made = Environment()
    big = made.file(b"big", pick.randbytes(20 << 20), 0o755)
    first = made.commit(made.root(big))
    known = set(made.objects.known)
    second = made.commit(made.root(made.file(b"big", bytes(9 << 20))), first)
    assert home.accept(made.objects.pack(set(made.objects.known) - known), first).commits == 1
    home.store.refs.update("refs/heads/big", first, None)
    assert home.accept(made.objects.pack(known), second).commits == 1
    home.store.refs.update("refs/heads/big", second, first)
    objects, commits = admit_all(home.git_dir, tmp_path / "again")
    assert commits == 3 and objects > 300


def test_an_index_that_leads_into_the_middle_of_an_object(home: Home) -> None:
    """Two processes would meet at the wrong place: one reads everything then."""
    pick = random.Random(6)
    made = Environment()
    tip = made.commit(made.root(*(made.file(b"%d" % n, pick.randbytes(700_000)) for n in range(9))))
    pack = made.objects.pack()
    with home.quarantine(pack) as arrived:
        arrived.check([tip], NullMonitor())
        path = Path(arrived.git_dir, "objects/pack", f"pack-{pack[-20:].hex()}.idx")
        good = path.read_bytes()
        count = len(made.objects.known)
        start = 8 + 1024 + 24 * count
        offsets = [int.from_bytes(good[start + 4 * n : start + 4 * n + 4], "big") + 5 for n in range(count)]
        path.chmod(0o644)
        path.write_bytes(
            good[:start] + b"".join(each.to_bytes(4, "big") for each in offsets) + good[start + 4 * count :]
        )
        arrived.check([tip], NullMonitor())
        assert path.read_bytes() == good


def test_only_what_is_new_is_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file more in a tree of a thousand directories: a handful of our objects is looked at."""
    made = home.environment
    folders = [made.folder(b"d%d" % n, made.file(b"f", b"%d\n" % n)) for n in range(1000)]
    big = made.commit(made.root(*folders), home.base)
    home.accept(made.objects.pack(), big)
    home.store.refs.update("refs/heads/main", big, home.base)
    known = set(made.objects.known)
    tip = made.commit(made.root(*folders, made.file(b"new", b"new\n")), big)
    reads: list[bytes] = []
    real: Callable[[ObjectStore, bytes], tuple[str, bytes]] = ObjectStore.read

    def counted(self: ObjectStore, oid: bytes) -> tuple[str, bytes]:
        reads.append(oid)
        return real(self, oid)

    with home.quarantine(made.objects.pack(known)) as arrived:
        (pack,) = arrived._list_packs()
        monkeypatch.setattr(ObjectStore, "read", counted)
        verdict = check(Request(str(home.git_dir), (pack,), (tip,), (big,), (), ()), lambda _: None)
    assert verdict.commits == 1 and len(reads) < 40, len(reads)


def test_what_is_here_but_no_ref_reaches_is_looked_at(home: Home) -> None:
    """A directory of ours that lost a file long ago proves nothing."""
    made = home.environment
    torn = made.folder(b"torn", made.file(b"gone", b"gone\n"))
    gone = next(oid for oid, item in made.objects.known.items() if item == ("blob", b"gone\n"))
    with home.store.objects.pack_session() as session:
        for oid, (type, data) in made.objects.known.items():
            if oid != gone:
                session.put(type, data)
        session.finish()
    known = set(made.objects.known)
    tip = made.commit(made.root(torn), home.base)
    assert f"{gone.hex()} is missing" in home.refuse(made.objects.pack(known), tip)


def test_progress_is_told(home: Home) -> None:
    class Told(NullMonitor):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[tuple[str, int | None]] = []
            self.done = 0

        def start(self, step: str, total: int | None = None, unit: str = "") -> None:
            self.steps.append((step, total))

        def advance(self, amount: int = 1) -> None:
            self.done += amount

    made = Environment()
    tip = made.commit(made.root(tool=b"told\n"))
    count = len(made.objects.known)
    told = Told()
    with home.quarantine(made.objects.pack()) as arrived:
        arrived.check([tip], told)
    assert told.steps == [("checking objects", count), ("checking environments", 1)] and told.done == count + 1


def test_an_interrupt_ends_the_child(home: Home) -> None:
    class Interrupted(NullMonitor):
        def advance(self, amount: int = 1) -> None:
            raise KeyboardInterrupt

    made = Environment()
    tip = made.commit(made.root(tool=b"x\n"))
    with pytest.raises(KeyboardInterrupt), home.quarantine(made.objects.pack()) as arrived:
        arrived.check([tip], Interrupted())
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert os.listdir(home.git_dir / "incoming") == []
