"""How verbs are declared: help options, words after `--`, and revisions told apart from paths."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from envgit.errors import UsageError

_TAIL: Final = "envgit.words_after_dashes"

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class VerbCommand(click.Command):
    """A verb whose words after the first `--` are kept apart (`words_after_dashes`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            ctx.meta[_TAIL] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


def verb(name: str, *, short_help: bool = True, **attributes: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a verb; `-h` is help too unless `short_help` is off (docker's verbs have another use for it)."""
    options = ["-h", "--help"] if short_help else ["--help"]
    settings = {"help_option_names": options, "max_content_width": 100, **attributes.pop("context_settings", {})}
    attributes.setdefault("cls", VerbCommand)
    return click.command(name, context_settings=settings, **attributes)


def words_after_dashes(ctx: click.Context) -> tuple[str, ...] | None:
    """Return what followed the first `--`; None when there was none."""
    tail: tuple[str, ...] | None = ctx.meta.get(_TAIL)
    return tail


def refuse_words_after_dashes(ctx: click.Context) -> None:
    """For verbs to which `--` means nothing."""
    if words_after_dashes(ctx):
        raise UsageError(f"envgit {ctx.info_name} takes no words after --", hint=f"see: {ctx.command_path} --help")


def revisions_and_paths(
    ctx: click.Context, words: Sequence[str], *, most: int | None = None
) -> tuple[tuple[str, ...], tuple[bytes, ...]]:
    """Tell revisions from paths: words before `--` are revisions, or paths when they begin with `/`; words after it
    are paths. `most`: how many revisions make sense."""
    tail = words_after_dashes(ctx) or ()
    first_path = next((index for index, word in enumerate(words) if word.startswith("/")), len(words))
    revisions, paths = tuple(words[:first_path]), (*words[first_path:], *tail)
    if most is not None and len(revisions) > most:
        raise UsageError(
            f"{len(revisions)} revisions given, at most {most} make sense",
            hint=f"paths go after --: {ctx.command_path} [REV] -- PATH...",
        )
    return revisions, environment_paths(paths)


def environment_path(text: str) -> bytes:
    """Return a path inside the environment as the model spells it: bytes without leading or doubled slashes."""
    parts = [part for part in os.fsencode(text).split(b"/") if part not in (b"", b".")]
    if b".." in parts:
        raise UsageError(f"the path {text!r} goes through '..'", hint="paths begin at the root of the environment")
    if b"\0" in b"".join(parts):
        raise UsageError("the path contains a NUL byte")
    return b"/".join(parts)


def environment_paths(texts: Sequence[str]) -> tuple[bytes, ...]:
    """Return paths as the model spells them; the root among them means all, which is ()."""
    paths = tuple(environment_path(text) for text in texts)
    return () if b"" in paths else paths


def json_option(command: Decorated) -> Decorated:
    """The option of every listing."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def quiet_option(command: Decorated) -> Decorated:
    return click.option("-q", "--quiet", is_flag=True, help="Print errors only.")(command)


def dry_run_option(command: Decorated) -> Decorated:
    return click.option("-n", "--dry-run", is_flag=True, help="Say what would be done; do nothing.")(command)
