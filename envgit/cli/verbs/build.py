"""envgit build."""

from __future__ import annotations

import os
from typing import Any

import click

from ..build_options import build_options, make_build_request
from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..docker_build_options import BuildCommand
from ..session import Session


@verb("build", options_metavar="[OPTIONS]", cls=BuildCommand)
@build_options
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, as envgit plan does.")
@json_option
@quiet_option
@click.pass_context
def build_command(ctx: click.Context, /, only_plan: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    """Build an environment from an envgit.toml or a Dockerfile; NAME is one of several in an envgit.toml.

    Every unit of the file (base, package set, file set, step) becomes a commit. One that history has is reused, whatever
    branch it is on. The result becomes the tip of the branch; when a step fails, the last good commit does where that leads
    forward, and `envgit shell --failed` opens what the step left. FOLDER is the context of a Dockerfile: its own, unless given.

    Exit status: 1 when a step failed, 2 when the file or the options are wrong.
    """
    from envgit.build import build_environment

    from ..build_progress import BuildLines
    from ..build_text import replaced_hints, result_line

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if only_plan:
        from .plan import show_plan

        return show_plan(session, options, as_json)
    request = make_build_request(options, session.environ)
    result = build_environment(session.repo, request, None if quiet else BuildLines(session.monitor))
    if as_json:
        from ..json_build import result_fields
        from ..json_output import write_json

        write_json(session.out, result_fields(result))
    elif not quiet:
        session.out.line(result_line(result, session.out))
    if quiet:
        return session.status_of_warnings()
    if result.lock:
        session.say(f"wrote {os.path.relpath(result.lock)}")
    for hint in replaced_hints(result.landing):
        session.say(hint)
    if result.landing.moved and result.lock:
        lock = os.path.relpath(result.lock)
        back = f"rm {lock}" if result.is_first_lock else f"git checkout {lock}"
        session.say(f"hint: to take this back: envgit undo; {lock}, a file of yours, stays: {back}")
    elif result.landing.moved:
        session.hint_undo(result.landing.operation)
    return session.status_of_warnings()
