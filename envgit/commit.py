"""Commit: what the worktree's upper directory changed becomes the branch's next revision, at the cost of the change."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from envgit.capturing import capture_upper
from envgit.errors import Conflict, EnvgitError, NegativeAnswer, UsageError
from envgit.layers.capture import Captured
from envgit.layers.compare import diff_trees
from envgit.layers.ignore import INJECTED_FILES, VOLATILE_DIRECTORIES
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.sandbox.mount_notes import MountNote, Notes, describe_note, read_notes
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot, strip_trailers, write_snapshot
from envgit.store.dates import format_offset, parse_date
from envgit.store.objects import Signature
from envgit.store.pack_writer import PackSession
from envgit.store.shallow import check_rewritable
from envgit.trees import PackTreeWriter
from envgit.uppers import Upper, claim_upper, open_upper, upper_paths
from envgit.worktree import Pointer, worktree_name

if TYPE_CHECKING:
    from envgit.signing.signer import Sign


class Summary(NamedTuple):
    """How many paths a commit added, modified, deleted, and changed in their properties only."""

    added: int
    modified: int
    deleted: int
    properties: int


class CommitResult(NamedTuple):
    """`running`: sandboxes that still use the worktree; `not_recorded`: paths that a rule or their type kept out; `mounted`: what
    was mounted in the worktree's runs, whose content is elsewhere."""

    branch: str | None
    oid: str
    subject: str
    is_root: bool
    summary: Summary
    stored_bytes: int
    objects: int
    operation: int
    running: int
    not_recorded: tuple[bytes, ...]
    mounted: tuple[MountNote, ...] = ()


class _Worktree(NamedTuple):
    """The captured worktree. Without an upper directory `captured` is None and the root is the base's."""

    pointer: Pointer
    upper: Upper | None
    captured: Captured | None
    root: DirectoryRef
    notes: Notes


def commit_worktree(
    repo: Repository,
    *,
    message: str | None,
    amend: bool = False,
    allow_empty: bool = False,
    author: str | None = None,
    date: str | None = None,
    sign: str | bool | None = None,
) -> CommitResult:
    """Record the worktree as a commit on the current branch.

    Atomic and durable when it returns. A sandbox that runs in the worktree goes on undisturbed. `message` None keeps the
    amended commit's. `sign` as Repository.signer() takes it. Raises NegativeAnswer when nothing changed, Conflict when there is
    nothing to amend.
    """
    with repo.operation(["commit", "--amend"] if amend else ["commit"]) as transaction, repo.signer(sign) as signer:
        signatures = _signatures(repo, author, date)
        head = repo.read_head()
        if head.oid is None:
            raise (Conflict if amend else NegativeAnswer)(
                f"branch {repo.branch_name()} has no environment yet",
                hint="make the first commit: envgit import --from host",
            )
        if amend:
            check_rewritable(repo.objects, head.oid, "amend")
        repo.enter_tree_namespace()
        tip = read_snapshot(repo.objects, head.oid)
        pointer = repo.read_pointer(repo.branch_name(), head.oid) or Pointer(head.oid, None)
        # Before it is read: what a sandbox writes after that must not become part of the layer.
        running = not claim_upper(repo, transaction, pointer)
        with repo.objects.pack_session() as session:
            worktree = _capture(repo, pointer, session)
            if worktree.root == tip.root and not (allow_empty or amend):
                elsewhere = _elsewhere(worktree.notes, pointer)
                raise NegativeAnswer(
                    f"nothing to commit: the worktree is as HEAD{elsewhere}", hint="change it with: envgit run -- CMD"
                )
            oid = _write(repo, session, tip, worktree.root, message, amend, signatures, signer)
            packed = session.finish()
        if not (allow_empty or amend) and next(iter(diff_trees(tip.root, worktree.root, repo.reader)), None) is None:
            raise NegativeAnswer(
                f"nothing to commit: only modification times differ from HEAD{_elsewhere(worktree.notes, pointer)}",
                hint="commit them all the same with: envgit commit --allow-empty",
            )
        if not running:
            # The old upper directory over the new base shows the same tree, whether or not it becomes a layer below.
            word = None if pointer.upper is None else Pointer(oid, pointer.upper).format()
            transaction.set_worktree(worktree_name(repo.branch_name()), word)
        if head.symbolic is not None:
            transaction.set_ref(head.symbolic, oid, based_on=head.oid)
        else:
            transaction.set_head(oid.hex())
        new = read_snapshot(repo.objects, oid)
        subject = strip_trailers(new.commit.message).partition(b"\n")[0].decode(errors="replace")
        done = transaction.finish(f"commit{' (amend)' if amend else ''}: {subject}")
        if not running and worktree.upper is not None:
            from envgit.stack import adopt_upper

            assert worktree.captured is not None
            try:
                adopt_upper(repo, worktree.upper, pointer.base, new, worktree.captured)
            except (OSError, EnvgitError) as error:
                repo.monitor.warn(f"the commit is made, but its layer did not get into the cache: {error}")
    if not running and worktree.upper is not None:
        from envgit.stack import sync_layers_later

        sync_layers_later(repo)
    captured = worktree.captured
    return CommitResult(
        branch=repo.branch_name(),
        oid=oid.hex(),
        subject=subject,
        is_root=not new.commit.parents,
        summary=_summarise(repo, new),
        stored_bytes=packed.bytes,
        objects=packed.object_count,
        operation=done.number,
        running=int(running),
        not_recorded=_not_recorded(captured, worktree.notes) if captured is not None else (),
        mounted=worktree.notes.over({pointer.base, *(tip.commit.parents if amend else ())}),
    )


