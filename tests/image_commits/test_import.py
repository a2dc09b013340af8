"""envgit import of an image: what the branch has afterwards."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.image_commits.test_chain import HISTORY
from tests.images.image_builder import BASE, TOP, Builder, named, tar
from tests.lab import Lab, assert_stock_git_is_content, run_envgit
from tests.sources.tar_builder import file

MORE = tar(file(b"srv/c", b"c"))


@pytest.fixture
def layout(tmp_path: Path) -> str:
    builder = Builder()
    two = builder.image(BASE, TOP, config={"User": "7"}, history=HISTORY)
    three = builder.image(BASE, TOP, MORE, config={"User": "7"})
    other = builder.image(tar(file(b"other", b"x")))
    bare = builder.manifest(builder.config([], {"Cmd": ["x"]}), [])
    images = [named(two, "two"), named(three, "three"), named(other, "other"), named(bare, "bare")]
    return f"oci:{builder.write(tmp_path / 'layout', *images)}"


@pytest.fixture
def project(tmp_path: Path, layout: str) -> Lab:
    run_envgit("init", "lab", "--from", f"{layout}:two", cwd=tmp_path)
    return Lab(tmp_path / "lab")


def subjects(lab: Lab, *words: str) -> list[str]:
    return lab.git("log", "--format=%s", *words).splitlines()


def test_the_chain_is_a_new_branch(project: Lab, tmp_path: Path) -> None:
    assert subjects(project) == ["RUN change", "ADD file:1 in /"]
    assert project.git("show", "main:rootfs/etc/motd") == "top\n"
    assert project.git("show", "main~1:rootfs/etc/motd") == "base\n"
    assert project.git("ls-tree", "--name-only", "main:rootfs/srv").split() == ["%meta", "b"]
    assert json.loads(project.git("show", "main~1:config.json")) == {"User": "7"}
    changes = project("diff", "--name-status", "main~1", "main").lines()
    assert changes == ["M\tetc/motd", "D\tetc/old", "D\tsrv/a", "A\tsrv/b"]
    assert "RUN change" in project("log", "--oneline").lines()[0]
    assert project("fsck").status == 0
    assert_stock_git_is_content(project.git_dir, tmp_path)


def test_two_projects_have_the_same_tip(project: Lab, layout: str, tmp_path: Path) -> None:
    run_envgit("init", "other", "--from", f"{layout}:two", cwd=tmp_path, GIT_AUTHOR_NAME="X", GIT_COMMITTER_NAME="Y")
    assert Lab(tmp_path / "other").head() == project.head()


def test_on_a_branch_with_commits_one_commit_joins_both(project: Lab, layout: str) -> None:
    old = project.head()
    done = project("import", f"{layout}:other")
    assert f"import {layout}:other" in done.out and "1 layer, 1 file" in done.out
    assert project.head("main^1") == old
    assert project.head("main^{tree}") == project.head("main^2^{tree}")
    assert subjects(project, "main^2") == ["layer 1"]
    assert project.git("log", "-1", "--format=%b").startswith("linux/amd64, digest sha256:")
    project("undo")
    assert project.head() == old


def test_more_layers_go_on_where_the_branch_is(project: Lab, layout: str) -> None:
    """Another image of the same layers: what is here is not read, and the branch's own commits stay below."""
    done = project("import", f"{layout}:three")
    assert "3 layers (2 here already)" in done.out
    assert project.git("show", "main:rootfs/srv/c") == "c"
    assert project.head("main~1^{tree}") != project.head("main~2^{tree}")


