"""Building again: what --no-cache and --from-step made stays, undo takes it back; what a build replaces is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab

RANDOM = "cat /proc/sys/kernel/random/uuid > /srv/chance"


@pytest.fixture
def project(lab: Lab) -> Lab:
    lab("tag", "base")
    declare(lab, f"run = '{RANDOM}'", "run = 'echo two > /srv/two'")
    return lab


def declare(lab: Lab, *steps: str, more: str = "") -> None:
    """Write an envgit.toml of these steps, each the lines of its table."""
    text = "".join(f"[[step]]\n{step}\n" for step in steps)
    (lab.path / "envgit.toml").write_text(f'[env]\nfrom = "base"\n{more}{text}')


def build(lab: Lab, *words: str) -> dict[str, Any]:
    value: dict[str, Any] = lab("build", "--json", *words).json()
    return value


def chance(lab: Lab) -> str:
    return lab.look("HEAD", "cat /srv/chance")


@pytest.mark.parametrize("again", [("--no-cache",), ("--from-step", "1")])
def test_what_was_made_again_stays_until_it_is_undone(project: Lab, again: tuple[str, ...]) -> None:
    build(project)
    old = chance(project)
    build(project, *again)
    new, tip = chance(project), project.head()
    assert new != old
    assert build(project)["built"] == 0 and (chance(project), project.head()) == (new, tip)
    for name in ("index", "seen"):  # a cache
        (project.git_dir / "build" / name).unlink()
    assert build(project)["built"] == 0 and (chance(project), project.head()) == (new, tip)
    project("undo")
    assert chance(project) == old
    assert build(project)["built"] == 0 and chance(project) == old, "and with it that it counts"
    project("undo", status=None)
    build(project, *again)
    assert chance(project) not in (old, new)


def test_what_was_made_by_hand_and_is_replaced_is_named(project: Lab) -> None:
    build(project)
    project.sh("echo precious > /etc/precious")
    project("commit", "-m", "precious")
    hand = project.head()
    planned = project("plan", "--exit-code", status=1)
    assert "main: replaces what the branch had: 1 commit (precious)\n" in planned.out
    document = project("plan", "--json").json()
    assert (document["to_build"], document["branch"], document["move"]) == (0, "main", "merge")
    assert document["replaces"] == [{"oid": hand, "subject": "precious"}]
    done = project("build")
    assert done.out.endswith("2 units reused, replaces what the branch had: 1 commit (precious)\n")
    hint = f"envgit diff --stat {hand[:7]} {project.head()[:7]}"
    assert f"hint: what that changed: {hint}\n" in done.err
    assert "etc/precious" in project(*hint.split()[1:]).out
    assert project("plan", "--json", "--exit-code").json()["move"] == "stay"
    declare(project, "run = 'echo other > /srv/other'")
    assert project("plan", "--json").json()["replaces"] == [], "an earlier build replaced it"
    assert project("build").out.endswith("1 of 1 unit built, replaces the build before\n")


def test_the_build_of_another_environment_is_named(project: Lab) -> None:
    (project.path / "envgit.toml").write_text(
        '[env.one]\nfrom = "base"\n[[env.one.step]]\nrun = "echo 1 > /srv/1"\n'
        '[env.two]\nfrom = "base"\n[[env.two.step]]\nrun = "echo 2 > /srv/2"\n'
    )
    assert "--branch" not in project("build", "one").err
    done = project("build", "two")
    assert "replaces the build of one" in done.out
    assert "hint: main was the build of one; to have both: --branch NAME\n" in done.err
    assert "--branch" not in project("build", "two", "--no-cache").err
    assert "was the build of two" in project("build", "one").err


def test_a_failed_build_says_where_the_branch_is(project: Lab) -> None:
    declare(project, "run = 'echo good > /srv/good'", "run = 'exit 3'")
    done = project("build", status=1)
    head = project.head()
    assert f"[main {head[:7]}] 1 of 2 units built\nhint: to take this back: envgit undo\nenvgit: " in done.err
    assert f"[main {head[:7]}] 0 of 2 units built, 1 reused\nenvgit: " in project("build", status=1).err
    project("undo")
    project.sh("echo mine > /srv/mine")
    project("commit", "-m", "mine")
    done = project("build", status=1)
    assert f"\nmain stays at {project.head()[:7]}; the good units: refs/envgit/builds/default\nenvgit: " in done.err
    assert project.look("refs/envgit/builds/default", "cat /srv/good") == "good\n"
    assert "stays" not in project("build", "-q", status=1).err


def test_a_stage_that_fails_at_once_leaves_the_branch_alone(project: Lab) -> None:
    before = project.head()
    (project.path / "Dockerfile").write_text(
        "FROM base AS made\nRUN echo made > /srv/made\nFROM base\nRUN exit 3\nCOPY --from=made /srv/made /srv/\n"
    )
    done = project("build", "-f", "Dockerfile", status=1)
    assert project.head() == before and f"main stays at {before[:7]}" in done.err
    assert project.look("refs/envgit/builds/made", "cat /srv/made") == "made\n"


def test_plan_says_what_build_would_refuse(project: Lab) -> None:
    project.sh("echo mine > /srv/mine")
    done = project("plan", status=3)
    assert "warning: build would refuse: the worktree has uncommitted changes" in done.err
    assert "warning" not in project("plan", "--branch", "other").err


def test_steps_are_taken_by_the_number_that_is_shown(project: Lab, small_root: Path) -> None:
    step = "[[step]]\nname = '{0}'\nrun = 'echo {0} > /srv/{0}'\n"
    (project.path / "envgit.toml").write_text(
        f'[env]\nfrom = "dir:{small_root}"\n{step.format("one")}{step.format("two")}{step.format("one-two")}'
    )
    first = project("build").err
    assert "[1/4] from = " in first and "[2/4] one: echo one > /srv/one  (first build)" in first
    planned = project("plan", "--from-step", "3")
    assert [line.split()[0] for line in planned.lines()[:4]] == ["reuse", "reuse", "build", "build"]
    assert "[3/4] two: echo two" in planned.out and planned.out.count("asked for") == 2

    def reused(*words: str) -> list[bool]:
        return [unit["reused"] for unit in build(project, *words)["units"]]

    assert reused("--from-step", "3") == [True, True, False, False]
    assert reused("--from-step", "1") == [False] * 4
    assert reused("--from-step", "one") == [True, False, False, False], "a name before a text"
    for wrong in ("0", "5"):
        project.fails("build", "--from-step", wrong, status=2, says=f"no step {wrong}: the build has 4", hint="plan")
        project.fails("plan", "--from-step", wrong, status=2, says=f"no step {wrong}", hint="plan")


def reasons(lab: Lab, *words: str) -> list[str]:
    return [unit["reason"] for unit in lab("plan", "--json", *words).json()["units"]]


def test_reasons_tell_what_changed(project: Lab) -> None:
    declare(project, "run = 'true 1'\nenv = { V = '1' }", "name = 'n'\nrun = '''true 2\ntrue a'''", "run = 'true 3'")
    assert reasons(project) == ["first build"] * 3
    build(project)
    declare(project, "run = 'true 1'\nenv = { V = '2' }", "name = 'n'\nrun = '''true 2\ntrue b'''", "run = 'true 3'")
    assert reasons(project) == [
        "changed: V was 1, is 2",
        "changed: was: true 2 true a",
        "what it builds on changed",
    ]
    build(project)
    declare(project, "run = 'true 0'\nenv = { V = '2' }", "run = 'true 3'", "run = 'true 4'", "run = 'true 5'")
    assert reasons(project)[:2] == ["changed, was: true 1", "what it builds on changed"]
    assert reasons(project)[2:] == ["new", "new"]
    assert reasons(project, "--no-cache") == ["asked for"] * 4


def test_reasons_of_files_and_arguments(project: Lab) -> None:
    files = '[files]\n"/a" = {{ content = "{}", mode = "{}" }}\n"/b" = {{ content = "b" }}\n'
    declare(project, more=files.format("x", "0644"))
    build(project)
    declare(project, more=files.format("y", "0600"))
    assert reasons(project) == ["changed: content of /a, mode of /a was 0644, is 0600"]
    (project.path / "Dockerfile").write_text("FROM base\nARG V=1\nRUN echo $V > /srv/v\nENV E=1\n")
    build(project, "-f", "Dockerfile")
    planned = reasons(project, "-f", "Dockerfile", "--build-arg", "V=2")
    assert planned == ["changed: V was 1, is 2", "what it builds on changed"]


def test_the_lock_stays_after_undo_and_that_is_said(project: Lab) -> None:
    done = project("build")
    assert "hint: to take this back: envgit undo; envgit.lock, a file of yours, stays: rm envgit.lock\n" in done.err
    declare(project, "run = 'true'")
    assert "envgit undo; envgit.lock, a file of yours, stays: git checkout envgit.lock\n" in project("build").err


def test_a_secret_that_no_step_names_is_said(project: Lab) -> None:
    declare(project, "run = 'true'\nsecrets = ['key']")
    done = project("build", "--secret", "id=key,env=KEY", "--secret", "id=typo,env=KEY", KEY="k")
    assert "--secret id=typo: no step of the build names it\n" in done.err and "id=key:" not in done.err
