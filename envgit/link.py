"""Link: which environment belongs to which code.

A file of the code names a commit of the environment; a trailer in the environment's history names the commit of the code.
"""

from __future__ import annotations

import os
from typing import Literal, NamedTuple

from envgit.checkout import checkout
from envgit.errors import Conflict, EnvgitError, NegativeAnswer, UnknownRevision, UsageError
from envgit.linking.code_repository import CodeRepository, open_code_repository
from envgit.linking.hooks import Hook, find_program, read_hooks
from envgit.linking.link_file import LinkFile, format_link, read_link_text
from envgit.repo import BRANCH_PREFIX, Repository
from envgit.snapshot import read_config_bytes, read_snapshot, read_trailer, write_snapshot
from envgit.status import is_dirty
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.store.objects import parse_commit_links
from envgit.store.refs import Head
from envgit.transaction import Transaction
from envgit.uppers import claim_upper
from envgit.worktree import Pointer, worktree_name

CODE_TRAILER = b"Envgit-Code: "
CODE_OPTION = "envgit.code"
"""Where the code is, when a command is not called in it: a folder, relative to the project."""
_COMMITS_LOOKED_AT = 20_000


class LinkResult(NamedTuple):
    """`code`: the code's commit, "" before its first one. `written`: whether the file changed.

    `operation`: None without a new commit. `dirty`: the environment has uncommitted changes, which are not part of the link.
    `ignored`: git would leave the file out.
    """

    oid: str
    branch: str
    code: str
    file: str
    written: bool
    operation: int | None
    dirty: bool
    ignored: bool


class LinkStatus(NamedTuple):
    """`state`: linked (the environment is as the link says), different, missing (the commit is not here) or unlinked.

    `committed`: the code's HEAD has the same file. `ahead`: how many commits HEAD has beyond the linked one, if that is an
    ancestor. `program`: the envgit that hooks call; None when it is not in PATH, and they do nothing.
    """

    state: Literal["linked", "different", "missing", "unlinked"]
    top: str
    file: str
    code: str
    link: LinkFile | None
    committed: bool
    head: str
    ahead: int | None
    dirty: bool
    hooks: tuple[Hook, ...]
    program: str | None


class SwitchResult(NamedTuple):
    """`branch`: None when HEAD is detached now. `already`: nothing had to change."""

    oid: str
    branch: str | None
    already: bool
    uncommitted: bool
    operation: int | None


def find_code(repo: Repository, start: str, folder: str | None = None) -> CodeRepository:
    """Return the code's repository: at `folder` when given, else around `start`, else where envgit.code says. Raises UsageError.

    A work tree far above the project, such as a home directory kept in git, gives way to envgit.code.
    """
    if folder is not None:
        return open_code_repository(folder, repo.project, repo.environ)
    try:
        around = open_code_repository(start, repo.project, repo.environ)
        if not os.path.dirname(around.file):
            return around
        return _known_code(repo) or around
    except UsageError:
        known = _known_code(repo)
        if known is None:
            raise
        return known


def _known_code(repo: Repository) -> CodeRepository | None:
    from envgit.config import get_value

    folder = get_value(repo, CODE_OPTION)
    place = None if folder is None else os.path.join(repo.project, folder)
    return None if place is None else open_code_repository(place, repo.project, repo.environ)


def remember_code(repo: Repository, code: CodeRepository) -> None:
    """Let later commands find the code from the project's folder."""
    from envgit.config import get_value, set_value

    relative = os.path.relpath(os.path.realpath(code.top), os.path.realpath(repo.project))
    if get_value(repo, CODE_OPTION) != relative:
        set_value(repo, CODE_OPTION, relative)


