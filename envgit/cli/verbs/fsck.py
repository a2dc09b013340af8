"""envgit fsck."""

from __future__ import annotations

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes
from ..session import Session


@verb("fsck")
@click.option("--full/--no-full", default=True, help="Read and verify the content of every file (default).")
@json_option
@click.pass_context
def fsck_command(ctx: click.Context, full: bool, as_json: bool) -> int:
    """Check git objects, the SHA-256 tree, metadata and the layer cache.

    Exit status 1: there are problems; each is printed with what to do.

    Exit status 3: nothing is damaged, but a tag is gone that envgit did not delete (git tag -d does that).
    """
    from envgit.fsck import check_repository

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    report = check_repository(session.repo, full=full)
    out = session.out
    if as_json:
        from ..json_output import write_json

        fields = report._asdict()
        fields["problems"] = [problem._asdict() for problem in report.problems]
        write_json(out, {"ok": not report.problems, **fields})
        return 1 if report.problems else session.status_of_warnings()
    for problem in report.problems:
        out.line(f"{out.paint('red', 'error')}: {out.safe(problem.where)}: {out.safe(problem.what)}")
        if problem.hint:
            session.say(f"hint: {problem.hint}")
    checked = (
        f"{count_of(report.commits, 'commit')}, {count_of(report.directories, 'directory', 'directories')}, "
        f"{count_of(report.files, 'file')} ({human_bytes(report.bytes)}), {count_of(report.layers, 'cached layer')}"
    )
    verdict = count_of(len(report.problems), "problem") if report.problems else "no problems"
    session.say(f"checked {checked}: {verdict}")
    return 1 if report.problems else session.status_of_warnings()
