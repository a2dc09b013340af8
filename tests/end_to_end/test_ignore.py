"""What a run leaves behind that is not recorded, and what is."""

from __future__ import annotations

from pathlib import Path

from tests.lab import Lab, make_root, run_envgit

VOLATILE = ("tmp", "run", "proc", "sys", "dev")


def test_volatile_places_are_never_recorded(lab: Lab) -> None:
    lab.sh("echo x > /tmp/file; mkdir -p /run/d; echo x > /run/d/file; echo x > /dev/shm/file; echo 1 > /srv/one")
    assert lab.changes() == ["A srv/one"]
    lab("commit", "-m", "one")
    for name in VOLATILE:
        assert lab("ls", f"HEAD:{name}").out == ""
    assert lab.changes() == []
    lab.forget_layers()
    assert lab.look("main", "ls /tmp /run | grep -c file; true").startswith("0")


def test_injected_files_are_never_recorded(lab: Lab) -> None:
    lab.sh("cat /etc/hosts /etc/hostname > /dev/null; echo 1 > /srv/one")
    assert lab.changes() == ["A srv/one"]
    lab("commit", "-m", "one")
    assert "hostname" not in lab("ls", "HEAD:etc").out


def test_an_import_keeps_what_its_source_has_in_volatile_places(tmp_path: Path) -> None:
    root = make_root(tmp_path / "root")
    (root / "tmp/kept").write_text("1\n")
    (root / "run/kept").write_text("2\n")
    (root / "etc/hosts").write_text("10.0.0.1 there\n")
    run_envgit("init", "lab", "--from", f"dir:{root}", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert lab("cat", "HEAD:tmp/kept").out == "1\n"
    lab.sh("rm -f /tmp/kept; echo 1 > /srv/one")
    lab("commit", "-m", "one")
    assert lab("cat", "HEAD:tmp/kept").out == "1\n"
    assert lab("cat", "HEAD:run/kept").out == "2\n"
    assert lab("cat", "HEAD:etc/hosts").out == "10.0.0.1 there\n"


def test_envgitignore_is_gitignore(lab: Lab) -> None:
    (lab.path / ".envgitignore").write_text("# a comment\n*.log\n!keep.log\n/srv/build/\n/var/**/cache\n")
    lab.sh(
        "mkdir -p /srv/build /opt/build /var/lib/x/cache; echo 1 > /srv/a.log; echo 2 > /srv/keep.log; "
        "echo 3 > /srv/build/out; echo 4 > /opt/build/out; echo 5 > /var/lib/x/cache/y; echo 6 > /srv/plain"
    )
    assert {"opt/build/out", "srv/keep.log", "srv/plain"} <= set(lab.paths())
    assert not {"srv/a.log", "srv/build", "srv/build/out", "var/lib/x/cache/y"} & set(lab.paths())
    done = lab("commit", "-m", "some")
    assert "a.log" in done.err or "not recorded" in done.err
    assert "a.log" not in lab("ls", "-r", "HEAD:srv").out
    assert "keep.log" in lab("ls", "-r", "HEAD:srv").out
    assert lab.changes() == []
    assert lab.sh("cat /srv/a.log /srv/build/out").out == "1\n3\n", "ignored files stay in the worktree"
    (lab.path / ".envgitignore").unlink()
    assert "srv/a.log" in lab.paths()


def test_ignored_files_that_are_recorded_already_stay_tracked(lab: Lab) -> None:
    (lab.path / ".envgitignore").write_text("motd\n")
    lab.sh("echo changed > /etc/motd")
    assert lab.changes() == ["M etc/motd"]
    lab.sh("rm /etc/motd")
    assert lab.changes() == ["D etc/motd"]


def test_noise_is_folded_in_status_and_recorded_by_commit(lab: Lab) -> None:
    lab.sh("mkdir -p /srv/__pycache__; for n in 1 2 3; do echo $n > /srv/__pycache__/$n.pyc; done; echo 1 > /srv/one")
    status = lab("status").out
    assert "srv/one" in status
    assert status.count(".pyc") <= 1
    lab("commit", "-m", "noise and all")
    assert lab("ls", "-r", "HEAD:srv/__pycache__").out.count(".pyc") == 3
