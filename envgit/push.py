"""Push: send history to another repository and move its refs there."""

from __future__ import annotations

import time
from contextlib import closing
from typing import NamedTuple

from envgit.errors import EnvgitError, UnknownRevision, UsageError
from envgit.remotes.configuration import TRACKING_PREFIX, Remote, read_setting, read_upstream, set_upstream
from envgit.remotes.opening import address_of, choose_remote, open_way
from envgit.remotes.refspec import Refspec, full_destination, parse_push_refspec
from envgit.repo import BRANCH_PREFIX, TAG_PREFIX, Repository
from envgit.store.history import is_ancestor
from envgit.store.object_store import MissingObject
from envgit.store.revisions import resolve_object
from envgit.suggestion import suggest
from envgit.transfer.pushing import push_in_steps
from envgit.transfer.sizing import PushLimits
from envgit.transfer.splitting import PushPlan, plan_pushes
from envgit.transfer.transport import Advertised, RefOutcome, RefUpdate

_NOTHING = PushPlan((), (), 0)


class PushOptions(NamedTuple):
    """`lease`: None, or (ref, expected) for refs that must still be there what is expected: a revision, "" for no such ref, None
    for where this repository last saw them; the ref "" is all that are pushed."""

    refspecs: tuple[str, ...] = ()
    force: bool = False
    lease: tuple[tuple[str, str | None], ...] | None = None
    tags: bool = False
    all: bool = False
    delete: bool = False
    set_upstream: bool = False
    atomic: bool = False
    dry_run: bool = False


class PushedRef(NamedTuple):
    """What became of one ref there. `kind`: new, forward, forced, same, deleted, rejected; ids are 20 bytes."""

    source: str
    name: str
    old: bytes | None
    new: bytes | None
    kind: str
    reason: str = ""


class PushResult(NamedTuple):
    """`bytes`: about how much had to go, in `steps` pushes; `followed`: (branch, ref there) that follow the remote now."""

    remote: str
    url: str
    refs: tuple[PushedRef, ...]
    bytes: int
    steps: int
    seconds: float
    followed: tuple[tuple[str, str], ...]
    operation: int

    @property
    def rejected(self) -> tuple[PushedRef, ...]:
        return tuple(ref for ref in self.refs if ref.kind == "rejected")


class _Change(NamedTuple):
    source: str
    name: str
    new: bytes | None
    force: bool


def push(repo: Repository, target: str | None = None, options: PushOptions | None = None) -> PushResult:
    """Push branches and tags to a remote (its name or address; None: what the current branch follows).

    Without refspecs the current branch goes to the branch that it follows, or to one of its own name, which it then follows.
    History there is never lost without `force` or `lease`. Refs are refused one by one, or with `atomic` all together. What is too
    big for one push goes in several. Raises TransferError and its kinds, UnknownRevision, UsageError.
    """
    options = options or PushOptions()
    remote = choose_remote(repo, target)
    changes = _choose(repo, remote, options)
    started = time.monotonic()
    address = address_of(repo, remote.push_url)
    with closing(open_way(repo, address, "push")) as way:
        advertised = way.list_refs()
        changes = [_find_doomed(change, advertised) for change in changes]
        leases = _read_leases(repo, remote, changes, options)
        judged = [_judge(repo, advertised, change, leases) for change in changes]
        if options.atomic and any(ref.kind == "rejected" for ref in judged):
            judged = [ref if ref.kind == "rejected" else _refused(ref, "atomic push failed") for ref in judged]
        going = [ref for ref in judged if ref.kind not in ("rejected", "same")]
        updates = [_update(ref, leased=ref.name in leases) for ref in going]
        limits = PushLimits(0, 0) if address.is_local else _read_limits(repo)
        plan = plan_pushes(repo.objects, updates, advertised.refs, limits, atomic=options.atomic) if going else _NOTHING
        if going and not options.dry_run:
            outcomes = push_in_steps(way, plan, updates, repo.monitor, atomic=options.atomic)
            judged = _settle(judged, {outcome.name: outcome for outcome in outcomes})
    followed: tuple[tuple[str, str], ...] = ()
    number = 0
    if not options.dry_run:
        followed = _follow(repo, remote, judged, options)
        number = _remember(repo, remote, judged)
    seconds = time.monotonic() - started
    return PushResult(
        remote.name, remote.shown_push, tuple(judged), plan.bytes, len(plan.steps), seconds, followed, number
    )


