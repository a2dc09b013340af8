"""Which of the commits that come have to be signed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from envgit.repo import TAG_PREFIX, Repository
from envgit.signing.checking import check_tag_signature
from envgit.signing.settings import read_signing_settings
from envgit.snapshot import LAYER_TRAILER, read_trailer
from envgit.store.history import is_ancestor
from envgit.store.object_store import MissingObject
from envgit.store.objects import parse_commit, parse_tag, parse_tag_target


class Reading:
    """Objects by a function."""

    def __init__(self, read: Callable[[bytes], tuple[str, bytes]]) -> None:
        self.read = read


def commits_to_sign(
    repo: Repository, source: str, oid: bytes, known: Sequence[bytes], read: Callable[[bytes], tuple[str, bytes]]
) -> list[bytes]:
    """Return the commits that have to be signed before what the ref `source` of a remote holds, `oid`, is taken.

    They are those along first parents down to one that the commits `known` have, or to where history is cut; the tip at least.
    What comes by other parents is part of a merge's tree, which its signature covers. Layers of an image, which nobody signs,
    need no signature below one that has it. An annotated tag with a good signature, made for this name, stands for the commit
    that it names.
    """
    type, data = read(oid)
    vouched = False
    if type == "tag":
        tag = parse_tag(data)
        verdict = check_tag_signature(data, read_signing_settings(repo.git_dir, repo.environ))
        vouched = verdict.good and source == TAG_PREFIX + os.fsdecode(tag.name) and read(tag.target)[0] == "commit"
    while type == "tag":
        oid = parse_tag_target(data)[0]
        type, data = read(oid)
    if vouched or type != "commit":
        return _follow(repo, oid, known, read, vouched=True) if type == "commit" else [oid]
    return _follow(repo, oid, known, read, vouched=False) or [oid]


def _follow(
    repo: Repository,
    tip: bytes,
    known: Sequence[bytes],
    read: Callable[[bytes], tuple[str, bytes]],
    *,
    vouched: bool,
) -> list[bytes]:
    required: list[bytes] = []
    covered = vouched
    oid: bytes | None = tip
    while oid is not None:
        if repo.objects.contains(oid) and any(is_ancestor(repo.objects, oid, each) for each in known):
            break
        try:
            commit = parse_commit(read(oid)[1])
        except MissingObject:
            if oid == tip:
                raise
            break
        is_layer = read_trailer(commit.message, LAYER_TRAILER) is not None
        if not covered or not (is_layer or (vouched and oid == tip)):
            required.append(oid)
        covered = covered or not is_layer
        oid = commit.parents[0] if commit.parents else None
    return required
