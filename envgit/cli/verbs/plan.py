"""envgit plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from ..build_options import build_options, make_build_request
from ..command import json_option, refuse_words_after_dashes, verb
from ..docker_build_options import BuildCommand
from ..session import Session


@verb("plan", options_metavar="[OPTIONS]", cls=BuildCommand)
@build_options
@click.option("--exit-code", is_flag=True, help="End with status 1 when the build would do something.")
@json_option
@click.pass_context
def plan_command(ctx: click.Context, /, exit_code: bool, as_json: bool, **options: Any) -> int:
    """Say what build would do with the same options, and why; nothing is changed."""
    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    return show_plan(session, options, as_json, exit_code=exit_code)


def show_plan(session: Session, options: Mapping[str, Any], as_json: bool, *, exit_code: bool = False) -> int:
    """Print the plan; returns the exit status."""
    from envgit.plan import plan_environment

    from ..build_text import plan_lines

    plan = plan_environment(session.repo, make_build_request(options, session.environ))
    if as_json:
        from ..json_build import plan_fields
        from ..json_output import write_json

        write_json(session.out, plan_fields(plan))
    else:
        with session.paged() as out:
            for line in plan_lines(plan, out):
                out.line(line)
    if exit_code and (plan.to_build or plan.course.move != "stay"):
        return 1
    return session.status_of_warnings()
