"""Building from a declaration and from a Dockerfile: what becomes commits, what is reused, what is never recorded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab

DECLARATION = """
[env]
from = "base"

[files]
"/etc/app.conf" = { source = "conf/app.conf", mode = "0640" }
"/etc/given" = { content = "given\\n" }

[[step]]
run = "cat /etc/app.conf > /srv/one; echo one $STEP"
env = { STEP = "first" }

[[step]]
name = "second"
run = "echo two > /srv/two"

[config]
env = { GREETING = "hello" }
command = ["/bin/sh", "-c", "echo $GREETING"]
"""
UNITS = 4
DOCKERFILE = """\
FROM base AS made
ARG WORD=plain
RUN echo "$WORD" > /srv/word
FROM base
COPY --chmod=0644 conf/app.conf /etc/app.conf
COPY --from=made /srv/word /srv/word
WORKDIR /srv/app
ENV A=1
CMD ["/bin/sh", "-c", "echo $A"]
"""


@pytest.fixture
def project(lab: Lab) -> Lab:
    return make_project(lab)


def make_project(lab: Lab) -> Lab:
    """Give a project a tag `base`, a context and an envgit.toml."""
    lab("tag", "base")
    (lab.path / "conf").mkdir()
    (lab.path / "conf/app.conf").write_text("key = value\n")
    (lab.path / "envgit.toml").write_text(DECLARATION)
    return lab


def build(lab: Lab, *words: str, **options: Any) -> dict[str, Any]:
    """Build and return the result's document."""
    value: dict[str, Any] = lab("build", "--json", *words, **options).json()
    return value


def reused(document: dict[str, Any]) -> list[bool]:
    return [unit["reused"] for unit in document["units"]]


