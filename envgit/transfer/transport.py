"""The way to another repository: its refs, objects from it, objects and refs to it. Two programs speak git's protocol behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from envgit.errors import UsageError
from envgit.monitor import Monitor
from envgit.transfer.address import Address
from envgit.transfer.git_environment import find_git
from envgit.transfer.git_version import usable_git
from envgit.transfer.values import Advertised as Advertised
from envgit.transfer.values import Fetched as Fetched
from envgit.transfer.values import RefOutcome as RefOutcome
from envgit.transfer.values import RefUpdate as RefUpdate

UNLIMITED_DEPTH: Final = 0x7FFFFFFF
"""The depth that asks for the history that was cut off (git's INFINITE_DEPTH)."""

SILENT_SECONDS: Final = 60.0
"""As long the other side may say nothing. Servers that count and compress send signs of life every 5 seconds."""

PROGRAMS: Final = ("git", "dulwich")


class Transport(Protocol):
    """An open way to one repository. Raises TransferError and its kinds; nothing is ever half believed."""

    def list_refs(self) -> Advertised:
        """Ask what is there."""

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        """Bring `wants` (remote ref name to the object that list_refs() said) and all below as one pack into the quarantine's
        objects/pack. What the quarantine's refs reach is not sent again. `depth`: that many commits of each want. The quarantine
        has to have our `shallow` file when we have one."""

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        """Send the objects and move the refs; one outcome per update, in their order. `options`: push options (git push -o).
        Refusals of single refs are outcomes; a failure of the whole exchange raises, and what was moved is then not known."""

    def close(self) -> None:
        """End the connection and every process; may be called twice."""


def open_transport(
    git_dir: str,
    address: Address,
    environ: Mapping[str, str],
    monitor: Monitor,
    *,
    program: str | None = None,
    silent_seconds: float = SILENT_SECONDS,
) -> Transport:
    """Return the way to `address` for the repository `git_dir` (whose objects are pushed and whose configuration counts).

    `program`: "git" or "dulwich"; None takes ENVGIT_GIT from `environ`, else git when 2.39 or newer is in PATH, else dulwich.
    Connects at the first call. Raises UsageError when the program that was asked for is missing.
    """
    program = chosen_program(environ, program)
    if address.kind == "bundle":
        from envgit.transfer.bundle_transport import BundleTransport

        return BundleTransport(program, git_dir, address, environ, monitor, silent_seconds=silent_seconds)
    if program != "dulwich":
        from envgit.transfer.git_program import GitTransport

        return GitTransport(program, git_dir, address, environ, monitor, silent_seconds=silent_seconds)
    from envgit.transfer.dulwich_client import DulwichTransport

    return DulwichTransport(git_dir, address, environ, monitor, silent_seconds=silent_seconds)


def asked_program(environ: Mapping[str, str]) -> str | None:
    """Return what ENVGIT_GIT asks for, None for nothing. Raises UsageError for what is no program."""
    asked = environ.get("ENVGIT_GIT") or None
    if asked not in (None, *PROGRAMS):
        raise UsageError(f"ENVGIT_GIT is {asked}", hint=f"it can be {' or '.join(PROGRAMS)}")
    return asked


def chosen_program(environ: Mapping[str, str], program: str | None = None) -> str:
    """Return the path of git, or "dulwich"."""
    asked = program or asked_program(environ)
    if asked == "dulwich":
        return asked
    path = usable_git(environ)
    if path is not None:
        return path
    if asked == "git":
        raise UsageError(
            "git is too old, or missing" if find_git(environ) else "there is no git in PATH",
            hint="sudo apt install git",
        )
    return "dulwich"
