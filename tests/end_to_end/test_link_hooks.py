"""The environment follows the code: hooks of stock git that switch it, never lose anything, and never fail git."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.linking.code import LINK, Code, make_code

HOOKS = ("post-checkout", "post-merge", "post-rewrite")


@pytest.fixture
def code(lab: Lab, tmp_path: Path) -> Code:
    """Code with two branches, trunk and topic, linked to the environment's main and side; the hooks are installed."""
    made = make_code(lab, lab.path, tmp_path)
    made.link()
    made.commit("trunk")
    made.git("checkout", "-q", "-b", "topic")
    made.lab("checkout", "-b", "side")
    made.change("side")
    made.linked("topic")
    made.git("checkout", "-q", "trunk")
    made.link("--switch")
    assert made.link("--hook").out == "git runs it now in: post-checkout, post-merge, post-rewrite\n"
    return made


def _branch(code: Code) -> str:
    return code.lab("branch", "--show-current").out.strip()


def test_a_checkout_switches_there_and_back(code: Code) -> None:
    said = code.git("checkout", "topic")
    assert "envgit: the environment is now at" in said and "(branch side)" in said and _branch(code) == "side"
    code.git("switch", "-q", "trunk")
    assert _branch(code) == "main"
    code.git("checkout", "-q", "--detach", "topic")
    assert _branch(code) == "side"
    assert "envgit" not in code.git("checkout", "-b", "new"), "the same environment is not spoken of"
    code.git("checkout", "topic", "--", "app.py")
    assert _branch(code) == "side"


def test_a_checkout_of_single_files_switches_nothing(code: Code) -> None:
    code.git("checkout", "topic", "--", LINK)
    assert _branch(code) == "main"
    code.git("restore", "--staged", "--worktree", LINK)


def test_merge_and_rebase_switch(code: Code) -> None:
    code.git("merge", "-q", "topic")
    assert _branch(code) == "side"
    code.git("reset", "-q", "--hard", "HEAD~1")
    code.link("--switch")
    (code.path / "other.py").write_text("print(3)\n")
    code.commit("meanwhile")
    code.git("checkout", "-q", "topic")
    code.git("rebase", "-q", "trunk")
    assert _branch(code) == "side"
    code.git("commit", "-q", "--amend", "-m", "amended")
    assert _branch(code) == "side"


def test_a_bisect_runs_in_the_environment_of_each_commit(code: Code) -> None:
    code.git("checkout", "-q", "topic")
    for number in range(4):
        (code.path / "app.py").write_text(f"print({number})\n")
        code.commit(f"number {number}")
    code.git("bisect", "start", "topic", "trunk~1")
    script = "envgit run --network none -- grep -q welcome /etc/motd"
    said = code.git("bisect", "run", "sh", "-c", script)
    assert "is the first bad commit" in said and "    topic\n" in said
    code.git("bisect", "reset")
    assert _branch(code) == "side"


def test_uncommitted_changes_stay_with_their_branch(code: Code) -> None:
    code.lab.sh("echo mine > /srv/mine")
    code.git("checkout", "-q", "topic")
    assert _branch(code) == "side" and code.lab.changes() == []
    assert "uncommitted changes from before" in code.git("checkout", "trunk")
    assert code.lab.changes() == ["A srv/mine"]


def test_a_detached_environment_with_changes_stays_and_git_goes_on(code: Code) -> None:
    code.lab("checkout", "--detach", "main")
    code.lab.sh("echo mine > /srv/mine")
    said = code.git("checkout", "topic")
    assert "does not follow" in said and "hint: " in said
    assert code.git("branch", "--show-current") == "topic\n" and code.lab.changes() == ["A srv/mine"]


