"""Sharing: push, clone and first run of an environment of two commits, a push after one changed file, a push as an image."""

from __future__ import annotations

import os
import subprocess
import time
import zlib

from ..bench import Bench
from ..contender import Contender
from ..peers.container import IMAGE, ContainerEngine
from ..peers.envgit import Envgit
from ..peers.presence import Missing
from ..peers.registry import Registry
from ..row import Race, Row
from ..target import AtMostFigure, AtMostRatio, AtMostSeconds
from ..trees import copy, describe

_CHANGED_BYTES = 300_000
_PACKAGES = "/opt/packages"
_FORGOTTEN_SECONDS = 65
"""ext4 without a journal does not give out inodes that were freed in the last minute, and looks at each of them every time."""


def races(bench: Bench) -> list[Race]:
    """The base tree is the first commit, the Python packages are the second; images have the same two layers.

    Nothing is at the other side before each round; clones and pulls start without a cache of what this machine knows.
    """
    envgit, base, packages = bench.envgit, bench.trees.base, bench.trees.packages
    project = _make_project(envgit, "sharing-envgit", base, packages)
    fresh = Registry.start(bench.workspace, "registry-push")
    full = Registry.start(bench.workspace, "registry-pull")
    engine = bench.docker
    there = None if engine is None or isinstance(fresh, Missing) or isinstance(full, Missing) else engine
    for registry in (fresh, full):
        if isinstance(registry, Missing):
            bench.missing[registry.name] = registry.reason
    push, image, clone = [_push(envgit, project)], list[Contender](), list[Contender]()
    if bench.git:
        push.append(_push_by_git(envgit, project))
    if not isinstance(fresh, Missing):
        image.append(_push_image(envgit, project, fresh))
    clone.append(_clone(envgit, project, "envgit", ""))
    clone.append(_clone(envgit, project, "envgit, file://", "file://"))
    if there is not None and not isinstance(fresh, Missing) and not isinstance(full, Missing):
        _build_image(there, packages)
        push.append(_docker_push(there, fresh))
        image.append(_docker_push(there, fresh))
        clone.append(_docker_pull(there, full))
    note = f"{describe(base)}; {describe(packages)}"
    found = [
        Race("push of two commits", push, [AtMostRatio(0.15, "docker")], note),
        Race(
            "push after one changed file",
            *_push_change(envgit, _make_project(envgit, "sharing-change", base, packages)),
            f"{_CHANGED_BYTES:,} bytes in one file",
        ),
    ]
    if image:
        found.append(Race("push docker://", image, [AtMostRatio(0.5, "docker")], "both layers, to an empty registry"))
    return [*found, Race("clone and first run", clone, [AtMostRatio(0.6, "docker")], "run: true")]


def _make_project(envgit: Envgit, name: str, base: str, packages: str) -> str:
    project = envgit.create(envgit.workspace.path(name), base)
    envgit.do(project, "run", "-v", f"{packages}:/mnt:ro", "--", "cp", "-a", "/mnt", _PACKAGES)
    envgit.do(project, "commit", "-m", "packages")
    return project


def _empty_remote(envgit: Envgit, name: str) -> str:
    """Put a new bare repository where the last one was."""
    path = envgit.workspace.path(name)
    envgit.workspace.remove(path)
    envgit.workspace.run("git", "init", "--quiet", "--bare", "--initial-branch=main", path)
    return path


def _push(envgit: Envgit, project: str) -> Contender:
    return Contender(
        envgit.name,
        prepare=lambda _: None if _empty_remote(envgit, "sharing-remote") else None,
        folder=project,
        commands=lambda _: [envgit.command("push", envgit.workspace.path("sharing-remote"), "main")],
    )


def _push_by_git(envgit: Envgit, project: str) -> Contender:
    remote = envgit.workspace.path("sharing-git-remote")
    return Contender(
        "git",
        prepare=lambda _: None if _empty_remote(envgit, "sharing-git-remote") else None,
        commands=lambda _: [["git", f"--git-dir={project}/.envgit", "push", "--quiet", remote, "main"]],
    )


