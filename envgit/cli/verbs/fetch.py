"""envgit fetch, envgit pull."""

from __future__ import annotations

import click

from envgit.errors import EnvgitError, UsageError

from ..command import dry_run_option, json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of
from ..session import Session
from ..transfer_text import ref_fields, say_fetch

REJECTED_STATUS = 1


@verb("fetch")
@click.argument("words", nargs=-1, metavar="[REMOTE [REFSPEC...]]")
@click.option("--all", "every", is_flag=True, help="Fetch from all remotes.")
@click.option("-p", "--prune", is_flag=True, help="Forget branches that the remote no longer has.")
@click.option("-t", "--tags", is_flag=True, help="Fetch all tags, not only those of fetched commits.")
@click.option("--no-tags", is_flag=True, help="Fetch no tags but those named.")
@click.option("-f", "--force", is_flag=True, help="Move refs even if history is lost.")
@click.option("--depth", type=click.IntRange(min=1), metavar="N", help="Only N commits of each branch.")
@click.option("--unshallow", is_flag=True, help="Fetch the history that --depth had left out.")
@click.option("--verify-signatures", is_flag=True, help="Take only commits with a good signature.")
@dry_run_option
@click.option("-v", "--verbose", is_flag=True, help="Name refs that did not move, too.")
@quiet_option
@json_option
@click.pass_context
def fetch_command(
    ctx: click.Context,
    words: tuple[str, ...],
    every: bool,
    prune: bool,
    tags: bool,
    no_tags: bool,
    force: bool,
    depth: int | None,
    unshallow: bool,
    verify_signatures: bool,
    dry_run: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Bring branches and tags of another repository, without changing any branch of this one.

    REMOTE is a name (`envgit remote` lists them) or an address: a path, `ssh://HOST/PATH`, `USER@HOST:PATH`, `https://...`, or a
    bundle file. What comes is checked strictly before it is let in. `origin/main` then names the remote's branch.

    Exit status 1: a ref was rejected; the others moved.
    """
    from envgit.fetch import FetchOptions, FetchResult, fetch
    from envgit.remotes.configuration import list_remotes
    from envgit.transfer.errors import TransferError
    from envgit.transfer.transport import UNLIMITED_DEPTH

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if tags and no_tags:
        raise UsageError("--tags and --no-tags exclude each other", hint="leave one out")
    if depth is not None and unshallow:
        raise UsageError("--depth and --unshallow exclude each other", hint="leave one out")
    if every and words:
        raise UsageError("--all names every remote already", hint="leave the others out")
    options = FetchOptions(
        words[1:],
        tags="all" if tags else "none" if no_tags else None,
        prune=prune,
        force=force,
        depth=UNLIMITED_DEPTH if unshallow else depth,
        dry_run=dry_run,
        verify_signatures=verify_signatures,
    )
    sources = [remote.name for remote in list_remotes(session.repo)] if every else [words[0] if words else None]
    results: list[FetchResult] = []
    failed: list[str] = []
    for source in sources:
        try:
            results.append(fetch(session.repo, source, options))
        except EnvgitError as error:
            if not every:
                raise
            failed.append(str(source))
            session.say(f"{source}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    if as_json:
        from ..json_output import write_json

        rows = [
            {
                "remote": each.remote,
                "url": each.url,
                "objects": each.objects,
                "bytes": each.bytes,
                "refs": ref_fields(each.changes),
            }
            for each in results
        ]
        write_json(session.out, {"fetched": rows})
    elif not quiet:
        for result in results:
            say_fetch(session, result, verbose=verbose)
    if failed:
        raise TransferError(
            f"could not fetch from {', '.join(failed)}; what came from the others is there",
            hint=f"try again: envgit fetch {failed[0]}",
        )
    return REJECTED_STATUS if any(result.rejected for result in results) else 0


@verb("pull")
@click.argument("remote", required=False)
@click.argument("branch", required=False)
@click.option("--ff-only", is_flag=True, help="Only move ahead; it never does anything else.")
@click.option("--verify-signatures", is_flag=True, help="Take only commits with a good signature.")
@quiet_option
@click.pass_context
def pull_command(
    ctx: click.Context, remote: str | None, branch: str | None, ff_only: bool, verify_signatures: bool, quiet: bool
) -> None:
    """Fetch what the current branch follows (or BRANCH of REMOTE), and move the branch ahead to it.

    Uncommitted changes stay, on top of the new commit, unless both touch one path. Branches that have gone apart are left as they
    are, and you are told how to go on.
    """
    from envgit.pull import pull

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    result = pull(session.repo, remote, branch, verify_signatures=verify_signatures)
    if quiet:
        return
    out = session.out
    say_fetch(session, result.fetched)
    if result.forwarded is None:
        out.line("Already up to date.")
        return
    old = result.forwarded.old.hex()[:7] if result.forwarded.old else "nothing"
    moved = f"[{out.safe(result.branch)} {old}..{result.forwarded.new.hex()[:7]}]"
    out.line(f"{moved} {count_of(result.commits, 'commit')} of {out.safe(result.upstream)}")
    out.line(f" {count_of(result.forwarded.changed, 'path')} changed")
    if result.forwarded.carried:
        session.say("your uncommitted changes lie on the new commit now")
    session.hint_undo(result.operation)
