"""envgit link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from envgit.errors import EnvgitError, UsageError

from ..command import json_option, quiet_option, refuse_words_after_dashes, verb
from ..escape import neutralise
from ..session import Session

if TYPE_CHECKING:
    from envgit.link import LinkStatus, SwitchResult
    from envgit.linking.code_repository import CodeRepository

_WITHOUT_PROGRAM = "the hooks do nothing: envgit is not in PATH"
_SET_PATH = "add the folder of envgit to PATH where git is called"


@verb("link")
@click.option("--status", "show_status", is_flag=True, help="Say how code and environment stand to each other.")
@click.option("--switch", is_flag=True, help="Check out the environment that the code names.")
@click.option("--hook", is_flag=True, help="Let git do that with every checkout, merge and rebase of the code.")
@click.option("--remove", is_flag=True, help="Remove the file and the hooks.")
@click.option("--code", "folder", metavar="DIR", help="Where the code is (the working directory).")
@click.option("--hooked", metavar="WORKTREE", hidden=True, help="Called by a hook of this work tree.")
@json_option
@quiet_option
@click.pass_context
def link_command(
    ctx: click.Context,
    show_status: bool,
    switch: bool,
    hook: bool,
    remove: bool,
    folder: str | None,
    hooked: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Tie the environment to the code of a git repository.

    Writes the environment's commit into the file .envgit-commit of the code, for you to commit with git, and an empty commit into
    the environment's history that names the code's commit. From then on `envgit run --at CODE_REV -- COMMAND` runs in the
    environment that belongs to that code, and `envgit link --hook` makes git switch environments with the code. Uncommitted
    changes of the environment stay with their branch.

    Exit status 1: with --status, the environment is not the linked one; with --switch, there is no link.
    """
    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    if sum((show_status, switch, hook, remove)) > 1:
        raise UsageError("--status, --switch, --hook and --remove exclude each other", hint="envgit link --help")
    if as_json and not show_status:
        raise UsageError("--json is for --status", hint="envgit link --status --json")
    if hooked is not None:
        return _follow(session, folder, hooked)

    from envgit.link import find_code, read_link_status, remember_code

    code = find_code(session.repo, os.getcwd(), folder)
    if show_status:
        status = read_link_status(session.repo, code)
        _show_status(session, status, as_json=as_json)
        return 0 if status.state == "linked" and not status.dirty else 1
    if switch:
        from envgit.link import switch_to_link

        _say_switch(session, switch_to_link(session.repo, code), quiet)
        return 0
    if remove:
        _remove(session, code)
        return 0
    if folder is not None:
        remember_code(session.repo, code)
    if hook:
        return _install(session, code, quiet)
    return _link(session, code, quiet)


def _link(session: Session, code: CodeRepository, quiet: bool) -> int:
    from envgit.link import link_code

    result = link_code(session.repo, code)
    where = session.out.safe(result.branch) if result.branch else "detached HEAD"
    if not quiet:
        at = f"code {result.code[:7]}" if result.code else "code without a commit"
        state = "linked to" if result.written else "is linked to"
        session.out.line(f"[{where} {result.oid[:7]}] {state} {at} in {session.out.safe(result.file)}")
        if result.written:
            name = session.out.safe(result.file)
            session.say(f"hint: record it with the code: git add {name} && git commit")
        session.hint_undo(result.operation)
    if result.ignored:
        session.monitor.warn(f"a rule of .gitignore leaves {result.file} out: git add -f {result.file}")
    if result.dirty:
        session.monitor.warn(
            "uncommitted changes of the environment are not part of the link: envgit commit, envgit link"
        )
    return session.status_of_warnings()


def _install(session: Session, code: CodeRepository, quiet: bool) -> int:
    from envgit.linking.hooks import find_program, install_hooks

    names = install_hooks(code)
    if not quiet:
        said = f"git runs it now in: {', '.join(names)}" if names else "the hooks are in place already"
        session.out.line(said)
        if code.read_link() is None:
            session.say("hint: there is no link yet: envgit link")
    if find_program(session.environ) is None:
        session.monitor.warn(f"{_WITHOUT_PROGRAM}: {_SET_PATH}")
    return session.status_of_warnings()


def _remove(session: Session, code: CodeRepository) -> None:
    from envgit.link import remove_link
    from envgit.linking.hooks import remove_hooks

    names, called = remove_hooks(code)
    gone = [*names, *([code.file] if remove_link(code) else [])]
    session.out.line(f"removed {session.out.safe(', '.join(gone))}" if gone else "there was nothing to remove")
    for hook in called:
        session.say(f"hint: {hook.path} is yours: take the line with `envgit ... link --switch` out of it")


def _follow(session: Session, folder: str | None, worktree: str) -> int:
    """What a hook calls: git goes on whatever happens here, and is only told what a user must know."""
    from envgit.link import find_code, switch_to_link

    try:
        code = find_code(session.repo, os.getcwd(), folder)
        own, shared, _ = code.read_paths()
        if os.path.relpath(os.path.realpath(own), os.path.realpath(shared)) != worktree or code.read_link() is None:
            return 0
        result = switch_to_link(session.repo, code)
        if not result.already:
            session.say(f"envgit: {_state(result)}")
    except (EnvgitError, OSError) as error:
        session.say(f"envgit: the environment does not follow: {error}")
        hint = getattr(error, "hint", None)
        if hint:
            session.say(f"hint: {hint}")
    return 0


def _say_switch(session: Session, result: SwitchResult, quiet: bool) -> None:
    if quiet:
        return
    session.out.line(_state(result))
    if not result.already:
        session.hint_undo(result.operation)


def _state(result: SwitchResult) -> str:
    where = f"branch {neutralise(result.branch)}" if result.branch else "a detached HEAD"
    verb_text = "is already at" if result.already else "is now at"
    more = "; it has uncommitted changes from before" if result.uncommitted else ""
    return f"the environment {verb_text} {result.oid[:7]} ({where}){more}"


def _show_status(session: Session, status: LinkStatus, *, as_json: bool) -> None:
    if as_json:
        from ..json_output import write_json

        hooks = {hook.name: hook.state for hook in status.hooks}
        link = status.link._asdict() if status.link else None
        write_json(session.out, {**status._asdict(), "link": link, "hooks": hooks})
        return
    out = session.out
    out.line(f"code         {out.safe(status.top)}" + (f" at {status.code[:7]}" if status.code else ", no commit yet"))
    if status.link is None:
        out.line(f"link         none: there is no {out.safe(status.file)}")
    else:
        branch = f" (branch {neutralise(status.link.branch)})" if status.link.branch else ""
        kept = "committed" if status.committed else "not committed"
        out.line(f"link         {status.link.commit[:7]}{branch} in {out.safe(status.file)}, {kept}")
    said = {
        "linked": "as linked",
        "different": "another one" if status.ahead is None else f"{status.ahead} commits further than the link",
        "missing": "another one; the linked one is not in this repository",
        "unlinked": "not linked",
    }[status.state]
    dirty = ", with uncommitted changes" if status.dirty else ""
    out.line(f"environment  {status.head[:7] or 'none'}, {said}{dirty}")
    states = {"ours": "installed", "called": "called by a hook of yours", "absent": "none", "foreign": "not envgit's"}
    out.line("hooks        " + ", ".join(f"{hook.name}: {states[hook.state]}" for hook in status.hooks))
    if status.program is None and any(hook.state in ("ours", "called") for hook in status.hooks):
        out.line(f"             {_WITHOUT_PROGRAM}")
        session.say(f"hint: {_SET_PATH}")