def test_a_running_sandbox_is_left_running(code: Code) -> None:
    words = ("run", "-i", "--network", "none", "--", "sh", "-c", "echo up; read x; echo late > /srv/late")
    process = code.lab.start(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin and process.stdout and process.stdout.readline() == b"up\n"
    code.git("checkout", "-q", "topic")
    assert _branch(code) == "side"
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(20) == 0
    assert code.lab.changes() == []
    code.git("checkout", "-q", "trunk")
    assert code.lab.changes() == ["A srv/late"]


@pytest.mark.parametrize("trouble", ["missing", "conflict", "gone", "broken", "no envgit", "unreadable"])
def test_whatever_is_wrong_git_goes_on(code: Code, trouble: str) -> None:
    variables = {}
    if trouble == "missing":
        code.git("checkout", "-q", "topic")
        code.file.write_text(f"commit {'1' * 40}\ntree {'2' * 40}\nbranch main\n")
        code.commit("nowhere")
    elif trouble == "conflict":
        code.git("checkout", "-q", "topic")
        code.file.write_text("<<<<<<< ours\n")
        code.commit("unresolved")
    elif trouble == "gone":
        (code.path / ".envgit").rename(code.path / "elsewhere")
        (code.path / ".git/info/exclude").write_text("elsewhere\n")
    elif trouble == "broken":
        (code.path / ".envgit/requires").write_text("nonsense\n")
    elif trouble == "unreadable":
        (code.path / ".envgit/HEAD").write_text("ref: \n")
    else:
        variables["PATH"] = "/usr/bin:/bin"
    if trouble in ("missing", "conflict"):
        code.git("checkout", "-q", "trunk")
    there = replace(code, lab=replace(code.lab, variables={**code.lab.variables, **variables}))
    said = there.git("checkout", "topic")
    assert there.git("branch", "--show-current") == "topic\n"
    assert ("does not follow" in said) == (trouble not in ("gone", "no envgit")), said
    if trouble == "gone":
        (code.path / "elsewhere").rename(code.path / ".envgit")
    elif trouble == "broken":
        (code.path / ".envgit/requires").write_text("envgit-format-1\n")
    elif trouble == "unreadable":
        (code.path / ".envgit/HEAD").write_text("ref: refs/heads/main\n")


def test_a_writer_in_the_way_is_waited_for_and_then_named(code: Code) -> None:
    with open(code.lab.git_dir / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = code.git("checkout", "topic")
    assert "does not follow" in said and _branch(code) == "main"


def test_other_work_trees_of_the_code_do_not_switch(code: Code, tmp_path: Path) -> None:
    for place in (tmp_path / "second", code.path / "third"):
        code.git("worktree", "add", "-q", str(place), "topic")
        assert _branch(code) == "main"
        code.git("worktree", "remove", "--force", str(place))


def test_hooks_of_a_linked_work_tree_are_for_that_one(code: Code, tmp_path: Path) -> None:
    code.link("--remove")
    code.git("checkout", "-q", LINK)
    second = code.at(tmp_path / "second")
    code.git("worktree", "add", "-q", "--detach", str(second.path), "trunk")
    shutil.move(code.path / ".envgit", second.path / ".envgit")
    lab = code.lab.at(second.path)
    lab("link", "--hook")
    second.git("checkout", "-q", "topic")
    assert lab("branch", "--show-current").out == "side\n"
    code.git("checkout", "-q", "--detach", "topic")
    second.git("checkout", "-q", "--detach", "trunk")
    assert lab("branch", "--show-current").out == "main\n"
    shutil.move(second.path / ".envgit", code.path / ".envgit")
    code.git("checkout", "-q", "--detach", "trunk~1")
    assert _branch(code) == "main", "its own hooks are not installed"


def test_code_beside_the_environment(lab: Lab, tmp_path: Path) -> None:
    code = make_code(lab, tmp_path / "it's code", tmp_path)
    inside = replace(code.lab, path=lab.path)
    inside("link", "--code", str(code.path))
    code.commit("trunk")
    code.git("checkout", "-q", "-b", "topic")
    inside("checkout", "-b", "side")
    replace(code, lab=inside).change("side")
    inside("link")
    code.commit("topic")
    inside("link", "--hook")
    code.git("checkout", "-q", "trunk")
    assert inside("branch", "--show-current").out == "main\n"
    code.git("worktree", "add", "-q", str(tmp_path / "second"), "topic")
    assert inside("branch", "--show-current").out == "main\n"
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (code.path, lab.path):
        path.rename(moved / path.name)
    elsewhere = code.at(moved / code.path.name)
    elsewhere.git("worktree", "prune")
    elsewhere.git("worktree", "remove", "--force", str(tmp_path / "second"), status=128)
    elsewhere.git("checkout", "-q", "--detach", "topic")
    assert inside.at(moved / lab.path.name)("branch", "--show-current").out == "side\n", "hooks hold no absolute path"
    (moved / lab.path.name).rename(lab.path)


# installing


def test_hooks_are_installed_once_and_renewed(code: Code) -> None:
    folder = code.path / ".git/hooks"
    texts = {name: (folder / name).read_text() for name in HOOKS}
    assert all(os.access(folder / name, os.X_OK) for name in HOOKS)
    assert str(code.path) not in "".join(texts.values())
    assert "already" in code.link("--hook").out
    head, mark, _ = texts["post-merge"].split("\n", 2)
    (folder / "post-merge").write_text(f"{head}\n{mark}\nenvgit of an older version\n")
    assert code.link("--hook").out == "git runs it now in: post-merge\n"
    assert {name: (folder / name).read_text() for name in HOOKS} == texts


def test_hooks_that_find_no_envgit_are_warned_of(code: Code) -> None:
    """They would do nothing, and say nothing."""
    assert "PATH" not in code.link("--status").out
    assert code.lab("link", "--status", "--json").json()["program"]
    folders = [folder for folder in os.environ["PATH"].split(":") if shutil.which("envgit", path=folder) is None]
    without = replace(code, lab=replace(code.lab, variables={**code.lab.variables, "PATH": ":".join(folders)}))
    done = without.link("--hook", status=3)
    assert "already" in done.out and "the hooks do nothing: envgit is not in PATH: add the folder" in done.err
    done = without.link("--status")
    assert (
        done.lines()[-1].strip() == "the hooks do nothing: envgit is not in PATH" and "hint: add the folder" in done.err
    )
    assert without.lab("link", "--status", "--json").json()["program"] is None
    assert without.git("checkout", "topic").count("envgit") == 0 and _branch(code) == "main"
    without.link("--remove")
    assert "PATH" not in without.link("--status", status=1).out, "nothing is installed that could do nothing"


def test_hooks_before_a_link_say_what_is_missing(code: Code) -> None:
    code.link("--remove")
    assert "hint: there is no link yet: envgit link\n" in code.link("--hook").err


def test_the_hook_of_somebody_else_is_left_alone(code: Code) -> None:
    code.link("--remove")
    code.link()
    hook = code.path / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\necho theirs\n")
    hook.chmod(0o755)
    done = code.lab.fails("link", "--hook", status=1, says="the hook post-checkout in", hint="add these lines")
    assert sorted(path.name for path in hook.parent.iterdir() if path.suffix != ".sample") == ["post-checkout"]
    line = next(line for line in done.err.splitlines() if "link --switch" in line)
    hook.write_text(f"#!/bin/sh\necho theirs\n{line.strip()}\n")
    assert code.link("--hook").out == "git runs it now in: post-merge, post-rewrite\n"
    said = code.git("checkout", "-f", "topic")
    assert "theirs" in said and _branch(code) == "side"
    assert "called by a hook of yours" in code.link("--status").out
    done = code.link("--remove")
    assert "removed post-merge, post-rewrite" in done.out and "is yours" in done.err
    assert "theirs" in hook.read_text()


@pytest.mark.parametrize("place", ["/dev/null", ".githooks", "~/hooks"])
def test_a_folder_of_hooks_that_others_share_is_left_alone(code: Code, place: str) -> None:
    code.link("--remove")
    code.git("config", "core.hooksPath", place)
    done = code.lab.fails("link", "--hook", status=1, says="is not envgit's to write", hint="add these lines")
    assert done.err.count("envgit -C") == 3
    assert not (code.path / ".githooks").exists()
    assert "not envgit's" in code.link("--status", status=1).out
    code.git("config", "core.hooksPath", ".git/hooks")
    assert code.link("--hook").status == 0, "the usual folder by another way"
