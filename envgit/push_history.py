"""Push an image with its history: a registry alone then carries everything, and `envgit clone docker://NAME` gives it back."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing, suppress
from typing import NamedTuple

from envgit.errors import Conflict, HostileInput, SourceError, UnknownRevision, UsageError
from envgit.push_image import PushedImage, PushImageOptions, parse_target, push_image
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.store import storage
from envgit.store.history import iter_commits
from envgit.tag import peel
from envgit.transfer.registry.artifact import MANIFEST_TYPE, History
from envgit.transfer.registry.finding import find_latest, open_repository, pointed_at, pointer_tag, read_history
from envgit.transfer.registry.storing import StoredHistory, merge_refs, store_history

_REMEMBERED = "histories"


class PushedHistory(NamedTuple):
    image: PushedImage
    history: StoredHistory
    refs: tuple[str, ...]


def push_history(
    repo: Repository,
    revision: str,
    reference: str,
    options: PushImageOptions,
    *,
    every: bool = False,
    force: bool = False,
) -> PushedHistory:
    """Push `revision` as an image, and beside it the branch that it is (`every`: all branches) with the tags in its history.

    What the registry has of the history already is not sent again. The image comes first, then its history, last the tag that names
    the history: a push that breaks off in between leaves an image without its history, and nobody's commits are lost. Raises what
    push_image raises; Conflict where history there would be lost, or another push ended meanwhile.
    """
    name = parse_target(reference)
    pointer_tag(name.tag)
    refs, head = _choose(repo, revision, every)
    with closing(open_repository(name, repo.environ, repo.monitor)) as registry:
        latest = find_latest(registry, name, repo.monitor)
        found = latest.found
        known = found.history if found else None
        merged = merge_refs(repo.objects, known, refs, reference, force=force)
        here = {ref: oid for ref, oid in merged.items() if repo.objects.contains(oid)}
        if here != merged:
            if not force:
                gone = ", ".join(sorted(ref.split("/", 2)[2] for ref in merged.keys() - here.keys()))
                raise Conflict(
                    f"{reference} has what is not here and would be lost: {gone}",
                    hint=f"get it first: envgit fetch {reference} {_every(merged.keys() - here.keys())}; or use --force",
                )
            merged = here  # forced over a history that is not here: what it had alone goes
        histories: list[History] = [known] if known else []
        remembered = _remembered(repo, name.repository)
        if remembered and (found is None or remembered != found.manifest):
            with suppress(SourceError, HostileInput):
                other = read_history(registry, remembered)
                histories += [other.history] if other else []
        pushed = push_image(repo, refs[head].hex(), reference, options)
        document = registry.get_manifest(pushed.digest)
        if document is None:
            raise SourceError(f"{reference} does not have the image that was just pushed", hint="push again")
        subject = {
            "mediaType": document.media_type or MANIFEST_TYPE,
            "digest": pushed.digest,
            "size": len(document.data),
        }

        def check() -> None:
            if pointed_at(registry, name) != latest.pointer:
                raise Conflict(
                    f"somebody else pushed to {reference} meanwhile; the image there is yours, the history theirs",
                    hint="push again: it says what is to be fetched first",
                )

        stored = store_history(
            repo.git_dir,
            registry,
            subject,
            merged,
            head,
            histories,
            repo.environ,
            repo.monitor,
            tag=name.tag,
            sequence=latest.sequence + 1,
            check=check,
        )
    _remember(repo, name.repository, stored.manifest)
    return PushedHistory(pushed, stored, tuple(sorted(merged)))


def _choose(repo: Repository, revision: str, every: bool) -> tuple[dict[str, bytes], str]:
    """Return the refs that go, and which is HEAD there."""
    branch = (repo.branch_name() or "") if revision in ("HEAD", "@") else revision.removeprefix(BRANCH_PREFIX)
    tip = repo.refs.resolve(BRANCH_PREFIX + branch) if branch else None
    if tip is None:
        repo.resolve_bytes(revision)
        raise UsageError(
            f"{revision} is no branch: a history has a branch to go on from",
            hint="envgit branch NAME " + revision + ", then: envgit push --history NAME docker://...",
        )
    refs = {BRANCH_PREFIX + branch: tip}
    if every:
        refs.update(repo.refs.iter_refs(BRANCH_PREFIX))
    reachable = set(iter_commits(repo.objects, refs.values()))
    for ref, oid in repo.refs.iter_refs(TAG_PREFIX):
        with suppress(UnknownRevision):
            if peel(repo, oid) in reachable:
                refs[ref] = oid
    return refs, BRANCH_PREFIX + branch


def _every(gone: Collection[str]) -> str:
    """Return the words that fetch all of these refs."""
    tags = any(ref.startswith(TAG_PREFIX) for ref in gone)
    return "'refs/heads/*:refs/remotes/registry/*'" + (" 'refs/tags/*:refs/tags/*'" if tags else "")


def _remembered(repo: Repository, repository: str) -> str:
    """Return the artifact that this repository pushed there last, "" for none: a new tag builds on an older one's bundles."""
    try:
        with open(repo.path("build", _REMEMBERED), encoding="utf-8") as file:
            lines = [line.rstrip("\n").split(" ") for line in file]
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line[1] for line in reversed(lines) if len(line) == 2 and line[0] == repository), "")


def _remember(repo: Repository, repository: str, manifest: str) -> None:
    """Note it; losing the note costs a longer push, no more."""
    lines = {repository: manifest}
    with suppress(OSError, UnicodeDecodeError), open(repo.path("build", _REMEMBERED), encoding="utf-8") as file:
        known = dict(line.rstrip("\n").split(" ") for line in file if line.count(" ") == 1)
        lines = {**known, **lines}
    text = "".join(f"{name} {digest}\n" for name, digest in lines.items()).encode()
    storage.make_directory(repo.path("build"), step="history-folder")
    storage.write_file(repo.path("build", _REMEMBERED), text, step="history-remember", durable=False)
