"""run --at: a command in the environment that a commit of the code was linked to."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import Lab, run_envgit
from tests.linking.code import Code, make_code


@pytest.fixture
def code(lab: Lab, tmp_path: Path) -> Code:
    """The project's folder is a git work tree as well: the usual layout."""
    return make_code(lab, lab.path, tmp_path)


def test_each_commit_of_the_code_has_its_environment(code: Code) -> None:
    first = code.linked("one")
    code.change("two")
    second = code.linked("two")
    (code.path / "app.py").write_text("print(2)\n")
    third = code.commit("the same environment")
    code.git("tag", "v1", first)
    for revision, text in (
        (first, "welcome"),
        ("v1", "welcome"),
        (second, "two"),
        (third, "two"),
        ("HEAD~2", "welcome"),
    ):
        assert code.motd("--at", revision) == f"{text}\n"
    assert (
        code.lab("run", "--network", "none", "--at", first[:8], "-e", "A=b", "--", "sh", "-c", "echo $A").out == "b\n"
    )
    assert code.lab("shell", "--network", "none", "--at", first, stdin=b"cat /etc/motd\n").out == "welcome\n"
    assert code.lab("run", "--network", "none", "--at", first, "--save", "fix", "--", "touch", "/srv/new").status == 0
    assert code.lab("ls", "fix", "/srv").out.count("new") == 1
    copies = code.lab("run", "--network", "none", "--at", first, "-n", "2", "--", "cat", "/etc/motd").out
    assert copies == "welcome\n" * 2


def test_variables_of_a_hook_do_not_lead_elsewhere(code: Code, tmp_path: Path) -> None:
    linked = code.linked("one")
    (tmp_path / "other").mkdir()
    subprocess.run(["git", "init", "-q", tmp_path / "other"], check=True)
    other = tmp_path / "other"
    misleading = {"GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_PREFIX": "x/", "GIT_INDEX_FILE": "x"}
    lab = replace(code.lab, variables={**code.lab.variables, **misleading})
    assert replace(code, lab=lab).motd("--at", linked) == "welcome\n"


def test_a_commit_without_a_link_names_the_nearest_ancestor(code: Code) -> None:
    before = code.git("rev-parse", "HEAD").strip()
    linked = code.linked("linked")
    code.commit("between")
    code.file.unlink()
    bare = code.commit("unlinked")
    code.lab.fails(
        "run", "--at", bare, "--", "true", status=125, says=f"{bare[:7]} of the code has no link", hint="--at "
    )
    done = code.lab("run", "--at", bare, "--", "true", status=125)
    named = done.err.rpartition("--at ")[2].strip()
    assert code.git("merge-base", "--is-ancestor", linked, named) == ""
    assert code.motd("--at", named) == "welcome\n"
    code.lab.fails("run", "--at", before, "--", "true", status=125, says="has no link", hint="envgit link")


@pytest.mark.parametrize("revision", ["nothing", "--upload-pack=x", "HEAD^{tree}", "", "a..b", "HEAD~99"])
def test_what_is_no_commit_of_the_code(code: Code, revision: str) -> None:
    code.lab.fails("run", f"--at={revision}", "--", "true", status=125, says="the code in", hint="git -C")


def test_a_revision_beside_at_is_refused(code: Code) -> None:
    code.lab.fails(
        "run", "--at", "HEAD", "main", "--", "true", status=125, says="--at names the revision", hint="leave"
    )


def test_an_environment_that_is_not_here(code: Code, tmp_path: Path, small_root: Path) -> None:
    linked = code.linked("linked")
    other = tmp_path / "clone"
    code.git("clone", "-q", str(code.path), str(other))
    root = tmp_path / "root"
    shutil.copytree(small_root, root, symlinks=True)
    (root / "etc/motd").write_text("another environment\n")
    run_envgit("init", "--from", f"dir:{root}", cwd=other)
    teammate = Code(other, code.lab.at(other))
    named = code.values()["commit"][:7]
    teammate.lab.fails(
        "run", "--at", linked, "--", "true", status=125, says=f"{named} (branch main) is not in this", hint="fetch"
    )
    teammate.link("--status", status=1)
    teammate.lab.git("fetch", "-q", str(code.lab.git_dir), "main:theirs")
    assert teammate.motd("--at", linked) == "welcome\n"


def test_an_equal_environment_serves_as_well(code: Code) -> None:
    """A build gives everybody the same trees, and commits that differ in their dates."""
    linked = code.linked("linked")
    values = code.values()
    code.file.write_text(f"commit {'0' * 39}1\ntree {values['tree']}\n")
    rebuilt = code.commit("as somebody else linked it")
    done = code.lab("run", "--network", "none", "--at", rebuilt, "--", "cat", "/etc/motd")
    assert done.out == "welcome\n" and "is the same environment" in done.err
    assert code.motd("--at", linked) == "welcome\n"


@pytest.mark.parametrize("kind", ["symlink", "large", "directory", "conflict", "tree"])
def test_a_link_that_is_none(code: Code, kind: str) -> None:
    tree = code.lab.head("HEAD^{tree}")
    if kind == "symlink":
        code.file.symlink_to("/etc/passwd")
    elif kind == "directory":
        code.file.mkdir()
        (code.file / "x").write_text("x")
    else:
        texts = {"large": "#" * 5000, "conflict": "<<<<<<< HEAD\n", "tree": f"commit {tree}\ntree {'0' * 40}\n"}
        code.file.write_text(texts[kind])
    bad = code.commit(kind)
    done = code.lab("run", "--at", bad, "--", "true", status=125)
    assert done.err.startswith("envgit: ") and "hint: " in done.err
    code.lab("link", "--status", status=1 if kind == "tree" else 2)
