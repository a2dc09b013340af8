"""Run: a program in a sandbox over any revision, or over the worktree, where its changes stay."""

from __future__ import annotations

from envgit.errors import UsageError
from envgit.light_typing import TYPE_CHECKING
from envgit.repo import Repository
from envgit.sandbox.request import RunRequest
from envgit.sandbox.running import new_id, remove_sandbox_folder, run_once

if TYPE_CHECKING:
    from envgit.sandbox.copies import Copy
    from envgit.save import SaveResult


def run_sandbox(repo: Repository, request: RunRequest) -> int:
    """Run a program and return its exit status; nothing of the sandbox is left but what the worktree keeps.

    Raises SandboxError (125, 126, 127) and what resolving a revision raises.
    """
    return run_once(repo, request, new_id())


def run_and_save(repo: Repository, request: RunRequest, branch: str) -> tuple[int, SaveResult | None]:
    """Run a program over a revision; when it ends with 0, make its changes a commit on `branch`.

    Returns the exit status, and what was saved (None when the program failed: nothing is). Raises also Conflict when `branch`
    exists and is not at the revision, before anything runs.
    """
    from envgit.sandbox.running import sandbox_upper
    from envgit.save import check_branch, save_upper

    if request.revision is None:
        raise UsageError(
            "--save needs a revision: changes of the worktree stay anyway",
            hint=f"envgit run --save {branch} HEAD -- CMD",
        )
    base = repo.resolve_bytes(request.revision)
    check_branch(repo, branch, base)
    id = new_id()
    try:
        status = run_once(repo, request, id, keep=True)
        upper = sandbox_upper(repo, id).upper
        saved = save_upper(repo, upper, base, branch, request.command, request=request) if status == 0 else None
    finally:
        remove_sandbox_folder(repo, id)
    return status, saved


def run_copies_and_save(
    repo: Repository, request: RunRequest, count: int, branch: str | None
) -> tuple[tuple[Copy, ...], tuple[int, SaveResult] | None]:
    """Run copies of a revision; with `branch`, save the changes of the first copy, by number, that ended with 0.

    Returns how each ended, and the number and result of what was saved. Raises as run_copies() and run_and_save() do.
    """
    from envgit.sandbox.copies import run_copies
    from envgit.sandbox.running import sandbox_upper

    if branch is None or request.revision is None:
        return run_copies(repo, request, count), None
    from envgit.save import check_branch, save_upper

    base = repo.resolve_bytes(request.revision)
    check_branch(repo, branch, base)
    copies = run_copies(repo, request, count, keep=True)
    try:
        chosen = next((copy for copy in copies if copy.status == 0), None)
        if chosen is None:
            return copies, None
        upper = sandbox_upper(repo, chosen.id).upper
        return copies, (chosen.number, save_upper(repo, upper, base, branch, request.command))
    finally:
        for copy in copies:
            remove_sandbox_folder(repo, copy.id)
