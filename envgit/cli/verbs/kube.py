"""envgit kube."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from ..command import refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..session import Session

if TYPE_CHECKING:
    from envgit.publishing.pods import PodKind


@verb("kube")
@click.argument("revision", required=False, default="HEAD", metavar="[REV]", shell_complete=complete_revision)
@click.option("--image", metavar="REF", default="", help="The image it was pushed as; by default the last one.")
@click.option("--kind", type=click.Choice(["pod", "deployment", "job"]), default="pod", help="A pod by default.")
@click.option("--name", metavar="NAME", default="", help="Of the object; by default the last word of the image's name.")
@click.pass_context
def kube_command(ctx: click.Context, revision: str, image: str, kind: str, name: str) -> int:
    """Print a manifest for Kubernetes that runs a pushed image: envgit kube | kubectl apply -f -

    The image is named by its digest. Command, variables, ports, user and volumes are those of the environment's configuration;
    limits, capabilities and hosts those that its `[sandbox]` asks for. An image of another revision is refused. Exit status 3:
    something of it has no counterpart in Kubernetes, or an image does not say which revision it is of; standard error says what.
    """
    from envgit.kube import make_kube_manifest

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    made = make_kube_manifest(session.repo, revision, image=image, kind=cast("PodKind", kind), name=name)
    for phrase in made.left_out:
        session.monitor.warn(f"left out: {phrase}")
    for line in made.yaml.splitlines():
        session.out.line(line)
    return session.status_of_warnings()
