"""envgit volume."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import click

from envgit.errors import UsageError

from ..command import dry_run_option, json_option, quiet_option, verb
from ..escape import count_of
from ..session import Session

if TYPE_CHECKING:
    from envgit.sandbox.named_volumes import Volume


@click.group("volume", context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.pass_context
def volume_command(ctx: click.Context) -> None:
    """Keep data outside of every environment: named folders that runs mount with -v NAME:PATH.

    A volume outlives the sandboxes that use it, and no commit, checkout, reset, undo or gc touches it.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(volume_ls_command, quiet=False, as_json=False)


@verb("create")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.pass_obj
def volume_create_command(session: Session, names: tuple[str, ...]) -> None:
    """Make volumes and print their names. One that exists stays as it is; without NAME, one with a name of its own."""
    from envgit.sandbox.named_volumes import create_volume

    for name in names or (os.urandom(32).hex(),):
        create_volume(session.repo, name)
        session.out.line(name)


@verb("ls")
@quiet_option
@json_option
@click.pass_obj
def volume_ls_command(session: Session, quiet: bool, as_json: bool) -> None:
    """List volumes and the sandboxes that use them."""
    from envgit.sandbox.named_volumes import list_volumes

    volumes = list_volumes(session.repo)
    if as_json:
        _write_json(session, volumes)
        return
    width = max((len(_shown(volume)) for volume in volumes), default=0)
    with session.paged() as out:
        for volume in volumes:
            users = [*volume.recorded, *(f"running {id}" for id in volume.running if not volume.recorded)]
            out.line(volume.name if quiet else f"{_shown(volume):<{width}} {out.safe(', '.join(users) or '-')}")


@verb("inspect")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@json_option
@click.pass_obj
def volume_inspect_command(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Show where volumes are and who uses them."""
    from envgit.sandbox.named_volumes import read_volume

    volumes = tuple(read_volume(session.repo, name) for name in names)
    if as_json:
        _write_json(session, volumes)
        return
    for volume in volumes:
        out = session.out
        out.line(f"volume {volume.name}")
        out.line(f"  folder:  {out.safe(volume.path)}")
        out.line(f"  created: {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(volume.created_ns // 10**9))}")
        out.line(f"  content: {'used' if volume.filled else 'waits for the environment of its first use'}")
        for title, users in (("running", volume.running), ("used by", volume.recorded)):
            if users:
                out.line(f"  {title + ':':<8} {out.safe(', '.join(users))}")


@verb("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@quiet_option
@click.pass_obj
def volume_rm_command(session: Session, names: tuple[str, ...], quiet: bool) -> None:
    """Remove volumes with everything in them, for good. One that a sandbox uses or asks for is refused."""
    from envgit.sandbox.named_volumes import remove_volumes

    for volume in remove_volumes(session.repo, names):
        if not quiet:
            session.out.line(f"Removed volume {volume.name}")


@verb("prune")
@click.option("-a", "--all", "named", is_flag=True, help="Named volumes too, not only anonymous ones.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@dry_run_option
@quiet_option
@click.pass_obj
def volume_prune_command(session: Session, named: bool, yes: bool, dry_run: bool, quiet: bool) -> None:
    """Remove the volumes that no sandbox uses or asks for, for good."""
    from envgit.sandbox.named_volumes import prune_volumes

    found = prune_volumes(session.repo, named=named, dry_run=True)
    if found and not (yes or dry_run):
        for volume in found:
            session.say(f"  {volume.name}")
        if not session.stdin_is_terminal:
            raise UsageError(
                f"{count_of(len(found), 'volume')} would be removed for good", hint="envgit volume prune --yes"
            )
        click.confirm(f"Remove {count_of(len(found), 'volume')} with everything in them?", abort=True, err=True)
    removed = found if dry_run else prune_volumes(session.repo, named=named)
    if not quiet:
        for volume in removed:
            session.out.line(f"{'Would remove' if dry_run else 'Removed'} volume {volume.name}")


for _command in (
    volume_create_command,
    volume_ls_command,
    volume_inspect_command,
    volume_rm_command,
    volume_prune_command,
):
    volume_command.add_command(_command)


def _shown(volume: Volume) -> str:
    return f"{volume.name[:12]} (anonymous)" if volume.anonymous else volume.name


def _write_json(session: Session, volumes: tuple[Volume, ...]) -> None:
    from ..json_output import write_json

    write_json(session.out, {"volumes": [_fields(volume) for volume in volumes]})


def _fields(volume: Volume) -> dict[str, Any]:
    fields = volume._asdict()
    return {**fields, "running": list(volume.running), "recorded": list(volume.recorded)}
