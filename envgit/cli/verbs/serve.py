"""envgit serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ..command import refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session

if TYPE_CHECKING:
    from envgit.serve import Serving
    from envgit.serving.http_server import Served


@verb("serve")
@click.option(
    "--bind", metavar="ADDRESS", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0: everywhere."
)
@click.option(
    "--port", metavar="N", type=click.IntRange(0, 65535), default=8418, show_default=True, help="0 takes a free one."
)
@click.option(
    "--export-name", metavar="NAME", help="What the repository is called in its address [the project's folder]."
)
@click.pass_context
def serve_command(ctx: click.Context, bind: str, port: int, export_name: str | None) -> None:
    """Offer branches and tags over HTTP until ^C, to be read only.

    Everybody who can connect can read everything that branches and tags reach. Stock git can clone it as well.
    """
    from envgit.serve import serve

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    out = session.out

    def ready(serving: Serving) -> None:
        out.line(f"envgit clone {out.safe(serving.url)}")
        out.flush()
        what = f"{count_of(serving.branches, 'branch', 'branches')} and {count_of(serving.tags, 'tag')}"
        where = "to this machine only (others: --bind 0.0.0.0)" if serving.local else "to everybody who can connect"
        session.say(f"serving {what} {where}; stop with ^C")

    def tell(served: Served) -> None:
        if served.problem:
            session.say(out.safe(f"{served.address}: {served.problem}"))
        else:
            session.say(f"{out.safe(served.address)}: sent {human_bytes(served.bytes)} in {served.seconds:.1f} s")

    done = serve(session.repo, bind=bind, port=port, name=export_name, ready=ready, tell=tell)
    session.say(f"stopped: {count_of(done.answers, 'pack')}, {human_bytes(done.bytes)}")
