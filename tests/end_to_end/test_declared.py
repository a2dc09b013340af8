"""A real declaration: Debian, PostgreSQL, python3, a Flask application from pip; built in two folders, then changed and locked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, remove, run_envgit

DECLARATION = """
[env]
name = "web"
from = "debian:bookworm"

[packages]
apt = ["postgresql", "python3", "python3-pip"]
pip = ["flask==3.*"]

[files]
"/srv/app" = { source = "src", owner = "www-data:www-data" }
"/etc/app.conf" = { content = "greeting = hello\\n", mode = "0640", owner = "root:www-data" }

[[step]]
name = "check"
run = "python3 -c 'import flask' && test -x /usr/lib/postgresql/15/bin/postgres"
inputs = ["src/**"]

[config]
env = { FLASK_APP = "/srv/app/app.py" }
workdir = "/srv/app"
user = "www-data"
command = ["flask", "run", "--host", "0.0.0.0", "--port", "8000"]
ports = [8000]

[sandbox]
memory = "512m"
"""
APPLICATION = """
import flask
app = flask.Flask(__name__)

@app.get("/")
def greet() -> str:
    return open("/etc/app.conf").read()
"""
EPOCH = "1700000000"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Of this host, which may have more than the environment's pip."""
PATIENCE_SECONDS = 30


def project(folder: Path) -> Lab:
    (folder / "src").mkdir(parents=True)
    (folder / "src/app.py").write_text(APPLICATION)
    (folder / "envgit.toml").write_text(DECLARATION)
    run_envgit("init", ".", cwd=folder)
    return Lab(folder, variables={"SOURCE_DATE_EPOCH": EPOCH, "SSL_CERT_FILE": AUTHORITIES})


@pytest.fixture
def places(tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    assert shutil.which("mmdebstrap"), "mmdebstrap is missing: run tests/packages.sh"
    labs = project(tmp_path / "one"), project(tmp_path / "two")
    yield labs
    for lab in labs:
        lab("rm", "-f", *lab("ps", "-aq").lines(), status=None)
        remove(lab.path)


def build(lab: Lab, *words: str) -> str:
    """Build, however long the archive takes; return what was said on standard output."""
    process = lab.start("build", *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=900)
    assert process.returncode in (0, 3), err.decode(errors="replace")[-3000:]
    return out.decode()


def tree(lab: Lab) -> str:
    return lab.head("HEAD^{tree}")


def test_a_web_application_is_built_served_changed_and_locked(places: tuple[Lab, Lab]) -> None:
    one, two = places
    build(one)
    assert len(one("log", "--oneline").lines()) == 6
    _serves(one)
    _is_reused(one)
    shutil.copy(one.path / "envgit.lock", two.path)
    build(two, "--locked")
    assert tree(two) == tree(one)  # also modes, owners, times, and packages.lock
    assert (two.path / "envgit.lock").read_text() == (one.path / "envgit.lock").read_text()
    _changes_from_there(one)


def _serves(lab: Lab) -> None:
    lab("run", "-d", "--name", "web", "-p", "8000", "HEAD", "--")
    found = re.search(r"127\.0\.0\.1:\d+", lab("port", "web", "8000").out)
    assert found
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://{found[0]}/", timeout=5) as answer:
                assert answer.read() == b"greeting = hello\n"
            break
        except OSError:
            assert time.monotonic() < deadline, lab("logs", "web").out
            time.sleep(0.2)
    lab("rm", "-f", "web")


def _is_reused(lab: Lab) -> None:
    before, started = lab.head(), time.monotonic()
    said = lab("build", "--json").json()
    assert time.monotonic() - started < 1
    assert all(unit["reused"] for unit in said["units"]) and lab.head() == before


def _changes_from_there(lab: Lab) -> None:
    text = DECLARATION.replace('"flask==3.*"', '"flask==3.*", "tomli"')
    (lab.path / "envgit.toml").write_text(text)
    planned = [unit["action"] for unit in lab("plan", "--json").json()["units"]]
    assert planned == ["reuse", "reuse", "build", "build", "build", "build"]
    units = json.loads(build(lab, "--json"))["units"]
    assert [unit["reused"] for unit in units] == [True, True, False, False, False, False]
    assert "+ tomli" in lab("log", "-n", "1").out
    lab("run", "HEAD", "--", "python3", "-c", "import flask, tomli")
