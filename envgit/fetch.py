"""Fetch: bring history from another repository. It is checked in quarantine before a ref of this one moves."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from typing import NamedTuple

from envgit.errors import Conflict, UnknownRevision
from envgit.quarantine import Quarantine
from envgit.remotes.configuration import TRACKING_PREFIX, Remote
from envgit.remotes.opening import address_of, choose_remote, open_way
from envgit.remotes.refspec import Refspec, parse_fetch_refspec
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.sharing.known import take_known
from envgit.sharing.packs import offer_packs
from envgit.store import storage
from envgit.store.history import is_ancestor
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.ref_names import is_ref_name
from envgit.suggestion import did_you_mean
from envgit.transaction import Transaction
from envgit.transfer.splitting import UPLOADS
from envgit.transfer.transport import Advertised, Fetched, Transport

FETCH_HEAD = "FETCH_HEAD"


class FetchOptions(NamedTuple):
    """`tags`: "all", "none", or None for what the remote says. `depth`: commits of each branch, None for all."""

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
    with closing(open_way(repo, address, "fetch")) as way:
        advertised = _sane(way.list_refs())
        wanted = _choose(remote, advertised, options)
        _refuse_checked_out(repo, wanted)
        with Quarantine.create(repo.git_dir) as quarantine:
            arrived = _bring(repo, way, advertised, wanted, quarantine, options)
            if (options.tags or remote.tags) == "auto" and not options.refspecs:
                followed = list(_followed_tags(repo, advertised, wanted, quarantine))
                if followed:
                    more = _bring(repo, way, advertised, followed, quarantine, options)
                    arrived = _Arrived(arrived.objects + more.objects, arrived.size + more.size, True)
                    wanted += followed
            if options.verify_signatures:
                _verify(repo, wanted, quarantine)
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
                changes = [_move(repo, transaction, each, options.force) for each in wanted]
                if options.prune and remote.name:
                    changes += _prune(repo, transaction, remote, advertised)
                done = transaction.finish(f"fetch {remote.name or remote.shown}")
    offer_packs(repo.git_dir, repo.environ, packs)
    _write_fetch_head(repo, remote, wanted, options)
    seconds = time.monotonic() - started
    return FetchResult(
        remote.name, remote.shown, advertised.head, tuple(changes), arrived.objects, arrived.size, seconds, done.number
    )


def _sane(advertised: Advertised) -> Advertised:
    """Leave out what no ref of ours may be called, what belongs to the other repository alone, and pieces of a push on its way."""
    foreign = ("refs/envgit/", UPLOADS)
    refs = {name: oid for name, oid in advertised.refs.items() if is_ref_name(name) and not name.startswith(foreign)}
    return advertised._replace(refs=refs)


def _choose(remote: Remote, advertised: Advertised, options: FetchOptions) -> list[_Wanted]:
    """Return what to fetch, each ref once for each place it goes to."""
    if options.refspecs:
        specs = [_find_source(parse_fetch_refspec(text), advertised, remote.shown) for text in options.refspecs]
    else:
        specs = [_or_tag(spec, advertised) for spec in remote.fetch] or [Refspec(False, "HEAD", "")]
    if (options.tags or remote.tags) == "all":
        specs.append(Refspec(False, TAG_PREFIX + "*", TAG_PREFIX + "*"))
    wanted: dict[tuple[str, str], _Wanted] = {}
    for spec in specs:
        for name, oid in _matches(spec, advertised, remote.shown):
            target = spec.map(name) if spec.source != "HEAD" else spec.destination
            for place in (target,) if target else dict.fromkeys(("", remote.tracking(name) or "")):
                if place and not is_ref_name(place):
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


def _refuse_checked_out(repo: Repository, wanted: list[_Wanted]) -> None:
    current = repo.read_head().symbolic
    for each in wanted:
        if each.name == current:
            raise Conflict(
                f"{current.removeprefix(BRANCH_PREFIX)} is checked out: fetching into it would move it below its worktree",
                hint="envgit pull moves it",
            )


def _bring(
    repo: Repository,
    way: Transport,
    advertised: Advertised,
    wanted: list[_Wanted],
    quarantine: Quarantine,
    options: FetchOptions,
) -> _Arrived:
    """Bring what is missing into the quarantine and check it."""
    known = {oid for _, oid in repo.refs.iter_refs()}
    missing = {each.source: each.oid for each in wanted if each.oid not in known}
    if options.depth is not None:
        missing = {each.source: each.oid for each in wanted}
    if not missing:
        return _Arrived(0, 0, False)
    here: frozenset[bytes] = frozenset()
    if options.depth is None:
        here = take_known(repo.objects, repo.environ, missing.values(), quarantine.git_dir + "/objects/pack")
    absent = {source: oid for source, oid in missing.items() if oid not in here}
    fetched = way.fetch(absent, quarantine.git_dir, depth=options.depth) if absent else Fetched(0, 0, ())
    quarantine.check(dict.fromkeys(missing.values()), repo.monitor, shallow=fetched.shallow)
    return _Arrived(fetched.objects, fetched.bytes, True)


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
        transaction.set_ref(change.name, change.new, based_on=change.old)
    return change


def _prune(repo: Repository, transaction: Transaction, remote: Remote, advertised: Advertised) -> list[RefChange]:
    """Drop what is remembered of refs that the remote no longer has."""
    live = {place for spec in remote.fetch for name in advertised.refs if (place := spec.map(name))}
    gone = []
    for name, oid in list(repo.refs.iter_refs(f"{TRACKING_PREFIX}{remote.name}/")):
        if name not in live and name != f"{TRACKING_PREFIX}{remote.name}/HEAD":
            transaction.set_ref(name, None)
            gone.append(RefChange("", name, oid, None, "pruned"))
    return gone


def _verify(repo: Repository, wanted: list[_Wanted], quarantine: Quarantine) -> None:
    """Raise UnverifiedCommit unless the tip of every branch has a good signature."""
    from envgit.verify import require_signatures

    tips = [each.oid for each in wanted if not each.source.startswith(TAG_PREFIX)]
    require_signatures(repo, dict.fromkeys(tips), ObjectStore(quarantine.git_dir))


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