def edit(lab: Lab, old: str, new: str, name: str = "envgit.toml") -> None:
    path = lab.path / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def every_object(lab: Lab) -> bytes:
    command = ["git", "--git-dir", str(lab.git_dir), "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def test_each_unit_is_a_commit_and_the_second_build_makes_none(project: Lab) -> None:
    before = project.head()
    done = project("build", MINE="of the caller")
    assert re.fullmatch(r"\[main [0-9a-f]{7}\] 4 of 4 units built\n", done.out)
    assert "envgit undo" in done.err and "wrote envgit.lock" in done.err
    assert re.search(r"^\[1/4\] files: /etc/app.conf /etc/given  \(.+\)$", done.err, re.MULTILINE)
    assert re.search(r"^\[4/4\] [0-9a-f]{7} in [0-9.]+ s$", done.err, re.MULTILINE)
    assert "\none first\n" in done.err, "what programs print is seen"
    subjects = project.git("log", "--format=%s", f"{before}..HEAD").splitlines()
    assert subjects[::-1] == [
        "files: /etc/app.conf /etc/given",
        "cat /etc/app.conf > /srv/one; echo one $STEP",
        "second: echo two > /srv/two",
        "config",
    ]
    assert project("run").out == "hello\n"
    assert project.look("HEAD", "cat /srv/one /srv/two /etc/given; stat -c %a /etc/app.conf") == (
        "key = value\ntwo\ngiven\n640\n"
    )
    assert project.changes() == []
    assert project.git("show", "HEAD:envgit.toml") == DECLARATION
    head, operations = project.head(), project("op", "log").out
    again = project("build")
    assert again.out == f"[main {head[:7]}] nothing to build, 4 units reused\n"
    assert again.err.count("(reused ") == UNITS and "undo" not in again.err
    assert project.head() == head
    assert project("op", "log").out.count("* ") == operations.count("* "), "nothing happened, and nothing is to undo"


def test_a_change_rebuilds_from_there_and_taken_back_nothing(project: Lab) -> None:
    first = build(project)
    assert (first["built"], first["reused"], first["moved"], first["merged"]) == (4, 0, True, False)
    edit(project, "echo two", "echo zwei")
    second = build(project)
    assert reused(second) == [True, True, False, False]
    assert second["units"][2]["reason"] != "" and second["units"][0]["reason"] == ""
    assert second["merged"], "the tip is not below the result: history is not rewritten"
    assert project.git("merge-base", "--is-ancestor", first["oid"], "main") == ""
    assert project.look("HEAD", "cat /srv/two") == "zwei\n"
    edit(project, "echo zwei", "echo two")
    third = build(project)
    assert third["built"] == 0 and third["oid"] == first["oid"]
    assert project.head("main:rootfs") == project.head(f"{first['oid']}:rootfs")
    assert project.git("merge-base", "--is-ancestor", second["tip"], "main") == ""


def test_what_matters_is_content(project: Lab) -> None:
    build(project)
    os.utime(project.path / "conf/app.conf", (1, 1))
    (project.path / "conf/unused").write_text("x")
    edit(project, 'name = "second"\n', "# a comment\n")
    assert build(project)["built"] == 0
    (project.path / "conf/app.conf").write_text("key = other\n")
    changed = build(project)
    assert reused(changed) == [False, False, False, False]
    assert "conf/app.conf" in changed["units"][0]["reason"]
    (project.path / "conf/app.conf").chmod(0o600)
    assert build(project)["built"] == 0, "the declaration gives the mode"


def test_a_unit_that_comes_out_the_same_ends_the_rebuilding(project: Lab) -> None:
    build(project)
    edit(project, "echo two > /srv/two", "echo two >/srv/two")
    with_epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    build(project, **with_epoch)
    edit(project, "echo two >/srv/two", "true; echo two >/srv/two")
    assert reused(build(project, **with_epoch)) == [True, True, False, True]


def test_history_is_found_whatever_branch_it_is_on(
    project: Lab, labs: Callable[[Path], Lab], small_origin: Path
) -> None:
    first = build(project, "--branch", "made")
    assert first["branch"] == "made" and project("branch", "--show-current").out == "main\n"
    assert project.look("main", "ls /srv") == "lines\n"
    there = build(project)
    assert (there["built"], there["oid"]) == (0, first["oid"])
    assert project.head("main") == project.head("made")
    project.git("update-ref", "-d", "refs/heads/made")
    for path in (project.git_dir / "build").glob("*"):  # a cache: anybody may delete it
        if path.is_file():
            path.unlink()
    assert build(project)["built"] == 0
    other = labs(small_origin)
    other("tag", "base")
    for name in ("envgit.toml", "envgit.lock"):
        shutil.copy(project.path / name, other.path / name)
    shutil.copytree(project.path / "conf", other.path / "conf")
    assert other.head("base") == project.head("base")
    other.git("fetch", str(project.git_dir), "main:fetched")
    assert build(other)["built"] == 0, "what was fetched is reused, too"


def test_gc_keeps_what_the_last_build_made(project: Lab) -> None:
    first = build(project)
    project("reset", "--hard", "base")
    project("gc", "--prune=now")
    again = build(project)
    assert (again["built"], again["oid"]) == (0, first["oid"])


def test_no_cache_and_from_step(project: Lab) -> None:
    build(project)
    assert reused(build(project, "--no-cache")) == [False] * UNITS
    assert reused(build(project, "--from-step", "3")) == [True, True, False, False]
    assert reused(build(project, "--from-step", "second")) == [True, True, False, False]
    assert build(project)["built"] == 0
    project.fails("build", "--from-step", "nothing like it", status=2, says="nothing like it", hint="envgit plan")
    project.fails("build", "--from-step", "9", status=2, says="9", hint="envgit plan")


def test_plan_says_what_build_would_do_and_changes_nothing(project: Lab) -> None:
    def state() -> tuple[str, bytes]:
        return project.git("for-each-ref"), every_object(project)

    before = state()
    text = project("plan").out
    assert [line.split()[0] for line in text.splitlines()[:-1]] == ["build"] * UNITS
    assert "envgit.toml:6: " in text and text.endswith("4 of 4 units to build; nothing was changed\n")
    assert state() == before
    project("plan", "--exit-code", status=1)
    build(project)
    before = state()
    document = project("plan", "--json").json()
    assert document["version"] == 1 and document["to_build"] == 0
    assert [unit["action"] for unit in document["units"]] == ["reuse"] * UNITS
    assert project("plan", "--exit-code").out.endswith("nothing to build: 4 units reused\n")
    (project.path / "conf/app.conf").write_text("key = other\n")
    edit(project, "echo two", "echo zwei")
    document = project("build", "--plan", "--json").json()
    assert document["to_build"] == UNITS
    first, second, *_ = document["units"]
    assert first["action"] == "build" and "conf/app.conf" in first["reason"] and first["oid"] is None
    assert first["origin"] == {"file": "envgit.toml", "line": 6}
    assert second["action"] == "build" and second["reason"]
    assert state() == before


def test_quiet_and_undo(project: Lab) -> None:
    before = project.head()
    done = project("build", "-q")
    assert done.out == ""
    assert "[1/4]" not in done.err and "undo" not in done.err
    project("undo")
    assert project.head() == before
    assert project.look("HEAD", "ls /srv") == "lines\n"
    assert build(project)["built"] == 0


def test_uncommitted_changes_are_in_nobodys_way(project: Lab) -> None:
    project.sh("echo mine > /srv/mine")
    before = project.head()
    project.fails("build", status=1, says="uncommitted changes", hint="--branch")
    assert (project.head(), project.changes()) == (before, ["A srv/mine"])
    assert build(project, "--branch", "made")["built"] == UNITS
    assert (project.head(), project.changes()) == (before, ["A srv/mine"])
    project("commit", "-m", "mine")
    result = build(project)
    assert result["merged"] and project.look("HEAD", "ls /srv") == "lines\none\ntwo\n"
    assert project.look("HEAD^1", "ls /srv") == "lines\nmine\n"


@pytest.mark.parametrize("source", ["file", "variable"])
def test_a_secret_is_given_and_never_recorded(project: Lab, tmp_path: Path, source: str) -> None:
    (project.path / "envgit.toml").write_text(
        '[env]\nfrom = "base"\n[[step]]\nrun = "wc -c < /run/secrets/key > /srv/length; grep -c correct /run/secrets/key"\n'
        'secrets = ["key"]\n'
    )
    value = "correct horse battery staple"
    (tmp_path / "key").write_text(value)
    secret = f"id=key,src={tmp_path}/key" if source == "file" else "id=key,env=KEY"
    project.fails("build", status=2, says="secret", hint="--secret id=key")
    first = build(project, "--secret", secret, KEY=value)
    assert project.look("HEAD", "cat /srv/length").strip() == str(len(value))
    assert project.look("HEAD", "ls /run/secrets 2>&1 | grep -c No") == "1\n"
    recorded = every_object(project) + project("op", "log").out.encode()
    assert b"length" in recorded
    assert value.encode() not in recorded
    for path in project.git_dir.rglob("*"):
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK):
            assert value.encode() not in path.read_bytes(), path
    (tmp_path / "key").write_text("another")
    assert build(project, "--secret", secret, KEY="another")["oid"] == first["oid"], "its value is no part of the key"


