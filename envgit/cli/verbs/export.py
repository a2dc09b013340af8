"""envgit export."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from envgit.errors import UsageError

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..escape import count_of, human_bytes
from ..screen import fail_output
from ..session import Session

if TYPE_CHECKING:
    from envgit.layers.export_tar import Compression


@verb("export")
@click.argument("words", nargs=-1, metavar="[REV] DESTINATION", shell_complete=complete_revision)
@click.option("-o", "--output", metavar="DESTINATION", help="The same as DESTINATION, as git archive has it.")
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "zstd", "xz"]),
    help="Of a tar archive; by default what the file's name says.",
)
@quiet_option
@click.pass_context
def export_command(
    ctx: click.Context, words: tuple[str, ...], output: str | None, compression: str | None, quiet: bool
) -> int:
    """Write a revision (HEAD by default) to `dir:PATH`, `tar:FILE` or `tar:-` (standard output).

    The archive of a revision is always the same, byte for byte. Exit status 3: written, but something could not be
    kept (owners or devices without root, for example); standard error says what.
    """
    from envgit.export import export_revision

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    revision, destination = _take(words, output)
    to_stdout = destination == "tar:-"
    if to_stdout and session.stdout_is_terminal:
        raise UsageError("an archive is not written to a terminal", hint="use tar:FILE, or redirect standard output")
    stream = session.out.stream if to_stdout else None
    chosen = cast("Compression | None", compression)
    try:
        result = export_revision(session.repo, revision, destination, compression=chosen, stdout=stream)
    except OSError as error:
        if stream is None or error.filename is not None:
            raise
        fail_output(error)
    if not quiet:
        size = "" if result.bytes is None else f", {human_bytes(result.bytes)}"
        text = f"Exported {revision} to {result.destination}: {count_of(result.files, 'entry', 'entries')}{size}"
        if to_stdout:
            session.say(text)
        else:
            session.out.line(session.out.safe(text))
    return session.status_of_warnings()


def _take(words: tuple[str, ...], output: str | None) -> tuple[str, str]:
    given = [*words, *([output] if output else [])]
    if len(given) == 1 and given[0].startswith(("dir:", "tar:")):
        return "HEAD", given[0]
    if len(given) != 2:
        raise UsageError("one revision and one destination", hint="envgit export [REV] dir:PATH, tar:FILE or tar:-")
    return given[0], given[1]
