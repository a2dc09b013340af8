"""Fetch: bring history from another repository. It is checked in quarantine before a ref of this one moves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

from envgit.errors import Conflict, UnknownRevision
from envgit.forwarding import has_real_changes
from envgit.quarantine import Quarantine
from envgit.remotes.configuration import TRACKING_PREFIX, Remote, list_remotes
from envgit.remotes.names import TakenNames, leave_out_unusable
from envgit.remotes.opening import address_of, choose_remote, open_way
from envgit.remotes.refspec import Refspec, parse_fetch_refspec
from envgit.remotes.signed_line import Reading, commits_to_sign
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.sharing.known import Taken, take_known
from envgit.sharing.packs import offer_packs
from envgit.store import storage
from envgit.store.history import is_ancestor
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.ref_names import is_ref_name
from envgit.suggestion import did_you_mean
from envgit.transaction import Transaction
from envgit.transfer.transport import Advertised, Fetched, Transport
from envgit.uppers import claim_worktree
from envgit.worktree import worktree_name

FETCH_HEAD = "FETCH_HEAD"
_MOST_NAMED = 3


class FetchOptions(NamedTuple):
    """`tags`: "all", "none", "free" (all but those with a name that stands for something else), or None for what the remote says.
    `depth`: commits of each branch, None for all."""

    refspecs: tuple[str, ...] = ()
    tags: str | None = None
    prune: bool = False
    force: bool = False
    depth: int | None = None
    dry_run: bool = False
    verify_signatures: bool = False


class RefChange(NamedTuple):
    """What became of one ref of the remote. `kind`: new, forward, forced, same, rejected, pruned, fetched; ids are 20 bytes.
    `name` "" is what only FETCH_HEAD names."""

    source: str
    name: str
    old: bytes | None
    new: bytes | None
    kind: str
    reason: str = ""


class FetchResult(NamedTuple):
    """`bytes` and `objects` that came; `operation` 0 when no ref had to move."""

    remote: str
    url: str
    head: str | None
    changes: tuple[RefChange, ...]
    objects: int
    bytes: int
    seconds: float
    operation: int

    @property
    def rejected(self) -> tuple[RefChange, ...]:
        return tuple(change for change in self.changes if change.kind == "rejected")


class _Arrived(NamedTuple):
    objects: int
    size: int
    checked: bool
    """Whether there is something to admit."""
    lent: frozenset[str] = frozenset()
    """Packs whose files nobody read: not for those who trust what is shared."""


class _Wanted(NamedTuple):
    source: str
    oid: bytes
    name: str
    force: bool


def fetch(repo: Repository, source: str | None = None, options: FetchOptions | None = None) -> FetchResult:
    """Fetch from a remote (its name or address; None: what the current branch follows).

    All refs move in one operation, after everything that came was checked strictly: a fetch that fails, or is killed, leaves
    nothing. Refs whose history would be lost are rejected one by one, unless forced. Raises TransferError and its kinds,
    QuarantineError for what is unsound, UnknownRevision for a ref that is not there.
    """
    options = options or FetchOptions()
    remote = choose_remote(repo, source)
    started = time.monotonic()
    address = address_of(repo, remote.url)
    is_folder = address.is_local and address.kind != "bundle"
    with closing(open_way(repo, address, "fetch")) as way:
        prefix = f"{TRACKING_PREFIX}{remote.name}/"
        advertised = leave_out_unusable(way.list_refs(), prefix, remote.shown, repo.monitor)
        wanted = _choose(remote, advertised, options)
        _refuse_worktrees(repo, wanted, remote.name or remote.shown)
        _refuse_folders(repo, remote, advertised, wanted, options.prune)
        with Quarantine.create(repo.git_dir) as quarantine:
            arrived = _bring(repo, way, advertised, wanted, quarantine, options, is_folder)
            if (options.tags or remote.tags) == "auto" and not options.refspecs:
                followed = list(_followed_tags(repo, advertised, wanted, quarantine))
                followed = _without_misleading(repo, remote, advertised, followed, quarantine)
                if followed:
                    more = _bring(repo, way, advertised, followed, quarantine, options, is_folder)
                    arrived = _Arrived(
                        arrived.objects + more.objects,
                        arrived.size + more.size,
                        arrived.checked or more.checked,
                        arrived.lent | more.lent,
                    )
                    wanted += followed
            elif options.tags == "free":
                wanted = _without_misleading(repo, remote, advertised, wanted, quarantine)
            if options.verify_signatures:
                _verify(repo, wanted, quarantine, options)
            if options.dry_run:
                changes = [_judge(repo, each, options.force) for each in wanted]
                return FetchResult(
                    remote.name, remote.shown, advertised.head, tuple(changes), arrived.objects, arrived.size, 0.0, 0
                )
            packs: tuple[str, ...] = ()
            with repo.operation(["fetch", remote.name or remote.shown]) as transaction:
                if arrived.checked:
                    packs = quarantine.admit()
                    repo.objects.refresh()
                pruned = _prune(repo, transaction, remote, advertised) if options.prune and remote.name else []
                changes = [_move(repo, transaction, each, options.force) for each in wanted] + pruned
                done = transaction.finish(f"fetch {remote.name or remote.shown}")
    offer_packs(repo.git_dir, repo.environ, tuple(name for name in packs if name not in arrived.lent))
    _write_fetch_head(repo, remote, wanted, options)
    seconds = time.monotonic() - started
    return FetchResult(
        remote.name, remote.shown, advertised.head, tuple(changes), arrived.objects, arrived.size, seconds, done.number
    )


def _choose(remote: Remote, advertised: Advertised, options: FetchOptions) -> list[_Wanted]:
    """Return what to fetch, each ref once for each place it goes to."""
    if options.refspecs:
        specs = [_find_source(parse_fetch_refspec(text), advertised, remote.shown) for text in options.refspecs]
    else:
        specs = [_or_tag(spec, advertised) for spec in remote.fetch] or [Refspec(False, "HEAD", "")]
    if (options.tags or remote.tags) in ("all", "free"):
        specs.append(Refspec(False, TAG_PREFIX + "*", TAG_PREFIX + "*"))
    wanted: dict[tuple[str, str], _Wanted] = {}
    for spec in specs:
        for name, oid in _matches(spec, advertised, remote.shown):
            target = spec.map(name) if spec.source != "HEAD" else spec.destination
            for place in (target,) if target else dict.fromkeys(("", remote.tracking(name) or "")):
                if place and (not is_ref_name(place) or place.endswith("/HEAD")):  # HEAD is no branch of theirs
                    continue
                wanted.setdefault(
                    (name, place), _Wanted(name, oid, place, spec.force or place.startswith(TRACKING_PREFIX))
                )
    return list(wanted.values())


def _or_tag(spec: Refspec, advertised: Advertised) -> Refspec:
    """A clone of a single branch may have been asked for a tag."""
    tag = TAG_PREFIX + spec.source.removeprefix(BRANCH_PREFIX)
    if "*" in spec.source or spec.source in advertised.refs or tag not in advertised.refs:
        return spec
    return Refspec(False, tag, tag)


def _find_source(spec: Refspec, advertised: Advertised, url: str) -> Refspec:
    """Take a short name for a tag where no branch has it. Raises UnknownRevision when nothing there is called so."""
    if "*" in spec.source or spec.source in advertised.refs or spec.source == "HEAD":
        return spec
    tag = TAG_PREFIX + spec.source.removeprefix(BRANCH_PREFIX)
    if tag in advertised.refs:
        return spec._replace(source=tag)
    name = spec.source.removeprefix(BRANCH_PREFIX)
    names = [ref.removeprefix(BRANCH_PREFIX) for ref in advertised.refs if ref.startswith(BRANCH_PREFIX)]
    hint = did_you_mean(name, names) or f"see what there is: envgit remote show {url}"
    raise UnknownRevision(f"{url} has no branch or tag {name!r}", hint=hint)


def _matches(spec: Refspec, advertised: Advertised, url: str) -> Iterable[tuple[str, bytes]]:
    if spec.source != "HEAD":
        return [(name, oid) for name, oid in advertised.refs.items() if spec.map(name) is not None]
    if advertised.head is None or advertised.head not in advertised.refs:
        if not advertised.refs:
            return []
        raise UnknownRevision(f"{url} does not say which branch is its HEAD", hint=f"name one: envgit fetch {url} main")
    return [(advertised.head, advertised.refs[advertised.head])]


def _refuse_worktrees(repo: Repository, wanted: list[_Wanted], source: str) -> None:
    """Raise Conflict for a branch that is checked out, or has uncommitted changes: they belong to the commit that it is at."""
    current = repo.read_head().symbolic
    for each in wanted:
        name = each.name.removeprefix(BRANCH_PREFIX)
        if each.name == current:
            raise Conflict(
                f"{name} is checked out: fetching into it would move it below its worktree",
                hint="envgit pull moves it",
            )
        if name == each.name:
            continue
        old = repo.refs.resolve(each.name)
        pointer = repo.read_pointer(name, old)
        if old not in (None, each.oid) and pointer is not None and has_real_changes(repo, pointer, old):
            raise Conflict(
                f"branch {name} has uncommitted changes: fetching into it would move it below them",
                hint=f"envgit checkout {name}, then: envgit pull {source} {each.source.removeprefix(BRANCH_PREFIX)}",
            )


def _refuse_folders(
    repo: Repository, remote: Remote, advertised: Advertised, wanted: list[_Wanted], prune: bool
) -> None:
    """Raise Conflict when a branch has become a folder of branches there, or the reverse, and the old one is not pruned."""
    gone = _find_gone(repo, remote, advertised) if remote.name else {}
    if prune or not gone:
        return
    folders = {name[:end]: name for name in gone for end in range(len(name)) if name[end] == "/"}
    for each in wanted:
        above = (each.name[:end] for end in range(len(each.name)) if each.name[end] == "/")
        other = folders.get(each.name) or next((name for name in above if name in gone), None)
        if other is not None and repo.refs.resolve(each.name) is None:
            raise Conflict(
                f"{each.name.removeprefix(TRACKING_PREFIX)} cannot be remembered beside "
                f"{other.removeprefix(TRACKING_PREFIX)}, which is gone there",
                hint=f"forget what is gone: envgit fetch --prune {remote.name}",
            )


def _bring(
    repo: Repository,
    way: Transport,
    advertised: Advertised,
    wanted: list[_Wanted],
    quarantine: Quarantine,
    options: FetchOptions,
    is_folder: bool,
) -> _Arrived:
    """Bring what is missing into the quarantine and check it.

    What this user has elsewhere stands in only for what a folder has: a server that merely names the id of a project's commit must
    not have it accepted, for a later push could carry it there.
    """
    known = {oid for _, oid in repo.refs.iter_refs()}
    missing = {each.source: each.oid for each in wanted if each.oid not in known}
    if options.depth is not None:
        missing = {each.source: each.oid for each in wanted}
    if not missing:
        return _Arrived(0, 0, False)
    here = Taken(frozenset(), ())
    if is_folder and options.depth is None:
        here = take_known(repo.objects, repo.environ, missing.values(), quarantine.git_dir + "/objects/pack")
    absent = {source: oid for source, oid in missing.items() if oid not in here.tips}
    fetched = way.fetch(absent, quarantine.git_dir, depth=options.depth) if absent else Fetched(0, 0, ())
    quarantine.check(
        dict.fromkeys(missing.values()), repo.monitor, shallow=fetched.shallow, lent=here.packs + fetched.lent
    )
    return _Arrived(fetched.objects, fetched.bytes, True, frozenset(fetched.lent))


def _followed_tags(
    repo: Repository, advertised: Advertised, wanted: list[_Wanted], quarantine: Quarantine
) -> Iterable[_Wanted]:
    """Yield the tags of commits that are here or about to be, and whose names are not taken, as git's auto-following does."""
    here = {each.oid for each in wanted}
    arrived = ObjectStore(quarantine.git_dir)
    for name, oid in advertised.refs.items():
        if not name.startswith(TAG_PREFIX) or repo.refs.resolve(name) is not None:
            continue
        commit = advertised.peeled.get(name, oid)
        if commit in here or arrived.contains(commit) or repo.objects.contains(commit):
            yield _Wanted(name, oid, name, False)


