"""What a push would send, measured without making it; and what hosts refuse."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from envgit.transfer.sizing import PushLimits, PushTooLarge, measure_push
from envgit.transfer.splitting import plan_pushes
from envgit.transfer.transport import RefUpdate
from tests.transfer.made_history import MadeHistory, git


@pytest.fixture
def made(tmp_path: Path) -> MadeHistory:
    return MadeHistory(tmp_path / "source")


def test_sizes_are_those_of_git(made: MadeHistory) -> None:
    first = made.commit({"a": random.Random(1).randbytes(100_000), "b/c": b"x" * 50_000})
    second = made.commit({"a": random.Random(1).randbytes(100_000), "b/c": b"y" * 60_000}, [first])
    words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objectsize:disk) %(objectsize)")
    known = {line.split()[0]: line.split()[1:] for line in git(*words, cwd=made.git_dir).splitlines()}
    whole = measure_push(made.objects, [second], [])
    assert whole.objects == len(known)
    assert whole.bytes == sum(int(disk) for disk, _ in known.values())
    assert [(each.path, each.bytes) for each in whole.largest[:3]] == [
        (b"a", 100_000),
        (b"b/c", 60_000),
        (b"b/c", 50_000),
    ]
    step = measure_push(made.objects, [second], [first])
    assert step.objects == 4 and step.bytes < 1000 and step.largest[0].path == b"b/c"


def test_deltas_and_loose_objects_count_with_their_whole_content(made: MadeHistory) -> None:
    text = b"".join(b"%d\n" % random.Random(7).randrange(10**9) for _ in range(3000))
    first = made.commit({"a": text})
    second = made.commit({"a": text + b"more\n"}, [first])
    git("repack", "-a", "-d", "-f", "-q", cwd=made.git_dir)
    made.objects.refresh()
    size = measure_push(made.objects, [second], [])
    assert {each.bytes for each in size.largest[:2]} == {len(text), len(text) + 5}
    git("-c", "core.looseCompression=1", "hash-object", "-w", "--stdin-paths", cwd=made.git_dir)
    (pack,) = Path(made.git_dir, "objects/pack").glob("*.pack")
    content = pack.read_bytes()
    for path in Path(made.git_dir, "objects/pack").iterdir():
        path.unlink()
    import subprocess

    subprocess.run(["git", "unpack-objects", "-q"], cwd=made.git_dir, input=content, check=True)
    made.objects.refresh()
    assert {each.bytes for each in measure_push(made.objects, [second], []).largest[:2]} == {len(text), len(text) + 5}


def test_nothing_new_is_nothing(made: MadeHistory) -> None:
    tip = made.commit({"a": b"1"})
    assert measure_push(made.objects, [tip], [tip]) == (0, 0, ())


def test_an_object_that_no_host_takes_is_named(made: MadeHistory) -> None:
    tip = made.commit({"rootfs/var/huge": b"\0" * (3 << 20)})
    updates = [RefUpdate("refs/heads/main", None, tip)]
    assert measure_push(made.objects, [tip], []).bytes < 100_000  # what it is when it is inflated counts
    for limit in (4 << 20, 0):
        assert len(plan_pushes(made.objects, updates, {}, PushLimits(limit, 0)).steps) == 1
    with pytest.raises(PushTooLarge, match=r"rootfs/var/huge is one object of 3 MiB; hosts refuse more than 1 MiB"):
        plan_pushes(made.objects, updates, {}, PushLimits(1 << 20, 0))
    assert len(plan_pushes(made.objects, updates, {"refs/heads/main": tip}, PushLimits(1 << 20, 0)).steps) == 1
