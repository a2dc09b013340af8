"""Tags: list, create (light or annotated), delete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from envgit.branch import read_subject
from envgit.errors import InvalidName, UnknownRevision
from envgit.repo import TAG_PREFIX, Repository, hex_or_none
from envgit.store.objects import Tag as TagObject
from envgit.store.objects import encode_tag, parse_tag_target
from envgit.store.ref_names import check_tag_name


class Tag(NamedTuple):
    name: str
    oid: str
    target: str
    subject: str


class TagResult(NamedTuple):
    name: str
    oid: str
    previous: str | None
    operation: int


def list_tags(repo: Repository, pattern: str | None = None) -> tuple[Tag, ...]:
    """Return the tags in name order; `target` is the commit, `oid` what the ref holds."""
    tags = []
    for ref, oid in sorted(repo.iter_refs(TAG_PREFIX)):
        name = ref.removeprefix(TAG_PREFIX)
        if pattern is not None and not fnmatchcase(name, pattern):
            continue
        target = peel(repo, oid)
        subject = read_subject(repo, target) if repo.objects.read(target)[0] == "commit" else ""
        tags.append(Tag(name, oid.hex(), target.hex(), subject))
    return tuple(tags)


def peel(repo: Repository, oid: bytes) -> bytes:
    """Return the object that an annotated tag (or a chain of them) names."""
    type, data = repo.objects.read(oid)
    while type == "tag":
        oid = parse_tag_target(data)[0]
        type, data = repo.objects.read(oid)
    return oid


def create_tag(
    repo: Repository, name: str, revision: str = "HEAD", message: str | None = None, force: bool = False
) -> TagResult:
    """Create a tag at a revision; with `message` an annotated one."""
    check_tag_name(name)
    with repo.operation(["tag", name, revision]) as transaction:
        previous = repo.refs.resolve(TAG_PREFIX + name)
        if previous is not None and not force:
            raise InvalidName(f"tag {name} exists already", hint=f"move it with: envgit tag -f {name} {revision}")
        oid = repo.resolve_bytes(revision)
        if message is not None:
            with repo.objects.pack_session() as session:
                text = os.fsencode(message.rstrip("\n")) + b"\n"
                tag = TagObject(oid, "commit", os.fsencode(name), repo.committer(), text)
                oid = session.put("tag", encode_tag(tag))
                session.finish()
        transaction.set_ref(TAG_PREFIX + name, oid)
        done = transaction.finish(f"tag: tagging {revision}")
    return TagResult(name, oid.hex(), hex_or_none(previous), done.number)


def delete_tags(repo: Repository, names: Sequence[str]) -> tuple[TagResult, ...]:
    """Delete tags in one operation; raises UnknownRevision before any is deleted."""
    results = []
    with repo.operation(["tag", "-d", *names]) as transaction:
        for name in names:
            if repo.refs.remove_damaged(TAG_PREFIX + name):
                repo.monitor.warn(f"tag {name} was damaged: its file is removed")
                continue
            oid = repo.refs.resolve(TAG_PREFIX + name)
            if oid is None:
                raise UnknownRevision(f"there is no tag {name}", hint="envgit tag lists them")
            transaction.set_ref(TAG_PREFIX + name, None)
            results.append((name, oid))
        done = transaction.finish("tag: deleted")
    return tuple(TagResult(name, oid.hex(), oid.hex(), done.number) for name, oid in results)