def link_code(repo: Repository, code: CodeRepository) -> LinkResult:
    """Write the link file for the environment's HEAD, whose history gets an empty commit that names the code's commit.

    Nothing is rewritten, uncommitted changes stay uncommitted. When the file names HEAD already, nothing happens; when only the
    file is missing, only that is written. Raises Conflict when there is no environment yet.
    """
    code_oid = code.find_head() or ""
    subject = code.read_subject(code_oid) if code_oid else ""
    ignored = code.ignores_link()
    operation = None
    with repo.operation(["link"]) as transaction:
        head = repo.read_head()
        if head.oid is None:
            raise Conflict(
                f"branch {repo.branch_name()} has no environment yet", hint="envgit import --from host makes one"
            )
        oid = head.oid
        if code_oid and not _names(code, code_oid, oid) and _linked_code(repo, oid) != code_oid:
            oid, operation = _record(repo, transaction, head, code_oid, subject)
        snapshot = read_snapshot(repo.objects, oid)
        branch = repo.branch_name() or ""
        text = format_link(LinkFile(oid.hex(), snapshot.commit.tree.hex(), branch))
        written = _work_tree_text(code) != text
        if written:
            storage.write_file(code.path, text, step="link-file", mode=0o666)
    dirty = is_dirty(repo, repo.branch_name(), oid)
    return LinkResult(oid.hex(), branch, code_oid, code.file, written, operation, dirty, ignored)


def _record(repo: Repository, transaction: Transaction, head: Head, code_oid: str, subject: str) -> tuple[bytes, int]:
    """Make the empty commit and move HEAD to it; a worktree that is as HEAD was, but for its uncommitted changes, goes along."""
    assert head.oid is not None
    pointer = repo.read_pointer(repo.branch_name(), head.oid) or Pointer(head.oid, None)
    tip = read_snapshot(repo.objects, head.oid)
    message = f"link to code {code_oid[:7]}" + (f": {subject}" if subject else "")
    with repo.signer() as signer, repo.objects.pack_session() as session:
        oid = write_snapshot(
            session,
            tip.root,
            read_config_bytes(repo.objects, tip),
            os.fsencode(message),
            parents=(tip.oid,),
            author=repo.author(),
            committer=repo.committer(),
            keep=tip.tree_entries,
            trailers=(CODE_TRAILER + code_oid.encode("ascii"),),
            sign=signer,
        )
        session.finish()
    if pointer.base == head.oid and claim_upper(repo, transaction, pointer):
        moved = None if pointer.upper is None else Pointer(oid, pointer.upper).format()
        transaction.set_worktree(worktree_name(repo.branch_name()), moved)
    if head.symbolic is not None:
        transaction.set_ref(head.symbolic, oid, based_on=head.oid)
    else:
        transaction.set_head(oid.hex())
    return oid, transaction.finish(f"link: code {code_oid[:7]}").number


def _names(code: CodeRepository, code_oid: str, oid: bytes) -> bool:
    """Say whether the file, in the work tree or at the code's HEAD, is a link to this commit; a damaged one is none."""
    for read in (code.read_link, lambda: code.read_link_at(code_oid)):
        try:
            link = read()
        except UsageError:
            continue
        if link is not None and link.commit == oid.hex():
            return True
    return False


def _work_tree_text(code: CodeRepository) -> bytes | None:
    try:
        return read_link_text(code.path)
    except UsageError:
        return None


def _linked_code(repo: Repository, oid: bytes) -> str:
    value = read_trailer(read_snapshot(repo.objects, oid).commit.message, CODE_TRAILER)
    return "" if value is None else value.decode("ascii", "replace")


def find_linked(repo: Repository, code: CodeRepository, revision: str) -> str:
    """Return the commit of the environment that a commit of the code was linked to: itself or, when it is not here, an equal one.

    Raises UnknownRevision, with the nearest ancestor that has a link in the hint, and UsageError for a file that is none.
    """
    oid = code.resolve(revision)
    link = code.read_link_at(oid)
    if link is None:
        near = code.nearest_linked(oid)
        raise UnknownRevision(
            f"commit {oid[:7]} of the code has no link to an environment: it has no {code.file}",
            hint=f"the nearest ancestor that has one: --at {near[:10]}"
            if near
            else "no ancestor has one either; envgit link, then git commit, makes one",
        )
    return find_environment(repo, link)


