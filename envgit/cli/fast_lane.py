"""What people type all day, in its plain form, without click, whose import costs more than the command.

Only calls without a single option: every other spelling, and every mistake, is left to click. A test holds both lanes to the
same output.
"""

from __future__ import annotations

from .session import BROKEN_PIPE_STATUS, Session, silence_stdout


def run_fast(arguments: list[str], session: Session) -> int | None:
    """Run a plain `status`, `checkout NAME` or `run [REV] -- COMMAND...`; None: not for this lane. Raises nothing."""
    try:
        status = _run(arguments, session)
        if status is not None:
            session.close()
        return status
    except BrokenPipeError:
        silence_stdout()
        return BROKEN_PIPE_STATUS
    except (Exception, KeyboardInterrupt) as error:
        session.monitor.close()
        return session.fail(error)


def _run(arguments: list[str], session: Session) -> int | None:
    verb, *words = arguments or [""]
    if verb == "run" and "--" in words:
        end = words.index("--")
        revision, command = words[:end], words[end + 1 :]
        if len(revision) > 1 or not command or any(word.startswith("-") for word in revision):
            return None
        from envgit.run import run_sandbox
        from envgit.sandbox.request import RunRequest

        session.runs_program = True
        return run_sandbox(session.repo, RunRequest(revision[0] if revision else None, tuple(command)))
    if verb == "checkout" and len(words) == 1 and not words[0].startswith("-"):
        from .switching import switch_and_say

        switch_and_say(session, (words[0],), None, None, False, False)
        return 0
    if verb == "status" and not words:
        from envgit.status import read_status

        from .status_text import following_of, long_lines

        status = read_status(session.repo)
        for line in long_lines(status, session.out, following_of(session.repo)):
            session.out.line(line)
        return 0
    return None
