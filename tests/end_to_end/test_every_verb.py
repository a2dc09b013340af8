"""Every verb once, as a user types it, and every listing as JSON."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from envgit.cli.verb_table import VERBS
from tests.lab import Lab, run_envgit


@pytest.mark.parametrize("name", VERBS)
def test_help(tmp_path: Path, name: str) -> None:
    done = run_envgit(name, "--help", cwd=tmp_path)
    assert done.out.startswith("Usage: ")
    assert done.err == ""


def test_init_and_import(tmp_path: Path, small_root: Path) -> None:
    run_envgit("init", "lab", "-b", "trunk", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    again = lab("init")
    assert "einitiali" in again.out
    lab("import", "--dry-run", f"dir:{small_root}")
    assert lab.git("for-each-ref") == ""
    lab("import", f"dir:{small_root}", "-m", "small")
    assert lab("branch", "--show-current").out == "trunk\n"
    assert lab.git("log", "--format=%s") == "small\n"
    archive = tmp_path / "small.tar"
    subprocess.run(["tar", "--numeric-owner", "-C", small_root, "-cf", archive, "."], check=True)
    lab("import", "tar:-", "-m", "from a pipe", stdin=archive.read_bytes())
    assert lab("show", "-s").out.count("from a pipe") == 1
    lab.fails("init", "--from", f"dir:{small_root}", status=1, says="commits already", hint="import")


def test_run_options(lab: Lab, tmp_path: Path) -> None:
    assert lab("run", "-e", "A=b", "--", "sh", "-c", "echo $A").out == "b\n"
    assert lab("run", "-e", "MINE", "--", "sh", "-c", "echo $MINE", MINE="yours").out == "yours\n"
    assert lab("run", "-w", "/srv", "--", "pwd").out == "/srv\n"
    assert lab("run", "--hostname", "box", "--", "hostname").out == "box\n"
    assert lab("run", "--read-only", "--", "touch", "/srv/x", status=1).out == ""
    assert lab("run", "-i", "--", "cat", stdin=b"in\n").out == "in\n"
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("shared\n")
    assert lab("run", "-v", f"{tmp_path}/shared:/mnt:ro", "--", "cat", "/mnt/file").out == "shared\n"
    lab("run", "-v", f"{tmp_path}/shared:/mnt:ro", "--", "touch", "/mnt/new", status=1)
    assert lab.changes() == []
    assert lab("run", "--network", "none", "--", "cat", "/proc/net/dev").out.count(":") == 1, "only the loopback"
    assert "eth0:" in lab("run", "--", "cat", "/proc/net/dev").out
    assert lab("shell", stdin=b"echo from the shell\n").out == "from the shell\n"


def test_looking(lab: Lab) -> None:
    lab.sh("echo changed > /etc/motd; mkdir /srv/app; ln -s x /srv/app/link")
    lab("commit", "-m", "subject", "-m", "body")
    lab.sh("echo again > /etc/motd")
    assert lab("cat", "HEAD:etc/motd").out == "changed\n"
    assert lab("cat", "etc/motd").out == "again\n"
    assert lab("ls", "HEAD:srv").lines() == ["app/", "lines"]
    assert "srv/app/link" in lab("ls", "-r", "HEAD").out
    assert "link -> x" in lab("ls", "-l", "HEAD:srv/app").out
    assert "body" in lab("show").out
    assert lab("show", "HEAD:etc/motd").out == "changed\n"
    assert "1 file changed" in lab("diff", "--stat").out
    assert lab("diff", "--quiet", status=1).out == ""
    assert lab("diff", "HEAD~1", "HEAD", "--name-status", "--", "etc").out == "M\tetc/motd\n"
    assert lab("log", "--oneline", "--", "srv/app").out.count("\n") == 1
    assert lab("log", "-1", "--reverse").out.count("commit ") == 1
    assert lab("log", "--grep", "nothing like it").out == ""


@pytest.mark.parametrize(
    "words", ["status", "diff", "log", "show", "branch", "tag", "ls HEAD", "op log", "fsck", "config --list", "doctor", "version"]
)  # fmt: skip
def test_json(lab: Lab, words: str) -> None:
    lab.sh("echo changed > /etc/motd; printf x > \"$(printf '/srv/\\377odd')\"")
    lab("tag", "v1")
    done = lab(*words.split(), "--json", status=None)
    assert done.status in (0, 1, 3), done
    documents = [json.loads(line) for line in done.lines()] if _is_lines(done.out) else [json.loads(done.out)]
    assert documents


def _is_lines(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return True
    return False


def test_branches_and_tags(lab: Lab) -> None:
    first = lab.head()
    lab("branch", "topic")
    lab("switch", "topic")
    lab("switch", "-c", "other", "main")
    lab("branch", "-m", "other", "renamed")
    assert lab("branch").out.split() == ["main", "*", "renamed", "topic"]
    lab("tag", "light")
    lab("tag", "-a", "-m", "heavy", "v1")
    assert lab("tag").lines() == ["light", "v1"]
    assert lab("show", "-s", "v1").out.startswith("tag v1\n")
    lab("tag", "-d", "light")
    lab("undo")
    assert lab.head("light") == first
    lab("branch", "-d", "topic")
    lab("checkout", "v1")
    assert "detached" in lab("status").out
    lab("checkout", "-")
    assert lab("branch", "--show-current").out == "renamed\n"


def test_revisions_in_every_spelling(lab: Lab) -> None:
    for number in (1, 2, 3):
        lab.sh(f"echo {number} > /srv/number")
        lab("commit", "-m", f"number {number}")
    tip = lab.head()
    lab("tag", "-m", "annotated", "v1", "HEAD~1")
    spellings = {
        "main": 3, "HEAD": 3, "@": 3, tip: 3, tip[:8]: 3, "main~1": 2, "main^": 2, "main~2": 1, "main^^": 1, "@{1}": 2,
        "main@{2}": 1, "v1": 2, "v1^{}": 2, "v1~1": 1, "HEAD^{/number 2}": 2, "refs/heads/main": 3,
        "heads/main": 3,
    }  # fmt: skip
    for spelling, number in spellings.items():
        assert lab("cat", f"{spelling}:srv/number").out == f"{number}\n", spelling
    assert lab("log", "--oneline", "main~2..main").out.count("\n") == 2
    assert lab("run", ":/number 2", "--", "cat", "/srv/number").out == "2\n"


def test_amend_allow_empty_author_and_date(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one", "--author", "Some Body <some@example.org>", "--date", "2020-02-02T02:02:02+0000")
    old = lab.head()
    lab.sh("echo 2 > /srv/two")
    lab("commit", "--amend", "--no-edit")
    assert lab.git("log", "-1", "--format=%an <%ae> %ad %s", "--date=iso-strict").strip() in (
        "Some Body <some@example.org> 2020-02-02T02:02:02+00:00 one",
        "Some Body <some@example.org> 2020-02-02T02:02:02Z one",
    )
    assert lab.look("HEAD", "ls /srv") == "lines\none\ntwo\n"
    lab("undo")
    assert lab.head() == old
    assert lab.changes() == ["A srv/two"]
    lab("reset", "--hard")
    lab("commit", "--allow-empty", "-m", "nothing")
    assert lab.head("HEAD^{tree}") == lab.head("HEAD~1^{tree}")
    message = lab.path / "message"
    message.write_text("from a file\n")
    lab("commit", "--allow-empty", "-F", str(message))
    assert lab.git("log", "-1", "--format=%s").strip() == "from a file"


def test_undo_and_the_operation_log(lab: Lab) -> None:
    for number in (1, 2):
        lab.sh(f"echo {number} > /srv/{number}")
        lab("commit", "-m", str(number))
    operations = lab("op", "log").out
    assert operations.index("commit") < operations.index("import")
    lab("checkout", "-b", "side")
    lab("undo")
    assert lab("branch", "--show-current").out == "main\n"
    assert lab("branch").out.split() == ["*", "main"]
    lab("undo")
    assert lab("branch", "--show-current").out == "side\n"


def test_care(lab: Lab) -> None:
    assert "no problems" in lab("fsck").err + lab("fsck").out
    lab("gc", "--dry-run")
    lab("gc")
    assert lab("doctor", status=None).status in (0, 1, 3)
    lab("config", "user.name", "Somebody Else")
    assert lab("config", "user.name").out == "Somebody Else\n"
    lab("config", "--unset", "user.name")
    assert lab("completion", "bash").out
    assert lab("version").out.startswith("envgit")


def test_from_a_folder_below_and_with_dash_c(lab: Lab) -> None:
    below = lab.path / "a/b"
    below.mkdir(parents=True)
    assert lab.at(below)("status").out == lab("status").out
    assert run_envgit("-C", str(lab.path), "status", cwd=Path("/")).out == lab("status").out


def test_a_tag_that_git_deleted_is_said_and_no_damage(lab: Lab) -> None:
    for name in ("v1", "v2", "v3"):
        lab("tag", name)
    lab.git("tag", "-d", "v1")
    lab("tag", "-d", "v2")
    done = lab("fsck", status=3)
    assert "refs/tags/v1: operation" in done.err
    assert "update-ref refs/tags/v1" in done.err
    assert "refs/tags/v2" not in done.err + done.out
    assert "no problems" in done.err


def test_configuration_and_identity_read_the_same_files(lab: Lab, tmp_path: Path) -> None:
    """git's variables choose the files of each scope, for `config` as for who commits."""
    files = {}
    for name in ("system", "global", "home/.gitconfig", "xdg/git/config"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[user]\n\tname = {name}\n\temail = {name}@example.org\n")
        files[name] = str(path)
    nobody = {f"GIT_{role}_{what}": "" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    places = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "xdg"), "GIT_CONFIG_NOSYSTEM": "1"}
    scopes: dict[str, dict[str, str]] = {
        "global": {"GIT_CONFIG_GLOBAL": files["global"]},
        "system": {"GIT_CONFIG_NOSYSTEM": "", "GIT_CONFIG_SYSTEM": files["system"], "GIT_CONFIG_GLOBAL": ""},
    }
    for expected, scope in scopes.items():
        there = replace(lab, variables={**nobody, **places, **scope})
        assert there("config", "user.name").out == f"{expected}\n"
        there("commit", "--allow-empty", "-m", expected)
        assert lab.git("log", "-1", "--format=%an").strip() == expected
    there = replace(lab, variables={**nobody, **places, **scopes["global"]})
    there("config", "user.name", "own")
    assert there("config", "user.name").out == "own\n"


@pytest.mark.parametrize("words", [("log",), ("status",), ("cat", "HEAD:etc/motd"), ("export", "HEAD", "tar:-")])
def test_a_full_standard_output_is_named(lab: Lab, words: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = lab.start(*words, stdout=full, stderr=subprocess.PIPE)
        said = done.communicate(timeout=60)[1].decode()
    assert done.returncode == 2
    assert "cannot write to standard output: No space left on device" in said
    assert "envgit gc" not in said
