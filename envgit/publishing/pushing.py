"""An image into a registry: only what it lacks is made and sent, lower layers while the upper ones are made; the manifest last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from queue import SimpleQueue
from threading import Event, Thread
from typing import BinaryIO, Final, NamedTuple, cast

from envgit.errors import SourceError
from envgit.publishing.image import MANIFEST_TYPE, ImagePlan, format_config, format_manifest
from envgit.publishing.layer_blob import BlobId
from envgit.publishing.making import LayerBlob, LayerMaker
from envgit.publishing.remembered import PushedBlobs
from envgit.registry.uploading import Uploader, digest_of

_SENDERS: Final = 2
_ASKERS: Final = 4
_MOUNT_SOURCES: Final = 2
"""Repositories to try to mount a blob from."""


_Job = Callable[[Event], None]
"""Does nothing but clean up once the event is set."""


class PushedLayers(NamedTuple):
    """How many layers were there already, were mounted from another repository of the registry, were sent; and the bytes."""

    digest: str
    """Of the manifest."""
    config: bytes
    present: int
    mounted: int
    sent: int
    sent_bytes: int


class ImagePush:
    """Pushes one image to `host`/`path`. Threads of its own send; an error of theirs is raised by `run`."""

    def __init__(self, maker: LayerMaker, uploader: Uploader, pushed: PushedBlobs, host: str, path: str) -> None:
        self._maker = maker
        self._uploader = uploader
        self._pushed = pushed
        self._host = host
        self._path = path
        self._present: set[str] = set()
        self._mounted: set[str] = set()
        self._sizes: dict[str, int] = {}

    def run(self, plan: ImagePlan, tag: str) -> PushedLayers:
        """Push, and name the manifest `tag`. Raises SourceError (UploadRefused), StorageError, CorruptObject."""
        known = {layer: found for layer in plan.layers if (found := self._maker.find(layer)) is not None}
        self._look(found.digest for found in known.values())
        ids: list[BlobId] = []
        senders = _Senders(_SENDERS)
        try:
            for layer in plan.layers:
                found = known.get(layer)
                if found is None or not self._is_there(found.digest):
                    blob = self._maker.make(layer)
                    found = blob.id
                    if self._is_there(found.digest) or found.digest in self._sizes:
                        blob.file.close()
                    else:
                        self._sizes[found.digest] = found.size
                        senders.put(partial(self._send, blob))
                ids.append(found)
            senders.finish()
        finally:
            senders.stop()
        config = format_config(plan, [each.diff_id for each in ids])
        config_id = BlobId("", digest_of(config), len(config))
        if not self._uploader.has_blob(config_id.digest):
            self._uploader.upload_blob(config_id.digest, config_id.size, lambda: BytesIO(config))
        manifest = format_manifest(plan, config_id, ids, self._maker.compression)
        digest = self._uploader.put_manifest(tag, manifest, MANIFEST_TYPE)
        self._pushed.add(self._host, self._path, [each.digest for each in ids])
        return PushedLayers(
            digest, config, len(self._present), len(self._mounted), len(self._sizes), sum(self._sizes.values())
        )

    def _look(self, digests: Iterable[str]) -> None:
        """Ask for many blobs at once."""
        asking = _Senders(_ASKERS)
        try:
            for digest in dict.fromkeys(digests):
                asking.put(partial(self._ask, digest))
            asking.finish()
        finally:
            asking.stop()

    def _ask(self, digest: str, stopped: Event) -> None:
        if not stopped.is_set() and self._uploader.has_blob(digest):
            self._present.add(digest)

    def _is_there(self, digest: str) -> bool:
        """Say whether the repository has a blob, or has taken it over from another one now."""
        if digest in self._present or digest in self._mounted:
            return True
        if digest in self._sizes:
            return False
        places = [path for path in self._pushed.find(self._host, digest) if path != self._path]
        for place in places[:_MOUNT_SOURCES]:
            if self._uploader.mount_blob(digest, place):
                self._mounted.add(digest)
                return True
        return False

    def _send(self, blob: LayerBlob, stopped: Event) -> None:
        try:
            if stopped.is_set():
                return
            if self._uploader.has_blob(blob.id.digest):
                del self._sizes[blob.id.digest]
                self._present.add(blob.id.digest)
                return
            self._uploader.upload_blob(
                blob.id.digest, blob.id.size, lambda: cast("BinaryIO", _Stoppable(blob.file.open(), stopped))
            )
        finally:
            blob.file.close()


class _Stoppable:
    """A file that cannot be read any more once the push has failed or was interrupted."""

    def __init__(self, file: BinaryIO, stopped: Event) -> None:
        self._file = file
        self._stopped = stopped

    def __enter__(self) -> _Stoppable:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def read(self, size: int) -> bytes:
        if self._stopped.is_set():
            raise SourceError("the push was given up", hint="push again")
        return self._file.read(size)


class _Senders:
    """A few threads that do what is put into a queue. `finish` waits for all of it; `stop` gives up. Both may be called."""

    def __init__(self, count: int) -> None:
        self.stopped = Event()
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._errors: list[BaseException] = []
        # Daemons: a thread that waits for a server that does not answer must not keep an interrupted command.
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def put(self, job: _Job) -> None:
        """Queue a job. Raises the error of an earlier one."""
        if self._errors:
            raise self._errors[0]
        self._queue.put(job)

    def finish(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def stop(self) -> None:
        self.stopped.set()
        for _ in self._threads:
            self._queue.put(None)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                job(self.stopped)
            except BaseException as error:
                self._errors.append(error)
                self.stopped.set()
