"""envgit inspect and port."""

from __future__ import annotations

from typing import Any

import click

from ..command import refuse_words_after_dashes, verb
from ..each_sandbox import complete_sandbox, for_each, names_argument
from ..json_output import write_json
from ..session import Session


@verb("inspect")
@names_argument()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, which it does in any case.")
@click.pass_context
def inspect_command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> int:
    """Print everything that is known of sandboxes, as JSON: an object with a list `sandboxes`."""
    from envgit.sandbox.inspecting import inspect_sandbox

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    found: list[dict[str, Any]] = []

    def inspect(word: str) -> None:
        found.append(inspect_sandbox(session.repo, word))

    status = for_each(session, names, inspect)
    write_json(session.out, {"sandboxes": found})
    return status


@verb("port")
@click.argument("name", shell_complete=complete_sandbox)
@click.argument("port", required=False, metavar="[PORT[/PROTOCOL]]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def port_command(ctx: click.Context, name: str, port: str | None, as_json: bool) -> None:
    """Print where a running sandbox's ports are published; with PORT, only the address of that one."""
    from envgit.exec.ports.publish import format_address
    from envgit.sandbox.listing import find_ports

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    bounds = find_ports(session.repo, name, port)
    if as_json:
        fields = ("address", "host_port", "port", "protocol")
        write_json(session.out, {"ports": [{key: getattr(bound, key) for key in fields} for bound in bounds]})
        return
    for bound in bounds:
        address = format_address(bound.address, bound.host_port)
        session.out.line(address if port else f"{bound.port}/{bound.protocol} -> {address}")
