"""Downloads that go on in another command, and registries that ask to wait."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from envgit.errors import EnvgitError, SourceError
from envgit.images import open_image, read_image
from envgit.monitor import NullMonitor
from envgit.registry.rate_limit import describe_limit, format_seconds, retry_seconds
from tests.images.image_builder import tar
from tests.images.reading import read
from tests.lab import Lab, run_envgit
from tests.registry.fake_registry import Asked, FakeRegistry, Reply
from tests.registry.pulling import blobs, manifests, refused
from tests.sources.memory_store import MemoryStore
from tests.sources.tar_builder import file

CONTENT = os.urandom(3 << 20)
ARCHIVE = tar(file(b"big", CONTENT))


class Served:
    """An image of one big layer in a registry that breaks after `cut` bytes of it, for good."""

    def __init__(self, fake: FakeRegistry, environ: dict[str, str], folder: Path) -> None:
        image = fake.builder.image(ARCHIVE, compression="")
        self.reference = fake.tag("app:1", image)
        self.layer = json.loads(fake.builder.blobs[image["digest"]])["layers"][0]["digest"]
        self.data = fake.builder.blobs[self.layer]
        self.fake, self.environ, self.folder = fake, environ, folder
        self.kept = folder / ("blob-" + self.layer.replace(":", "-"))
        self.cut, self.patience = -1, "0"
        fake.overrides.append(self.reply)

    def reply(self, asked: Asked) -> Reply | None:
        if self.layer not in asked.path or self.cut < 0:
            return None
        start = int(asked.headers.get("range", "bytes=0-")[6:-1])
        if start >= self.cut:
            return Reply(503, headers={"Retry-After": self.patience})
        headers = {"Content-Range": f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"}
        return Reply(206 if start else 200, self.data[start:], headers, cut=self.cut - start)

    def read(self) -> bytes:
        store, monitor = MemoryStore(), NullMonitor()
        with open_image(self.reference, environ=self.environ, monitor=monitor, downloads=str(self.folder)) as image:
            root = read_image(image, store, monitor).root
            image.forget_downloads()
        return store.blobs[store.paths(root)[b"big"].sha256 or b""]

    def break_at(self, cut: int) -> None:
        self.cut = cut
        with pytest.raises(SourceError):
            self.read()
        self.cut = -1
        self.fake.asked.clear()

    def ranges(self) -> list[str]:
        return [asked.headers["range"] for asked in self.fake.asked if "range" in asked.headers]


@pytest.fixture
def served(fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> Served:
    return Served(fake, environ, tmp_path / "downloads")


@pytest.mark.parametrize("cut", [1, 1_000_000, len(CONTENT) + 1000])
def test_the_next_command_goes_on(cut: int, served: Served) -> None:
    served.break_at(cut)
    assert served.kept.read_bytes() == served.data[:cut] and served.kept.stat().st_mode & 0o777 == 0o600
    assert served.read() == CONTENT
    assert served.ranges() == [f"bytes={cut}-"]
    assert os.listdir(served.folder) == []


def test_what_is_whole_is_not_asked_for(served: Served) -> None:
    served.folder.mkdir()
    served.kept.write_bytes(served.data)
    assert served.read() == CONTENT
    assert not [asked for asked in served.fake.asked if served.layer in asked.path]


@pytest.mark.parametrize("damage", ["start", "end", "longer"])
def test_what_was_damaged_is_dropped_and_fetched_again(damage: str, served: Served) -> None:
    served.folder.mkdir()
    data = bytearray(served.data[:2_000_000])
    data[0 if damage == "start" else -1] ^= 1
    served.kept.write_bytes(bytes(data) if damage != "longer" else served.data + b"x")
    if damage == "longer":
        assert served.read() == CONTENT
        return
    with pytest.raises(EnvgitError):
        served.read()
    if served.kept.exists():  # what is wrong can be an archive that ends early: its digest was not reached
        served.kept.unlink()
    assert served.read() == CONTENT


@pytest.mark.parametrize("kind", ["folder", "link", "fifo", "two names", "no folder", "locked"])
def test_what_is_in_the_way_is_left_alone(kind: str, served: Served, tmp_path: Path) -> None:
    served.folder.mkdir()
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    with ExitStack() as held:
        put_in_the_way(kind, served, other, held)
        assert served.read() == CONTENT
    assert other.read_bytes() == b"mine"


def put_in_the_way(kind: str, served: Served, other: Path, held: ExitStack) -> None:
    match kind:
        case "folder":
            served.kept.mkdir()
        case "link":
            served.kept.symlink_to(other)
        case "fifo":
            os.mkfifo(served.kept)
        case "two names":
            os.link(other, served.kept)
        case "no folder":
            served.folder.rmdir()
            served.folder.write_bytes(b"")
        case _:
            fcntl.flock(held.enter_context(served.kept.open("wb")), fcntl.LOCK_EX)


def test_small_layers_are_not_kept(fake: FakeRegistry, environ: dict[str, str], tmp_path: Path) -> None:
    reference = fake.tag("app:1", fake.builder.image(tar(file(b"small"))))
    monitor = NullMonitor()
    with open_image(reference, environ=environ, monitor=monitor, downloads=str(tmp_path / "downloads")) as image:
        read_image(image, MemoryStore(), monitor)
    assert not (tmp_path / "downloads").exists()


def test_import_and_build_go_on(served: Served, tmp_path: Path, environ: dict[str, str]) -> None:
    run_envgit("init", "lab", cwd=tmp_path)
    lab = Lab(tmp_path / "lab", variables={"CONTAINERS_REGISTRIES_CONF": environ["CONTAINERS_REGISTRIES_CONF"]})
    downloads = lab.git_dir / "build/downloads"
    served.cut = 1_000_000
    before = sorted(path for path in lab.git_dir.rglob("*") if "build" not in path.parts)
    lab.fails("import", served.reference, status=2, says="answers 503", hint="")
    assert sorted(path for path in lab.git_dir.rglob("*") if "build" not in path.parts) == before
    assert [path.stat().st_size for path in downloads.iterdir()] == [1_000_000]
    served.cut = 2_000_000
    (lab.path / "Dockerfile").write_text(f"FROM {served.reference.removeprefix('docker://')}\n")
    lab.fails("build", status=2, says="answers 503", hint=None)
    assert [path.stat().st_size for path in downloads.iterdir() if path.name.startswith("blob")] == [2_000_000]
    served.cut = -1
    served.fake.asked.clear()
    lab("import", served.reference)
    assert served.ranges() == ["bytes=2000000-"]
    assert not [path for path in downloads.iterdir() if path.name.startswith("blob")]


def test_a_killed_import_goes_on(served: Served, tmp_path: Path, environ: dict[str, str]) -> None:
    run_envgit("init", "lab", cwd=tmp_path)
    lab = Lab(tmp_path / "lab", variables={"CONTAINERS_REGISTRIES_CONF": environ["CONTAINERS_REGISTRIES_CONF"]})
    kept = lab.git_dir / "build/downloads" / served.kept.name
    served.cut, served.patience = 1_500_000, "60"
    running = lab.start("import", served.reference, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(1000):
        if kept.exists() and kept.stat().st_size == served.cut:
            break
        threading.Event().wait(0.02)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    served.cut = -1
    served.fake.asked.clear()
    lab("import", served.reference)
    assert served.ranges() == ["bytes=1500000-"]
    assert lab("fsck").status == 0 and not kept.exists()


# asked to wait


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("9" * 90, 315360000.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:30 GMT", 0.0),
        ("Thu, 99 Jan 1970", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("\x1b" * 1000, None),
    ],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    headers = {"Retry-After": said, "Date": "Thu, 01 Jan 1970 00:01:00 GMT"}
    assert retry_seconds(headers.__getitem__) == seconds


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({}, ""),
        (
            {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600"},
            "it allows 100 in 6 hours, 0 are left",
        ),
        ({"RateLimit-Limit": "100, 100;w=60"}, "it allows 100 in 1 minute"),
        ({"RateLimit-Limit": "7", "Retry-After": "3601"}, "it allows 7; try again in 2 hours"),
        ({"RateLimit-Limit": "x\x1b", "RateLimit-Remaining": "-1"}, ""),
        ({"RateLimit-Limit": "1" * 300}, ""),
    ],
)
def test_limits(headers: dict[str, str], text: str) -> None:
    assert describe_limit(lambda name: headers.get(name, "")) == text


def test_spans() -> None:
    assert [format_seconds(each) for each in (0, 1, 59, 61, 86_400)] == [
        "a moment", "1 second", "59 seconds", "2 minutes", "1 day",
    ]  # fmt: skip


def test_a_limit_that_is_used_up_is_said_at_once(
    app: str, fake: FakeRegistry, environ: dict[str, str], waits: list[float]
) -> None:
    headers = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": "0;w=21600", "Retry-After": "3000"}
    fake.overrides.append(lambda asked: Reply(429, headers=headers) if manifests(asked) else None)
    error = refused(app, environ)
    assert "it allows 100 in 6 hours, 0 are left; try again in 50 minutes" in error.message
    assert f"envgit login {fake.host}" in (error.hint or "") and waits == [] and len(fake.asked) == 1


def test_a_wait_is_said(app: str, fake: FakeRegistry, environ: dict[str, str], waits: list[float]) -> None:
    fake.once(lambda asked: Reply(503, headers={"Retry-After": "7"}) if manifests(asked) else None)
    fake.once(lambda asked: Reply(503, headers={"Retry-After": "1"}) if blobs(asked) else None)
    found = read(app, environ)
    assert found.monitor.notes == [f"{fake.host} is busy: going on in 7 seconds"]
    assert waits == [7.0, 1.0]


def test_a_limit_in_the_middle(app: str, fake: FakeRegistry, environ: dict[str, str], waits: list[float]) -> None:
    fake.overrides.append(lambda asked: Reply(429, headers={"Retry-After": "61"}) if blobs(asked) else None)
    assert "try again in 2 minutes" in refused(app, environ).message
    assert waits == []
