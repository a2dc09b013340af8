"""The layer cache: stacks, plans, handing an upper directory over under kill at every step."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from envgit.layers.cache import LayerCache
from envgit.layers.capture import capture
from envgit.layers.handover import adopt, recover
from envgit.layers.plan_file import Plan, format_plan, parse_plan
from envgit.layers.scan import scan_directory
from envgit.layers.stacking import KnownTree, ensure_stack
from envgit.layers.whiteout import make_opaque
from envgit.model import DirectoryRef, DiskIds

from .dict_store import DictStore
from .overlay import needs_root, with_overlay
from .test_capture import PLAIN, make_upper, tree


class Killed(BaseException):
    pass


def open_cache(path: Path) -> LayerCache:
    path.mkdir(exist_ok=True)
    cache = LayerCache(os.fsencode(path), PLAIN)
    cache.prepare()
    return cache


def test_plan_round_trip() -> None:
    plan = Plan("t" * 40, ("p", "q"), ("l1", "l2"), (("A", "x y\n"), ("B", "")), ("sh", "", "a b"), (), "/w d", "u:g")
    text = format_plan(plan)
    assert parse_plan(text) == plan
    assert all(parse_plan(text[:length]) is None for length in range(len(text)))


def see(cache: LayerCache, names: tuple[str, ...], where: Path, store: DictStore) -> DirectoryRef:
    def look(fd: int) -> tuple[DirectoryRef, DictStore]:
        own = DictStore()
        return scan_directory(fd, own, PLAIN, one_filesystem=False).root, own

    where.mkdir(exist_ok=True)
    lowers = [os.fsdecode(cache.layer_path(name)) for name in names]
    empty = where.parent / "empty"
    empty.mkdir(exist_ok=True)
    root: DirectoryRef
    root, own = with_overlay([*lowers, str(empty)], None, None, str(where), look)
    store.metas.update(own.metas)
    return root


@needs_root
def test_stacks_grow_flatten_and_are_trimmed(tmp_path: Path) -> None:
    store = DictStore()
    cache = open_cache(tmp_path / "layers")
    files = {b"d/f%d" % number: b"%d" % number for number in range(5)}
    previous: list[KnownTree] = []
    for number in range(35):
        files[b"d/n%d" % number] = b"x" * number
        files.pop(b"d/n%d" % (number - 2), None)
        root = tree(store, files)
        target = KnownTree(root.sha256.hex(), root)
        names = ensure_stack(cache, target, previous[-1:], store)
        previous.append(target)
        assert len(names) <= 32
        assert see(cache, names, tmp_path / "where", store) == root
        assert cache.find_stack(target.key) == names
    assert len(names) < 5
    cache.record_plan("c" * 40, Plan(target.key, (), names))
    assert cache.find_plan("c" * 40) is not None
    unused = cache.find_unused(set(names), 1 << 62)
    cache.remove(unused)
    assert len(unused) > 30 and cache.find_stack(target.key) == names
    assert cache.find_stack(previous[0].key) is None
    cache.remove(cache.find_unused((), 1 << 62))
    assert cache.find_plan("c" * 40) is None and cache.layers() == []


def test_only_what_was_there_before_the_sync_is_marked(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "layers")
    first, doomed = (cache.publish(cache.begin_layer()) for _ in range(2))
    late: list[str] = []
    now = time.time_ns()
    assert cache.has_settled(now + 10**9)
    assert not cache.has_settled(now - 10**12)

    def sync(fd: int) -> None:
        assert os.fstat(fd).st_ino == (tmp_path / "layers").stat().st_ino
        cache.remove([doomed])
        late.append(cache.publish(cache.begin_layer()))

    cache.make_durable(sync)
    assert {layer.name: layer.synced for layer in cache.layers()} == {first: True, late[0]: False}
    assert cache.has_settled(now + 10**12)

    def fail(fd: int) -> None:
        raise OSError(5, "the disk is gone")

    with pytest.raises(OSError, match="gone"):
        cache.make_durable(fail)
    assert not {layer.name: layer.synced for layer in cache.layers()}[late[0]]
    cache.make_durable(lambda fd: None)
    assert not cache.has_settled(now + 10**12)


@needs_root
def test_another_id_mapping_or_boot_empties_the_cache(tmp_path: Path) -> None:
    cache = open_cache(tmp_path / "layers")
    store = DictStore()
    root = tree(store, {b"a": b"1"})
    synced: list[int] = []
    ensure_stack(cache, KnownTree("one", root), (), store, sync=synced.append)
    ensure_stack(cache, KnownTree("two", root), (), store)
    assert cache.is_current() and len(synced) == 1
    ids = tmp_path / "layers/ids"
    ids.write_bytes(ids.read_bytes().split(b"boot")[0] + b"boot other\n")
    assert not cache.is_current()
    cache.prepare()
    assert cache.find_stack("one") is not None and cache.find_stack("two") is None
    other = LayerCache(os.fsencode(tmp_path / "layers"), DiskIds(5))
    assert not other.is_current()
    other.prepare()
    assert other.find_stack("one") is None and other.is_current()


STEPS = [
    "cache-begin-layer",
    "handover-write-note",
    "handover-take-upper",
    "handover-make-upper",
    "handover-move",
    "handover-move:2",
    "handover-put-upper",
    "cache-publish-layer",
    "cache-stack",
    "handover-drop-note",
    "never",
]


@needs_root
@pytest.mark.parametrize("step", STEPS)
def test_handover_survives_a_kill_at_every_step(tmp_path: Path, step: str) -> None:
    store = DictStore()
    cache = open_cache(tmp_path / "layers")
    base = tree(store, {b"tmp/old": b"1", b"a/f": b"1", b"gone": b"1"})
    below = ensure_stack(cache, KnownTree("base", base), (), store)
    upper = tmp_path / "upper"
    fd = make_upper(upper)
    for name in ("tmp/deep", "a"):
        (upper / name).mkdir(parents=True)
    (upper / "tmp/deep/junk").write_bytes(b"junk")
    (upper / "a/f").write_bytes(b"changed")
    (upper / "a/ignored.o").write_bytes(b"o")
    make_opaque(os.open(upper / "tmp", os.O_RDONLY))
    from envgit.layers.ignore import IgnoreRules
    from envgit.layers.whiteout import make_whiteout

    make_whiteout(b"gone", fd)
    rules = IgnoreRules.parse(b"*.o")
    captured = capture(fd, base, store, store, PLAIN, rules)
    assert captured.ignored == (b"a/ignored.o", b"tmp/deep") or set(captured.ignored) == {b"a/ignored.o", b"tmp/deep"}
    own = store.read_directory(captured.root).own

    wanted, _, count = step.partition(":")
    left = [int(count or 1)]

    def reach(name: str) -> None:
        if name == wanted:
            left[0] -= 1
            if not left[0]:
                raise Killed

    hooked = LayerCache(cache.folder, PLAIN, reach)
    try:
        adopt(hooked, os.fsencode(upper), captured, own, "new", below)
        assert step == "never"
    except Killed:
        pass
    recover(cache)
    assert not recover(cache)
    names = cache.find_stack("new")
    fresh = os.open(upper, os.O_RDONLY)
    again = capture(fresh, captured.root, store, store, PLAIN, rules)
    assert again.root == captured.root
    assert (upper / "tmp/deep/junk").read_bytes() == b"junk" and (upper / "a/ignored.o").read_bytes() == b"o"
    if names is None:
        assert step in ("cache-begin-layer", "handover-write-note", "handover-take-upper")
        assert (upper / "a/f").exists()
    else:
        assert not (upper / "a/f").exists()
        assert os.getxattr(upper / "tmp", "user.overlay.opaque") == b"y"
        assert see(cache, names, tmp_path / "where", store) == captured.root
