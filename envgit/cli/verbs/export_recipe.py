"""envgit export-recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from envgit.errors import StorageError

from ..command import refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..escape import count_of
from ..session import WARNINGS_STATUS, Session

if TYPE_CHECKING:
    from envgit.export_recipe import RecipeFormat

_SHOWN = 10


@verb("export-recipe")
@click.argument("revision", metavar="[REV]", required=False, shell_complete=complete_revision)
@click.option(
    "--format",
    type=click.Choice(["dockerfile", "toml"]),
    help="What to write; default: toml where FILE ends so, else dockerfile.",
)
@click.option("-o", "--output", metavar="FILE", help="Write into FILE, which must not exist (-: standard output).")
@click.option("-f", "--force", is_flag=True, help="Overwrite FILE.")
@click.pass_context
def export_recipe_command(
    ctx: click.Context, revision: str | None, format: RecipeFormat | None, output: str | None, force: bool
) -> int:
    """Write a Dockerfile or an envgit.toml that does what the history of REV (HEAD by default) did.

    Commits of builds say what they did. One that was made by hand becomes a comment that lists what it changed; when there is
    such, the exit status is 3.
    """
    from envgit.export_recipe import export_recipe

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if format is None:
        format = "toml" if (output or "").endswith(".toml") else "dockerfile"
    exported = export_recipe(session.repo, revision or "HEAD", format)
    if output in (None, "-"):
        session.out.write(session.out.safe(exported.text))
    else:
        assert output is not None
        _write_file(output, exported.text, force)
        session.say(f"wrote {output} from {exported.oid[:7]}: envgit build -f {output}")
    for loss in exported.losses[:_SHOWN]:
        session.say(f"warning: only a comment: {loss}")
    if len(exported.losses) > _SHOWN:
        session.say(f"warning: and {count_of(len(exported.losses) - _SHOWN, 'more comment')} like these")
    return WARNINGS_STATUS if exported.losses else 0


def _write_file(path: str, text: str, force: bool) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if force else os.O_EXCL)
        with open(os.open(path, flags, 0o666), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
    except FileExistsError as error:
        raise StorageError(f"{path} exists", hint="choose another name, or overwrite it with -f") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}", hint="choose another name") from error