def test_networks(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        '[env]\nfrom = "base"\n'
        '[[step]]\nrun = "grep -c : /proc/net/dev > /srv/default || true"\n'
        '[[step]]\nrun = "grep -c : /proc/net/dev > /srv/off || true"\nnetwork = false\n'
        '[[step]]\nrun = "grep -c : /proc/net/dev > /srv/on || true"\nnetwork = true\n'
    )
    build(project)
    assert project.look("HEAD", "cat /srv/default /srv/off /srv/on").split() == ["2", "1", "2"]
    build(project, "--no-cache", "--network", "none")
    assert project.look("HEAD", "cat /srv/default /srv/off /srv/on").split() == ["1", "1", "1"]


def test_nothing_of_the_caller_is_inside(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        '[env]\nfrom = "base"\n[[step]]\nrun = "env > /srv/env; cat > /srv/input; pwd > /srv/pwd; id -u > /srv/user"\n'
        'workdir = "/usr"\nuser = "ann"\n'
    )
    project("build", MINE="of the caller", status=1)  # ann may not write there
    edit(project, "env > /srv/env; cat > /srv/input; pwd > /srv/pwd; id -u > /srv/user", "env; cat; pwd; id -u")
    done = project("build", MINE="of the caller", stdin=b"typed")
    assert "MINE=" not in done.err and "typed" not in done.err
    assert "\n/usr\n1000\n" in done.err
    assert "typed" not in done.out


def test_inputs_are_there_while_the_step_runs(project: Lab) -> None:
    (project.path / "src/deep").mkdir(parents=True)
    (project.path / "src/deep/a.c").write_text("int a;\n")
    (project.path / "src/notes").write_text("x")
    (project.path / "envgit.toml").write_text(
        '[env]\nfrom = "base"\n[[step]]\nrun = "cd /run/envgit/inputs && find . -type f > /srv/list && ! touch x"\n'
        'inputs = ["src/**/*.c"]\n'
    )
    build(project)
    assert project.look("HEAD", "cat /srv/list; ls -d /run/envgit 2>/dev/null || true") == "./src/deep/a.c\n"
    (project.path / "src/notes").write_text("y")
    assert build(project)["built"] == 0
    (project.path / "src/deep/a.c").write_text("int b;\n")
    assert build(project)["built"] == 1


