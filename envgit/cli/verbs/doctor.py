"""envgit doctor."""

from __future__ import annotations

import os

import click

from ..command import json_option, refuse_words_after_dashes, verb
from ..session import Session


@verb("doctor")
@json_option
@click.pass_context
def doctor_command(ctx: click.Context, as_json: bool) -> int:
    """Try what this machine can do (user namespaces, overlays, subordinate ids, cgroups) and print each fix.

    Needs no repository. Exit status 1: something that a sandbox needs failed; a "note" is a limit it runs with.
    """
    from envgit.doctor import diagnose

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    findings = diagnose(session.environ, os.getcwd())
    out = session.out
    failed = [finding for finding in findings if finding.required and not finding.ok]
    if as_json:
        from ..json_output import write_json

        write_json(out, {"ok": not failed, "findings": [finding._asdict() for finding in findings]})
        return 1 if failed else 0
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        mark = out.paint("red", "FAIL") if finding.required else out.paint("yellow", "note")
        if finding.ok:
            mark = out.paint("green", "ok  ")
        out.line(f"{mark} {finding.name:<{width}}  {out.safe(finding.detail)}")
        if finding.fix and not finding.ok:
            for number, line in enumerate(finding.fix.splitlines()):
                out.line(f"     {'':<{width}}  {'fix: ' if number == 0 else '     '}{out.safe(line)}")
    return 1 if failed else 0
