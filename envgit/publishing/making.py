"""Layers from the store, made or remembered."""

from __future__ import annotations

from typing import NamedTuple

from envgit.publishing.compression import LayerCompression
from envgit.publishing.image import ImagePlan, PlannedLayer
from envgit.publishing.layer_blob import Blob, BlobId, make_blob
from envgit.publishing.layer_tar import LayerContent, Write, write_layer
from envgit.publishing.remembered import FOLDER, MadeLayers
from envgit.repo import Repository
from envgit.store import storage

LayerBlob = Blob[LayerContent]


class MadeImage(NamedTuple):
    """Every layer of a plan, made. A context manager: at its end the files are gone."""

    plan: ImagePlan
    layers: tuple[LayerBlob, ...]

    def __enter__(self) -> MadeImage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ids(self) -> list[BlobId]:
        return [layer.id for layer in self.layers]

    def close(self) -> None:
        for layer in self.layers:
            layer.file.close()


class LayerMaker:
    """Makes layers of one compression into unnamed files in `folder` ("": the repository's), and remembers what they became."""

    def __init__(self, repo: Repository, compression: LayerCompression, folder: str = "") -> None:
        self._repo = repo
        self._folder = folder or repo.path(FOLDER)
        self._made = MadeLayers(repo)
        self.compression = compression

    def find(self, layer: PlannedLayer) -> BlobId | None:
        """Return what the layer was when it was made the last time."""
        return self._made.find(layer, self.compression)

    def make(self, layer: PlannedLayer) -> LayerBlob:
        """Make a layer; the caller closes its file. Warns of names that no image can have."""
        storage.make_directory(self._repo.path(FOLDER), step="publishing-folder")
        reader = self._repo.reader

        def write_to(write: Write) -> LayerContent:
            return write_layer(layer.old.root if layer.old else None, layer.new.root, reader, write)

        blob = make_blob(write_to, self.compression, self._folder)
        if blob.result.left_out:
            shown = ", ".join(path.decode("utf-8", "backslashreplace") for path in blob.result.left_out[:5])
            more = f" and {len(blob.result.left_out) - 5:,} more" if len(blob.result.left_out) > 5 else ""
            self._repo.monitor.warn(
                f"left out, because names in images that begin with .wh. are deletions: {shown}{more}"
            )
        else:
            self._made.add(layer, self.compression, blob.id)
        return blob

    def make_all(self, plan: ImagePlan) -> MadeImage:
        """Make every layer of a plan."""
        monitor = self._repo.monitor
        made: list[LayerBlob] = []
        monitor.start("making layers", len(plan.layers), "layers")
        try:
            for layer in plan.layers:
                made.append(self.make(layer))
                monitor.advance()
        except BaseException:
            MadeImage(plan, tuple(made)).close()
            raise
        monitor.finish()
        return MadeImage(plan, tuple(made))
