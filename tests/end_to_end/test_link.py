"""Code and environment tied together: link, run --at, and the hooks, with stock git on the side of the code."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from envgit.errors import StorageError
from envgit.link import find_code, link_code
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.store import storage
from tests.lab import Lab
from tests.linking.code import LINK, Code, make_code


@pytest.fixture
def code(lab: Lab, tmp_path: Path) -> Code:
    """The project's folder is a git work tree as well: the usual layout."""
    return make_code(lab, lab.path, tmp_path)


# link


def test_the_file_names_the_environment_and_the_trailer_the_code(code: Code) -> None:
    before, code_oid = code.lab.head(), code.git("rev-parse", "HEAD").strip()
    done = code.link()
    after = code.lab.head()
    assert code.values() == {"commit": after, "tree": code.lab.head("HEAD^{tree}"), "branch": "main"}
    assert code.lab.head("HEAD~1") == before, "nothing is rewritten"
    assert code.lab.head("HEAD^{tree}") == code.lab.head("HEAD~1^{tree}")
    said = code.lab.git("log", "-1", "--format=%s%n%(trailers:key=Envgit-Code,valueonly)")
    assert said.split("\n")[:2] == [f"link to code {code_oid[:7]}: first", code_oid]
    assert f"git add {LINK}" in done.err and "envgit undo" in done.err
    assert code.git("status", "--porcelain") == f"?? {LINK}\n", ".envgit itself is none of git's business"


def test_linking_again_changes_nothing_until_something_changed(code: Code) -> None:
    code.link()
    head, text = code.lab.head(), code.file.read_bytes()
    assert "is linked to" in code.link().out
    code.commit("with the link")
    code.link()
    assert (code.lab.head(), code.file.read_bytes()) == (head, text)
    code.file.unlink()
    code.link()
    assert (code.lab.head(), code.file.read_bytes()) == (head, text), "only the file was missing"
    code.file.write_text("<<<<<<< HEAD\n")
    code.link()
    assert code.file.read_bytes() == text, "linking ends a conflict"
    other = code.change("two")
    code.link()
    assert code.lab.head("HEAD~1") == other and code.values()["commit"] == code.lab.head()


def test_before_the_first_commit_of_the_code_there_is_no_trailer(lab: Lab, tmp_path: Path) -> None:
    code = make_code(lab, lab.path, tmp_path)
    code.git("update-ref", "-d", "HEAD")
    head = lab.head()
    code.link()
    assert lab.head() == head and code.values()["commit"] == head


def test_uncommitted_changes_stay_and_are_spoken_of(code: Code) -> None:
    code.lab.sh("echo mine > /etc/motd")
    done = code.link(status=3)
    assert "uncommitted changes" in done.err
    assert code.lab.changes() == ["M etc/motd"]
    assert code.motd() == "mine\n" and code.motd("--at", code.commit("linked")) == "welcome\n"
    code.lab("commit", "-m", "mine")
    files = code.lab.git("show", "--name-only", "--format=").split()
    assert [name for name in files if not name.endswith("%meta")] == ["rootfs/etc/motd"]


def test_a_running_sandbox_is_left_alone(code: Code) -> None:
    process = code.lab.start(
        "run", "--network", "none", "--", "sh", "-c", "echo x > /srv/x; echo up; sleep 1000", stdout=subprocess.PIPE
    )
    assert process.stdout and process.stdout.readline() == b"up\n"
    try:
        code.link(status=3)
        assert code.lab.changes() == ["A srv/x"]
    finally:
        process.terminate()
        process.wait(20)
    code.lab("commit", "-m", "x")
    assert code.lab.changes() == []


def test_undo_takes_the_commit_back(code: Code) -> None:
    head = code.lab.head()
    code.link()
    code.lab("undo")
    assert code.lab.head() == head
    assert code.motd("--at", code.commit("linked")) == "welcome\n", "until gc the linked commit is there"


def test_a_detached_environment_is_linked_without_a_branch(code: Code) -> None:
    code.lab("checkout", "--detach")
    code.link()
    assert "branch" not in code.values()
    assert code.lab("branch", "--show-current").out == "" and code.lab.changes() == []


@pytest.mark.parametrize("layout", ["below", "above", "beside", "beside, in a home kept in git"])
def test_layouts(lab: Lab, tmp_path: Path, layout: str) -> None:
    top = {"below": lab.path.parent, "above": lab.path / "source", "beside": tmp_path / "code dir"}[
        layout.partition(",")[0]
    ]
    if "home" in layout:
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        layout = "beside"
    code = make_code(lab, top, tmp_path)
    there = code.lab.at(lab.path if layout == "below" else top)
    where = ["-C", str(lab.path)] if layout == "beside" else []
    extra = ["--code", str(top)] if layout == "beside" else []
    there(*where, "link", *extra)
    file = (lab.path if layout == "below" else top) / LINK
    code.git("add", "-f", str(file.relative_to(top)))
    code.git("commit", "-q", "-m", "linked")
    command = ("run", "--network", "none", "--at", "HEAD", "--", "cat", "/etc/motd")
    assert there(*where, *command).out == "welcome\n"
    if layout == "beside":
        assert code.lab(*command).out == "welcome\n", "envgit.code remembers where"


def test_where_there_is_no_code(lab: Lab) -> None:
    for words in (("link",), ("link", "--status"), ("link", "--code", "/nowhere")):
        lab.fails(*words, status=2, says="not in the work tree of a git repository", hint="--code DIR")
    lab.fails("run", "--at", "HEAD", "--", "true", status=125, says="not in the work tree", hint="git init")
    lab.fails("link", "--hook", "--status", status=2, says="exclude", hint="--help")


