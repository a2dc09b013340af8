"""What `run` does with a request: in the foreground, in the background, many times, or only as a plan."""

from __future__ import annotations

from envgit.errors import UsageError
from envgit.sandbox.request import RunRequest

from .session import Session


def run_request(session: Session, request: RunRequest, copies: int | None, save: str | None) -> int:
    """Run it the way it asks for and return the exit status; says what a user must know."""
    if request.restart != "no" and not request.detach:
        raise UsageError("--restart needs -d: in the foreground you see it end", hint="envgit run -d --restart ...")
    if copies is not None:
        return _run_copies(session, request, copies, save)
    if save is not None:
        if request.detach or request.name:
            raise UsageError(
                "--save is for runs in the foreground", hint="envgit commit --sandbox NAME --branch BRANCH"
            )
        return _run_and_save(session, request, save)
    if request.detach:
        from envgit.sandbox.detached import run_detached

        session.out.line(run_detached(session.repo, request))
        return 0
    if request.name is not None:
        from envgit.sandbox.detached import run_named

        ending = run_named(session.repo, request)
        if ending.detached:
            session.say(f"\r\ndetached: envgit attach {request.name} comes back to it")
        return ending.status
    from envgit.run import run_sandbox

    return run_sandbox(session.repo, request)


def dry_run(session: Session, request: RunRequest) -> int:
    """Print the steps of the start."""
    from envgit.sandbox.planning import plan_run

    for line in plan_run(session.repo, request):
        session.out.line(line)
    return 0


def _run_and_save(session: Session, request: RunRequest, branch: str) -> int:
    from envgit.run import run_and_save

    status, saved = run_and_save(session.repo, request, branch)
    if saved is None:
        session.say(f"nothing was saved on {branch}: the program ended with status {status}")
    else:
        session.say(f"[{saved.branch} {saved.oid[:7]}] {_command(request)}")
        session.hint_undo(saved.operation)
    return status


def _run_copies(session: Session, request: RunRequest, count: int, branch: str | None) -> int:
    from envgit.run import run_copies_and_save

    copies, saved = run_copies_and_save(session.repo, request, count, branch)
    failed = [copy for copy in copies if copy.status]
    for copy in failed[:5]:
        reason = f": {copy.error.message}" if copy.error is not None else ""
        session.say(f"envgit: copy {copy.number} ended with status {copy.status}{reason}")
    if failed:
        session.say(f"envgit: {len(failed)} of {count} copies failed")
    if saved is not None:
        index, result = saved
        session.say(f"[{result.branch} {result.oid[:7]}] copy {index}: {_command(request)}")
        session.hint_undo(result.operation)
    elif branch is not None:
        session.say(f"nothing was saved on {branch}: no copy ended with status 0")
    return failed[0].status if failed else 0


def _command(request: RunRequest) -> str:
    return " ".join(request.command) or "the environment's command"
