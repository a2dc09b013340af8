"""Caches of builds that are damaged, or are no files at all: they are made again, and nothing hangs or stops."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.building.files.kept_file import read_kept
from envgit.building.files.stat_cache import StatCache
from envgit.building.source_pins import SourcePins
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from tests.lab import Lab, remove

OBSTACLES = ("fifo", "folder", "full", "link", "dangling", "unreadable", "noise")


def obstruct(path: Path, kind: str) -> None:
    """Put something else in the place of a file."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind in ("folder", "full"):
        path.mkdir()
        if kind == "full":
            (path / "file").touch()
    elif kind in ("link", "dangling"):
        path.symlink_to("/dev/zero" if kind == "link" else "nowhere")
    else:
        path.write_bytes(b"\xff noise" * 100)
        path.chmod(0 if kind == "unreadable" else 0o600)


@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_cache_that_is_no_file_counts_as_absent(lab: Lab, tmp_path: Path, kind: str) -> None:
    pins, inputs = lab.git_dir / "build/pins", lab.git_dir / "build/inputs"
    for path in (pins, inputs):
        obstruct(path, kind)
    if kind not in ("noise", "unreadable"):
        with pytest.raises(OSError):
            read_kept(str(pins))
    source_pins = SourcePins(Repository.open_(str(lab.path), dict(os.environ), NullMonitor()))
    assert source_pins.pin("x", lambda: b"1", default=None, pull=False) == b"1"
    again = source_pins.pin("x", lambda: b"2", default=None, pull=False)
    assert again == (b"2" if kind in ("folder", "full") else b"1"), "what cannot be written is asked for again"
    (tmp_path / "file").touch()
    cache = StatCache(str(inputs))
    cache.note_tree(b"k" * 32, b"d" * 32)
    cache.save()
    kept = StatCache(str(inputs)).find_tree(b"k" * 32)
    assert kept == (None if kind in ("folder", "full") else b"d" * 32)


@pytest.mark.parametrize("kind", ["fifo", "full"])
def test_builds_and_plans_go_on(lab: Lab, kind: str) -> None:
    (lab.path / "Dockerfile").write_text("FROM scratch\nCOPY a /a\n")
    (lab.path / "a").write_text("1")
    for name in ("pins", "inputs"):
        obstruct(lab.git_dir / "build" / name, kind)
    assert "build" in lab("plan").out
    lab("build", "--branch", "made")
    assert "nothing to build" in lab("plan").out


@pytest.mark.user_only
def test_a_plan_needs_to_write_no_pins(lab: Lab) -> None:
    lab("tag", "base")
    (lab.path / "envgit.toml").write_text('[env]\nfrom = "base"\n[[step]]\nrun = "true"\n')
    build = lab.git_dir / "build"
    lab("plan")
    (build / "pins").unlink()
    build.chmod(0o500)
    try:
        assert "to build" in lab("plan").out
    finally:
        build.chmod(0o700)


def test_names_of_files_in_messages(lab: Lab) -> None:
    """Bytes that are no UTF-8 are shown as everywhere else, and digits of other scripts are no time."""
    name = os.fsdecode(b"D\xff")
    lab.fails("build", "-f", name, status=2, says="there is no D\\xff", hint="-f FILE")
    (lab.path / name).write_text("FROM scratch\nFOO x\n")
    lab.fails("build", "-f", name, status=2, says="D\\xff:2: ", hint=None)
    (lab.path / "Dockerfile").write_text("FROM scratch\n")
    digits = {"SOURCE_DATE_EPOCH": "\u0661\u0662"}
    lab.fails("build", status=2, says="SOURCE_DATE_EPOCH=", hint="seconds since 1970", **digits)


@pytest.mark.parametrize("name", ["index", "seen"])
def test_whatever_is_in_the_place_of_the_index_counts_as_no_index(lab: Lab, tmp_path: Path, name: str) -> None:
    lab("branch", "base")
    (lab.path / "envgit.toml").write_text('[env]\nfrom = "base"\n[[step]]\nrun = "echo 1 > /srv/1"\n')
    lab("build", "--branch", "built")
    path, precious = lab.git_dir / "build" / name, tmp_path / "precious"
    precious.write_text("precious\n")
    for replace in (os.mkfifo, os.mkdir, lambda place: os.symlink(precious, place)):
        remove(path)
        replace(path)
        assert "nothing to build" in lab("build", "--branch", "built").out
        lab("plan", "--branch", "built")
    assert precious.read_text() == "precious\n"