def find_environment(repo: Repository, link: LinkFile) -> str:
    """Return the linked commit or, when it is not here, one with the same tree. Raises UnknownRevision."""
    oid = bytes.fromhex(link.commit)
    if _has_commit(repo, oid):
        return link.commit
    tree = bytes.fromhex(link.tree)
    starts = dict.fromkeys(each for _, each in repo.iter_refs("refs/") if _has_commit(repo, each))
    for number, candidate in enumerate(iter_commits(repo.objects, starts)):
        if number == _COMMITS_LOOKED_AT:
            break
        if parse_commit_links(repo.objects.read(candidate)[1])[0] == tree:
            repo.monitor.note(f"commit {link.commit[:7]} is not here; {candidate.hex()[:7]} is the same environment")
            return candidate.hex()
    named = f" (branch {link.branch})" if link.branch else ""
    raise UnknownRevision(
        f"the linked environment {link.commit[:7]}{named} is not in this repository",
        hint="fetch it from whoever made it: git --git-dir=.envgit fetch REMOTE",
    )


def _has_commit(repo: Repository, oid: bytes) -> bool:
    try:
        return repo.objects.read(oid)[0] == "commit"
    except EnvgitError:
        return False


def switch_to_link(repo: Repository, code: CodeRepository) -> SwitchResult:
    """Check out the environment that the link file in the work tree names; uncommitted changes stay with their branch.

    A branch is checked out where one is exactly there (the one that was linked first), else HEAD is detached. Raises NegativeAnswer
    without a link, UnknownRevision when the environment is not here, Conflict as checkout() does.
    """
    link = code.read_link()
    if link is None:
        raise NegativeAnswer(f"the code has no link: there is no {code.file}", hint="envgit link makes one")
    target = find_environment(repo, link)
    head = repo.read_head()
    if head.oid is not None and (head.oid.hex() == target or _tree(repo, head.oid) == link.tree):
        return SwitchResult(head.oid.hex(), repo.branch_name(), True, False, None)
    branch = _branch_at(repo, target, link)
    done = checkout(repo, branch or target, detach=branch is None)
    return SwitchResult(done.oid or target, done.branch, done.already, done.uncommitted, done.operation)


def _tree(repo: Repository, oid: bytes) -> str:
    return parse_commit_links(repo.objects.read(oid)[1])[0].hex()


def _branch_at(repo: Repository, target: str, link: LinkFile) -> str | None:
    tips = {name.removeprefix(BRANCH_PREFIX): oid for name, oid in repo.iter_refs(BRANCH_PREFIX)}
    tip = tips.get(link.branch)
    if tip is not None and (tip.hex() == target or _tree(repo, tip) == link.tree):
        return link.branch
    return next((name for name, oid in sorted(tips.items()) if oid.hex() == target), None)


def read_link_status(repo: Repository, code: CodeRepository) -> LinkStatus:
    """Return how code and environment stand to each other. Raises UsageError for a link file that is none."""
    link = code.read_link()
    code_oid = code.find_head() or ""
    hooks = read_hooks(code)
    text = read_link_text(code.path)
    committed = bool(code_oid) and text is not None and _same_text(code.read_link_text_at(code_oid), text)
    head = repo.read_head().oid
    state: Literal["linked", "different", "missing", "unlinked"] = "unlinked"
    ahead = None
    if link is not None:
        oid = bytes.fromhex(link.commit)
        if head is not None and (head == oid or _tree(repo, head) == link.tree):
            state = "linked"
        elif not _has_commit(repo, oid):
            state = "missing"
        else:
            state, ahead = "different", _distance(repo, oid, head)
    dirty = head is not None and is_dirty(repo, repo.branch_name(), head)
    program = find_program(code.environ)
    head_oid = head.hex() if head else ""
    return LinkStatus(state, code.top, code.file, code_oid, link, committed, head_oid, ahead, dirty, hooks, program)


def _same_text(one: bytes | None, other: bytes) -> bool:
    """Compare as git does where it converts ends of lines."""
    return one is not None and one.replace(b"\r\n", b"\n") == other.replace(b"\r\n", b"\n")


def _distance(repo: Repository, ancestor: bytes, head: bytes | None) -> int | None:
    if head is None:
        return None
    commits = set(iter_commits(repo.objects, [head]))
    return sum(1 for _ in iter_commits(repo.objects, [head], [ancestor])) if ancestor in commits else None


def remove_link(code: CodeRepository) -> bool:
    """Remove the link file from the work tree; False when there was none. The code's history keeps it."""
    return storage.unlink(code.path, step="link-file-remove")
