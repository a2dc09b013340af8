"""Write objects into a repository, taking whole packs from the user's other repositories instead of writing them again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress

from envgit.errors import EnvgitError, StorageError
from envgit.sharing.linking import link_pack
from envgit.sharing.lookup import Lookup
from envgit.sharing.packs import SharedPacks
from envgit.store.object_store import ObjectStore
from envgit.store.pack_writer import PackResult, PackSession

_WORTH_LINKING = 0.5
"""The part of a pack's bytes that must be wanted: a repository gets nothing that is mostly about something else."""
_BIG_BYTES = 32_768
"""For an object of this size every pack is asked."""


def open_session(objects: ObjectStore, environ: Mapping[str, str]) -> PackSession:
    """Begin to write what is likely to be big and to be in other repositories too: a base, an import.

    As ObjectStore.pack_session(), which it is where nothing can be shared. What is written goes to the shared packs when it
    is big enough.
    """
    with suppress(EnvgitError):
        shared = SharedPacks.open_(objects.git_dir, environ)
        if shared is not None:
            return SharingSession(objects, shared)
    return objects.pack_session()


class SharingSession(PackSession):
    """A PackSession that does not write what shared packs have: finish() links them first, so nothing ever dangles."""

    def __init__(self, objects: ObjectStore, shared: SharedPacks) -> None:
        """Raises StorageError when the shared folder cannot be used."""
        objects.refresh()
        self._objects = objects
        self._insist = False
        self._shared = shared
        with ExitStack() as stack:
            stack.enter_context(shared.in_use())
            self._lookup = Lookup(shared.objects())
            self._leave = stack.pop_all()
        super().__init__(objects.objects_dir, self._has_already)

    def put(self, type: str, data: bytes) -> bytes:
        self._insist = len(data) >= _BIG_BYTES
        return super().put(type, data)

    def _has_already(self, oid: bytes) -> bool:
        return self._objects.contains(oid) or self._lookup.find(oid, insist=self._insist)

    def finish(self) -> PackResult:
        """Link the packs whose objects were wanted, durably, then make everything else durable and visible."""
        if self._result is not None:
            return self._result
        try:
            self._settle()
            result = super().finish()
        except BaseException:
            self.abort()
            raise
        if result.name:
            self._shared.offer(self._objects.objects_dir, result.name)
        self._objects.refresh()
        self._leave.close()
        return result

    def abort(self) -> None:
        super().abort()
        self._leave.close()

    def _settle(self) -> None:
        """Link each pack that is worth it; of the others, and of one that was deleted meanwhile, write the objects."""
        wanted, self._lookup = self._lookup, Lookup(None)
        for use in wanted.uses():
            name = use.name
            if use.part >= _WORTH_LINKING:
                try:
                    link_pack(use.path, self._objects.objects_dir + "/pack", keep=True)
                except StorageError:
                    raise
                except EnvgitError:
                    pass
                else:
                    self._shared.touch(name)
                    continue
            for oid in use.oids:
                self.put(*wanted.read(oid))
