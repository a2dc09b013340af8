"""envgit ls."""

from __future__ import annotations

import time

import click

from ..command import environment_path, json_option, verb, words_after_dashes
from ..completing import complete_revision
from ..session import Session


@verb("ls")
@click.argument("words", nargs=-1, metavar="[REV[:PATH]] [PATH]", shell_complete=complete_revision)
@click.option("-l", "long", is_flag=True, help="Mode, owner, size, time and target too.")
@click.option("-r", "-R", "--recursive", is_flag=True, help="Everything below as well.")
@click.option("-z", "nul", is_flag=True, help="End names with NUL and quote nothing.")
@json_option
@click.pass_context
def ls_command(
    ctx: click.Context, words: tuple[str, ...], long: bool, recursive: bool, nul: bool, as_json: bool
) -> None:
    """List a directory of a revision (the root of HEAD by default).

    Given as REV:PATH, as REV PATH, or as a PATH of HEAD that begins with `/` or follows `--`.
    """
    from envgit.ls import list_path

    session: Session = ctx.obj
    revision, path = _where(words, words_after_dashes(ctx) or ())
    items = list_path(session.repo, revision, path, recursive=recursive)
    if as_json:
        from ..json_output import bytes_fields, entry_fields, write_json

        entries = [{**bytes_fields("path", name), **entry_fields(entry)} for name, entry in items]
        write_json(session.out, {"revision": revision, "entries": entries})
        return
    strip = len(path) + 1 if path and not recursive else 0
    shown = ((name[strip:] or name, entry) for name, entry in items)
    out = session.out
    if long:
        from ..listing import long_listing

        for line in long_listing(shown, out, time.time()):
            out.line(line)
        return
    from ..listing import shown_name

    for name, entry in shown:
        if nul:
            out.write_bytes(name + b"\0")
        else:
            out.line(shown_name(name, entry, out, classify=True))


def _where(words: tuple[str, ...], tail: tuple[str, ...]) -> tuple[str, bytes]:
    given = [*words, *tail]
    if len(given) > 2:
        raise click.UsageError("one revision and one path")
    if not given:
        return "HEAD", b""
    revision, colon, path = given[0].partition(":")
    if words and colon and not given[0].startswith((":", "/")):
        return revision, environment_path(path)
    if not words or given[0].startswith("/"):
        return "HEAD", environment_path(given[0])
    return given[0], environment_path(given[1]) if len(given) == 2 else b""
