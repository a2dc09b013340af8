"""envgit verify."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..completing import complete_revision
from ..escape import count_of, human_bytes
from ..json_log import verdict_fields
from ..session import Session

if TYPE_CHECKING:
    from envgit.verify import Verified

    from ..screen import Screen


@verb("verify")
@click.argument("specs", nargs=-1, metavar="[REV | A..B | TAG]...", shell_complete=complete_revision)
@json_option
@click.pass_context
def verify_command(ctx: click.Context, specs: tuple[str, ...], as_json: bool) -> int:
    """Check who signed revisions (HEAD by default), and read every file to see that it is what was signed.

    Of A..B every commit is checked: its signature, and what it changed. An annotated tag is checked by its own signature.

    Exit status 1: a signature is bad, missing or of somebody unknown, or a file is not what the commit says.
    """
    from envgit.verify import verify_revisions

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    verified = verify_revisions(session.repo, specs or ("HEAD",))
    good = all(item.good for item in verified)
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"ok": good, "revisions": [_fields(item) for item in verified]})
        return 0 if good else 1
    for item in verified:
        _write(item, session.out)
    if not verified:
        session.say("there are no commits in that range")
    if any(item.signature.state == "unknown" for item in verified):
        session.say("hint: to trust a key, add it to the file that gpg.ssh.allowedSignersFile names: MAIL KEYTYPE KEY")
    return 0 if good else 1


def _write(item: Verified, out: Screen) -> None:
    name = f"tag {out.safe(item.name)}" if item.kind == "tag" else f"commit {item.oid[:12]}"
    sentence = out.safe(item.signature.sentence()).replace("\n", " ")
    out.line(f"{out.paint('yellow', name)} {out.safe(item.subject)}")
    out.line(f"    {sentence if item.signature.good else out.paint('red', sentence)}")
    content = item.content
    for damage in content.damages:
        where = f"{damage.path}: " if damage.path else ""
        out.line(f"    {out.paint('red', 'error')}: {out.safe(where)}{out.safe(damage.what)}")
    if not content.damages:
        read = f"{count_of(content.directories, 'directory', 'directories')}, {count_of(content.files, 'file')}"
        out.line(f"    content as recorded: {read} ({human_bytes(content.bytes)}) read")


def _text(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _fields(item: Verified) -> dict[str, Any]:
    content = item.content
    return {
        "name": _text(item.name),
        "type": item.kind,
        "oid": item.oid,
        "commit": item.commit,
        "subject": _text(item.subject),
        "ok": item.good,
        "signature": verdict_fields(item.signature),
        "content": {
            "ok": not content.damages,
            "directories": content.directories,
            "files": content.files,
            "bytes": content.bytes,
            "problems": [{"path": _text(damage.path), "what": _text(damage.what)} for damage in content.damages],
        },
    }
