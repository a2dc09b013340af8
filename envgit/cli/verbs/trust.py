"""envgit trust."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import dry_run_option, json_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..escape import neutralise
from ..session import Session


@verb("trust")
@click.argument("revision", metavar="[REV]", required=False, shell_complete=complete_revision)
@click.option("-y", "--yes", is_flag=True, help="Grant it without asking.")
@click.option("--revoke", is_flag=True, help="Take the grant back.")
@click.option("--revoke-all", is_flag=True, help="Take every grant of this repository back.")
@dry_run_option
@json_option
@click.pass_context
def trust_command(
    ctx: click.Context,
    revision: str | None,
    yes: bool,
    revoke: bool,
    revoke_all: bool,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Show what running a revision (HEAD by default) asks for, and grant it.

    An environment may ask for mounts, ports, capabilities and the network of the host. `run` and `shell` give it that only
    after it was granted here, once, on this machine; a request that changes is asked about again. What makes a sandbox narrower,
    such as a limit, needs no grant.

    Exit status 1: it is not granted.
    """
    from envgit.sandbox import grants

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if sum((yes, revoke, revoke_all, dry_run)) > 1:
        raise UsageError("--yes, --revoke, --revoke-all and --dry-run exclude each other", hint="envgit trust --help")
    if revoke_all:
        had = grants.revoke(session.repo, "")
        session.out.line("every grant is taken back" if had else "there were no grants")
        return 0
    petition = grants.read_petition(session.repo, revision or "HEAD")
    if as_json:
        from ..json_output import write_json

        items = [item._asdict() for item in petition.items]
        write_json(session.out, {**petition._asdict(), "items": items, "needs_grant": petition.needs_grant})
        return 1 if petition.needs_grant else 0
    _show(session, petition)
    if revoke:
        had = bool(petition.digest) and grants.revoke(session.repo, petition.digest)
        session.out.line("its grant is taken back" if had else "it was not granted")
        return 0
    if not petition.needs_grant:
        return 0
    if dry_run or not (yes or _confirmed(session)):
        session.say("not granted: it runs without what is marked with *")
        return 1
    grants.grant(session.repo, petition.digest)
    session.out.line(f"granted; to take it back: envgit trust --revoke {petition.oid[:7]}")
    return 0


def _show(session: Session, petition: object) -> None:
    from envgit.sandbox.grants import Petition, where_it_leads

    assert isinstance(petition, Petition)
    out = session.out
    if not petition.items:
        out.line(f"{petition.oid[:7]} asks for nothing")
        return
    out.line(f"{petition.oid[:7]} asks for (*: needs to be granted):")
    for item in petition.items:
        leads = where_it_leads(session.repo, item)
        at = f"   ({neutralise(leads)})" if leads is not None else ""
        out.line(f"  {'*' if item.widens else ' '} {neutralise(str(item))}{at}")
    state = "granted" if petition.granted else "not granted" if petition.needs_grant else "needs no grant"
    out.line(f"{state}: sha256:{petition.digest}")


def _confirmed(session: Session) -> bool:
    if not (session.stdin_is_terminal and session.stdout_is_terminal):
        session.say("hint: nobody can be asked here; to grant it: envgit trust --yes")
        return False
    session.out.flush()
    return click.confirm("Grant it?", default=False, err=True)
