"""envgit commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from envgit.errors import NegativeAnswer, UsageError

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..escape import count_of, human_bytes, quote_path
from ..session import Session
from ..sign_options import sign_options, take_sign_choice

if TYPE_CHECKING:
    from envgit.commit import CommitResult


@verb("commit")
@click.option("-m", "--message", "messages", metavar="TEXT", multiple=True, help="The message; each -m a paragraph.")
@click.option("-F", "--file", "message_file", type=click.File("rb"), help="Read the message from FILE (-: stdin).")
@click.option("--amend", is_flag=True, help="Replace the last commit.")
@click.option("--no-edit", is_flag=True, help="With --amend: keep the message.")
@click.option("--allow-empty", is_flag=True, help="Commit although nothing changed.")
@click.option("--author", metavar="NAME <MAIL>", help="Somebody else made the changes.")
@click.option("--date", metavar="DATE", help="Date of the author.")
@click.option("-a", "--all", "_all", is_flag=True, help="Accepted as git users type it: it is always so.")
@sign_options
@click.option("--sandbox", metavar="NAME", help="Commit the changes of a named sandbox over a revision, with --branch.")
@click.option("--branch", metavar="BRANCH", help="With --sandbox: the branch that gets the commit.")
@quiet_option
@click.pass_context
def commit_command(
    ctx: click.Context,
    messages: tuple[str, ...],
    message_file: BinaryIO | None,
    amend: bool,
    no_edit: bool,
    allow_empty: bool,
    author: str | None,
    date: str | None,
    _all: bool,
    gpg_sign: str | None,
    no_gpg_sign: bool,
    sandbox: str | None,
    branch: str | None,
    quiet: bool,
) -> None:
    """Record every change of the environment as a commit on the current branch.

    Without -m or -F the editor opens ($GIT_EDITOR, $VISUAL, $EDITOR), on a summary of the packages that changed. Without an
    editor and a terminal that summary is the message, where there is one. A running sandbox is left running.
    """
    from envgit.commit import commit_worktree

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    sign = take_sign_choice(gpg_sign, no_gpg_sign)
    if messages and message_file:
        raise UsageError("the message comes from -m or from -F, not both")
    if sandbox is not None or branch is not None:
        _commit_sandbox(session, sandbox, branch, "\n\n".join(messages) or None, quiet, sign)
        return
    message: str | None
    if messages:
        message = "\n\n".join(messages)
    elif message_file:
        message = message_file.read().decode("utf-8", "surrogateescape")
    elif amend and no_edit:
        message = None
    else:
        message = _ask(session, amend=amend, allow_empty=allow_empty)
    if message is not None and not message.strip():
        raise NegativeAnswer("aborting commit due to empty commit message", hint="give one with -m MESSAGE")
    result = commit_worktree(
        session.repo, message=message, amend=amend, allow_empty=allow_empty, author=author, date=date, sign=sign
    )
    _say(session, result, quiet)


def _commit_sandbox(
    session: Session,
    name: str | None,
    branch: str | None,
    message: str | None,
    quiet: bool,
    sign: str | bool | None,
) -> None:
    from envgit.save import save_sandbox

    if name is None or branch is None:
        raise UsageError("--sandbox and --branch go together", hint="envgit commit --sandbox NAME --branch BRANCH")
    saved = save_sandbox(session.repo, name, branch, message, sign=sign)
    if not quiet:
        session.out.line(f"[{session.out.safe(saved.branch)} {saved.oid[:7]}] {human_bytes(saved.stored_bytes)} stored")
        session.hint_undo(saved.operation)


def _ask(session: Session, *, amend: bool, allow_empty: bool) -> str:
    """Open the editor on a template; but say first when there is nothing to commit.

    What happened to the packages is the first line of the template; where nobody can edit it, it is the message.
    """
    import os

    from ..editor import edit_message, names_editor
    from ..status_text import read_template

    template = read_template(session.repo, suggest=not amend)
    if not (amend or allow_empty or template.dirty):
        raise NegativeAnswer("nothing to commit, environment clean", hint="change something: envgit run -it -- bash")
    initial = template.suggestion
    if initial and not names_editor(session.environ) and not _has_terminal(session):
        return initial
    if amend:
        from envgit.log import read_log

        for entry in read_log(session.repo, ["HEAD"], max_count=1):
            initial = entry.commit.message.decode("utf-8", "surrogateescape").rstrip("\n")
    path = os.path.join(session.repo.git_dir, "COMMIT_EDITMSG")
    return edit_message(path, initial, template.status_lines, session.environ)


def _has_terminal(session: Session) -> bool:
    return session.stdin_is_terminal and session.stdout_is_terminal and session.environ.get("TERM", "dumb") != "dumb"


def _say(session: Session, result: CommitResult, quiet: bool) -> None:
    from envgit.sandbox.mount_notes import describe_note

    for path in result.not_recorded[:20]:
        session.say(f"not recorded: {quote_path(path)}")
    for note in result.mounted:
        session.say(f"not recorded: {quote_path(note.target)} ({session.out.safe(describe_note(note))})")
    if quiet:
        return
    out = session.out
    where = out.safe(result.branch) if result.branch else "detached HEAD"
    root = " (root-commit)" if result.is_root else ""
    out.line(f"[{where}{root} {result.oid[:7]}] {out.safe(result.subject)}")
    summary = result.summary
    counts = [
        count_of(number, "path") + " " + what
        for number, what in (
            (summary.added, "added"),
            (summary.modified, "modified"),
            (summary.deleted, "deleted"),
            (summary.properties, "with other properties"),
        )
        if number
    ]
    stored = f"{human_bytes(result.stored_bytes)} stored"
    out.line(f" {', '.join(counts) or 'no changes'}; {stored}")
    if result.running:
        out.line(f" {count_of(result.running, 'sandbox', 'sandboxes')} still running")
    session.hint_undo(result.operation)