def test_several_environments(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        '[env.small]\nfrom = "base"\n[[env.small.step]]\nrun = "echo small > /srv/who"\n'
        '[env.large]\nextends = "small"\n[[env.large.step]]\nrun = "echo large >> /srv/who"\n'
    )
    project.fails("build", status=2, says="several environments", hint="small, large")
    project.fails("build", "huge", status=2, says="'huge'", hint=None)
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    assert build(project, "small", "--branch", "small", **epoch)["built"] == 1
    large = build(project, "large", "--branch", "large", **epoch)
    assert reused(large) == [True, False], "what both do is done once"
    assert project.look("large", "cat /srv/who") == "small\nlarge\n"
    assert project.look("small", "cat /srv/who") == "small\n"


def test_a_dockerfile(project: Lab) -> None:
    (project.path / "Dockerfile").write_text(DOCKERFILE)
    first = build(project, "-f", "Dockerfile")
    assert first["built"] == 6
    assert project("run").out == "1\n"
    assert project.look("HEAD", "cat /srv/word; pwd; stat -c %a /etc/app.conf") == "plain\n/srv/app\n644\n"
    assert build(project, "-f", "Dockerfile")["built"] == 0
    other = build(project, "-f", "Dockerfile", "--build-arg", "WORD=other", "--branch", "other")
    assert project.look("other", "cat /srv/word") == "other\n"
    assert [unit["reused"] for unit in other["units"]][:2] == [False, True], "the copied file, and what is before it"
    made = build(project, "-f", "Dockerfile", "--target", "made", "--branch", "made")
    assert made["built"] == 0 and project.look("made", "ls /etc/app.conf 2>&1; cat /srv/word").endswith("plain\n")
    project.fails("build", "-f", "Dockerfile", "--target", "mode", status=2, says="mode", hint="made")
    project.fails("build", "--target", "made", status=2, says="--target", hint=None)


def test_a_context_somewhere_else(project: Lab) -> None:
    (project.path / "docker").mkdir()
    (project.path / "docker/Dockerfile").write_text("FROM base\nCOPY conf/ /etc/conf/\n")
    (project.path / ".dockerignore").write_text("conf/private\n")
    (project.path / "conf/private").write_text("x")
    project.fails("build", "-f", "docker/Dockerfile", status=2, says="conf", hint=None)
    build(project, "-f", "docker/Dockerfile", ".")
    assert project.look("HEAD", "ls /etc/conf") == "app.conf\n"
    project.fails("build", "-f", "envgit.toml", ".", status=2, says="folder", hint="envgit build")
    (project.path / "envgit.toml").unlink()
    (project.path / "Dockerfile").write_text("FROM base\nRUN echo found > /srv/found\n")
    build(project, "./")
    assert project.look("HEAD", "cat /srv/found") == "found\n"


def test_the_same_declaration_in_two_places_gives_the_same_trees(
    project: Lab, labs: Callable[[Path], Lab], small_origin: Path, small_root: Path
) -> None:
    trees = []
    for lab in (project, labs(small_origin)):
        (lab.path / "conf").mkdir(exist_ok=True)
        (lab.path / "conf/app.conf").write_text("key = value\n")
        (lab.path / "envgit.toml").write_text(DECLARATION.replace('"base"', f'"dir:{small_root}"'))
        build(lab, "--branch", "made", SOURCE_DATE_EPOCH="1700000000")
        trees.append(lab.git("rev-parse", "made:rootfs", "made:config.json"))
    assert trees[0] == trees[1]


def test_a_base_of_its_own_is_a_commit(project: Lab, small_root: Path) -> None:
    (project.path / "envgit.toml").write_text(f'[env]\nfrom = "dir:{small_root}"\n[[step]]\nrun = "echo x > /srv/x"\n')
    first = build(project)
    assert (first["built"], first["merged"]) == (2, True)
    assert project.git("rev-list", "--count", first["oid"]).strip() == "2"
    again = build(project)
    assert (again["built"], again["moved"]) == (0, False)


def test_what_docker_has_and_envgit_has_not_is_named(project: Lab) -> None:
    project.fails("build", "-t", "name", status=2, says="-t is an option of docker", hint="--branch")
    project.fails("build", "--push", status=2, says="--push is an option of docker", hint="git --git-dir")
    project.fails("plan", "--cache-from", "x", status=2, says="--cache-from is an option of docker", hint="plan")
    project.fails("build", "--nonsense", status=2, says="--nonsense", hint="build --help")
