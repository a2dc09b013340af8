"""envgit version."""

from __future__ import annotations

import platform
import sys

import click

from envgit import __version__

from ..command import json_option, verb
from ..session import Session


@verb("version")
@click.option("-v", "--verbose", is_flag=True, help="Python's and the kernel's version too.")
@json_option
@click.pass_obj
def version_command(session: Session, verbose: bool, as_json: bool) -> None:
    """Print the version."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if as_json:
        from ..json_output import write_json

        write_json(session.out, {"envgit": __version__, "python": python, "kernel": platform.release()})
        return
    session.out.line(f"envgit version {__version__}")
    if verbose:
        session.out.line(f"python {python}, Linux {platform.release()} {platform.machine()}")
