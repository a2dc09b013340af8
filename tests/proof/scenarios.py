"""The commands that change a repository, each with the state it starts from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import lab
from .child import envgit


class Scenario(NamedTuple):
    name: str
    words: tuple[str, ...]
    prepare: Callable[[Path], None]
    """Brings a copy of the small repository to where the command starts."""


def _as_it_is(project: Path) -> None:
    """The small repository itself."""


def _clean_without_cache(project: Path) -> None:
    envgit(project, "reset", "--hard").good()
    lab.lose_cache(project)


def _after_commit(project: Path) -> None:
    envgit(project, "commit", "-m", "four").good()


def _after_amend(project: Path) -> None:
    envgit(project, "commit", "--amend", "-m", "another three").good()


def _packed_refs(project: Path) -> None:
    assert lab.git(project, "pack-refs", "--all") == ""


def _below_itself(project: Path) -> None:
    envgit(project, "branch", "-m", "side", "side/deep").good()


def _garbage(project: Path) -> None:
    envgit(project, "commit", "-m", "lost").good()
    envgit(project, "reset", "--hard", "HEAD~1").good()
    envgit(project, "branch", "gone").good()
    envgit(project, "branch", "-D", "side").good()


SCENARIOS = (
    Scenario("commit", ("commit", "-m", "four"), _as_it_is),
    Scenario("commit, detached", ("commit", "--allow-empty", "-m", "four"), lambda p: _run(p, "checkout", "side~1")),
    Scenario("amend", ("commit", "--amend", "-m", "three again"), _as_it_is),
    Scenario("checkout", ("checkout", "side"), _as_it_is),
    Scenario("checkout a revision", ("checkout", "v1"), lambda p: _run(p, "reset", "--hard")),
    Scenario("checkout -b", ("checkout", "-b", "new/branch"), _as_it_is),
    Scenario("import", ("import", "tar:../source.tar", "-m", "again"), lambda p: _run(p, "reset", "--hard")),
    Scenario("reset --hard", ("reset", "--hard", "HEAD~1"), _as_it_is),
    Scenario("undo", ("undo",), _after_commit),
    Scenario("undo an amend", ("undo",), _after_amend),
    Scenario("branch -D, packed", ("branch", "-D", "side"), _packed_refs),
    Scenario("branch -m", ("branch", "-m", "side", "elsewhere/side"), _as_it_is),
    Scenario("branch -m below itself", ("branch", "-m", "main", "main/two"), _as_it_is),
    Scenario("branch -m above itself", ("branch", "-m", "side/deep", "side"), _below_itself),
    Scenario("tag", ("tag", "-a", "-m", "two", "v2"), _as_it_is),
    Scenario("restore", ("restore", "etc/motd", "etc/new"), _as_it_is),
    Scenario("gc", ("gc",), _as_it_is),
    Scenario("gc --prune=now", ("gc", "--prune=now"), _garbage),
    Scenario("first run", ("run", "--", "/bin/true"), _clean_without_cache),
    Scenario("first run of a revision", ("run", "side~1", "--", "/bin/true"), lab.lose_cache),
)


def _run(project: Path, *words: str) -> None:
    envgit(project, *words).good()
