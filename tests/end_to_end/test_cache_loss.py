"""The cache may be deleted at any time: it costs time, never data."""

from __future__ import annotations

import os
import time

import pytest

from tests.lab import Lab

pytestmark = pytest.mark.any_ids


def test_layers_deleted_between_any_two_commands(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab.forget_layers()
    assert lab.changes() == ["A srv/one"]
    lab.forget_layers()
    assert lab.sh("cat /srv/one").out == "1\n"
    lab.forget_layers()
    assert "+1\n" in lab("diff").out
    lab.forget_layers()
    lab("commit", "-m", "one")
    lab.forget_layers()
    assert lab.changes() == []
    lab("checkout", "-b", "experiment")
    lab.forget_layers()
    lab.sh("rm /srv/one; echo 2 > /srv/two")
    lab.forget_layers()
    lab("commit", "-m", "two")
    lab.forget_layers()
    lab("checkout", "main")
    lab.forget_layers()
    assert lab.sh("ls /srv").out == "lines\none\n"
    lab.sh("echo 3 > /srv/three")
    lab.forget_layers()
    lab("restore", "srv/three")
    lab.forget_layers()
    assert lab.changes() == []
    lab("reset", "--hard", "HEAD~1")
    lab.forget_layers()
    lab("undo")
    lab.forget_layers()
    assert lab.look("experiment", "ls /srv") == "lines\ntwo\n"
    lab.forget_layers()
    assert lab.look("main~1", "ls /srv") == "lines\n"
    lab.forget_layers()
    assert lab("fsck").status == 0
    lab.forget_layers()
    lab("gc")
    lab.forget_layers()
    lab("undo")
    lab("checkout", "experiment")
    lab.forget_layers()
    lab("commit", "--amend", "-m", "two, amended")
    assert lab.look("HEAD", "ls /srv") == "lines\ntwo\n"


def test_the_whole_cache_folder_deleted(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    (lab.git_dir / "layers").rename(lab.path / "layers-away")
    assert lab.changes() == ["A srv/one"]
    assert lab.sh("cat /srv/one").out == "1\n"
    lab("commit", "-m", "one")
    assert lab("fsck").status == 0


def test_a_part_of_the_cache_deleted(lab: Lab) -> None:
    for number in range(4):
        lab.sh(f"echo {number} > /srv/{number}")
        lab("commit", "-m", str(number))
    for path in sorted((lab.git_dir / "layers").iterdir())[::2]:
        if path.is_file():
            path.unlink()
    assert lab.look("main", "ls /srv") == "0\n1\n2\n3\nlines\n"
    for path in sorted((lab.git_dir / "layers").rglob("*"))[::2]:
        if (
            path.is_file()
            and not path.is_symlink()
            and "layers" in path.parts
            and path.suffix in (".plan", ".json", "")
        ):
            continue
    assert lab.look("main~2", "ls /srv") == "0\n1\nlines\n"


def layers(lab: Lab) -> set[str]:
    return {path.name for path in (lab.git_dir / "layers").glob("layer-*")}


def reboot(lab: Lab) -> None:
    """Let the cache believe that it was last used before another boot."""
    ids = lab.git_dir / "layers/ids"
    head, _, _ = ids.read_text().partition("boot ")
    ids.write_text(head + "boot 00000000-0000-0000-0000-000000000000\n")


def test_layers_that_were_made_durable_survive_a_reboot(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    (base,) = layers(lab)
    os.utime(lab.git_dir / "layers" / base, (1, 1))
    lab("commit", "-m", "one")
    deadline = time.monotonic() + 60
    while not (lab.git_dir / "layers" / base / "synced").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    made = layers(lab)
    assert len(made) == 2
    reboot(lab)
    assert lab.sh("cat /srv/one").out == "1\n"
    assert base in layers(lab)
    for name in layers(lab):
        (lab.git_dir / "layers" / name / "synced").unlink(missing_ok=True)
    reboot(lab)
    assert lab.sh("cat /srv/one").out == "1\n"
    assert not layers(lab) & made


def test_young_layers_wait(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    time.sleep(0.3)
    assert list((lab.git_dir / "layers").glob("*/synced")) == []
