"""What the shell may complete besides verbs and options: branches, tags, sources."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_revision(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    """Branches and tags. Never fails: a shell that completes shows no errors."""
    return _names(ctx, incomplete, branches=True, tags=True)


def complete_branch(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    return _names(ctx, incomplete, branches=True, tags=False)


def complete_tag(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
    return _names(ctx, incomplete, branches=False, tags=True)


def _names(ctx: click.Context, incomplete: str, *, branches: bool, tags: bool) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    from envgit.branch import list_branches
    from envgit.errors import EnvgitError
    from envgit.tag import list_tags

    from .session import Session

    session = Session()
    found: list[CompletionItem[str]] = []
    try:
        for directory in ctx.find_root().params.get("directories") or ():
            os.chdir(directory)
        if branches:
            found += [CompletionItem(branch.name, help="branch") for branch in list_branches(session.repo)]
        if tags:
            found += [CompletionItem(tag.name, help="tag") for tag in list_tags(session.repo)]
    except (EnvgitError, OSError):
        return []
    return [item for item in found if item.value.startswith(incomplete)]
