"""Which layers to mount for a revision: from its plan file, or by materialising what is missing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from envgit import errors
from envgit.errors import EnvgitError, SandboxError
from envgit.exec.idmap import needs_tree_namespace, run_in_tree_namespace
from envgit.layers.plan_file import Plan
from envgit.light_typing import TYPE_CHECKING
from envgit.repo import Repository

if TYPE_CHECKING:
    from envgit.layers.cache import LayerCache
    from envgit.layers.capture import Captured
    from envgit.snapshot import Snapshot
    from envgit.uppers import Upper

_SETTLED_NS = 60_000_000_000
"""The kernel writes back what is older than 30 seconds, by default, every 5 seconds."""
_WORTH_SYNCING_SECONDS = 3.0
"""A layer that took longer is not risked for a minute."""
ASKED_LABEL = "envgit.sandbox"
"""The label in which an environment's configuration says what running it asks for: JSON, see sandbox/asked.py."""
_ANCESTORS_TRIED = 64
_ANCESTORS_TRIED_FOR_SHALLOW = 1024


def find_plan(repo: Repository, oid: bytes) -> Plan | None:
    """Return the plan of a commit if everything it needs is there: the hot path, a few small files."""
    return repo.cache.find_plan(oid.hex()) if repo.cache.is_current() else None


def ensure_plan(repo: Repository, oid: bytes, *, locked: bool = False) -> Plan:
    """Return the plan of a commit, materialising missing layers first (in the tree namespace).

    `locked`: the caller holds the repository's lock. Raises CorruptObject, StorageError, UnsupportedRepository.
    """
    plan = find_plan(repo, oid)
    if plan is not None:
        return plan
    lock = None if locked else repo.lock()
    started = time.monotonic()
    try:
        if lock is not None:
            lock.acquire(b"envgit: materialising " + oid.hex()[:12].encode())
        run_where_ids_are_plain(repo, lambda: _materialise(repo, oid))
    finally:
        if lock is not None:
            lock.release()
    sync_layers_later(repo, at_once=time.monotonic() - started > _WORTH_SYNCING_SECONDS)
    plan = find_plan(repo, oid)
    if plan is None:
        raise SandboxError(f"the layers of {oid.hex()} could not be prepared", hint="envgit fsck")
    return plan


def sync_layers_later(repo: Repository, *, at_once: bool = False) -> None:
    """Make layers survive a power cut, in a process beside this one, if there are some that would not.

    Only when the kernel wrote most of them back by itself, so that it costs little; or `at_once`. Whatever goes wrong there,
    the layers are made again after the power cut.
    """
    before_ns = repo.now() * 1_000_000_000 + (1_000_000_000 if at_once else -_SETTLED_NS)
    if not repo.cache.has_settled(before_ns):
        return
    from envgit.exec.background import start_background
    from envgit.exec.linux import sync_filesystem

    def sync() -> None:
        run_where_ids_are_plain(repo, lambda: repo.cache.make_durable(sync_filesystem))

    with suppress(OSError):
        start_background(sync, keep=(), folder="/")


def prepare_cache(repo: Repository) -> LayerCache:
    """Return the layer cache, usable; what a killed handover left is finished first. Called under the lock."""
    from envgit.layers.handover import recover

    recover(repo.cache)
    repo.cache.prepare()
    return repo.cache


def finish_handover(repo: Repository) -> None:
    """Finish what a commit that was killed while it handed its upper directory over left; call without the lock."""

    def finish() -> None:
        prepare_cache(repo)

    lock = repo.lock()
    lock.acquire(b"envgit: finishing a killed commit")
    try:
        run_where_ids_are_plain(repo, finish)
    finally:
        lock.release()


def _materialise(repo: Repository, oid: bytes) -> None:
    from envgit.exec.second_process import SecondProcess
    from envgit.layers.cache import MAX_STACK, SHALLOW_STACK
    from envgit.layers.stacking import KnownTree, ensure_stack
    from envgit.snapshot import read_snapshot

    cache = prepare_cache(repo)
    snapshot = read_snapshot(repo.objects, oid)

    def known(limit: int, depth: int) -> KnownTree | None:
        found = _find_ancestor(repo, snapshot, limit, depth)
        return None if found is None else KnownTree(stack_key(found), found.root)

    nearest = known(_ANCESTORS_TRIED, MAX_STACK + 1)
    whole = nearest is None and cache.find_stack(stack_key(snapshot)) is None
    if whole:
        from envgit.sharing.borrowing import borrow_layers

        trees = (KnownTree(stack_key(each), each.root) for each in _iter_line(repo, snapshot))
        nearest = borrow_layers(repo.git_dir, repo.environ, cache, trees, repo.reader, repo.monitor)
    layers = ensure_stack(
        cache,
        KnownTree(stack_key(snapshot), snapshot.root),
        [nearest] if nearest is not None else [],
        repo.reader,
        shallow=lambda: known(_ANCESTORS_TRIED_FOR_SHALLOW, SHALLOW_STACK),
        monitor=repo.monitor,
        fork=SecondProcess,
    )
    record_plan(repo, snapshot, layers)
    if whole:
        from envgit.sharing.borrowing import note_lender

        note_lender(repo.git_dir, repo.environ, cache)


