"""dpkg's status files, against dpkg-query and with records that dpkg does not write."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from envgit.packages.package import WORD_MAX_CHARACTERS

from .views import MemoryView, packages_of, words

STATUS = b"""\
Package: openssl
Status: install ok installed
Architecture: amd64
Multi-Arch: foreign
Source: openssl (3.0.15-1)
Version: 3.0.15-1~deb12u1
Conffiles:
 /etc/ssl/openssl.cnf 6a4d1c1e8f1d2f9f1b2e2c3d4e5f6071
Description: Secure Sockets Layer toolkit - cryptographic utility
 This package is part of the OpenSSL project's implementation.
 .
 Version: 6.6.6

Package: removed
Status: deinstall ok config-files
Architecture: all
Version: 1.0

Package: half
Status: install reinstreq half-installed
Architecture: all
Version: 2.0

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36-9

Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9
"""


def test_status() -> None:
    packages, notices = packages_of(MemoryView({"var/lib/dpkg/status": STATUS}))
    assert notices == []
    assert [package[:4] for package in packages] == [
        ("dpkg", "half", "2.0", "all"),
        ("dpkg", "libc6", "2.36-9", "amd64"),
        ("dpkg", "libc6", "2.36-9", "i386"),
        ("dpkg", "openssl", "3.0.15-1~deb12u1", "amd64"),
    ]
    assert packages[3].summary == "Secure Sockets Layer toolkit - cryptographic utility"
    assert packages[3].source == "openssl" and packages[0].source is None
    assert packages[3].place == b"var/lib/dpkg/status"


def test_an_image_without_dpkg() -> None:
    files = {
        "var/lib/dpkg/status.d/base": b"Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
        "var/lib/dpkg/status.d/tzdata": b"Package: tzdata\nVersion: 2024a\nArchitecture: all\n\n",
        "var/lib/dpkg/status.d/tzdata.md5sums": b"0123  usr/share/zoneinfo/UTC\n",
    }
    packages, notices = packages_of(MemoryView(files))
    assert (words(packages), notices) == (["base-files 12.4", "tzdata 2024a"], [])


def test_the_same_as_dpkg_query() -> None:
    status = Path("/var/lib/dpkg/status")
    if not status.exists():
        pytest.skip("this machine is not made of dpkg packages")
    form = "${Package}\t${Version}\t${Architecture}\t${source:Package}\t${db:Status-Status}\n"
    command = ["dpkg-query", f"--admindir={status.parent}", "-W", "-f", form]
    for _ in range(20):  # another process may install something at the same time
        data = status.read_bytes()
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        if data == status.read_bytes() and not os.listdir("/var/lib/dpkg/updates"):
            break
        time.sleep(0.5)
    rows = [line.split("\t") for line in said.splitlines()]
    theirs = sorted(tuple(row[:4]) for row in rows if row[4] not in ("config-files", "not-installed"))
    packages, notices = packages_of(MemoryView({"var/lib/dpkg/status": data}))
    assert notices == []
    assert sorted((p.name, p.version, p.architecture, p.source or p.name) for p in packages) == theirs
    assert len(theirs) > 50


@pytest.mark.parametrize(
    ("paragraph", "why"),
    [
        (b"Version: 1", "no name"),
        (b"Package: x", "no version"),
        (b"Package: x\nVersion: 1\x1b[2J", "its version is '1\\x1b[2J'"),
        (b"Package: x y\nVersion: 1", "its name is 'x y'"),
        (b"Package: \xff\nVersion: 1", "its name is not UTF-8"),
        (b"Package: a\xe2\x80\xaeb\nVersion: 1", "its name is 'a\\u202eb'"),
        (b"Package: x\nVersion: 1\nArchitecture: a\tb", "its architecture is"),
        (b"Package: " + b"x" * (WORD_MAX_CHARACTERS + 1) + b"\nVersion: 1", "its name has 257 characters"),
        (b"no field at all", "no name"),
    ],
)
def test_a_malformed_record_is_skipped(paragraph: bytes, why: str) -> None:
    good = b"Package: good\nVersion: 1\n"
    packages, notices = packages_of(MemoryView({"var/lib/dpkg/status": good + b"\n" + paragraph + b"\n\n" + good}))
    assert words(packages) == ["good 1", "good 1"]
    assert len(notices) == 1 and why in notices[0] and "/var/lib/dpkg/status" in notices[0]
    assert notices[0].isprintable()


def test_odd_spelling() -> None:
    status = b"\n\n\r\nPackage:openssl\r\nVersion:   1.0  \r\n\r\n \nPACKAGE: b\nversion: 2\n" + b"\0" * 10
    packages, notices = packages_of(MemoryView({"var/lib/dpkg/status": status}))
    assert (words(packages), notices) == (["b 2", "openssl 1.0"], [])


def test_a_description_cannot_carry_control_characters() -> None:
    status = b"Package: x\nVersion: 1\nDescription: a\x1b]0;title\x07" + b"b" * 10_000 + b"\n"
    (package,), _ = packages_of(MemoryView({"var/lib/dpkg/status": status}))
    assert package.summary is not None and package.summary.isprintable() and len(package.summary) == 200


def test_no_database_is_no_package() -> None:
    assert packages_of(MemoryView({})) == ([], [])
    assert packages_of(MemoryView({"var/lib/dpkg/status": b""})) == ([], [])