def _without_misleading(
    repo: Repository, remote: Remote, advertised: Advertised, wanted: list[_Wanted], quarantine: Quarantine
) -> list[_Wanted]:
    """Leave out tags whose names stand for something else here; one warning names them."""
    arriving = {each.name for each in wanted if repo.refs.resolve(each.name) is None} if wanted else set()
    suspects = [name for name in arriving if name.startswith(TAG_PREFIX)]
    if not suspects:
        return wanted
    branches = {name.removeprefix(BRANCH_PREFIX) for name, _ in repo.refs.iter_refs(BRANCH_PREFIX)}
    unborn = repo.branch_name() or ""
    head = (advertised.head or "").removeprefix(BRANCH_PREFIX)
    remotes = {each.name for each in list_remotes(repo)}
    taken = TakenNames({*branches, unborn, head}, remotes, (repo.objects, ObjectStore(quarantine.git_dir)))
    found = {name: what for name in sorted(suspects) if (what := taken.find(name.removeprefix(TAG_PREFIX)))}
    if found:
        said = ", ".join(
            f"{name.removeprefix(TAG_PREFIX)} ({what})" for name, what in list(found.items())[:_MOST_NAMED]
        )
        more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        repo.monitor.warn(
            f"tags whose names stand for something else are left out: {said}{more}; envgit fetch --tags takes them"
        )
    return [each for each in wanted if each.name not in found]


