"""A real database from Debian's packages: installed in an environment, committed while it runs, forked, destroyed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, remove, run_envgit

SUITE = "bookworm"
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get update -q && apt-get install -qy --no-install-recommends postgresql && apt-get clean
cd /etc/postgresql/15/main
echo "listen_addresses = '*'" >> postgresql.conf
echo "host all all 0.0.0.0/0 trust" >> pg_hba.conf
"""
SERVER = ("pg_ctlcluster", "--foreground", "15", "main", "start")
"""Started as root, it becomes `postgres` by changing its own ids, and so loses PR_SET_PDEATHSIG."""

PATIENCE_SECONDS = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Lab]:
    """A Debian environment with PostgreSQL in it, committed."""
    for program in ("mmdebstrap", "psql"):
        assert shutil.which(program), f"{program} is missing: run tests/packages.sh"
    tar = tmp_path / "debian.tar"
    command = ["mmdebstrap", "--quiet", "--variant=apt", "--format=tar", SUITE, str(tar)]
    environ = {**os.environ, "TMPDIR": "/tmp"}  # which other ids must be able to enter
    subprocess.run(command, check=True, timeout=600, cwd="/", stdin=subprocess.DEVNULL, env=environ)
    run_envgit("init", "lab", "--from", f"tar:{tar}", cwd=tmp_path, status=None)
    tar.unlink()
    lab = Lab(tmp_path / "lab")
    assert lab.head()
    lab.sh(INSTALL, status=None)
    lab("commit", "-m", "postgresql")
    yield lab
    lab("rm", "-f", *lab("ps", "-aq").lines(), status=None)
    remove(lab.path)


def start(lab: Lab, name: str, *words: str) -> str:
    """Start a server in the background; return the host port once it answers."""
    lab("run", "-d", "--name", name, "-p", "5432", *words, "--", *SERVER)
    found = re.search(r"127\.0\.0\.1:(\d+)", lab("port", name, "5432").out)
    assert found
    deadline = time.monotonic() + PATIENCE_SECONDS
    while query(found[1], "select 1", check=False) != "1":
        assert time.monotonic() < deadline, lab("logs", name).out
        time.sleep(0.2)
    return found[1]


def query(port: str, text: str, *, check: bool = True) -> str:
    """Ask the database from the host with the host's own client."""
    command = ["psql", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-At", "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout.strip()


def test_a_database_is_installed_committed_forked_and_destroyed(database: Lab) -> None:
    lab = database
    owner = lab.look("HEAD", "stat -c %U:%G /var/lib/postgresql/15/main /etc/postgresql/15/main/pg_hba.conf")
    assert owner.split() == ["postgres:postgres", "postgres:postgres"]
    first = start(lab, "db")
    query(first, "create table words (word text)")
    query(first, "insert into words select 'w' || n from generate_series(1, 1000) n; checkpoint")
    assert "running" in lab("commit", "-m", "a thousand words").out
    query(first, "insert into words values ('only in the first')")

    second = start(lab, "copy", "HEAD")
    assert query(second, "select count(*) from words") == "1000"
    query(second, "delete from words")
    assert query(first, "select count(*) from words") == "1001"

    pids = [
        int(line.split()[1])
        for path in lab.git_dir.glob("sandboxes/*/state")
        for line in path.open()
        if line[:4] == "pid "
    ]
    assert len(pids) == 2
    lab("rm", "-f", "db", "copy")
    assert lab("ps", "-aq").out == ""
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert str(lab.path) not in Path("/proc/mounts").read_text()
    assert query(first, "select 1", check=False) == query(second, "select 1", check=False) == ""
    assert [path.name for path in (lab.git_dir / "sandboxes").glob("*") if path.name != "names"] == []
