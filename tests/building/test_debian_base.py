"""debian:SUITE and ubuntu:SUITE: what mmdebstrap is told, and what becomes of what it says."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from envgit.building.debian_base import debian_arguments, parse_debian, read_debian
from envgit.building.unit import SourceBase
from envgit.errors import SourceError, UsageError
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore


def arguments(source: str, platform: str = "", **options: str) -> list[str]:
    return debian_arguments(parse_debian(SourceBase(source, platform, tuple(options.items()))))


def test_a_base_is_small_and_has_the_distributions_own_archives() -> None:
    assert arguments("debian:bookworm") == [
        *("mmdebstrap", "--quiet", "--variant=minbase", "--format=tar"),
        *("--", "bookworm", "-"),
    ]


def test_options() -> None:
    words = arguments(
        "debian:sid", "linux/arm64", variant="apt", components="main,contrib", include="ca-certificates,curl"
    )
    assert "--variant=apt" in words and "--architectures=arm64" in words
    assert "--components=main,contrib" in words and "--include=ca-certificates,curl" in words
    mirror = arguments("debian:trixie", mirror="http://mirror.example/debian", components="main,contrib")
    assert mirror[-1] == "deb http://mirror.example/debian trixie main contrib"


def test_a_snapshot_is_three_archives_whose_time_is_over() -> None:
    lines = arguments("debian:bookworm", snapshot="20240701T000000Z")[-3:]
    assert all(line.startswith("deb [check-valid-until=no] http://snapshot.debian.org/archive/") for line in lines)
    assert [line.split()[3] for line in lines] == ["bookworm", "bookworm-updates", "bookworm-security"]
    assert "/debian-security/20240701T000000Z" in lines[2]
    assert arguments("debian:sid", snapshot="20240701T000000Z")[-2] == "-"


@pytest.mark.parametrize(
    ("platform", "url"), [("", "archive.ubuntu.com/ubuntu"), ("linux/arm64", "ports.ubuntu.com/ubuntu-ports")]
)
def test_ubuntu(platform: str, url: str) -> None:
    words = arguments("ubuntu:noble", platform)
    assert words[-3:] == [
        f"deb http://{url} {suite} main universe" for suite in ("noble", "noble-updates", "noble-security")
    ]


@pytest.mark.parametrize(
    ("source", "platform", "options", "says"),
    [
        ("debian:", "", {}, "names no release"),
        ("debian:--version", "", {}, "names no release"),
        ("debian:book worm", "", {}, "names no release"),
        ("debian:../x", "", {}, "names no release"),
        ("debian:bookworm", "", {"variant": "huge"}, "no variant 'huge'"),
        ("debian:bookworm", "", {"colour": "red"}, "no option 'colour'"),
        ("debian:bookworm", "", {"include": "a,--hook"}, "'--hook' is no word for include"),
        ("debian:bookworm", "", {"components": "main contrib"}, "no word for components"),
        ("debian:bookworm", "", {"mirror": "/etc/passwd"}, "no mirror"),
        ("debian:bookworm", "", {"mirror": "http://x/ y"}, "no mirror"),
        ("debian:bookworm", "", {"snapshot": "yesterday"}, "no snapshot"),
        ("ubuntu:noble", "", {"snapshot": "20240701T000000Z"}, "no snapshot"),
        ("debian:bookworm", "", {"snapshot": "20240701T000000Z", "mirror": "http://x/"}, "exclude each other"),
        ("debian:bookworm", "windows/amd64", {}, "not made for windows/amd64"),
        ("debian:bookworm", "linux/vax", {}, "not made for linux/vax"),
    ],
)
def test_what_makes_no_sense_is_refused(source: str, platform: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        arguments(source, platform, **options)
    assert caught.value.hint


# reading


@pytest.fixture
def fake(tmp_path: Path) -> Path:
    """A folder for a program called mmdebstrap."""
    (tmp_path / "bin").mkdir()
    with tarfile.open(tmp_path / "base.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("./etc"))
    return tmp_path / "bin"


def program(folder: Path, script: str) -> dict[str, str]:
    (folder / "mmdebstrap").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "mmdebstrap").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def read(environ: dict[str, str], epoch: int | None = None) -> int:
    found = read_debian(SourceBase("debian:bookworm"), MemoryStore(), NullMonitor(), epoch, environ)
    return found.files + found.directories


def test_its_archive_is_stored_and_it_gets_the_epoch(fake: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = program(fake, f'echo "$SOURCE_DATE_EPOCH $TMPDIR $*" >> {log}; echo careful >&2; cat {tmp_path}/base.tar')
    assert read({**environ, "SOURCE_DATE_EPOCH": "5", "TMPDIR": "/nowhere"}, 1_700_000_000) >= 1
    assert read({**environ, "SOURCE_DATE_EPOCH": "5"}) >= 1
    first, second = log.read_text().splitlines()
    assert first == "1700000000 /tmp --quiet --variant=minbase --format=tar -- bookworm -"
    assert second.startswith(" /tmp ")


def test_a_folder_that_other_ids_cannot_enter_is_no_place_for_it(fake: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environ = program(fake, f'echo "$TMPDIR" >> {log}; cat {tmp_path}/base.tar')
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    read({**environ, "TMPDIR": str(closed)})
    assert log.read_text() == "/tmp\n"


@pytest.mark.parametrize(
    ("script", "says", "hint"),
    [
        ("echo 'E: no such suite' >&2; exit 25", "could not make debian:bookworm: E: no such suite", "release's name"),
        ("exit 3", "it ended with status 3", "network"),
        ("kill -9 $$", "it ended with status 137", "network"),
        ("echo 'E: GPG: NO_PUBKEY 1' >&2; exit 1", "NO_PUBKEY", "debian-archive-keyring"),
        ("echo 'E: invalid mode: unshare' >&2; exit 1", "unshare", "apt-get install uidmap"),
        ("head -c 3000 /dev/zero; echo 'E: disk full' >&2; exit 1", "disk full", "network"),
        ("echo no archive at all, but long enough to be one; exit 0", "archive", ""),
        ("exit 0", "empty", ""),
    ],
)
def test_its_failure_is_said_in_its_words(fake: Path, script: str, says: str, hint: str) -> None:
    with pytest.raises(SourceError, match=says) as caught:
        read(program(fake, script))
    assert hint in (caught.value.hint or "")


def test_without_it_the_error_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="debian:bookworm needs mmdebstrap") as caught:
        read({"PATH": str(tmp_path)})
    assert caught.value.hint == 'apt-get install mmdebstrap, or from = "docker://debian:bookworm"'
