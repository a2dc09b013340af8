"""Named volumes, paths of other revisions, and what commits say of mounts: the whole command line."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import CHECKOUT, Lab, command_environment, command_words

pytestmark = pytest.mark.any_ids
_START_SECONDS = 30


@pytest.fixture
def data(lab: Lab) -> Lab:
    """The laboratory, with a folder of content for volumes committed in its environment."""
    lab("run", "--", "sh", "-c", "mkdir -p /var/db/sub && echo one > /var/db/sub/file && ln -s sub /var/db/link && "
        "chmod 750 /var/db && ln /var/db/sub/file /var/db/hard && mkfifo /var/db/pipe")  # fmt: skip
    lab("commit", "-q", "-m", "data")
    return lab


class Background:
    """An `envgit run` that goes on until the block ends."""

    def __init__(self, lab: Lab, *words: str) -> None:
        self.process = subprocess.Popen(
            [*command_words(), "run", *words], cwd=lab.path, env=command_environment({}), stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def __enter__(self) -> Background:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(_START_SECONDS)


def test_a_new_volume_gets_what_the_environment_has_there(data: Lab) -> None:
    shown = "cd /var/db; ls -A; stat -c '%a %u %g %h' . hard; cat hard; readlink link; [ -p pipe ] && echo pipe"
    before = data("run", "HEAD", "--", "sh", "-c", shown).out
    assert data("run", "-v", "db:/var/db", "HEAD", "--", "sh", "-c", shown).out == before
    data("run", "-v", "db:/var/db", "HEAD", "--", "sh", "-c", "rm -r /var/db/* && echo two > /var/db/new")
    assert data("run", "-v", "db:/var/db", "HEAD", "--", "ls", "/var/db").lines() == ["new"]
    assert data("run", "-v", "plain:/var/db:nocopy", "HEAD", "--", "ls", "-A", "/var/db").lines() == []
    assert data("run", "-v", "plain:/var/db", "HEAD", "--", "ls", "-A", "/var/db").lines() == []
    assert (
        data("run", "-v", "db:/x:ro", "HEAD", "--", "sh", "-c", "cat /x/new; touch /x/no", status=None).out == "two\n"
    )
    assert data("run", "HEAD", "--", "cat", "/var/db/hard").out == "one\n"


def test_a_copy_that_was_cut_short_is_begun_again(data: Lab) -> None:
    data("volume", "create", "db")
    folder = data.git_dir / "volumes/db"
    (folder / "state").write_bytes(b"copying\n")
    (folder / "data/half").mkdir(mode=0o777)
    (folder / "data/half").chmod(0o777)
    if os.geteuid() == 0:
        owner = (folder / "data").stat()
        os.chown(folder / "data/half", owner.st_uid, owner.st_gid)
    assert "half" not in data("run", "-v", "db:/var/db", "HEAD", "--", "ls", "/var/db").lines()
    assert (folder / "state").read_bytes() == b"used\n"
    data("volume", "create", "own")
    (data.git_dir / "volumes/own/data/mine").touch()
    assert data("run", "-v", "own:/var/db", "HEAD", "--", "ls", "/var/db").lines() == ["mine"]


def test_a_volume_belongs_to_nobody_s_history(data: Lab) -> None:
    """It survives sandboxes, gc, checkout, reset and undo; fsck and stock git do not mind it."""
    data("run", "-v", "db:/var/db", "--", "sh", "-c", "echo kept > /var/db/kept; touch /changed")
    data("commit", "-q", "-m", "beside it")
    data("undo")
    data("reset", "--hard")
    data("checkout", "-b", "other")
    data("gc", "--prune=now")
    data("fsck")
    assert data("run", "-v", "db:/x", "HEAD", "--", "cat", "/x/kept").out == "kept\n"


def test_two_sandboxes_share_a_volume(data: Lab) -> None:
    script = "touch /x/first; echo ready; while [ ! -e /x/second ]; do sleep 0.05; done; touch /x/seen; sleep 60"
    with Background(data, "-v", "db:/x", "HEAD", "--", "sh", "-c", script):
        wait = "while [ ! -e /x/seen ]; do sleep 0.05; done"
        data("run", "-v", "db:/x", "HEAD", "--", "sh", "-c", f"[ -e /x/first ] && touch /x/second; {wait}")


def test_a_volume_in_use_is_not_removed(data: Lab) -> None:
    with Background(data, "-v", "db:/x", "HEAD", "--", "sh", "-c", "echo ready; sleep 60"):
        _layers_in_use(data)
        volume = data("volume", "inspect", "db", "--json").json()["volumes"][0]
        assert len(volume["running"]) == 1 and not volume["anonymous"]
        data("volume", "create", "free")
        data.fails("volume", "rm", "free", "db", status=1, says="is mounted in the running sandbox", hint="let it end")
        assert data("volume", "prune", "--all", "--yes").out == "Removed volume free\n"
    for _ in range(100):
        if not data("volume", "inspect", "db", "--json").json()["volumes"][0]["running"]:
            break
        time.sleep(0.05)
    assert data("volume", "rm", "db").out == "Removed volume db\n"
    assert data("volume", "ls").out == "" and os.listdir(data.git_dir / "volumes") == []


def test_listing_and_pruning(data: Lab) -> None:
    data("run", "-v", "/anonymous", "-v", "named:/x", "HEAD", "--", "true")
    made = data("volume", "create").out.strip()
    data("volume", "create", "named", "b", "a")
    names = data("volume", "ls", "-q").lines()
    assert [name for name in names if len(name) < 64] == ["a", "b", "named"] and made in names
    assert [volume["name"] for volume in data("volume", "ls", "--json").json()["volumes"]] == names
    data.fails("volume", "prune", status=2, says="would be removed for good", hint="envgit volume prune --yes")
    assert f"Would remove volume {made}" in data("volume", "prune", "-n").lines()
    data("volume", "prune", "--yes")
    assert data("volume", "ls", "-q").lines() == ["a", "b", "named"]
    data.fails("volume", "rm", "a", "none", status=1, says="there is no volume 'none'", hint="envgit volume ls")
    data.fails("volume", "create", "../up", status=2, says="no name of a volume", hint="letters")
    assert data("volume", "ls", "-q").lines() == ["a", "b", "named"]
    assert not (data.git_dir / "up").exists()


def test_a_volume_s_files_cannot_lead_its_subpath_out(data: Lab) -> None:
    data(
        "run",
        "-v",
        "db:/x",
        "HEAD",
        "--",
        "sh",
        "-c",
        "mkdir /x/in && touch /x/in/mark; ln -s /etc /x/out; ln -s ../../../../.. /x/up",
    )
    mount = "--mount", "type=volume,src=db,dst=/y,volume-subpath={}"
    assert data("run", mount[0], mount[1].format("in"), "HEAD", "--", "ls", "/y").lines() == ["mark"]
    assert "mark" not in data("run", mount[0], mount[1].format("up"), "HEAD", "--", "ls", "/y").out
    assert sorted(data("run", mount[0], mount[1].format("up"), "HEAD", "--", "ls", "/y").lines()) == ["in", "out", "up"]
    data("run", mount[0], mount[1].format("out"), "HEAD", "--", "true", status=125)


def test_the_project_is_mounted_without_its_store(data: Lab) -> None:
    (data.path / "file").write_text("mine\n")
    done = data("run", "-v", ".:/src", "HEAD", "--", "sh", "-c", "cat /src/file; ls -A /src/.envgit")
    assert done.out == "mine\n"
    data("run", "-v", f"{data.git_dir}:/x", "HEAD", "--", "true", status=125)


def test_a_path_of_another_revision(data: Lab) -> None:
    data("run", "--", "sh", "-c", "echo newer > /etc/motd")
    data("commit", "-q", "-m", "newer")
    mount = "type=rev,src=HEAD~2:/etc,dst=/old"
    done = data(
        "run", "--mount", mount, "--", "sh", "-c", "cat /old/motd /etc/motd; touch /old/x 2>/dev/null || echo no"
    )
    assert done.out == "welcome\nnewer\nno\n"
    assert data("run", "--mount", "type=rev,src=HEAD~2:/etc/motd,dst=/m", "HEAD", "--", "cat", "/m").out == "welcome\n"
    data("run", "--mount", "type=rev,src=nobody:/etc,dst=/old", "HEAD", "--", "true", status=125)
    done = data("run", "--mount", "type=rev,src=HEAD:/none,dst=/old", "HEAD", "--", "true", status=125)
    assert "HEAD:/none: No such file" in done.err and "envgit ls REV:PATH" in done.err


def test_old_ways_that_fail_say_the_new_one(data: Lab) -> None:
    done = data("run", "-v", "/none/such:/x", "HEAD", "--", "true", status=125)
    assert "does not exist" in done.err and "mkdir -p /none/such" in done.err
    done = data("run", "-v", "a:/x", "--tmpfs", "/x", "HEAD", "--", "true", status=125)
    assert "two mounts have the target /x" in done.err


# what follows needs the runs to leave notes


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "host folder"
    folder.mkdir()
    yield folder


def test_a_commit_says_what_it_did_not_record(data: Lab, host: Path) -> None:
    mounts = ("-v", f"{host}:/src", "-v", "db:/var/db", "--tmpfs", "/memory", "--tmpfs", "/tmp/quiet",
              "--mount", "type=rev,src=HEAD:/etc,dst=/old")  # fmt: skip
    data("run", *mounts, "--", "sh", "-c", "touch /src/a /var/db/b /memory/c /changed")
    assert data.paths() == ["changed"]
    said = [line for line in data("commit", "-m", "with mounts").err.splitlines() if line.startswith("not recorded")]
    assert said == [
        "not recorded: /memory (memory)",
        "not recorded: /old (revision HEAD:/etc)",
        f"not recorded: /src (host: {host})",
        "not recorded: /var/db (volume db)",
    ]
    assert data.paths() == [] and "/src" in data("commit", "--amend", "-m", "once more").err
    data("run", "--", "touch", "/later")
    assert "not recorded" not in data("commit", "-m", "without mounts").err
    assert data("diff", "HEAD~2", "HEAD", "--name-status").lines() == ["A\tchanged", "A\tlater"]
    data("undo")
    data("undo")
    data("fsck")


def test_when_only_a_volume_changed(data: Lab) -> None:
    data("run", "-v", "db:/new/place", "--", "touch", "/new/place/file")
    assert data.changes() == []
    done = data.fails("commit", "-m", "nothing", status=1, says="nothing to commit", hint="envgit run")
    assert "not recorded: '/new/place' (volume db)" in done.err


def test_mount_points_are_changes_as_soon_as_they_are_used(data: Lab, host: Path) -> None:
    (host / "file").touch()
    data("run", "-v", "db:/a/b", "-v", f"{host}/file:/c", "-v", "db:/d", "-v", "db:/var/db", "--", "true")
    assert data.changes() == []
    data("run", "--", "sh", "-c", "touch /a/mine; echo x > /c; chmod 700 /d")
    assert sorted(data.paths()) in (["a/mine", "c", "d"], ["a", "a/mine", "c", "d"])
    data("commit", "-q", "-m", "used")
    assert (
        data("run", "HEAD", "--", "sh", "-c", "[ -e /a/b ] || echo gone; cat /c; stat -c %a /d").out == "gone\nx\n700\n"
    )
    data("fsck")


def test_gc_keeps_the_layers_of_a_mounted_revision(data: Lab) -> None:
    data("checkout", "-b", "gone")
    data("run", "--", "sh", "-c", "echo other > /etc/motd")
    data("commit", "-q", "-m", "other")
    data("checkout", "main")
    script = "echo ready; while [ ! -e /x/go ]; do sleep 0.05; done; cat /old/motd > /x/read"
    words = ("-v", "db:/x", "--mount", "type=rev,src=gone:/etc,dst=/old", "HEAD", "--", "sh", "-c", script)
    with Background(data, *words) as background:
        layers = set(_layers_in_use(data))
        data("branch", "-D", "gone")
        data("gc", "--prune=now")
        assert layers <= set(os.listdir(data.git_dir / "layers"))
        data("run", "-v", "db:/x", "HEAD", "--", "touch", "/x/go")
        assert background.process.wait(_START_SECONDS) == 0
    assert data("run", "-v", "db:/x", "HEAD", "--", "cat", "/x/read").out == "other\n"
    data("gc", "--prune=now")
    assert not layers <= set(os.listdir(data.git_dir / "layers"))  # the control: only the sandbox kept one of them


def _layers_in_use(lab: Lab) -> list[str]:
    """Return what the state of the running sandbox names; it is written just after the program's start."""
    for _ in range(200):
        for state in (lab.git_dir / "sandboxes").glob("*/state"):
            return [
                name for line in state.read_text().splitlines() if line[:7] == "layers " for name in line.split()[1:]
            ]
        time.sleep(0.05)
    raise AssertionError("no sandbox is running")


