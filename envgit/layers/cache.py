"""The folder of materialised layers: which there are, which stack shows a tree, what a commit needs to run.

Everything here may be deleted at any time; whatever looks damaged is treated as absent. Layout:

    ids                 whose disk ids the layers have, and the boot in which they were last known to be whole
    NAME/fs             a layer in overlayfs form;  NAME/synced: it survives a power cut;  NAME/used: stamp of last use
    new-NAME/fs         a layer being made
    stacks/KEY          names of the layers, top first, that show the tree which the caller calls KEY
    plans/COMMIT        plan_file.py
    handover            handover.py: an upper directory is becoming a layer
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from envgit.layers.plan_file import Plan, format_plan, parse_plan
from envgit.light_typing import NamedTuple
from envgit.model import DiskIds

MAX_STACK = 32
"""A failed lookup goes through every layer; deeper stacks are flattened."""

SHALLOW_STACK = 8
"""What a flattened stack may keep below its new layer: so the work follows what changed since, not the environment."""

_BOOT_ID = b"/proc/sys/kernel/random/boot_id"
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Reach = Callable[[str], None]
"""Called with the name of each mutating step before it is done; tests kill, fail or pause there."""


class Layer(NamedTuple):
    name: str
    used_ns: int
    synced: bool


class NewLayer(NamedTuple):
    """A layer being made: fill `path` (an empty directory), then `publish` or `discard` it."""

    name: str
    path: bytes


def no_hook(step: str) -> None:
    """The hook of everyday use."""


class LayerCache:
    """All paths are below `folder`, which must exist. OSErrors pass through; the caller translates them."""

    def __init__(self, folder: bytes, disk_ids: DiskIds, reach: Reach = no_hook) -> None:
        self.folder = folder
        self.disk_ids = disk_ids
        self.reach = reach

    def is_current(self) -> bool:
        """Say whether the layers can be used as they are: one file read, for hot commands. False: `prepare` first."""
        return _read(self.folder + b"/ids") == self._signature() and not self.has_handover()

    def has_handover(self) -> bool:
        return os.path.lexists(self.folder + b"/handover")

    def prepare(self) -> None:
        """Make the cache usable: drop all layers of another id mapping, and after a reboot those that were not synced.

        To be called under the repository's lock, after `handover.recover`.
        """
        for name in (b"stacks", b"plans"):
            self.reach("cache-folder")
            os.makedirs(self.folder + b"/" + name, mode=0o700, exist_ok=True)
        expected = self._signature()
        found = _read(self.folder + b"/ids")
        if found == expected:
            return
        same_ids = found is not None and found.split(b"boot ")[0] == expected.split(b"boot ")[0]
        doomed = [layer.name for layer in self.layers() if not (same_ids and layer.synced)]
        self.remove(doomed)
        self.remove_unfinished()
        self._write(b"ids", expected, "cache-ids")

    def layer_path(self, name: str) -> bytes:
        """Return the directory to mount."""
        return self.folder + b"/" + name.encode("ascii") + b"/fs"

    def layers(self) -> list[Layer]:
        """Return every whole layer, last used first."""
        found = []
        for raw in os.listdir(self.folder):
            path = self.folder + b"/" + raw
            if raw.startswith(b"layer-") and os.path.isdir(path + b"/fs"):
                stamp = _mtime_ns(path + b"/used") or _mtime_ns(path) or 0
                found.append(Layer(raw.decode("ascii"), stamp, os.path.exists(path + b"/synced")))
        return sorted(found, key=_used, reverse=True)

    def has_settled(self, before_ns: int) -> bool:
        """Say whether a layer that was made before `before_ns` is not known to survive a power cut."""
        for layer in self.layers():
            made_ns = None if layer.synced else _mtime_ns(self.folder + b"/" + layer.name.encode("ascii"))
            if made_ns is not None and made_ns < before_ns:
                return True
        return False

    def make_durable(self, sync: Callable[[int], None]) -> None:
        """Make all layers survive a power cut. `sync(fd)` makes everything on the filesystem of `fd` durable (syncfs).

        Needs no lock: layers never change, and one that is removed meanwhile needs no mark. Not announced to the hook: it
        is done beside other commands, and a mark that is missing costs nothing but the layer.
        """
        names = [layer.name for layer in self.layers() if not layer.synced]
        fd = os.open(self.folder, _FLAGS)
        try:
            sync(fd)
        finally:
            os.close(fd)
        for name in names:
            with suppress(FileNotFoundError):
                _create(self.folder + b"/" + name.encode("ascii") + b"/synced")

    def find_stack(self, key: str) -> tuple[str, ...] | None:
        """Return the layers, top first, that show the tree `key`; None if they are not all there."""
        text = _read(self.folder + b"/stacks/" + key.encode("ascii"))
        if text is None or not text.endswith(b"\nend\n") or not text.isascii():
            return None
        names = tuple(text.decode("ascii").split("\n")[:-2])
        return names if self._have(names) else None

    def find_lendable(self, key: str) -> tuple[str, ...] | None:
        """Return find_stack() for a cache that is not `prepare`d: of these ids, and known to be whole in this boot."""
        found, expected = _read(self.folder + b"/ids"), self._signature()
        if found is None or found.split(b"boot ")[0] != expected.split(b"boot ")[0]:
            return None
        names = self.find_stack(key)
        if names is None or found == expected:
            return names
        paths = (self.folder + b"/" + name.encode("ascii") + b"/synced" for name in names)
        return names if all(map(os.path.exists, paths)) else None

    def record_stack(self, key: str, names: Sequence[str]) -> None:
        """Say that these published layers, top first, show the tree `key`."""
        text = "".join(name + "\n" for name in names) + "end\n"
        self._write(b"stacks/" + key.encode("ascii"), text.encode("ascii"), "cache-stack")

    def find_plan(self, commit: str) -> Plan | None:
        """Return the plan of a commit; None if there is none or a layer of it is gone."""
        text = _read(self.folder + b"/plans/" + commit.encode("ascii"))
        plan = parse_plan(text) if text is not None else None
        return plan if plan is not None and self._have(plan.layers) else None

    def record_plan(self, commit: str, plan: Plan) -> None:
        self._write(b"plans/" + commit.encode("ascii"), format_plan(plan), "cache-plan")

    def begin_layer(self) -> NewLayer:
        """Create the empty directory of a new layer. A killed process leaves it for `remove_unfinished`."""
        name = "layer-" + os.urandom(8).hex()
        path = self.folder + b"/new-" + name.encode("ascii")
        self.reach("cache-begin-layer")
        os.mkdir(path, 0o700)
        os.mkdir(path + b"/fs", 0o700)
        return NewLayer(name, path + b"/fs")

    def publish(self, layer: NewLayer, sync: Callable[[int], None] | None = None) -> str:
        """Make a filled layer usable and return its name. Atomic.

        `sync(fd)` makes everything on the filesystem of `fd` durable (syncfs). Without it the layer is dropped after
        the next reboot.
        """
        path = layer.path[: -len(b"/fs")]
        if sync is not None:
            fd = os.open(path, _FLAGS)
            try:
                sync(fd)
            finally:
                os.close(fd)
            _create(path + b"/synced")
        _create(path + b"/used")
        self.reach("cache-publish-layer")
        os.rename(path, self.folder + b"/" + layer.name.encode("ascii"))
        return layer.name

    def discard(self, layer: NewLayer) -> None:
        """Remove a layer that was begun and not published."""
        self._remove_folder(b"new-" + layer.name.encode("ascii"))

    def touch(self, names: Sequence[str]) -> None:
        """Note that these layers are used now."""
        for name in names:
            try:
                os.utime(self.folder + b"/" + name.encode("ascii") + b"/used")
            except FileNotFoundError:
                continue

    def remove(self, names: Collection[str]) -> None:
        """Remove layers, and first every stack and plan that mentions one. None of them may be mounted."""
        if not names:
            return
        doomed = {name.encode("ascii") for name in names}
        for kind in (b"/stacks", b"/plans"):
            for record in os.listdir(self.folder + kind):
                path = self.folder + kind + b"/" + record
                words = set((_read(path) or b"").split())
                if not words.isdisjoint(doomed) or not words:
                    self.reach("cache-forget")
                    os.unlink(path)
        for name in sorted(doomed):
            self.reach("cache-remove-layer")
            os.rename(self.folder + b"/" + name, self.folder + b"/new-" + name)
            self._remove_folder(b"new-" + name)

    def find_unused(self, keep: Collection[str], before_ns: int) -> tuple[str, ...]:
        """Return the layers last used before `before_ns` that are not in `keep`: what is mounted or below a worktree."""
        return tuple(layer.name for layer in self.layers() if layer.name not in keep and layer.used_ns < before_ns)

    def remove_unfinished(self) -> None:
        """Remove what killed commands left half made. Call under the repository's lock, after `handover.recover`."""
        for name in os.listdir(self.folder):
            if name.startswith((b"new-", b".")):
                self._remove_folder(name)

    def _have(self, names: Sequence[str]) -> bool:
        return all(os.path.isdir(self.layer_path(name)) for name in names)

    def _signature(self) -> bytes:
        ids = self.disk_ids
        boot = (_read(_BOOT_ID) or b"unknown\n").decode("ascii")
        return f"shift {ids.shift}\nsingle {int(ids.single)}\ncount {ids.ids}\nboot {boot}".encode("ascii")

    def _remove_folder(self, name: bytes) -> None:
        from envgit.layers.removal import remove_tree

        fd = os.open(self.folder, _FLAGS)
        try:
            remove_tree(name, fd)
        finally:
            os.close(fd)

    def _write(self, name: bytes, data: bytes, step: str) -> None:
        """Replace a small file atomically; not durably: it is a cache."""
        aside = self.folder + b"/.%b" % os.urandom(8).hex().encode("ascii")
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            self.reach(step)
            os.write(fd, data)
            os.rename(aside, self.folder + b"/" + name)
        except BaseException:
            os.unlink(aside)
            raise
        finally:
            os.close(fd)


def _create(path: bytes) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def _read(path: bytes) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        parts = []
        while part := os.read(fd, 1 << 16):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def _mtime_ns(path: bytes) -> int | None:
    try:
        return os.stat(path, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return None


def _used(layer: Layer) -> int:
    return layer.used_ns