def _choose(repo: Repository, remote: Remote, options: PushOptions) -> list[_Change]:
    """Return the refs to change there, by what was asked."""
    changes: dict[str, _Change] = {}
    texts = options.refspecs
    if options.delete:
        if not texts:
            raise UsageError(
                "which branch or tag is to be deleted there?", hint="such as: envgit push --delete origin NAME"
            )
        texts = tuple(f":{text}" for text in texts)
    if options.all:
        texts += tuple(f"{name}:{name}" for name, _ in repo.refs.iter_refs(BRANCH_PREFIX))
    if options.tags:
        texts += tuple(f"{name}:{name}" for name, _ in repo.refs.iter_refs(TAG_PREFIX))
    if not texts and not options.tags and not options.all:
        change = _current(repo, remote, options)
        return [change]
    for text in texts:
        change = _parse(repo, parse_push_refspec(text), options.force)
        known = changes.setdefault(change.name, change)
        if known.new != change.new:
            raise UsageError(f"{change.name} would become two things at once", hint="name it once")
    return list(changes.values())


def _current(repo: Repository, remote: Remote, options: PushOptions) -> _Change:
    branch = repo.branch_name()
    if branch is None:
        raise UsageError("HEAD is on no branch", hint="say where it goes: envgit push origin HEAD:refs/heads/NAME")
    oid = repo.refs.resolve(BRANCH_PREFIX + branch)
    if oid is None:
        raise UnknownRevision(
            f"branch {branch} has no commits yet", hint="envgit import --from host makes the first one"
        )
    upstream = read_upstream(repo, branch)
    name = upstream.ref if upstream is not None and upstream.remote == remote.name else BRANCH_PREFIX + branch
    return _Change(BRANCH_PREFIX + branch, name, oid, options.force)


def _parse(repo: Repository, spec: Refspec, force: bool) -> _Change:
    if not spec.source:
        full_destination(spec.destination, "")
        return _Change("", spec.destination, None, force or spec.force)
    source = _full_source(repo, spec.source)
    oid = resolve_object(repo.objects, repo.refs, spec.source)
    if not spec.destination and not source.startswith((BRANCH_PREFIX, TAG_PREFIX)):
        raise UsageError(
            f"{spec.source} is no branch or tag: what is it to be called there?",
            hint=f"such as: envgit push origin {spec.source}:refs/heads/NAME",
        )
    name = full_destination(spec.destination or source, source)
    kind = repo.objects.read(oid)[0]
    if name.startswith(BRANCH_PREFIX) and kind != "commit":
        raise UsageError(
            f"{spec.source} is a {kind}; a branch is a commit", hint=f"push its commit: {spec.source}^{{}}:{name}"
        )
    return _Change(source or spec.source, name, oid, force or spec.force)


def _find_doomed(change: _Change, advertised: Advertised) -> _Change:
    """Make the short name of what is to be deleted full: the branch or tag that is called so there. Raises UsageError."""
    if change.new is not None:
        return change
    full = [full_destination(change.name, prefix) for prefix in (BRANCH_PREFIX, TAG_PREFIX)]
    found = sorted({name for name in full if name in advertised.refs})
    if len(found) > 1:
        raise UsageError(f"{change.name} is a branch and a tag there", hint=f"say which: {' or '.join(found)}")
    return change._replace(name=found[0] if found else full[0])


def _full_source(repo: Repository, word: str) -> str:
    """Return the full name of the branch or tag that a word names, "" for any other revision."""
    if word in ("HEAD", "@"):
        return repo.read_head().symbolic or ""
    found = [
        name
        for name in (word, BRANCH_PREFIX + word, TAG_PREFIX + word)
        if name.startswith("refs/") and repo.refs.resolve(name)
    ]
    if len(found) > 1:
        raise UsageError(f"{word} is a branch and a tag", hint=f"say which: {' or '.join(found)}")
    if not found and not any(mark in word for mark in "~^@{:"):
        try:
            resolve_object(repo.objects, repo.refs, word)
        except UnknownRevision as error:
            names = [
                name.split("/", 2)[2]
                for prefix in (BRANCH_PREFIX, TAG_PREFIX)
                for name, _ in repo.refs.iter_refs(prefix)
            ]
            raise UnknownRevision(error.message, hint=suggest(word, names)) from None
    return found[0] if found else ""


def _read_leases(
    repo: Repository, remote: Remote, changes: list[_Change], options: PushOptions
) -> dict[str, bytes | None]:
    """Return what the refs of a lease must be there, None for not at all. Raises UsageError."""
    leases: dict[str, bytes | None] = {}
    for word, expected in options.lease or ():
        names = [each.name for each in changes if word in ("", each.name, *_short_names(each.name))]
        if not names and word:
            raise UsageError(
                f"--force-with-lease is about {word}, which is not pushed", hint="name a branch that is pushed"
            )
        for name in names:
            if word or name not in leases:
                leases[name] = _expected_id(repo, remote, name, expected)
    return leases


def _short_names(name: str) -> tuple[str, ...]:
    return tuple(name.removeprefix(prefix) for prefix in (BRANCH_PREFIX, TAG_PREFIX) if name.startswith(prefix))


