"""envgit spec."""

from __future__ import annotations

import os
from typing import Any

import click

from ..command import verb, words_after_dashes
from ..completing import complete_revision
from ..docker_options import DockerAwareCommand
from ..run_options import split_command
from ..sandbox_options import make_request, sandbox_options
from ..session import Session


@verb("spec", short_help=False, options_metavar="[OPTIONS]", cls=DockerAwareCommand)
@click.argument("words", nargs=-1, metavar="[REV] [-- COMMAND...]", shell_complete=complete_revision)
@click.option("-t", "--tty", is_flag=True, help="Give it a terminal.")
@sandbox_options
@click.option("--entrypoint", metavar="PROGRAM", help="Instead of the environment's entry point.")
@click.option("--bundle", metavar="DIR", help="Write a bundle instead: config.json, its files, an empty rootfs.")
@click.pass_context
def spec_command(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    tty: bool,
    entrypoint: str | None,
    bundle: str | None,
    **options: Any,
) -> None:
    """Print what `envgit run` would start, as the config.json of an OCI runtime.

    Options are those of `run`. The same revision and options give the same text on the same machine. The root file system is
    expected in `rootfs`, memory files such as /etc/hosts in `files`, beside it: --bundle writes them. There is no private
    network in OCI's words: without --network it says none.
    """
    from envgit.sandbox.oci_spec import format_config, oci_bundle, write_bundle

    session: Session = ctx.obj
    tail = words_after_dashes(ctx)
    revision, command = (words[0], ()) if tail is None and len(words) == 1 else split_command(words, tail, "spec")
    request = make_request(
        options,
        session.environ,
        os.getcwd(),
        revision=revision,
        command=command,
        terminal=tty,
        entrypoint=entrypoint,
    )
    made = oci_bundle(session.repo, request)
    if bundle is not None:
        write_bundle(made, bundle)
    elif session.out.terminal:
        session.out.write(session.out.safe(format_config(made.config).decode("utf-8", "replace")))
    else:
        session.out.write_bytes(format_config(made.config))
