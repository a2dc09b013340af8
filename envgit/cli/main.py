"""The whole command line: global options, the lazily loaded verbs, and how each call ends."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from envgit import __version__

from .session import BROKEN_PIPE_STATUS, Session, change_directory, silence_stdout
from .verb_table import VERBS


class VerbGroup(click.Group):
    """A group whose verbs are modules, imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        verb = VERBS.get(cmd_name)
        if verb is None:
            return None
        module = import_module(f".verbs.{verb.module}", __package__)
        command: click.Command = getattr(module, f"{cmd_name.replace('-', '_')}_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not ctx.resilient_parsing:
            from .unknown_verb import unknown_verb

            raise unknown_verb(name)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(verb.section for verb in VERBS.values()):
            with formatter.section(section):
                rows = [(name, verb.help) for name, verb in VERBS.items() if verb.section == section]
                formatter.write_dl(rows, col_spacing=max(2, 14 - max(len(name) for name, _ in rows)))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        verbs = [CompletionItem(name, help=verb.help) for name, verb in VERBS.items() if name.startswith(incomplete)]
        return verbs or click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=VerbGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a verb: the state of the environment and the next step.",
)
@click.option("-C", "directories", metavar="DIR", multiple=True, help="Work in DIR, as if started there.")
@click.option("--no-pager", is_flag=True, help="Do not send long output through a pager.")
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to colour: auto (default: on a terminal, unless NO_COLOR is set), always, never.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(__version__, "--version", message="envgit version %(version)s")
@click.pass_context
def cli(ctx: click.Context, directories: tuple[str, ...], no_pager: bool, color: str, debug: bool) -> int | None:
    """git for environments: commit, diff, branch, roll back and run root filesystems."""
    session: Session = ctx.ensure_object(Session)
    session.configure(color=color, pager=not no_pager, debug=debug)
    for directory in directories:
        change_directory(directory)
    if ctx.invoked_subcommand is None:
        from .verbs.status import show_overview

        return show_overview(session)
    return None


def run(arguments: Sequence[str], session: Session) -> int:
    """Run one command and return its exit status; says every error, raises none (unless --debug)."""
    try:
        try:
            with cli.make_context("envgit", list(arguments), obj=session) as context:
                status = cli.invoke(context)
            session.close()
            return status if isinstance(status, int) else 0
        except click.exceptions.Exit as ending:
            session.close()
            return ending.exit_code
    except BrokenPipeError:
        silence_stdout()
        return BROKEN_PIPE_STATUS
    except (Exception, KeyboardInterrupt) as error:
        session.monitor.close()
        if session.debug:
            import traceback

            traceback.print_exception(error)
        return session.fail(error)
