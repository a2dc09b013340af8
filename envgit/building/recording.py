"""From what a unit did to its commit: times clamped, packages listed, message and trailers written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from envgit.building.holding import hold
from envgit.building.key import format_record
from envgit.building.package_sets.package_list import merge_package_lists
from envgit.building.package_sets.packages_file import PACKAGES_NAME, read_packages
from envgit.building.stamp import Stamp, Written
from envgit.capturing import capture_upper
from envgit.environment_config import format_config
from envgit.errors import EnvgitError
from envgit.layers.clamp import ClampingWriter, clamp_times
from envgit.layers.ignore import IgnoreRules
from envgit.layers.memory_tree import MemoryTree
from envgit.model import DirectoryRef, EnvironmentConfig, TreeWriter
from envgit.package_diff import suggest_message
from envgit.repo import Repository
from envgit.sandbox.mount_notes import read_notes
from envgit.sharing.session import open_session
from envgit.snapshot import BUILD_TRAILER, UNIT_TRAILER, Snapshot, read_config_bytes, read_snapshot, write_snapshot
from envgit.stack import adopt_upper, call_where_ids_are_plain
from envgit.store.objects import Signature
from envgit.store.pack_writer import PackSession
from envgit.trees import PackTreeWriter
from envgit.uppers import Upper, open_upper

if TYPE_CHECKING:
    from envgit.signing.signer import Sign

_SUBJECT_CHARACTERS = 100


class BuildRules(IgnoreRules):
    """What a build never records: kernel filesystems, /run, and mount points. /tmp it does: the next step may need it."""

    __slots__ = ()

    def is_volatile(self, directory: bytes) -> bool:
        return directory in (b"proc", b"sys", b"dev", b"run")


def record_upper(repo: Repository, upper: str, parent: Snapshot, stamp: Stamp, packages: bytes = b"") -> Snapshot:
    """Commit what lies in a sandbox's upper directory over `parent`; it becomes a layer. Durable; no ref is moved.

    `packages`: the list of what it installed. Raises StorageError, and as capture does.
    """

    people = repo.author(), repo.committer()  # asked here: where ids are plain this process is another user

    def record(signer: Sign | None) -> bytes:
        with _opened(upper) as upper_fd:
            if stamp.epoch is not None:
                clamp_times(upper_fd, stamp.epoch)
            rules = BuildRules()
            rules.mount_points = read_notes(upper_fd).created
            memory = MemoryTree(repo.reader, upper_fd)
            seen = capture_upper(repo, upper_fd, parent.root, memory, memory, rules)
            summary = suggest_message(parent.root, seen.root, memory)
            with repo.objects.pack_session() as session:
                writer = PackTreeWriter(session)
                captured = capture_upper(repo, upper_fd, parent.root, repo.reader, writer, rules)
                oid = _write(repo, session, captured.root, parent, stamp, people, summary, packages, signer)
                session.finish()
        new = read_snapshot(repo.objects, oid)
        try:
            adopt_upper(repo, Upper("", upper, "", ""), parent.oid, new, captured)
        except (OSError, EnvgitError) as error:
            repo.monitor.warn(f"the layer of a unit did not get into the cache: {error}")
        return oid

    return _under_lock(repo, stamp, lambda signer: call_where_ids_are_plain(repo, lambda: record(signer)))


def record_tree(
    repo: Repository, parent: Snapshot | None, stamp: Stamp, write: Callable[[TreeWriter], Written] | None
) -> Snapshot:
    """Commit a tree that `write` makes (None: the parent's, for a change of the configuration only)."""

    people = repo.author(), repo.committer()

    def record(signer: Sign | None) -> bytes:
        objects = repo.objects
        with open_session(objects, repo.environ) if parent is None else objects.pack_session() as session:
            if write is None:
                assert parent is not None
                written = Written(parent.root, stamp.config)
            else:
                writer = PackTreeWriter(session)
                written = write(writer if stamp.epoch is None else ClampingWriter(writer, stamp.epoch))
            made = stamp._replace(config=written.config or stamp.config)
            oid = _write(repo, session, written.root, parent, made, people, None, b"", signer)
            session.finish()
        return oid

    return _under_lock(repo, stamp, record)


def record_over(
    repo: Repository,
    stamp: Stamp,
    write_below: Callable[[], Snapshot],
    write: Callable[[TreeWriter, Snapshot], Written],
) -> Snapshot:
    """Commit a tree over a commit that `write_below` makes first, under the same lock; `stamp` is the upper one's."""

    people = repo.author(), repo.committer()

    def record(signer: Sign | None) -> bytes:
        below = write_below()
        with repo.objects.pack_session() as session:
            written = write(PackTreeWriter(session), below)
            oid = _write(repo, session, written.root, below, stamp, people, None, b"", signer)
            session.finish()
        return oid

    return _under_lock(repo, stamp, record)


def _under_lock(repo: Repository, stamp: Stamp, record: Callable[[Sign | None], bytes]) -> Snapshot:
    lock = repo.lock()
    lock.acquire(b"envgit build")
    try:
        with repo.signer() as signer:
            oid = record(signer)
        if stamp.stage:
            hold(repo, stamp.stage, oid)
    finally:
        lock.release()
    repo.objects.refresh()
    return read_snapshot(repo.objects, oid)


@contextmanager
def _opened(upper: str) -> Iterator[int]:
    fd = open_upper(Upper("", upper, "", ""))
    try:
        yield fd
    finally:
        os.close(fd)


def _write(
    repo: Repository,
    session: PackSession,
    root: DirectoryRef,
    parent: Snapshot | None,
    stamp: Stamp,
    people: tuple[Signature, Signature],
    summary: str | None,
    listed: bytes,
    sign: Sign | None,
) -> bytes:
    entries = {name: (mode, name, oid) for mode, name, oid in (parent.tree_entries if parent is not None else ())}
    for file, content in stamp.files:
        name = os.fsencode(file)
        entries[name] = (0o100644, name, session.put("blob", content))
    if listed:
        old = read_packages(repo, parent) if parent is not None else b""
        merged = session.put("blob", merge_package_lists(old, listed))
        entries[PACKAGES_NAME] = (0o100644, PACKAGES_NAME, merged)
    if stamp.config is not None:
        config = format_config(stamp.config)
    else:
        config = read_config_bytes(repo.objects, parent) if parent is not None else format_config(EnvironmentConfig())
    trailers = [] if stamp.key is None else [BUILD_TRAILER + stamp.key.hex().encode()]
    return write_snapshot(
        session,
        root,
        config,
        format_message(stamp.text, summary),
        parents=(parent.oid,) if parent is not None else (),
        author=people[0],
        committer=people[1],
        keep=tuple(entries.values()),
        trailers=(*trailers, UNIT_TRAILER + format_record(stamp.record).encode()),
        sign=sign,
    )


def shorten(text: str) -> str:
    """Return the first line of a unit's text, cut where it is longer than a subject should be."""
    line = (text.strip().splitlines() or ["build"])[0].rstrip("\\").strip()
    return line if len(line) <= _SUBJECT_CHARACTERS else line[: _SUBJECT_CHARACTERS - 3] + "..."


def format_message(text: str, summary: str | None) -> bytes:
    """Return the message of a unit: its first line, the whole text when that is more, what it did to packages."""
    lines = text.strip().splitlines() or ["build"]
    subject = shorten(text)
    parts = [subject]
    if [subject] != lines:
        parts.append("\n".join("    " + line for line in lines))
    if summary:
        parts.append(summary)
    return "\n\n".join(parts).encode("utf-8", "surrogateescape")
