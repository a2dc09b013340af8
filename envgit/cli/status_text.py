"""The state of the environment as text: the long form, and the short one for scripts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from envgit.light_typing import NamedTuple

from .changes import display_path, fold_directories, letter, property_changes
from .escape import count_of, quote_path
from .screen import Screen

if TYPE_CHECKING:
    from envgit.remotes.configuration import Upstream
    from envgit.remotes.divergence import Divergence
    from envgit.repo import Repository
    from envgit.status import NoiseGroup, Status


def long_lines(status: Status, screen: Screen, following: Divergence | None = None) -> Iterator[str]:
    """Yield the lines of `envgit status`; `following`: how the branch stands to what it follows."""
    yield _where(status, screen)
    if following is not None:
        yield from _follow_lines(following, screen)
    if status.head is None:
        yield "No commits yet"
    elif not status.changes and not status.noise:
        yield "nothing to commit, environment clean"
    else:
        yield "Changes to be committed:"
        yield '  (see them with "envgit diff", take one back with "envgit restore PATH")'
        for change in fold_directories(status.changes):
            details = property_changes(change)
            suffix = f" ({', '.join(details)})" if details else ""
            mark = screen.paint("red" if change.kind == "D" else "green", letter(change))
            yield f"        {mark} {screen.path(display_path(change))}{screen.safe(suffix)}"
        if status.noise:
            yield f"        + {_noise(status.noise, screen)}"
    if status.running:
        yield f"{count_of(status.running, 'sandbox', 'sandboxes')} running in this environment"
    if status.base_differs:
        yield "The worktree lies on another commit than HEAD: what differs shows as changes."


def following_of(repo: Repository) -> Divergence | None:
    """Return how the current branch stands to what it follows; None when it follows nothing. Costs one small file then."""
    from envgit.remotes.divergence import compare_with_upstream

    branch = repo.branch_name()
    return compare_with_upstream(repo, branch) if branch else None


def _follow_lines(following: Divergence, screen: Screen) -> Iterator[str]:
    upstream = following.upstream
    name = screen.safe(short_upstream(upstream))
    if following.gone:
        yield f"Your branch follows '{name}', which is not known here: envgit fetch"
    elif following.ahead and following.behind:
        yield f"Your branch and '{name}' have gone apart: {following.ahead} and {following.behind} commits of their own"
    elif following.ahead:
        yield f"Your branch is ahead of '{name}' by {count_of(following.ahead, 'commit')} (envgit push)"
    elif following.behind:
        yield f"Your branch is behind '{name}' by {count_of(following.behind, 'commit')} (envgit pull)"
    else:
        yield f"Your branch is up to date with '{name}'"


def short_upstream(upstream: Upstream) -> str:
    """Return `origin/main`, or the branch alone when it is one of this repository."""
    branch = upstream.ref.removeprefix("refs/heads/")
    return branch if upstream.remote == "." else f"{upstream.remote}/{branch}"


def _where(status: Status, screen: Screen) -> str:
    if status.branch:
        return f"On branch {screen.paint('branch', screen.safe(status.branch))}"
    return f"HEAD detached at {screen.paint('yellow', (status.head or '')[:7])}"


def _noise(groups: tuple[NoiseGroup, ...], screen: Screen) -> str:
    listed = ", ".join(f"{screen.safe(group.label)} ({group.paths:,})" for group in groups)
    return f"{listed}, for example {screen.path(groups[0].example)}"


def short_lines(status: Status, screen: Screen, *, branch: bool, noise: bool) -> Iterator[str]:
    """Yield `M etc/motd` lines; noise is one comment line."""
    if branch:
        yield f"## {screen.safe(status.branch) if status.branch else 'HEAD (no branch)'}"
    for change in fold_directories(status.changes):
        mark = screen.paint("red" if change.kind == "D" else "green", letter(change))
        path = display_path(change)
        shown = quote_path(path, force=True) if b" " in path else screen.path(path)
        yield f"{mark} {shown}"
    if noise and status.noise:
        yield f"# {_noise(status.noise, screen)}"


def next_steps(status: Status) -> list[tuple[str, str]]:
    """Return commands to type next, each with what it does."""
    if status.head is None:
        return [
            ("envgit import host", "take a root filesystem from this machine's distribution"),
            ("envgit import tar:FILE", "or from an archive"),
        ]
    if status.changes or status.noise:
        return [
            ("envgit diff", "see the changes"),
            ("envgit commit -m MESSAGE", "record them"),
            ("envgit checkout -b NAME", "or carry them to a new branch"),
        ]
    return [
        ("envgit run -it -- bash", "work in the environment; what you change stays"),
        ("envgit log --graph --oneline", "see its history"),
        ("envgit checkout -b NAME", "try something on a branch"),
    ]


class Template(NamedTuple):
    """What a message is written on. `suggestion`: what happened to the packages, empty when nothing did."""

    dirty: bool
    status_lines: list[str]
    suggestion: str


def read_template(repo: Repository, *, suggest: bool) -> Template:
    """Return whether there is anything to commit, the long status without colours and, if asked for, a message.

    Works in a forked child: reading the status may enter a user namespace, and the editor must not run in one.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        dirty = True
        try:
            from envgit.errors import EnvgitError
            from envgit.status import read_status

            with open(writing, "wb") as pipe, suppress(EnvgitError, OSError):
                status = read_status(repo)
                dirty = status.is_dirty
                pipe.write("\n".join(long_lines(status, Screen(pipe, terminal=True, color=False))).encode())
                if suggest and dirty:
                    from envgit.package_diff import suggest_worktree_message

                    pipe.write(b"\0" + (suggest_worktree_message(repo) or "").encode())
        finally:  # whatever went wrong: the commit itself will meet it again, and say so
            os._exit(0 if dirty else 1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        status_text, _, suggestion = pipe.read().decode("utf-8", "replace").partition("\0")
    dirty = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 1
    return Template(dirty, status_text.split("\n"), suggestion)
