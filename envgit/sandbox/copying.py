"""`cp`: files between a sandbox, running or not, and the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from envgit.errors import Conflict, SandboxError, UsageError
from envgit.exec.archive import open_host_path, send_tree
from envgit.exec.mount.resolve import open_inside
from envgit.exec.root_process import mounted_root, run_on_root
from envgit.exec.unpacking import Receiving, receive_tree
from envgit.repo import Repository
from envgit.sandbox.liveness import hold_sandbox
from envgit.sandbox.registry import Found, find_sandbox
from envgit.sandbox.running import hold_plan, overlay_of, prepare_upper

STREAM = "-"
Root = tuple[int, int]


def copy_out(
    repo: Repository, word: str, path: str, target: str, *, archive: bool = False, follow: bool = False
) -> None:
    """Copy PATH of a sandbox to TARGET of the host, or as a tar archive to standard output for `-`.

    Every name of the sandbox is looked up below its root. Files belong to the caller, without setuid and setgid, unless `archive`
    keeps the ids of inside. Raises UnknownSandbox, Conflict, SandboxError (nothing, or a part, was copied), OSError.
    """
    with _root(repo, find_sandbox(repo, word)) as (pid, started):

        def send(output: int, root: int) -> None:
            send_tree(partial(_open_below, root), os.fsencode(path), output, follow=follow)

        if target == STREAM:
            _wait(run_on_root(pid, started, partial(send, 1), (1,)))
            return
        read_end, write_end = os.pipe()
        try:
            wait = run_on_root(pid, started, partial(send, write_end), (write_end,))
        finally:
            os.close(write_end)
        _carry(
            lambda: receive_tree(open_host_path, os.fsencode(target), read_end, Receiving(owner=archive)),
            read_end,
            wait,
        )


def copy_in(
    repo: Repository, word: str, source: str, path: str, *, archive: bool = False, follow: bool = False
) -> None:
    """Copy SOURCE of the host to PATH of a sandbox; for `-` unpack a tar archive from standard input into the directory PATH.

    Files belong to the sandbox's root unless `archive` keeps their ids. Raises as copy_out().
    """
    foreign = source == STREAM
    how = Receiving(owner=archive or foreign, special=True)
    with _root(repo, find_sandbox(repo, word)) as (pid, started):

        def receive(stream: int, root: int) -> None:
            receive_tree(partial(_open_below, root), os.fsencode(path), stream, how, foreign=foreign)

        if foreign:
            _wait(run_on_root(pid, started, partial(receive, 0), (0,)))
            return
        read_end, write_end = os.pipe()
        try:
            wait = run_on_root(pid, started, partial(receive, read_end), (read_end,))
        finally:
            os.close(read_end)
        _carry(lambda: send_tree(open_host_path, os.fsencode(source), write_end, follow=follow), write_end, wait)


def split_place(text: str) -> tuple[str | None, str]:
    """Split NAME:PATH; (None, TEXT) for a path of the host, which begins with `/` or `.` or has no colon before its first slash."""
    name, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")) or "/" in name:
        return None, text
    if not name or not path:
        raise UsageError(f"{text!r} is neither NAME:PATH nor a path", hint="envgit cp NAME:/path ./here")
    return name, path


def _open_below(root: int, path: bytes) -> int:
    try:
        return open_inside(root, path)
    except OSError as error:
        error.filename = path
        raise


def _carry(ours: Callable[[], object], fd: int, wait: Callable[[], str | None]) -> None:
    """Do this side's part, then hear how the other did; its error explains a broken pipe of ours."""
    failure: Exception | None = None
    try:
        ours()
    except (OSError, SandboxError) as error:
        failure = error
    finally:
        os.close(fd)
    said = wait()
    if failure is not None and not (said is not None and _is_echo(failure)):
        raise failure
    if said is not None and not said.startswith("Broken pipe"):
        raise SandboxError(said)


def _is_echo(error: Exception) -> bool:
    return isinstance(error, BrokenPipeError) or (isinstance(error, SandboxError) and "too early" in error.message)


def _wait(wait: Callable[[], str | None]) -> None:
    said = wait()
    if said is not None:
        raise SandboxError(said)


@contextmanager
def _root(repo: Repository, found: Found) -> Iterator[Root]:
    """Yield a process whose root directory is the sandbox's: its first one, or without any a process that mounts its files."""
    if found.runs:
        yield found.status.pid, found.status.start_time
        return
    if found.monitor:
        raise Conflict(f"{found.name} is {found.phase}", hint="run the command again when it runs or has ended")
    if found.record.worktree:
        raise Conflict(
            f"{found.name} is not running, and its files are those of the worktree",
            hint="envgit run -v .:/mnt -- cp ..., or envgit cat /PATH for one file",
        )
    held = hold_sandbox(repo, found.id)
    if held is None:
        raise Conflict(f"{found.name} is in use by another command", hint="run the command again")
    try:
        plan, start = hold_plan(repo, bytes.fromhex(found.record.oid))
        try:
            root = overlay_of(repo, plan, prepare_upper(repo, found.id, plan), volatile=False)
            with mounted_root(root, repo.idmap) as process:
                yield process
        finally:
            os.close(start)
    finally:
        os.close(held)
