"""Verify: who signed a revision, and whether its files are the ones that were signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from envgit.errors import CorruptObject, EnvgitError, NegativeAnswer
from envgit.model import Child, DirectoryRef
from envgit.repo import TAG_PREFIX, Repository
from envgit.signing.checking import check_commit_signature, check_tag_signature
from envgit.signing.settings import read_signing_settings
from envgit.signing.verdict import Verdict
from envgit.snapshot import read_config_bytes, read_snapshot, strip_trailers
from envgit.store.history import iter_commits
from envgit.store.objects import parse_commit, parse_tag
from envgit.store.revisions import resolve_object, resolve_range
from envgit.tag import peel
from envgit.tree_path import find_child


class _Objects(Protocol):
    def read(self, oid: bytes) -> tuple[str, bytes]: ...


Note: TypeAlias = Callable[[bytes | None, EnvgitError], object]
"""Is told of damage: the path without its first slash, None for the commit itself; and what is wrong."""


class Damage(NamedTuple):
    """`path`: begins with a slash; "" for the commit itself."""

    path: str
    what: str


class Content(NamedTuple):
    """What was read of a commit: the files and directories that its first parent does not have, if that was verified as well."""

    damages: tuple[Damage, ...]
    directories: int
    files: int
    bytes: int


class Verified(NamedTuple):
    """`oid`: the commit, or the annotated tag whose signature it is; `commit`: what the tag names."""

    name: str
    kind: Literal["commit", "tag"]
    oid: str
    commit: str
    subject: str
    signature: Verdict
    content: Content

    @property
    def good(self) -> bool:
        return self.signature.good and not self.content.damages


class UnverifiedCommit(NegativeAnswer):
    """A commit has no signature of a known signer."""

    code = "unverified-commit"


def verify_revisions(repo: Repository, specs: Sequence[str]) -> tuple[Verified, ...]:
    """Check the signature and every new byte of each revision; of `A..B` every commit, oldest first.

    An annotated tag is checked by its own signature: it vouches for the commit that it names. Changes nothing. Raises
    UnknownRevision, and EnvgitError when the files that say who is trusted cannot be read.
    """
    check = _Verification(repo)
    for spec in specs:
        tag = _find_tag(repo, spec)
        if tag is not None:
            check.verify_tag(spec, tag)
            continue
        starts, excluded = resolve_range(repo.objects, repo.refs, spec)
        if not excluded and ("..." not in spec or len(starts) == 1):
            for oid in starts:
                check.verify_commit(spec, oid, None)
            continue
        for oid in reversed(list(iter_commits(repo.objects, starts, excluded, topo=True))):
            parents = parse_commit(repo.objects.read(oid)[1]).parents
            check.verify_commit(oid.hex(), oid, parents[0] if parents else None)
    return tuple(check.verified)


def verify_commits(
    repo: Repository, oids: Iterable[bytes], objects: _Objects | None = None
) -> tuple[tuple[bytes, Verdict], ...]:
    """Check the signatures of commits, not their files. `objects`: where they are, when they are not in the repository yet.

    Raises CorruptObject, and EnvgitError when the files that say who is trusted cannot be read.
    """
    settings = read_signing_settings(repo.git_dir, repo.environ)
    reader = objects if objects is not None else repo.objects
    return tuple((oid, check_commit_signature(_commit_data(reader, oid), settings)) for oid in oids)


def require_signatures(repo: Repository, oids: Iterable[bytes], objects: _Objects | None = None) -> None:
    """Raise UnverifiedCommit for the first commit that has no good signature (pull --verify-signatures)."""
    for oid, verdict in verify_commits(repo, oids, objects):
        if not verdict.good:
            raise UnverifiedCommit(
                f"commit {oid.hex()[:12]} has {verdict.sentence()}",
                hint="to trust its key add it to gpg.ssh.allowedSignersFile; docs/signing.md says how",
            )


def read_verdict(repo: Repository, oid: str) -> Verdict:
    """Return what the signature of one commit is worth, for a log."""
    return verify_commits(repo, [bytes.fromhex(oid)])[0][1]


def _commit_data(objects: _Objects, oid: bytes) -> bytes:
    type, data = objects.read(oid)
    if type != "commit":
        raise CorruptObject(f"{oid.hex()} is a {type}, not a commit")
    return data


def _find_tag(repo: Repository, spec: str) -> bytes | None:
    """Return the annotated tag that a word names, None for other revisions."""
    if ".." in spec or spec.startswith("^") or "^" in spec or "~" in spec:
        return None
    oid = resolve_object(repo.objects, repo.refs, spec)
    return oid if repo.objects.read(oid)[0] == "tag" else None


class _Verification:
    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._settings = read_signing_settings(repo.git_dir, repo.environ)
        self.verified: list[Verified] = []

    def verify_tag(self, name: str, oid: bytes) -> None:
        data = self._repo.objects.read(oid)[1]
        tag = parse_tag(data)
        verdict = check_tag_signature(data, self._settings)
        written = os.fsdecode(tag.name)
        base = name.partition("@{")[0]
        refs = (full for full in (base, "refs/" + base, TAG_PREFIX + base) if full.startswith(TAG_PREFIX))
        asked = next((full for full in refs if self._repo.refs.resolve(full) is not None), TAG_PREFIX + written)
        if verdict.good and asked != TAG_PREFIX + written:
            # The ref is not signed: whoever can write refs could show the signed v1 as v2.
            short = asked.removeprefix(TAG_PREFIX)
            verdict = verdict._replace(state="bad", detail=f"what was signed is the tag {written}, not {short}")
        commit = peel(self._repo, oid)
        if commit != tag.target and verdict.good:
            verdict = verdict._replace(state="bad", detail="it names another tag, not a commit")
        self._add(name, "tag", oid, commit, verdict, None)

    def verify_commit(self, name: str, oid: bytes, known: bytes | None) -> None:
        """Check a commit; the files of the commit `known` need no check."""
        verdict = check_commit_signature(_commit_data(self._repo.objects, oid), self._settings)
        self._add(name, "commit", oid, oid, verdict, known)

    def _add(
        self,
        name: str,
        kind: Literal["commit", "tag"],
        oid: bytes,
        commit: bytes,
        verdict: Verdict,
        known: bytes | None,
    ) -> None:
        message = strip_trailers(parse_commit(_commit_data(self._repo.objects, commit)).message)
        subject = os.fsdecode(message.partition(b"\n")[0])
        self._repo.monitor.start(f"verifying {commit.hex()[:12]}", None, "directories")
        damages: list[Damage] = []
        check = ContentCheck(self._repo)  # a new one: what two revisions share is damage of both
        check.check(
            commit,
            lambda path, error: damages.append(
                Damage("/" + os.fsdecode(path) if path is not None else "", error.message)
            ),
            known,
        )
        self._repo.monitor.finish()
        content = Content(tuple(damages), check.directories, check.files, check.bytes)
        self.verified.append(Verified(name, kind, oid.hex(), commit.hex(), subject, verdict, content))


class ContentCheck:
    """Reads what commits have, by the SHA-256 tree that the trailer of each is the root of; what several share is read once.

    `full` False leaves the bytes of files out. The counts are of what was read.
    """

    def __init__(self, repo: Repository, *, full: bool = True) -> None:
        self._repo = repo
        self._full = full
        self._seen: set[object] = set()
        self._note: Note = lambda path, error: None
        self.directories = self.files = self.bytes = 0

    def check(self, oid: bytes, note: Note, known: bytes | None = None) -> bool:
        """Check a commit but for what the commit `known` has; tell `note` what is wrong.

        Return whether it is an environment, with files that can be read or not.
        """
        self._note = note
        objects, reader = self._repo.objects, self._repo.reader
        try:
            snapshot = read_snapshot(objects, oid)
            read_config_bytes(objects, snapshot)
            self._check_tree(snapshot.root, None if known is None else self._read_root(known))
            for paths in reader.read_links(snapshot.root):
                if len({find_child(reader, snapshot.root, path).entry._replace(name=b"") for path in paths}) != 1:
                    text = f"the hard links of {os.fsdecode(paths[0])} have different metadata"
                    note(None, CorruptObject(text))
        except EnvgitError as error:
            note(None, error)
            return False
        return True

    def _read_root(self, oid: bytes) -> DirectoryRef | None:
        """Return the root of a commit whose files need no check; None when it is not here (history was cut short) or damaged."""
        try:
            return read_snapshot(self._repo.objects, oid).root if self._repo.objects.contains(oid) else None
        except EnvgitError:
            return None

    def _check_tree(self, root: DirectoryRef, before: DirectoryRef | None) -> None:
        todo: list[tuple[bytes, DirectoryRef, DirectoryRef | None]] = [(b"", root, before)]
        while todo:
            path, ref, old_ref = todo.pop()
            if ref == old_ref or ref in self._seen:
                continue
            self._seen.add(ref)
            self.directories += 1
            self._repo.monitor.advance()
            try:
                directory = self._repo.reader.read_directory(ref)
            except EnvgitError as error:
                self._note(path, error)
                continue
            old = self._read_old(old_ref)
            for name, child in directory.children.items():
                child_path = path + b"/" + name if path else name
                counterpart = old.get(name)
                if isinstance(child.content, DirectoryRef):
                    other = counterpart.content if counterpart is not None else None
                    todo.append((child_path, child.content, other if isinstance(other, DirectoryRef) else None))
                elif child.entry.type == "f" and not _same_file(child, counterpart):
                    self._check_file(child_path, child)

    def _read_old(self, ref: DirectoryRef | None) -> Mapping[bytes, Child]:
        try:
            return self._repo.reader.read_directory(ref).children if ref is not None else {}
        except EnvgitError:
            return {}  # damage of the other commit: everything here is read then

    def _check_file(self, path: bytes, child: Child) -> None:
        key = _content_key(child)
        if key in self._seen:
            return
        self._seen.add(key)
        self.files += 1
        if not self._full:
            return
        try:
            self.bytes += self._repo.reader.check_content(child)
        except EnvgitError as error:
            self._note(path, error)


def _content_key(child: Child) -> tuple[object, ...]:
    return child.content, child.entry.sha256, child.entry.size


def _same_file(child: Child, other: Child | None) -> bool:
    return other is not None and other.entry.type == "f" and _content_key(child) == _content_key(other)