def test_without_git(code: Code) -> None:
    code.lab.fails("link", status=2, says="git, which keeps the code, was not found", hint="apt", PATH="/nowhere")


def test_an_ignored_file_is_spoken_of(code: Code) -> None:
    (code.path / ".gitignore").write_text(".envgit*\n")
    done = code.link(status=3)
    assert f"git add -f {LINK}" in done.err


def test_a_damaged_repository_of_the_code_gives_its_own_words(code: Code) -> None:
    (code.path / ".git/HEAD").write_text("nonsense\n")
    code.lab.fails("link", status=2, says="not a git repository", hint="git init")


def test_a_failure_between_the_two_halves_is_made_good_by_linking_again(
    code: Code, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", code.lab.variables["GIT_CONFIG_GLOBAL"])
    repo = Repository.open_(str(code.path), os.environ, NullMonitor())
    before = code.lab.head()

    def full(step: str) -> None:
        if step == "link-file-write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    storage.set_fault_hook(full)
    try:
        with pytest.raises(StorageError):
            link_code(repo, find_code(repo, str(code.path)))
    finally:
        storage.set_fault_hook(None)
    half = code.lab.head()
    assert code.lab.head("HEAD~1") == before and not code.file.exists()
    assert [path.name for path in code.path.iterdir() if path.name.startswith("tmp")] == []
    code.link()
    assert code.lab.head() == half == code.values()["commit"]


def test_code_with_sha256_ids(lab: Lab, tmp_path: Path) -> None:
    lab.path.joinpath(".git").mkdir()
    subprocess.run(["git", "init", "-q", "--object-format=sha256", lab.path], check=True)
    code = make_code(lab, lab.path, tmp_path)
    linked = code.linked("one")
    assert len(linked) == 64 and code.motd("--at", linked) == "welcome\n"
    assert f"Envgit-Code: {code.git('rev-parse', 'HEAD~1').strip()}" in code.lab("show", "-s").out


@pytest.mark.root_only
def test_code_of_somebody_else_gets_gits_own_advice(code: Code) -> None:
    subprocess.run(["chown", "-R", "12345:12345", code.path / ".git", code.path / "app.py"], check=True)
    os.chown(code.path, 12345, 12345)
    try:
        code.lab.fails("link", status=2, says="dubious ownership", hint="git config --global --add safe.directory")
    finally:
        subprocess.run(["chown", "-R", "0:0", code.path / ".git"], check=True)
        os.chown(code.path, 0, 0)


# status


def test_status(code: Code) -> None:
    assert "link         none" in code.link("--status", status=1).out
    code.link()
    assert "not committed" in code.link("--status").out
    code.commit("linked")
    done = code.link("--status")
    assert ", committed" in done.out and "as linked" in done.out and "post-checkout: none" in done.out
    code.change("two")
    assert "1 commits further than the link" in code.link("--status", status=1).out
    value = code.lab("link", "--status", "--json", status=1).json()
    assert (value["state"], value["ahead"], value["committed"], value["dirty"]) == ("different", 1, True, False)
    assert value["link"]["branch"] == "main" and value["hooks"]["post-merge"] == "absent"
    code.lab("checkout", "-b", "side", "HEAD~2")
    assert "as linked" in code.link("--status").out, "the same tree, whatever the commit"
    code.change("side")
    assert "another one" in code.link("--status", status=1).out
    code.lab("checkout", "main")
    code.lab.sh("echo x > /srv/x")
    code.link(status=3)
    assert "with uncommitted changes" in code.link("--status", status=1).out


def test_a_name_from_the_code_cannot_reach_the_terminal(code: Code) -> None:
    code.file.write_bytes(b"commit " + b"1" * 40 + b"\ntree " + b"2" * 40 + b"\nbranch \xc2\x9b31m\n")
    assert "\x9b" not in code.link("--status", status=1).out


# switch


def test_switch_goes_to_the_branch_or_detaches(code: Code) -> None:
    first = code.linked("one")
    code.lab("checkout", "-b", "side")
    code.change("side")
    second = code.linked("two")
    code.git("checkout", "-q", first)
    code.link("--switch")
    assert code.lab("branch", "--show-current").out == "main\n" and code.motd() == "welcome\n"
    code.git("checkout", "-q", second)
    assert "branch side" in code.link("--switch").out
    code.change("further")
    assert "detached" in code.link("--switch").out, (
        "the branch has moved on: the linked commit is what the code was tied to"
    )
    assert code.motd() == "side\n"
    assert "already" in code.link("--switch").out
    code.file.unlink()
    code.lab.fails("link", "--switch", status=1, says="no link", hint="envgit link")


def test_switch_keeps_uncommitted_changes_with_their_branch(code: Code) -> None:
    first = code.linked("one")
    code.lab("checkout", "-b", "side")
    code.change("side")
    code.linked("two")
    code.lab.sh("echo mine > /srv/mine")
    code.git("checkout", "-q", first)
    code.link("--switch")
    assert code.lab.changes() == []
    code.git("checkout", "-q", "trunk")
    assert "uncommitted changes" in code.link("--switch").out
    assert code.lab.changes() == ["A srv/mine"]


def test_remove(code: Code) -> None:
    code.link()
    code.link("--hook")
    assert code.link("--remove").out == f"removed post-checkout, post-merge, post-rewrite, {LINK}\n"
    assert not code.file.exists() and not (code.path / ".git/hooks/post-merge").exists()
    assert "nothing" in code.link("--remove").out
    assert os.listdir(code.path / ".git/hooks")[0].endswith(".sample")
