"""Recipes that make no sense, options that do not either, and damage: one clear error, and nothing has changed."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.test_bad_build import declare, left_over
from tests.end_to_end.test_bad_machine import on_a_terminal
from tests.lab import Lab, remove


@pytest.fixture
def project(lab: Lab) -> Lab:
    lab("tag", "base")
    return lab


BAD_DECLARATIONS = {
    '[env]\nfrom = "base\n': (r"envgit\.toml:2:13: not TOML", None),
    "[env]\nfrom = base\n": (r"envgit\.toml:2:8: ", None),
    '[env]\nfrom = "base"\npakages = 1\n': (r"envgit\.toml:3:1: unknown key 'pakages'", None),
    '[env]\nfrom = "base"\n[packages]\napt = "curl"\n': (r"envgit\.toml:4:\d: 'apt'", None),
    '[env]\nfrom = "base"\n[[step]]\nran = "x"\n': (r"envgit\.toml:4:1: unknown key 'ran'", "run"),
    '[env]\nfrom = "base"\n[files]\n"/etc/x" = { sauce = "y" }\n': (
        r"envgit\.toml:4:\d+: unknown key 'sauce'",
        "source",
    ),
    '[env]\nfrom = "no-such-revision"\n': (r"no-such-revision", None),
    '[env]\nfrom = "tar:missing.tar"\n': (r"missing\.tar", None),
    '[env]\nfrom = "dir:missing"\n': (r"missing", None),
    '[env]\nfrom = "oci:missing"\n': (r"missing", None),
    '[env]\nextends = "missing.toml"\n': (r"missing\.toml", None),
    '[env]\nextends = "a"\n[env.a]\nextends = "b"\n[env.b]\nextends = "a"\n': (
        r"envgit\.toml:\d+:\d+: .*a.*b",
        None,
    ),
    '[env]\nfrom = "base"\n[files]\n"/etc/x" = { source = "conf/app.cnf" }\n': (r"conf/app\.cnf", "conf/app.conf"),
    '[env]\nfrom = "base"\n[[step]]\nrun = "x"\ninputs = ["missing/**"]\n': (r"missing", None),
    "": (r"envgit\.toml", None),
    "\xff\x00": (r"envgit\.toml", None),
}
BAD_DOCKERFILES = {
    "": (r"Dockerfile", None),
    "RUN true\n": (r"Dockerfile:1: ", "FROM"),
    "FROM base\nRUM true\n": (r"Dockerfile:2: .*RUM", "RUN"),
    "FROM base\nCOPY --form=x a b\n": (r"Dockerfile:2: .*form", None),
    "FROM base\nCOPY missing /\n": (r"Dockerfile:2: .*missing", None),
    "FROM base\nCOPY ../outside /\n": (r"Dockerfile:2: .*outside", None),
    "FROM base AS one\nCOPY --from=one /a /b\n": (r"Dockerfile:2: ", None),
    "FROM base AS one\nCOPY --from=two /a /b\nFROM base AS two\nCOPY --from=one /b /a\n": (
        r"Dockerfile:2: .*two",
        None,
    ),
    "FROM base\nRUN --mount=type=ssh true\n": (r"Dockerfile:2: .*ssh", "secret"),
    "FROM base\nRUN --security=insecure true\n": (r"Dockerfile:2: .*insecure", None),
    "FROM base\nRUN <<EOF\necho never closed\n": (r"Dockerfile:2: .*EOF", None),
    "FROM base\nADD https://github.com/x/y.git /src\n": (r"Dockerfile:2: .*git", None),
    "FROM $NOTHING\n": (r"Dockerfile:1: ", "build-arg"),
    "FROM oci:missing\n": (r"missing", None),
    "FROM base\nENV\n": (r"Dockerfile:2: ", None),
}


@pytest.mark.parametrize("text", BAD_DECLARATIONS)
def test_a_declaration_that_makes_no_sense(project: Lab, text: str) -> None:
    (project.path / "conf").mkdir()
    (project.path / "conf/app.conf").write_text("x")
    (project.path / "envgit.toml").write_bytes(text.encode("latin-1"))
    assert_refused(project, *BAD_DECLARATIONS[text])


@pytest.mark.parametrize("text", BAD_DOCKERFILES)
def test_a_dockerfile_that_makes_no_sense(project: Lab, text: str) -> None:
    (project.path / "Dockerfile").write_text(text)
    assert_refused(project, *BAD_DOCKERFILES[text])


def assert_refused(project: Lab, says: str, hint: str | None) -> None:
    """The build ends with one error that says where and what, and has changed nothing."""
    before = project.git("for-each-ref", "refs/heads", "HEAD")
    done = project("build", status=None)
    assert done.status in (1, 2), done
    errors = [line for line in done.err.splitlines() if line.startswith("envgit: ")]
    assert len(errors) == 1, done.err
    assert re.search(says, errors[0]), errors
    assert "internal error" not in errors[0]
    if hint is not None:
        assert hint in done.err.partition("hint: ")[2], done.err
    assert project.git("for-each-ref", "refs/heads", "HEAD") == before
    assert project.changes() == []
    assert left_over(project) == []


def test_a_cycle_of_extends_names_its_way(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        '[env.a]\nextends = "b"\n[env.b]\nextends = "c"\n[env.c]\nextends = "a"\n'
    )
    done = project("build", "a", status=2)
    for line in ("2", "4", "6"):
        assert f"envgit.toml:{line}" in done.err, done.err


def test_options_that_make_no_sense(project: Lab, tmp_path: Path) -> None:
    declare(project, "true")
    (project.path / "Dockerfile").write_text("FROM base\nARG KNOWN\nRUN true\n")
    large = tmp_path / "large"
    large.write_bytes(bytes(600 << 10))
    for words, says in (
        (("-f", "nowhere.toml"), "nowhere.toml"),
        (("-f", "/"), "/"),
        (("-f", "/dev/null"), "null"),
        (("--secret", "src=x"), "id"),
        (("--secret", "id=a,src=/nowhere"), "/nowhere"),
        (("--secret", "id=a,env=NO_SUCH_VARIABLE"), "NO_SUCH_VARIABLE"),
        (("--secret", "id=../a,env=HOME"), "../a"),
        (("--secret", f"id=a,src={large}"), "larger"),
        (("--secret", "id=a,env=HOME", "--secret", "id=a,env=PATH"), "twice"),
        (("--secret", "id=a,src=x,env=Y"), "both"),
        (("--secret", "key"), "'key'"),
        (("-f", "Dockerfile", "--build-arg", "=x"), "=x"),
        (("-f", "Dockerfile", "--target", "9"), "9"),
        (("-f", "Dockerfile", "name"), "name"),
        (("--branch", "..bad"), "bad"),
        (("--network", "all"), "all"),
        (("no/such/folder",), "no/such/folder"),
        (("-f", "Dockerfile", "--platform", "a/b/c/d"), "a/b/c/d"),
    ):
        before = project.head()
        done = project("build", *words, status=2)
        errors = [line for line in done.err.splitlines() if line.startswith("envgit: ")]
        assert len(errors) == 1 and says in errors[0], (words, done.err)
        assert project.head() == before


def test_no_repository_and_no_file(tmp_path: Path, project: Lab) -> None:
    outside = Lab(tmp_path / "outside")
    outside.path.mkdir()
    (outside.path / "Dockerfile").write_text("FROM scratch\n")
    for name in ("Dockerfile", "envgit.toml", "Containerfile"):
        (outside.path / "Dockerfile").rename(outside.path / name)
        outside.fails("build", status=2, says="not in an envgit repository", hint="envgit init ., then envgit build")
        (outside.path / name).rename(outside.path / "Dockerfile")
    assert outside("init").err == "hint: next: envgit build\n"
    outside("build")
    assert "hint: next: cd sub; envgit import host" in outside("init", "sub").err
    remove(outside.git_dir)
    project.fails("build", status=2, says="neither envgit.toml nor Dockerfile", hint="-f FILE")
    project.fails("plan", status=2, says="neither envgit.toml nor Dockerfile", hint="-f FILE")


def test_a_pipe_as_a_file_does_not_hang(project: Lab) -> None:
    for name in ("envgit.toml", "Dockerfile"):
        os.mkfifo(project.path / name)
        project("build", "-f", name, status=2)


@pytest.mark.parametrize(
    "status, text, says, hint",
    [
        (
            1,
            "FROM scratch\nRUN true\n",
            "/bin/sh does not exist in the environment",
            "it has no shell: name the program",
        ),
        (1, "FROM base\nUSER nobody-here\nRUN true\n", "no user 'nobody-here'", "or add the account first"),
        (1, "FROM base\nUSER root:nobody-here\nRUN true\n", "no group 'nobody-here'", "or add the group first"),
        (2, "FROM base\nCOPY zzz /\n", "zzz is not in the context", "the context has Dockerfile"),
    ],
)
def test_what_an_environment_lacks_is_said_with_a_way_on(
    project: Lab, status: int, text: str, says: str, hint: str
) -> None:
    (project.path / "Dockerfile").write_text(text)
    project.fails("build", status=status, says=says, hint=hint)


def test_what_a_file_says_does_not_reach_the_terminal_raw(project: Lab) -> None:
    (project.path / "Dockerfile").write_bytes(b"FROM base\nRUN echo 'a\x1b]0;title\x07b' >/dev/null\n")
    for words in (("plan",), ("build",), ("plan",), ("build",), ("export-recipe",)):
        said = on_a_terminal(project, *words)
        assert b"title" in said, words
        assert b"\x1b]0" not in said and b"\x07" not in said, words


def test_damage_of_the_cache_is_no_damage(project: Lab) -> None:
    declare(project, "echo 1 > /srv/1")
    project("build")
    head = project.head()
    index = project.git_dir / "build/index"
    assert index.read_bytes()
    for junk in (
        b"",
        b"\0" * 100,
        b"x" * 64 + b" " + b"y" * 40 + b"\n",
        index.read_bytes()[:-20],
        b"0" * 64 + b" " + head.encode() + b"\n",
    ):
        index.write_bytes(junk)
        (project.git_dir / "build/seen").unlink(missing_ok=True)
        done = project("build")
        assert "nothing to build" in done.out, junk
        assert project.head() == head


def test_a_commit_that_claims_a_key_is_no_other_environment(project: Lab) -> None:
    """A fetched commit can say that it is what a unit makes; that is git's trust, but its tree must be whole."""
    declare(project, "echo 1 > /srv/1")
    project("build")
    message = project.git("log", "-1", "--format=%B")
    assert re.search(r"^Envgit-Build: sha256:[0-9a-f]{64}$", message, re.MULTILINE)
    empty = (
        subprocess.run(
            ["git", "--git-dir", str(project.git_dir), "commit-tree", project.head("base^{tree}"), "-F", "-"],
            input=re.sub("Envgit-Root: sha256:.*", "Envgit-Root: sha256:" + "0" * 64, message).encode(),
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
    )
    project.git("update-ref", "refs/heads/forged", empty)
    project("reset", "--hard", "base")
    for name in project.git("for-each-ref", "--format=%(refname)", "refs/envgit").split():
        project.git("update-ref", "-d", name)
    (project.git_dir / "build/index").unlink()
    (project.git_dir / "build/seen").unlink(missing_ok=True)
    done = project("build")
    assert "(reused" not in done.err, done.err
    project.forget_layers()  # so that the next run verifies the whole tree
    assert project.look("HEAD", "cat /srv/1") == "1\n"
