"""envgit export."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from envgit.errors import UsageError

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..escape import count_of, human_bytes
from ..screen import fail_output
from ..session import Session

if TYPE_CHECKING:
    from envgit.layers.export_tar import Compression


@verb("export")
@click.argument("words", nargs=-1, metavar="[REV] DESTINATION", shell_complete=complete_revision)
@click.option("-o", "--output", metavar="DESTINATION", help="The same as DESTINATION, as git archive has it.")
@click.option(
    "--compression",
    type=click.Choice(["none", "gzip", "zstd", "xz"]),
    help="Of a tar archive, by default what the file's name says; of the layers of an image, gzip.",
)
@click.option("--squash", is_flag=True, help="Make an image of one layer.")
@click.option("--platform", metavar="OS/ARCH", default="", help="Of an image; what its programs are for by default.")
@quiet_option
@click.pass_context
def export_command(
    ctx: click.Context,
    words: tuple[str, ...],
    output: str | None,
    compression: str | None,
    squash: bool,
    platform: str,
    quiet: bool,
) -> int:
    """Write a revision (HEAD by default) to `dir:PATH`, `tar:FILE` or `tar:-` (standard output).

    As a container image: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME:TAG]` (for docker load,
    podman load). Each commit is a layer; of more than a hundred the older ones share some. Into a registry: envgit push.

    What a revision becomes is always the same, byte for byte. Exit status 3: written, but something could not be
    kept (owners or devices without root, for example); standard error says what.
    """
    from envgit.export import export_image, export_revision
    from envgit.publishing.destination import parse_destination

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    revision, destination = _take(words, output)
    if image := parse_destination(destination):
        exported = export_image(
            session.repo, revision, image, compression=compression, squash=squash, platform=platform
        )
        if not quiet:
            layers = f"{count_of(exported.layers, 'layer', 'layers')}, {human_bytes(exported.bytes)}"
            text = f"Exported {revision} to {exported.destination}: {exported.platform}, {layers}, {exported.digest}"
            session.out.line(session.out.safe(text))
        return session.status_of_warnings()
    if squash or platform:
        raise UsageError(
            "--squash and --platform are of images", hint="use oci:DIR:TAG, oci-archive:FILE or docker-archive:FILE"
        )
    to_stdout = destination == "tar:-"
    if to_stdout and session.stdout_is_terminal:
        raise UsageError("an archive is not written to a terminal", hint="use tar:FILE, or redirect standard output")
    stream = session.out.stream if to_stdout else None
    chosen = cast("Compression | None", compression)
    try:
        result = export_revision(session.repo, revision, destination, compression=chosen, stdout=stream)
    except OSError as error:
        if stream is None or error.filename is not None:
            raise
        fail_output(error)
    if not quiet:
        size = "" if result.bytes is None else f", {human_bytes(result.bytes)}"
        text = f"Exported {revision} to {result.destination}: {count_of(result.files, 'entry', 'entries')}{size}"
        if to_stdout:
            session.say(text)
        else:
            session.out.line(session.out.safe(text))
    return session.status_of_warnings()


_KINDS = ("dir:", "tar:", "oci:", "oci-archive:", "docker-archive:")


def _take(words: tuple[str, ...], output: str | None) -> tuple[str, str]:
    from envgit.export import DESTINATIONS

    given = [*words, *([output] if output else [])]
    if given and given[-1].startswith("docker://"):
        raise UsageError("images go into a registry by push", hint=f"envgit push {' '.join(given)}")
    if len(given) == 1 and given[0].startswith(_KINDS):
        return "HEAD", given[0]
    if len(given) != 2:
        raise UsageError("one revision and one destination", hint=f"envgit export [REV] DESTINATION: {DESTINATIONS}")
    return given[0], given[1]