def _push_change(envgit: Envgit, project: str) -> tuple[list[Contender], list[AtMostSeconds | AtMostFigure]]:
    """The remote has what is there now. Bytes are those of the pack that git's protocol sends: a folder gets less, a link."""
    remote = _empty_remote(envgit, "sharing-change-remote")
    envgit.do(project, "push", remote, "main")
    _change(envgit, project, 0)
    words = [
        "git",
        f"--git-dir={project}/.envgit",
        "pack-objects",
        "--revs",
        "--thin",
        "--delta-base-offset",
        "-q",
        "--stdout",
    ]
    sent = subprocess.run(
        words, input=b"main\n^main~1\n", capture_output=True, check=True, env=envgit.workspace.environ
    ).stdout
    changed = envgit.do(project, "cat", "main:/etc/changed").output
    ratio = len(sent) / len(zlib.compress(changed))
    contender = Contender(
        envgit.name,
        prepare=lambda round: _change(envgit, project, round + 1),
        folder=project,
        commands=lambda _: [envgit.command("push", remote, "main")],
    )
    return [contender], [AtMostSeconds(0.2), AtMostFigure("of the compressed file in bytes", ratio, 1.1)]


def _change(envgit: Envgit, project: str, round: int) -> None:
    envgit.do(project, "run", "--", "sh", "-c", f"head -c {_CHANGED_BYTES} /dev/urandom > /etc/changed")
    envgit.do(project, "commit", "-m", f"change {round}")


def _push_image(envgit: Envgit, project: str, registry: Registry) -> Contender:
    return Contender(
        envgit.name,
        prepare=lambda _: registry.empty(),
        folder=project,
        commands=lambda _: [envgit.command("push", "main", f"docker://{registry.host}/bench/envgit:1")],
    )


def _clone(envgit: Envgit, project: str, name: str, scheme: str) -> Contender:
    """A cache of its own that is empty, so that nothing comes from what other projects have."""
    workspace = envgit.workspace
    remote, clone, cache = (workspace.path(f"sharing-{part}-{len(scheme)}") for part in ("source", "clone", "cache"))
    workspace.run("git", "init", "--quiet", "--bare", "--initial-branch=main", remote)
    envgit.do(project, "push", remote, "main")
    without_cache = ["env", f"XDG_CACHE_HOME={cache}"]
    return Contender(
        name,
        prepare=lambda _: workspace.remove(clone, cache),
        commands=lambda _: [
            [*without_cache, *envgit.command("clone", scheme + remote, clone)],
            [*without_cache, *envgit.command("-C", clone, "run", "--", "true")],
        ],
    )


def _build_image(engine: ContainerEngine, packages: str) -> None:
    context = engine.workspace.make("sharing-context")
    copy(packages, os.path.join(context, "packages"))
    with open(os.path.join(context, "Dockerfile"), "w", encoding="ascii") as file:
        file.write(f"FROM {IMAGE}\nCOPY packages {_PACKAGES}\n")
    engine.do("build", "--network", "none", "--tag", "bench:shared", context)


def _docker_push(engine: ContainerEngine, registry: Registry) -> Contender:
    name = f"{registry.host}/bench/docker:1"
    engine.do("tag", "bench:shared", name)
    return Contender(engine.name, prepare=lambda _: registry.empty(), commands=lambda _: [engine.command("push", name)])


def _docker_pull(engine: ContainerEngine, registry: Registry) -> Contender:
    """Every name of the image is removed before, so that its layers have to come; nobody is measured soon after."""
    name = f"{registry.host}/bench/docker:1"
    engine.do("tag", "bench:shared", name)
    engine.do("push", name)

    def forget(_round: int) -> None:
        listing = engine.workspace.run(*engine.command("images", "--all", "--quiet")).output.decode().split()
        if listing:
            engine.do("rmi", "--force", *dict.fromkeys(listing))
            os.sync()
            time.sleep(_FORGOTTEN_SECONDS)

    return Contender(
        engine.name,
        prepare=forget,
        commands=lambda _: [engine.command("pull", name), engine.run("true", image=name)],
    )


ROW = Row("sharing", races)