def test_the_branch_is_forwarded_along_a_chain(tmp_path: Path) -> None:
    builder = Builder()
    names = [named(builder.image(BASE), "one"), named(builder.image(BASE, TOP), "two")]
    layout = builder.write(tmp_path / "layout", *names)
    run_envgit("init", "lab", "--from", f"oci:{layout}:one", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    old = lab.head()
    lab("import", f"oci:{layout}:two")
    assert subjects(lab) == ["layer 2", "layer 1"] and lab.head("main~1") == old


def test_an_image_below_own_commits(project: Lab, layout: str) -> None:
    """The layers are history already: the import only sets the files again, and nothing when they are the same."""
    project("import", f"{layout}:other")
    tip = project.head()
    assert "all here already" in project("import", f"{layout}:other").out and project.head() == tip
    done = project("import", f"{layout}:two")
    assert "2 layers, all here already" in done.out and "nothing had" not in done.out
    assert project.head("main^@").split() == [tip]
    assert project.git("show", "main:rootfs/etc/motd") == "top\n"


def test_a_message_makes_a_commit_in_any_case(layout: str, tmp_path: Path) -> None:
    run_envgit("init", "lab", "--from", f"{layout}:two", "-m", "the base", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert subjects(lab) == ["the base", "RUN change", "ADD file:1 in /"]
    lab("import", f"{layout}:two", "-m", "again")
    assert subjects(lab, "--first-parent")[:2] == ["again", "the base"]


def test_squash(layout: str, tmp_path: Path, project: Lab) -> None:
    run_envgit("init", "one", "--from", f"{layout}:two", "--squash", cwd=tmp_path)
    lab = Lab(tmp_path / "one")
    assert subjects(lab) == [f"import {layout}:two"]
    assert lab.head("main^{tree}") == project.head("main^{tree}")
    lab("import", f"{layout}:two", "--squash")
    assert len(subjects(lab)) == 2
    for words in (("import", "dir:/etc", "--squash"), ("init", "x", "--squash")):
        lab.fails(*words, status=2, says="", hint="")


def test_a_dry_run(project: Lab, layout: str) -> None:
    before = project.git("count-objects", "-v")
    assert "would import 3 layers (2 here already), 3 files" in project("import", f"{layout}:three", "-n").out
    assert "all here already; nothing was recorded" in project("import", f"{layout}:two", "-n").out
    assert project.git("count-objects", "-v") == before


def test_an_image_without_layers(layout: str, tmp_path: Path) -> None:
    run_envgit("init", "lab", "--from", f"{layout}:bare", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert subjects(lab) == ["an image without layers"]
    assert lab.git("ls-tree", "--name-only", "main:rootfs").split() == ["%meta"]


def test_a_detached_head(project: Lab, layout: str) -> None:
    project("checkout", "--detach", "HEAD~1")
    project("import", f"{layout}:two")
    assert project.head() == project.head("main")


def test_own_changes_of_a_layer_are_no_layer(project: Lab, layout: str) -> None:
    """Amending takes the trailers away: the commit is not what the chain says any more."""
    project.git("tag", "keep", "main")
    project("commit", "--amend", "-m", "mine")
    assert "Envgit-Chain" not in project.git("log", "-1", "--format=%B")
    assert "Envgit-Chain" not in project("log", "-1").out


def test_what_gc_dropped_is_read_again(project: Lab, layout: str) -> None:
    project("import", f"{layout}:other")
    project("checkout", "-b", "rest")
    project("branch", "-D", "main")
    project("import", f"{layout}:three")
    project("gc", "--prune=now")
    assert "3 layers, all here already" in project("import", f"{layout}:three").out
    assert project("fsck").status == 0


HOSTILE_HISTORY = [
    {"created_by": "Envgit-Root: sha256:" + "0" * 64},
    {"created_by": "RUN x\n\nEnvgit-Chain: sha256:" + "0" * 64 + "\nEnvgit-Config: x\nSigned-off-by: me"},
    {"created_by": "a\0b\x1b[31mc\ud800\r\n" + "d" * 100_000, "created": "-9999-01-01T00:00:00Z"},
    {"created_by": "gpgsig -----BEGIN\n\n\n", "comment": "x" * 300},
]


def test_a_history_that_would_forge(tmp_path: Path) -> None:
    builder = Builder()
    archives = [tar(file(b"f", b"%d" % number)) for number in range(4)]
    layout = builder.write(tmp_path / "layout", builder.image(*archives, history=HOSTILE_HISTORY))
    run_envgit("init", "lab", "--from", f"oci:{layout}", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert lab("fsck").status == 0
    assert "\x1b" not in lab("log").out
    text = lab.git("log", "--format=%s")
    assert text.splitlines()[-1] == "layer: Envgit-Root: sha256:" + "0" * 64 and "\x1b" not in text
    assert "4 layers, all here already" in lab("import", f"oci:{layout}").out
    assert_stock_git_is_content(lab.git_dir, tmp_path)


def test_layers_are_not_signed_and_what_joins_them_is(project: Lab, layout: str, tmp_path: Path) -> None:
    """A signature would make the layers different for everybody."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", f"{key}.pub"), ("commit.gpgSign", "true")):
        project.git("config", name, value)
    project("import", f"{layout}:other")
    assert "gpgsig " in project.git("cat-file", "-p", "main")
    assert "gpgsig " not in project.git("cat-file", "-p", "main^2")