def _judge(repo: Repository, each: _Wanted, force: bool) -> RefChange:
    """Say what may become of one ref."""
    if not each.name:
        return RefChange(each.source, "", None, each.oid, "fetched")
    old = repo.refs.resolve(each.name)
    change = RefChange(each.source, each.name, old, each.oid, "new")
    if old is None:
        return change
    if old == each.oid:
        return change._replace(kind="same")
    if each.name.startswith(TAG_PREFIX):
        kind, reason = (
            ("forced", "tag moved") if force or each.force else ("rejected", "would replace the tag that is here")
        )
        return change._replace(kind=kind, reason=reason)
    try:
        if is_ancestor(repo.objects, old, each.oid):
            return change._replace(kind="forward")
    except MissingObject:  # a dry run brings nothing, and history may be cut
        pass
    if force or each.force:
        return change._replace(kind="forced", reason="history was replaced there")
    return change._replace(kind="rejected", reason="not a fast-forward")


def _move(repo: Repository, transaction: Transaction, each: _Wanted, force: bool) -> RefChange:
    change = _judge(repo, each, force)
    if change.name and change.kind in ("new", "forward", "forced"):
        if change.name.startswith(BRANCH_PREFIX) and change.old is not None:
            name = change.name.removeprefix(BRANCH_PREFIX)
            claim_worktree(repo, transaction, repo.read_pointer(name, change.old))
            transaction.set_worktree(worktree_name(name), None)  # it holds no changes: _refuse_worktrees()
        transaction.set_ref(change.name, change.new, based_on=change.old)
    return change