def _iter_line(repo: Repository, snapshot: Snapshot) -> Iterator[Snapshot]:
    """Yield a snapshot and its first-parent ancestors, as far as they are environments that can be read."""
    from envgit.snapshot import read_snapshot

    yield snapshot
    with suppress(EnvgitError):
        while snapshot.commit.parents:
            snapshot = read_snapshot(repo.objects, snapshot.commit.parents[0])
            yield snapshot


def _find_ancestor(repo: Repository, snapshot: Snapshot, limit: int, depth: int) -> Snapshot | None:
    """Return the nearest of `limit` first-parent ancestors that has a stack of at most `depth` layers."""
    from envgit.snapshot import read_snapshot

    for _ in range(limit):
        if not snapshot.commit.parents:
            break
        try:
            snapshot = read_snapshot(repo.objects, snapshot.commit.parents[0])
        except EnvgitError:
            break
        stack = repo.cache.find_stack(stack_key(snapshot))
        if stack is not None and len(stack) <= depth:
            return snapshot
    return None


def stack_key(snapshot: Snapshot) -> str:
    """Return what the layer cache calls the tree of a commit."""
    assert isinstance(snapshot.root.content, bytes)
    return snapshot.root.content.hex()


def record_plan(repo: Repository, snapshot: Snapshot, layers: tuple[str, ...]) -> None:
    """Write the plan file of a commit whose stack is `layers`, top first."""
    from envgit.environment_config import declared_keys, declared_label, declared_text, parse_config
    from envgit.snapshot import read_config_bytes
    from envgit.store.shallow import visible_parents

    config = parse_config(read_config_bytes(repo.objects, snapshot))
    plan = Plan(
        tree=stack_key(snapshot),
        parents=tuple(parent.hex() for parent in visible_parents(repo.objects, snapshot.oid, snapshot.commit.parents)),
        layers=layers,
        env=tuple((name, value) for name, value in config.env if name),  # execve takes no variable without a name
        cmd=config.cmd,
        entrypoint=config.entrypoint,
        working_dir=config.working_dir,
        user=config.user,
        ports=declared_keys(config, "ExposedPorts"),
        volumes=declared_keys(config, "Volumes"),
        stop_signal=declared_text(config, "StopSignal"),
        asked=declared_label(config, ASKED_LABEL),
    )
    repo.cache.record_plan(snapshot.oid.hex(), plan)


def adopt_upper(repo: Repository, upper: Upper, base: bytes, new: Snapshot, captured: Captured) -> None:
    """Turn a committed upper directory into the layer of the new commit; what was left out stays in a new upper.

    Called under the repository's lock, with nothing mounted over the upper directory. Only the cache is at stake: when
    the base's own stack is gone, nothing is done.
    """
    from envgit.layers.cache import MAX_STACK
    from envgit.layers.handover import adopt
    from envgit.snapshot import read_snapshot

    cache = prepare_cache(repo)
    below = cache.find_stack(stack_key(read_snapshot(repo.objects, base)))
    if below is None:
        return
    root_own = repo.reader.read_directory(new.root).own
    name = adopt(cache, os.fsencode(upper.upper), captured, root_own, stack_key(new), below)
    if len(below) < MAX_STACK:  # else the next run flattens the stack, and records the plan then
        record_plan(repo, new, (name, *below))


def run_where_ids_are_plain(repo: Repository, work: Callable[[], None]) -> None:
    """Run `work` where ids on disk are the environment's; its EnvgitErrors arrive here."""

    def answer() -> bytes:
        work()
        return b""

    call_where_ids_are_plain(repo, answer)


def call_where_ids_are_plain(repo: Repository, work: Callable[[], bytes]) -> bytes:
    """As run_where_ids_are_plain(), returning what `work` does: at most 4,096 bytes, as much as a pipe surely holds."""
    if repo.in_tree_namespace or not needs_tree_namespace(repo.idmap):
        return work()
    read_end, write_end = os.pipe()
    _ = repo.disk_ids  # looked at here: there it would be another user's

    def report() -> int:
        os.close(read_end)
        repo.note_tree_namespace()
        try:
            os.write(write_end, b"=" + work())
        except EnvgitError as error:
            words = (type(error).__name__, error.message, error.hint or "")
            os.write(write_end, "\0".join(words).encode("utf-8", "surrogateescape"))
            return 1
        return 0

    try:
        status = run_in_tree_namespace(repo.idmap, report)
    finally:
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            said = pipe.read()
    if said[:1] == b"=":
        return said[1:]
    if said:
        kind, message, hint = said.decode("utf-8", "surrogateescape").split("\0")
        raise getattr(errors, kind, EnvgitError)(message, hint=hint or None)
    raise SandboxError(f"a helper process ended with status {status}", hint="envgit doctor")