def _not_recorded(captured: Captured, notes: Notes) -> tuple[bytes, ...]:
    """What a user may miss: not the empty mount points that runs make."""
    ours = INJECTED_FILES | VOLATILE_DIRECTORIES | notes.created
    return tuple(path for path in captured.ignored if path not in ours) + captured.sockets


def _elsewhere(notes: Notes, pointer: Pointer) -> str:
    """Say what may have been changed, but is no part of a commit."""
    places = [f"{os.fsdecode(note.target)!r} ({describe_note(note)})" for note in notes.over({pointer.base})]
    return "; not recorded: " + ", ".join(places) if places else ""


def _capture(repo: Repository, pointer: Pointer, session: PackSession) -> _Worktree:
    base = read_snapshot(repo.objects, pointer.base).root
    if pointer.upper is None:
        return _Worktree(pointer, None, None, base, Notes((), frozenset()))
    upper = upper_paths(repo, pointer.upper)
    upper_fd = open_upper(upper)
    try:
        captured = capture_upper(repo, upper_fd, base, repo.reader, PackTreeWriter(session))
        notes = read_notes(upper_fd)
    finally:
        os.close(upper_fd)
    return _Worktree(pointer, upper, captured, captured.root, notes)


def _write(
    repo: Repository,
    session: PackSession,
    tip: Snapshot,
    root: DirectoryRef,
    message: str | None,
    amend: bool,
    signatures: tuple[Signature | None, Signature],
    sign: Sign | None,
) -> bytes:
    """Write the commit; an amended one takes the tip's parents, author and (without a new one) message."""
    author, committer = signatures
    kept = tip.commit.message if amend else b""
    text = kept if message is None else message.encode("utf-8", "surrogateescape")
    if not strip_trailers(text).strip():
        raise Conflict("the commit message is empty; nothing was committed", hint="envgit commit -m MESSAGE")
    if amend and author is None:
        author = tip.commit.author
    return write_snapshot(
        session,
        root,
        read_config_bytes(repo.objects, tip),
        text,
        parents=tip.commit.parents if amend else (tip.oid,),
        author=author or repo.author(),
        committer=committer,
        keep=tip.tree_entries,
        sign=sign,
    )


def _signatures(repo: Repository, author: str | None, date: str | None) -> tuple[Signature | None, Signature]:
    """Return the author, if one was given, and the committer."""
    committer = repo.committer()
    if author is None and date is None:
        return None, committer
    return _parse_author(author, date, repo.author(), repo.now()), committer


def _parse_author(author: str | None, date: str | None, default: Signature, now: int) -> Signature:
    """Return the author of `--author "Name <mail>"` and `--date`; raises UsageError."""
    signature = default
    if author is not None:
        name, found, mail = author.partition("<")
        if not found or not mail.endswith(">") or not name.strip():
            raise UsageError(f"{author!r} is not an author", hint="write it as 'Name <mail@example.org>'")
        signature = signature._replace(name=os.fsencode(name.strip()), email=os.fsencode(mail[:-1]))
    if date is not None:
        seconds = parse_date(date, now)
        signature = signature._replace(seconds=seconds, offset=format_offset(seconds).encode())
    return signature


def _summarise(repo: Repository, new: Snapshot) -> Summary:
    parents = new.commit.parents
    old = read_snapshot(repo.objects, parents[0]).root if parents else None
    counts = dict.fromkeys("ADMTP", 0)
    for change in diff_trees(old, new.root, repo.reader):
        counts[change.kind] += 1
    return Summary(counts["A"], counts["M"] + counts["T"], counts["D"], counts["P"])