def _prune(repo: Repository, transaction: Transaction, remote: Remote, advertised: Advertised) -> list[RefChange]:
    """Drop what is remembered of refs that the remote no longer has."""
    gone = []
    for name, oid in _find_gone(repo, remote, advertised).items():
        transaction.set_ref(name, None)
        gone.append(RefChange("", name, oid, None, "pruned"))
    return gone


def _find_gone(repo: Repository, remote: Remote, advertised: Advertised) -> dict[str, bytes]:
    live = {place for spec in remote.fetch for name in advertised.refs if (place := spec.map(name))}
    prefix = f"{TRACKING_PREFIX}{remote.name}/"
    return {name: oid for name, oid in repo.refs.iter_refs(prefix) if name not in live and name != prefix + "HEAD"}


def _verify(repo: Repository, wanted: list[_Wanted], quarantine: Quarantine, options: FetchOptions) -> None:
    """Raise UnverifiedCommit unless every new commit of each branch, and of what was asked for by name, is signed."""
    from envgit.verify import require_signatures

    arrived = ObjectStore(quarantine.git_dir)

    def read(oid: bytes) -> tuple[str, bytes]:
        return (arrived if arrived.contains(oid) else repo.objects).read(oid)

    ours = [oid for _, oid in repo.refs.iter_refs(BRANCH_PREFIX)]
    for each in wanted:
        if options.refspecs or not each.source.startswith(TAG_PREFIX):
            before = repo.refs.resolve(each.name) if each.name else None
            known = [*ours, before] if before is not None else ours
            require_signatures(repo, commits_to_sign(repo, each.source, each.oid, known, read), Reading(read))


def _write_fetch_head(repo: Repository, remote: Remote, wanted: list[_Wanted], options: FetchOptions) -> None:
    """Write what git writes: FETCH_HEAD names what was asked for, as a revision."""
    url = remote.shown.replace("\n", " ")
    lines = []
    for source, oid in {each.source: each.oid for each in wanted}.items():
        kind, _, name = source.removeprefix("refs/").partition("/")
        what = {"heads": "branch", "tags": "tag"}.get(kind, kind)
        merge = "" if options.refspecs or not remote.name else "not-for-merge"
        lines.append(f"{oid.hex()}\t{merge}\t{what} '{name}' of {url}\n")
    text = "".join(lines).encode("utf-8", "surrogateescape")
    storage.write_file(repo.path(FETCH_HEAD), text, step="fetch-head", durable=False)
