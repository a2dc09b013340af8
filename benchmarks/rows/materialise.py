"""Materialising a tree from packs alone."""

from __future__ import annotations

import os

from ..bench import Bench
from ..contender import Contender
from ..peers.envgit import Envgit
from ..peers.git import Git
from ..row import Race, Row
from ..target import AtMostRatio
from ..trees import describe

_BLOBS = (":(top)rootfs", ":(top,exclude,glob)**/%meta", ":(top,exclude)rootfs/%links")


def races(bench: Bench) -> list[Race]:
    """The layer cache is deleted, then the revision is run; git checks the same blobs out of the same pack."""
    envgit, base = bench.envgit, bench.trees.base
    project = envgit.create(envgit.workspace.path("materialise"), base)
    contenders = [_envgit(envgit, project)]
    if bench.git:
        contenders.append(_git(bench.git, os.path.join(project, ".envgit")))
    note = f"{describe(base)}; envgit's figure includes the start of a sandbox"
    return [Race("materialise from packs alone", contenders, [AtMostRatio(1.0, "git")], note=note)]


def _envgit(envgit: Envgit, project: str) -> Contender:
    return Contender(
        envgit.name,
        prepare=lambda _: envgit.workspace.remove(os.path.join(project, ".envgit", "layers")),
        folder=project,
        commands=lambda _: [envgit.command("run", "main", "--", "true")],
    )


def _git(git: Git, source: str) -> Contender:
    """The repository of envgit, read with an index and a work tree of its own."""
    tree, clone = git.workspace.path("materialise-tree"), git.workspace.path("materialise-git")

    def prepare(_round: int) -> None:
        git.workspace.make("materialise-tree")
        git.workspace.run("git", "clone", "--quiet", "--bare", "--local", source, clone)

    return Contender(
        git.name,
        prepare=prepare,
        commands=lambda _: [git.command(clone, tree, "checkout", "--quiet", "main", "--", *_BLOBS)],
        clean=lambda _: git.workspace.remove(tree, clone),
    )


ROW = Row("materialise", races)
