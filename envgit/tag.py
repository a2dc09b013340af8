"""Tags: list, create (light or annotated), delete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from envgit.branch import read_subject
from envgit.errors import InvalidName, UnknownRevision, UsageError
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
    repo: Repository,
    name: str,
    revision: str = "HEAD",
    message: str | None = None,
    force: bool = False,
    *,
    sign: str | bool | None = None,
) -> TagResult:
    """Create a tag at a revision; with `message` an annotated one, signed as `sign` says (Repository.signer()).

    Raises UsageError for a signature without a message: only annotated tags have one.
    """
    check_tag_name(name)
    with repo.operation(["tag", name, revision]) as transaction, repo.signer(sign, tag=True) as signer:
        if signer is not None and message is None:
            raise UsageError("a signed tag needs a message", hint=f"envgit tag -s -m MESSAGE {name}; or --no-sign")
        previous = repo.refs.resolve(TAG_PREFIX + name)
        if previous is not None and not force:
            raise InvalidName(f"tag {name} exists already", hint=f"move it with: envgit tag -f {name} {revision}")
        oid = repo.resolve_bytes(revision)
        if message is not None:
            with repo.objects.pack_session() as session:
                text = os.fsencode(message.rstrip("\n")) + b"\n"
                tag = TagObject(oid, "commit", os.fsencode(name), repo.committer(), text)
                data = encode_tag(tag)
                if signer is not None:
                    from envgit.signing.signed_object import add_to_tag

                    data = add_to_tag(data, signer(data))
                oid = session.put("tag", data)
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
