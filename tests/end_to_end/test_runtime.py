"""run --runtime: another OCI runtime makes the same sandbox, over a revision and in the worktree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab


def test_a_revision_is_thrown_away(lab: Lab) -> None:
    words = ("run", "--network", "none", "-e", "A=b", "-u", "ann", "-w", "/srv", "main", "--")
    script = "id -u; pwd; echo $A $HOME; cat /etc/hostname; head -c 3 /etc/motd"
    own, foreign = (lab(*options, "sh", "-c", script) for options in (words, ("run", "--runtime", "runc", *words[1:])))
    assert own.out == foreign.out and "ann" in foreign.out
    assert os.listdir(lab.git_dir / "sandboxes") == []


def test_the_worktree_keeps_its_changes(lab: Lab) -> None:
    lab(
        "run",
        "--runtime",
        "runc",
        "--network",
        "none",
        "--",
        "sh",
        "-c",
        "echo made > /srv/made; rm /etc/motd; exit 3",
        status=3,
    )
    assert sorted(lab.paths()) == ["etc/motd", "srv/made"]
    lab("commit", "-m", "made by runc")
    assert lab.look("HEAD", "cat /srv/made") == "made\n"


def test_statuses_are_those_of_every_run(lab: Lab) -> None:
    run = ("run", "--runtime", "runc", "--network", "none", "main", "--")
    lab(*run, "nonesuch", status=127)
    lab(*run, "/etc/motd", status=126)
    lab(*run, "sh", "-c", "kill -9 $$; exit 4", status=4)


def test_what_it_cannot_do_is_said(lab: Lab) -> None:
    lab.fails("run", "--runtime", "nonesuch", "main", "--", "true", status=125, says="no OCI runtime", hint="apt-get")
    lab.fails(
        "run",
        "--runtime",
        "runc",
        "-p",
        "80",
        "main",
        "--",
        "true",
        status=125,
        says="no private network",
        hint="--network",
    )
    assert "this sandbox has none" in lab("run", "--runtime", "runc", "main", "--", "true").err
    lab.fails(
        "run", "--runtime", "runc", "--name", "named", "main", "--", "true", status=125, says="foreground", hint="-d"
    )
    assert lab("ps", "-a", "-q").out == "" and os.listdir(lab.git_dir / "sandboxes") == []


@pytest.mark.root_only
def test_no_runtime_gets_at_the_machines_null_device(lab: Lab, tmp_path: Path) -> None:
    """crun gives its standard streams to the sandbox's root: that must not reach /dev/null, nor stay on a file."""
    for runtime in ("crun", "runc"):
        with (tmp_path / "out").open("wb") as out:
            words = ("run", "--runtime", runtime, "--network", "none", "main", "--", "true")
            lab.start(*words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL).wait(60)
        for path in (Path("/dev/null"), tmp_path / "out"):
            assert (path.stat().st_uid, path.stat().st_gid) == (0, 0), (runtime, path)
