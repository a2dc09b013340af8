"""The options of build and plan, and the request that they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from envgit.errors import UsageError

from .build_values import parse_build_arguments, parse_secrets

if TYPE_CHECKING:
    from envgit.building.loading import BuildRequest

_OPTIONS = (
    click.option("-f", "--file", metavar="FILE", help="The envgit.toml or Dockerfile; its folder is the context."),
    click.option("--target", metavar="STAGE", help="Of a Dockerfile: the stage that is wanted, by name or number."),
    click.option(
        "--build-arg", "build_args", metavar="NAME[=VALUE]", multiple=True, help="Of a Dockerfile: the value of an ARG."
    ),
    click.option("--platform", metavar="OS/ARCH", default="", help="Of images that are fetched: linux/amd64, ..."),
    click.option("--no-cache", is_flag=True, help="Build every unit, whatever history has."),
    click.option("--from-step", metavar="N|TEXT", default="", help="Build this unit and all after it."),
    click.option("--pull", is_flag=True, help="Ask again what names of images stand for."),
    click.option("--locked", is_flag=True, help="Fail rather than differ from envgit.lock."),
    click.option(
        "--network",
        type=click.Choice(["private", "none", "host"]),
        help="Of units that do not say themselves; none: of all.",
    ),
    click.option(
        "--secret",
        "secrets",
        metavar="id=NAME,src=FILE",
        multiple=True,
        help="A file (or env=VARIABLE) for steps; never recorded.",
    ),
    click.option("--branch", metavar="BRANCH", help="Make the result the tip of BRANCH, not of the one checked out."),
)


def build_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what both verbs take."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.argument("name", required=False, metavar="[NAME | FOLDER]")(command)


def make_build_request(options: Mapping[str, Any], environ: Mapping[str, str]) -> BuildRequest:
    """Return the request; secrets are read now. Raises UsageError, SourceError."""
    from envgit.building.loading import BuildRequest
    from envgit.building.options import BuildOptions

    name, file, context = _split_name(options["name"] or "", options["file"])
    return BuildRequest(
        file=file,
        name=name,
        context=context,
        target=options["target"],
        build_args=tuple(parse_build_arguments(options["build_args"], environ).items()),
        platform=options["platform"],
        options=BuildOptions(
            no_cache=options["no_cache"],
            from_step=options["from_step"],
            network=options["network"] or "",
            secrets=parse_secrets(options["secrets"], environ),
            pull=options["pull"],
            branch=options["branch"],
            locked=options["locked"],
        ),
    )


def _split_name(word: str, file: str | None) -> tuple[str, str | None, str | None]:
    """Return (name of an environment, file, context): a word that is a path is a folder, as docker's last word.

    Without a file that folder has it; with one the folder is its context.
    """
    if word not in (".", "..") and "/" not in word:
        return word, file, None
    if not os.path.isdir(word):
        raise UsageError(f"{word!r} is no folder", hint="envgit build -f FILE")
    if file is None:
        return "", word, None
    if file.endswith(".toml"):
        raise UsageError("files of a declaration are looked for in its own folder", hint=f"envgit build -f {file}")
    return "", file, os.path.abspath(word)
