"""rpm's databases in their three forms: what rpm itself made and says, and what it never would."""

from __future__ import annotations

import lzma
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from envgit.packages.package import MalformedRecord
from envgit.packages.rpm_header import read_header
from envgit.packages.rpm_ndb import iter_headers

from .views import MemoryView, packages_of

GOLDEN = Path(__file__).resolve().parent / "golden"
PLACES = ("usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm")
EXPECTED = [
    ("rpm", "hello", "2.10-4.el9", "noarch"),
    ("rpm", "openssl-libs", "1:3.0.7-25.el9", "x86_64"),
    ("rpm", "tzdata", "2024a-1", "noarch"),
]


def golden(name: str) -> bytes:
    return lzma.decompress((GOLDEN / f"{name}.xz").read_bytes())


def header(*tags: tuple[int, int, bytes]) -> bytes:
    """Return a header blob of (tag, type, data) as rpm lays it out."""
    index = data = b""
    for tag, kind, value in tags:
        index += struct.pack(">IIiI", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(tags), len(data)) + index + data


def simple_header(name: bytes = b"x", version: bytes = b"1", release: bytes = b"2") -> bytes:
    return header((1000, 6, name + b"\0"), (1001, 6, version + b"\0"), (1002, 6, release + b"\0"))


def ndb(*blobs: bytes, owner_offset: int = 0) -> bytes:
    """Return a Packages.db: one page of slots, then each blob on a multiple of 16 bytes with its head and tail."""
    slots, body = b"", b""
    for index, blob in enumerate(blobs, start=1):
        blocks = -(-(16 + len(blob) + 12) // 16)
        slots += b"Slot" + struct.pack("<III", index, (4096 + len(body)) // 16, blocks)
        whole = b"BlbS" + struct.pack("<III", index + owner_offset, 1, len(blob)) + blob
        tail = struct.pack("<II", 0, len(blob)) + b"BlbE"
        body += whole.ljust(blocks * 16 - len(tail), b"\0") + tail
    start = b"RpmP" + struct.pack("<IIII", 0, 1, 1, len(blobs) + 1) + b"\0" * 12
    page = start + slots
    return page + (b"Slot" + b"\0" * 12) * ((4096 - len(page)) // 16) + body


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages"])
def test_golden(place: str, name: str) -> None:
    packages, notices = packages_of(MemoryView({f"{place}/{name}": golden(name)}))
    assert (notices, [package[:4] for package in packages]) == ([], EXPECTED)
    assert packages[0].place == place.encode() and packages[0].summary == "Prints a greeting"
    assert packages[1].source == "openssl-libs-3.0.7-25.el9.src.rpm"


@pytest.mark.parametrize(("name", "backend"), [("rpmdb.sqlite", "sqlite"), ("Packages", "bdb_ro")])
def test_the_same_as_rpm(tmp_path: Path, name: str, backend: str) -> None:
    assert shutil.which("rpm"), "rpm is missing (tests/packages.sh installs it)"
    (tmp_path / name).write_bytes(golden(name))
    form = "%{NAME}\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\t%{ARCH}\t%{SUMMARY}\n"
    command = ["rpm", "--define", f"_db_backend {backend}", "--dbpath", str(tmp_path), "-qa", "--qf", form]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    if (
        "invalid %_db_backend" in done.stderr
    ):  # newer versions read Berkeley DB no more: test_golden has what older ones said
        assert backend == "bdb_ro"
        return
    said = done.stdout
    packages, _ = packages_of(MemoryView({f"var/lib/rpm/{name}": golden(name)}))
    assert sorted(said.splitlines()) == sorted(
        f"{p.name}\t{p.version}\t{p.architecture}\t{p.summary}" for p in packages
    )
    assert len(packages) == 3


def test_ndb() -> None:
    files = {"usr/lib/sysimage/rpm/Packages.db": ndb(simple_header(b"bash"), simple_header(b"zypper", b"1.14"))}
    packages, notices = packages_of(MemoryView(files))
    assert (notices, [package[1:3] for package in packages]) == ([], [("bash", "1-2"), ("zypper", "1.14-2")])


def test_one_database_counts() -> None:
    sqlite, old = golden("rpmdb.sqlite"), ndb(simple_header(b"stale"))
    files = {"usr/lib/sysimage/rpm/rpmdb.sqlite": sqlite, "usr/lib/sysimage/rpm/Packages.db": old}
    view = MemoryView(files, links={"var/lib/rpm": "usr/lib/sysimage/rpm"})
    packages, _ = packages_of(view)
    assert [package[:4] for package in packages] == EXPECTED
    files = {"usr/lib/sysimage/rpm/.rpm.lock": b"", "var/lib/rpm/rpmdb.sqlite": sqlite}
    assert len(packages_of(MemoryView(files))[0]) == 3


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages.db", "Packages"])
@pytest.mark.parametrize("data", [b"", b"x", b"SQLite format 3\0", b"RpmP", b"\0" * 4096, b"\xff" * 8192])
def test_no_database(name: str, data: bytes) -> None:
    packages, notices = packages_of(MemoryView({f"var/lib/rpm/{name}": data}))
    assert packages == [] and len(notices) == 1 and "/var/lib/rpm" in notices[0]


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages"])
def test_a_damaged_database_never_breaks(name: str) -> None:
    """Every byte of the structure changed, and every length: packages or a notice, nothing else."""
    whole = golden(name)
    damaged = [whole[:size] for size in range(0, len(whole), 1777)]
    for at in [*range(120), *range(4096, len(whole), 997)]:
        for value in (0, 1, 0x7F, 0xFF):
            damaged.append(whole[:at] + bytes([value]) + whole[at + 1 :])
    complained = 0
    for data in damaged:
        packages, notices = packages_of(MemoryView({f"var/lib/rpm/{name}": data}), "rpm")
        assert len(packages) <= 3 and all(notice.isprintable() for notice in notices)
        complained += bool(notices)
    assert complained > 20


def test_pages_in_a_circle_end() -> None:
    data = bytearray(golden("Packages"))
    pages = [at for at in range(0, len(data), 4096) if data[at + 25] == 7]
    for at in pages:
        data[at + 16 : at + 20] = struct.pack("<I", at // 4096)
    packages, notices = packages_of(MemoryView({"var/lib/rpm/Packages": bytes(data)}))
    assert len(packages) + len(notices) > 0


def test_headers_that_share_their_bytes_do_not_multiply() -> None:
    """A file of 100 kB claims 253 headers of 90 kB each."""
    blob = simple_header() + b"\0" * 90_000
    data = bytearray(ndb(blob))
    for slot in range(2, 254):
        data[32 + 16 * slot : 48 + 16 * slot] = data[32:48]  # the owner is the same too
    assert sum(map(len, iter_headers(bytes(data)))) > 200 * len(data), "control: the reader alone would multiply them"
    packages, notices = packages_of(MemoryView({"var/lib/rpm/Packages.db": bytes(data)}))
    assert len(packages) <= 3 and "larger than itself" in notices[0]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (ndb(simple_header(), owner_offset=1), "points at no header"),
        (ndb(simple_header())[:4100], "past the end"),
        (ndb(simple_header())[:4] + struct.pack("<I", 1) + ndb()[8:], "version 1"),
        (ndb(simple_header()).replace(b"Slot", b"slot", 1), "a slot is none"),
    ],
)
def test_damaged_ndb(data: bytes, why: str) -> None:
    packages, notices = packages_of(MemoryView({"var/lib/rpm/Packages.db": data}))
    assert packages == [] and len(notices) == 1 and why in notices[0]


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0" * 8,
        b"\xff" * 64,
        struct.pack(">II", 1, 100) + struct.pack(">IIiI", 1000, 6, 0, 1) + b"x",
        header((1000, 6, b"without end")),
        struct.pack(">II", 1, 4) + struct.pack(">IIiI", 1000, 6, 99, 1) + b"x\0yz",
        struct.pack(">II", 1, 4) + struct.pack(">IIiI", 1000, 6, -1, 1) + b"x\0yz",
        struct.pack(">II", 0xFFFFFFFF, 4) + b"\0" * 64,
    ],
)
def test_a_damaged_header(blob: bytes) -> None:
    with pytest.raises(MalformedRecord):
        read_header(blob)


def test_a_record_with_control_characters_is_skipped() -> None:
    blobs = (
        simple_header(b"a\x1b[31m"),
        simple_header(b"good"),
        simple_header(b"b", b""),
        header((1001, 4, b"\0\0\0\1")),
    )
    packages, notices = packages_of(MemoryView({"var/lib/rpm/Packages.db": ndb(*blobs)}))
    assert [package.name for package in packages] == ["good"]
    assert len(notices) == 3 and all(notice.isprintable() for notice in notices)
