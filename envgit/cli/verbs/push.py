"""envgit push."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from envgit.errors import UsageError

from ..command import VerbCommand, dry_run_option, json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session
from ..transfer_text import ref_fields, say_push, say_rejected

if TYPE_CHECKING:
    from envgit.publishing.compression import LayerCompression
    from envgit.push_image import PushImageOptions

REJECTED_STATUS = 1
_REGISTRY = "docker://"


class PushCommand(VerbCommand):
    """`--force-with-lease` may have a value after `=`, and never takes the next word for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        prefix = "--force-with-lease="
        return super().parse_args(
            ctx, [f"--lease-of={word[len(prefix) :]}" if word.startswith(prefix) else word for word in args]
        )


@verb("push", cls=PushCommand)
@click.argument("words", nargs=-1, metavar="[REMOTE [REFSPEC...]]")
@click.option("-u", "--set-upstream", is_flag=True, help="Let the branch follow what it is pushed to.")
@click.option("-f", "--force", is_flag=True, help="Even if history there is lost.")
@click.option(
    "--force-with-lease",
    "lease_all",
    is_flag=True,
    help="Even if history there is lost, but only what was fetched (=BRANCH[:EXPECT]: of it alone).",
)
@click.option("--lease-of", "lease", multiple=True, hidden=True)
@click.option("--tags", is_flag=True, help="All tags, too.")
@click.option("--all", "every", is_flag=True, help="All branches.")
@click.option("-d", "--delete", is_flag=True, help="Delete the branches or tags that are named, there.")
@click.option("--atomic", is_flag=True, help="All refs or none.")
@click.option("--history", is_flag=True, help="docker:// only: the whole history beside the image.")
@click.option("--squash", is_flag=True, help="docker:// only: one layer instead of one for each commit.")
@click.option("--compression", type=click.Choice(["gzip", "zstd", "none"]), help="docker:// only: of layers; gzip.")
@click.option("--platform", metavar="OS/ARCH", default="", help="docker:// only: what the image is said to be for.")
@dry_run_option
@quiet_option
@json_option
@click.pass_context
def push_command(
    ctx: click.Context,
    words: tuple[str, ...],
    set_upstream: bool,
    force: bool,
    lease_all: bool,
    lease: tuple[str, ...],
    tags: bool,
    every: bool,
    delete: bool,
    atomic: bool,
    history: bool,
    squash: bool,
    compression: LayerCompression | None,
    platform: str,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Send branches and tags to another repository, or a revision to a registry.

    \b
    envgit push                          the current branch, to what it follows
    envgit push origin main v1           branches and tags by name
    envgit push origin HEAD:refs/heads/x any revision, under a name
    envgit push REV docker://NAME:TAG    as a container image; --history with all commits

    REMOTE is a name or an address, as for fetch. History there is never lost unless you ask for it. What a host would refuse as too
    big goes in several pushes.

    Exit status 1: a ref was rejected; the others were pushed.
    """
    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if words and words[-1].startswith(_REGISTRY):
        leases = lease or lease_all
        _refuse("docker://", {"-u": set_upstream, "--force-with-lease": leases, "--tags": tags,
                              "--delete": delete, "--atomic": atomic})  # fmt: skip
        if not history:
            _refuse("docker:// without --history", {"--force": force, "--all": every})
        if dry_run:
            raise UsageError(
                "--dry-run means nothing for docker://", hint=f"look at the image: envgit export {words[0]} oci:DIR"
            )
        from envgit.push_image import PushImageOptions

        image_options = PushImageOptions(squash, "gzip" if compression is None else compression, platform)
        return _push_image(
            session, words, image_options, history=history, every=every, force=force, quiet=quiet, as_json=as_json
        )
    _refuse(
        "a git remote", {"--history": history, "--squash": squash, "--compression": compression, "--platform": platform}
    )
    from envgit.push import PushOptions, push

    options = PushOptions(
        words[1:],
        force=force,
        lease=_leases(lease, every=lease_all) or None,
        tags=tags,
        all=every,
        delete=delete,
        set_upstream=set_upstream,
        atomic=atomic,
        dry_run=dry_run,
    )
    result = push(session.repo, words[0] if words else None, options)
    if as_json:
        from ..json_output import write_json

        write_json(
            session.out,
            {"remote": result.remote, "url": result.url, "bytes": result.bytes, "refs": ref_fields(result.refs)},
        )
    elif not quiet:
        say_push(session, result)
        if dry_run and result.bytes:
            session.say(f"about {human_bytes(result.bytes)} would be sent; nothing was")
    if result.rejected:
        forced = force or bool(options.lease) or any(word.startswith("+") for word in words[1:])
        say_rejected(session, result, forced=forced, listed=as_json or not quiet)
    return REJECTED_STATUS if result.rejected else 0


def _leases(words: tuple[str, ...], *, every: bool) -> tuple[tuple[str, str | None], ...]:
    """Return (ref, expected) of every BRANCH[:EXPECT]."""
    found: list[tuple[str, str | None]] = [("", None)] if every else []
    for word in words:
        ref, colon, expected = word.partition(":")
        if not ref:
            raise UsageError(f"--force-with-lease={word} names no branch", hint="--force-with-lease=BRANCH:EXPECT")
        found.append((ref, expected if colon else None))
    return tuple(found)


def _refuse(what: str, given: dict[str, object]) -> None:
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise UsageError(f"{wrong[0]} means nothing for {what}", hint="leave it out: envgit push --help")


def _push_image(
    session: Session,
    words: tuple[str, ...],
    options: PushImageOptions,
    *,
    history: bool,
    every: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    from envgit.push_history import push_history
    from envgit.push_image import push_image

    if len(words) > 2:
        raise UsageError("an image is made of one revision", hint=f"envgit push REV {words[-1]}")
    revision = words[0] if len(words) == 2 else "HEAD"
    stored = None
    if history:
        pushed, stored, _ = push_history(session.repo, revision, words[-1], options, every=every, force=force)
    else:
        pushed = push_image(session.repo, revision, words[-1], options)
    out = session.out
    if as_json:
        from ..json_output import write_json

        write_json(out, {**pushed._asdict(), "pinned": pushed.pinned, "history": stored._asdict() if stored else None})
    elif not quiet:
        out.line(f"docker://{pushed.pinned}")
        layers = f"{count_of(pushed.sent, 'layer')} sent, {pushed.present} there already, {pushed.mounted} mounted"
        out.line(f" {layers}; {human_bytes(pushed.bytes)} in {pushed.seconds:.1f} s")
        if stored is not None:
            sent = f"{human_bytes(stored.bytes_sent)} sent" if stored.packs_sent else "all there already"
            out.line(f" history: {count_of(stored.commits, 'new commit')}, {sent}")
    return session.status_of_warnings()
