"""envgit config."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import json_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("config")
@click.argument("key", required=False, metavar="[KEY]")
@click.argument("value", required=False, metavar="[VALUE]")
@click.option("-l", "--list", "listing", is_flag=True, help="List every option.")
@click.option("--get", "getting", is_flag=True, help="Print the value of KEY (the same as KEY alone).")
@click.option("--unset", is_flag=True, help="Remove KEY.")
@click.option("-z", "--null", "nul", is_flag=True, help="End values with NUL, keys with a newline.")
@json_option
@click.pass_context
def config_command(
    ctx: click.Context,
    key: str | None,
    value: str | None,
    listing: bool,
    getting: bool,
    unset: bool,
    nul: bool,
    as_json: bool,
) -> int:
    """Get and set options of the repository: git's own and envgit's, in the repository's git configuration.

    Exit status 1: KEY is not set.
    """
    from envgit.config import get_value, list_values, set_value, unset_value

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    out = session.out
    if listing or (key is None and as_json):
        values = list_values(session.repo)
        if as_json:
            from ..json_output import write_json

            write_json(out, {"options": [{"key": name, "value": text} for name, text in values]})
        for name, text in () if as_json else values:
            out.write(f"{name}\n{text}\0" if nul else f"{out.safe(name)}={out.safe(text)}\n")
        return 0
    if key is None:
        raise UsageError("which option?", hint="envgit config --list shows all; envgit config user.name")
    if unset:
        unset_value(session.repo, key)
    elif value is not None and not getting:
        set_value(session.repo, key, value)
    else:
        found = get_value(session.repo, key)
        if as_json:
            from ..json_output import write_json

            write_json(out, {"key": key, "value": found})
        elif found is not None:
            out.write(f"{found}\0" if nul else f"{out.safe(found)}\n")
        return 0 if found is not None else 1
    return 0
