"""Python's metadata, against pip itself and with what pip does not write."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from .views import MemoryView, packages_of, words

SITE = "usr/lib/python3.11/site-packages"
METADATA = b"Metadata-Version: 2.1\nName: Flask\nVersion: 3.0.2\nSummary: A framework\n\nName: not-this\nVersion: 9\n"


def test_dist_info_and_egg_info() -> None:
    files = {
        f"{SITE}/flask-3.0.2.dist-info/METADATA": METADATA,
        f"{SITE}/old-1.0.egg-info": b"Metadata-Version: 1.0\nName: old\nVersion: 1.0\n",
        f"{SITE}/six.egg-info/PKG-INFO": b"Name: six\nVersion: 1.16.0\n",
        f"{SITE}/zipped-2.egg/EGG-INFO/PKG-INFO": b"Name: zipped\nVersion: 2\n",
        f"{SITE}/~lask-3.0.1.dist-info/METADATA": METADATA,
        f"{SITE}/flask/__init__.py": b"raise SystemExit('imported')\n",
    }
    packages, notices = packages_of(MemoryView(files))
    assert notices == []
    assert words(packages) == ["Flask 3.0.2", "old 1.0", "six 1.16.0", "zipped 2"]
    assert packages[0].summary == "A framework" and packages[0].place == SITE.encode()
    assert packages[0].folded_name == "flask"


@pytest.mark.parametrize(
    "site",
    [
        "usr/lib/python3/dist-packages",
        "usr/lib64/python3.12/site-packages",
        "usr/local/lib/python3.11/dist-packages",
        "usr/local/lib/pypy3.10/site-packages",
        "opt/app/lib/python3.11/site-packages",
        "opt/app/venv/lib/python3.11/site-packages",
        "srv/app/.venv/lib/python3.13/site-packages",
        "root/.local/lib/python3.11/site-packages",
        "home/ann/.local/share/pipx/venvs/black/lib/python3.11/site-packages",
        "root/.pyenv/versions/3.12.1/lib/python3.12/site-packages",
        "app/lib/python3.11/site-packages",
        "usr/src/app/.venv/lib/python3.11/site-packages",
        "var/www/site/env/lib/python3.9/site-packages",
        "var/task/site-packages",
    ],
)
def test_places(site: str) -> None:
    packages, _ = packages_of(MemoryView({f"{site}/flask-3.0.2.dist-info/METADATA": METADATA}))
    assert [package.place.decode() for package in packages] == [site]


@pytest.mark.parametrize(
    "site", ["usr/share/doc/lib/python3/site-packages", "tmp/lib/python3/site-packages", "proc/1/x"]
)
def test_not_places(site: str) -> None:
    assert packages_of(MemoryView({f"{site}/flask-3.0.2.dist-info/METADATA": METADATA})) == ([], [])


def test_the_same_as_pip() -> None:
    site = Path(sysconfig.get_paths()["purelib"])
    command = [
        sys.executable,
        "-m",
        "pip",
        "list",
        "--path",
        str(site),
        "--format",
        "json",
        "--disable-pip-version-check",
    ]
    said = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    theirs = sorted((each["name"].lower(), each["version"]) for each in json.loads(said))
    files = {
        f"{SITE}/{path.relative_to(site)}": path.read_bytes()
        for pattern in ("*.dist-info/METADATA", "*.egg-info/PKG-INFO")
        for path in site.glob(pattern)
    }
    packages, notices = packages_of(MemoryView(files))
    assert notices == []
    assert sorted((package.name.lower(), package.version) for package in packages) == theirs
    assert "click" in [name for name, _ in theirs]


def test_odd_records() -> None:
    files = {
        f"{SITE}/a-1.dist-info/METADATA": b"",
        f"{SITE}/b-1.dist-info/RECORD": b"",
        f"{SITE}/c-1.dist-info/METADATA": b"Name: c\nVersion: 1 ; rm -rf /\n",
        f"{SITE}/d-1.dist-info/METADATA": b"\nName: d\nVersion: 1\n",
        f"{SITE}/e-1.dist-info/METADATA": b"Name: e\r\nVersion: 1\r\n\r\nVersion: 2\r\n",
        f"{SITE}/f-1.dist-info/METADATA": b"Name: f\nVersion: 1\n" + b"x" * (9 << 20),
        f"{SITE}/.dist-info/METADATA": METADATA,
    }
    packages, notices = packages_of(MemoryView(files))
    assert words(packages) == ["e 1"]
    assert len(notices) == 5 and all(notice.isprintable() for notice in notices)