def test_notes_survive_odd_names_and_damage(data: Lab, host: Path) -> None:
    odd = host / "a b\nc\\d"
    odd.mkdir()
    data("run", "--mount", f'type=bind,"src={odd}","dst=/x y\tz"', "--", "touch", "/changed")
    assert data.paths() == ["changed"]
    notes = next((data.git_dir / "uppers").glob("*/mounts"))
    with notes.open("ab") as file:
        file.write(b"created\nsomething of a later version\nmounted x y\n\xff\xfe")
    assert r'not recorded: "/x y\tz"' in data("commit", "-m", "odd").err


def test_the_notes_are_what_keeps_mount_points_out(data: Lab) -> None:
    """The control: without the notes the mount points are changes."""
    data("run", "-v", "db:/new/place", "--", "true")
    assert data.paths() == []
    next((data.git_dir / "uppers").glob("*/mounts")).unlink()
    assert "new/place" in data.paths()


def test_volumes_of_another_sandbox(data: Lab) -> None:
    data(
        "run",
        "-d",
        "--name",
        "holder",
        "-v",
        "db:/x",
        "-v",
        "/anon",
        "--tmpfs",
        "/m",
        "HEAD",
        "--",
        "sh",
        "-c",
        "echo a > /x/a",
    )
    data("wait", "holder")
    done = data(
        "run",
        "--volumes-from",
        "holder:ro",
        "HEAD",
        "--",
        "sh",
        "-c",
        "cat /x/a; ls -d /anon; touch /x/b; ls -d /m",
        status=None,
    )
    assert done.out == "a\n/anon\n" and "Read-only" in done.err
    data.fails("volume", "rm", "db", status=1, says="in use by holder", hint="envgit rm holder")
    assert len(data("volume", "ls", "-q").lines()) == 2
    data("rm", "holder")
    data("volume", "prune", "--yes")
    assert data("volume", "ls", "-q").lines() == ["db"]
    assert data("run", "-v", "db:/x", "HEAD", "--", "cat", "/x/a").out == "a\n"  # named volumes outlive it
    data("volume", "rm", "db")
    data("run", "--volumes-from", "nobody", "HEAD", "--", "true", status=125)


def test_nothing_of_volumes_is_loaded_by_a_plain_run(data: Lab) -> None:
    data("run", "HEAD", "--", "true")
    program = (
        "import sys, os; from envgit.cli import start; leave = os._exit; pid = os.getpid()\n"
        "def end(status):\n"
        "    if os.getpid() == pid: print(sorted(name for name in sys.modules if 'envgit' in name), flush=True)\n"
        "    leave(status)\n"
        "os._exit = end; sys.argv = ['envgit', *sys.argv[1:]]; start.main()"
    )
    found = []
    for words in (("run", "HEAD", "--", "true"), ("run", "-v", "db:/x", "HEAD", "--", "true")):
        environment = {**command_environment({}), "PYTHONPATH": str(CHECKOUT)}
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, *words],
            cwd=data.path,
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    rare = ("envgit.exec.mount.sources", "envgit.exec.mount.copy_up", "envgit.sandbox.named_volumes")
    assert [[name in text.decode() for name in rare] for text in found] == [[False] * 3, [True] * 3]