def _expected_id(repo: Repository, remote: Remote, name: str, expected: str | None) -> bytes | None:
    if expected is None:
        tracking = remote.tracking(name)
        return repo.refs.resolve(tracking) if tracking else None
    if not expected:
        return None
    if len(expected) == 40 and not set(expected) - set("0123456789abcdef"):
        return bytes.fromhex(expected)  # it need not be here
    try:
        return resolve_object(repo.objects, repo.refs, expected)
    except EnvgitError as error:
        raise UsageError(
            f"--force-with-lease expects {expected!r}: {error.message}", hint="name a commit, such as origin/main"
        ) from None


def _judge(repo: Repository, advertised: Advertised, change: _Change, leases: dict[str, bytes | None]) -> PushedRef:
    """Say what may become of one ref there, as far as it can be known here."""
    old = advertised.refs.get(change.name)
    ref = PushedRef(change.source, change.name, old, change.new, "new")
    if change.name in leases:
        if leases[change.name] != old:
            return _refused(ref, "stale info: it is not what was expected there")
        return ref._replace(
            kind="deleted" if change.new is None else "same" if old == change.new else "forced" if old else "new"
        )
    if change.new is None:
        return ref._replace(kind="deleted") if old is not None else _refused(ref, "there is no such ref")
    if old is None:
        return ref
    if old == change.new:
        return ref._replace(kind="same")
    if change.name.startswith(TAG_PREFIX):
        return ref._replace(kind="forced") if change.force else _refused(ref, "the tag exists there and is another")
    if not repo.objects.contains(old):
        return (
            ref._replace(kind="forced")
            if change.force
            else _refused(ref, "fetch first: it has commits that are not here")
        )
    try:
        if is_ancestor(repo.objects, old, change.new):
            return ref._replace(kind="forward")
    except MissingObject:
        pass
    return ref._replace(kind="forced") if change.force else _refused(ref, "not a fast-forward")


def _refused(ref: PushedRef, reason: str) -> PushedRef:
    return ref._replace(kind="rejected", reason=reason)


def _read_limits(repo: Repository) -> PushLimits:
    """Return what hosts accept, or what the configuration says: envgit.pushLimit, envgit.pushObjectLimit (sizes such as 2g)."""
    from envgit.exec.cgroups.limits import parse_size

    limits = PushLimits()
    for key, field in (("envgit.pushlimit", "push_bytes"), ("envgit.pushobjectlimit", "object_bytes")):
        value = read_setting(repo, key)
        if value is not None:
            limits = limits._replace(**{field: 0 if value in ("0", "off") else parse_size(value, key)})
    return limits


def _update(ref: PushedRef, *, leased: bool) -> RefUpdate:
    return RefUpdate(ref.name, ref.old, ref.new, force=ref.kind == "forced" and not leased, lease=leased)


def _settle(judged: list[PushedRef], outcomes: dict[str, RefOutcome]) -> list[PushedRef]:
    """Return what became of every ref, where the other side had the last word."""
    settled = []
    for ref in judged:
        outcome = outcomes.get(ref.name)
        settled.append(ref if outcome is None or outcome.ok else _refused(ref, outcome.reason))
    return settled


def _follow(
    repo: Repository, remote: Remote, judged: list[PushedRef], options: PushOptions
) -> tuple[tuple[str, str], ...]:
    """Let branches follow what they were pushed to, where asked, or where a bare `push` had nothing to go by."""
    followed: list[tuple[str, str]] = []
    if not remote.name:
        return ()
    bare = not options.refspecs and not options.tags and not options.all
    for ref in judged:
        if (
            ref.kind in ("rejected", "deleted")
            or not ref.source.startswith(BRANCH_PREFIX)
            or not ref.name.startswith(BRANCH_PREFIX)
        ):
            continue
        branch = ref.source.removeprefix(BRANCH_PREFIX)
        if options.set_upstream or (bare and read_upstream(repo, branch) is None):
            set_upstream(repo, branch, remote.name, ref.name)
            followed.append((branch, ref.name))
    return tuple(followed)


def _remember(repo: Repository, remote: Remote, judged: list[PushedRef]) -> int:
    """Move what is remembered of the remote's refs, in one operation; return its number."""
    moves = [(remote.tracking(ref.name), ref) for ref in judged if ref.kind != "rejected"]
    due = [
        (name, ref.new)
        for name, ref in moves
        if name and name.startswith(TRACKING_PREFIX) and repo.refs.resolve(name) != ref.new  # else it is a mirror's
    ]
    if not due:
        return 0
    with repo.operation(["push", remote.name]) as transaction:
        for name, new in due:
            transaction.set_ref(name, new)
        return transaction.finish(f"push {remote.name}").number
