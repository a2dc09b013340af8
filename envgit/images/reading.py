"""Store the root filesystem of an image, layer by layer."""

from __future__ import annotations

from envgit.errors import HostileInput, SourceError
from envgit.images.image import Image, ImageLayer
from envgit.layers.sources import Imported
from envgit.layers.sources.layer_tar import LayerImport
from envgit.layers.sources.tar_limits import TarLimits
from envgit.model import DirectoryRef, TreeReader, TreeWriter
from envgit.monitor import Monitor


class ImageReading:
    """Applies the layers of an image in order, lowest first. Nothing is unpacked to disk.

    Every method raises SourceError (unreachable, truncated, not what a digest says) and HostileInput (would escape, collide
    or exhaust); what was written is then of no use.
    """

    def __init__(self, image: Image, writer: TreeWriter, monitor: Monitor, limits: TarLimits | None = None) -> None:
        self._image = image
        self._monitor = monitor
        self._state = LayerImport(writer, monitor, limits)
        self._applied = 0

    def start_from(self, layers: int, root: DirectoryRef, reader: TreeReader) -> None:
        """Begin after the first `layers` layers, whose tree is stored already; call it before anything else."""
        self._state.start_from(root, reader)
        self._applied = layers

    def apply_next(self) -> None:
        """Fetch, verify and apply the next layer."""
        layer = self._image.layers[self._applied]
        self._applied += 1
        self._monitor.start(f"layer {self._applied} of {len(self._image.layers)}", layer.size, "bytes")
        try:
            stream = layer.open()
            try:
                self._state.apply(stream, layer.diff_id)
                stream.drain()
            finally:
                stream.close()
        except (SourceError, HostileInput) as error:
            self._explain(error, layer)
            raise
        self._monitor.finish()

    def _explain(self, error: SourceError | HostileInput, layer: ImageLayer) -> None:
        if isinstance(error, HostileInput):
            self._image.forget_downloads()
        if self._image.name not in error.message:
            error.message = f"layer {self._applied} of {self._image.name}: {error.message}"
            error.args = (error.message,)
            if isinstance(error, SourceError):
                error.hint = "fetch or make the image again"
        if isinstance(error, SourceError) and layer.elsewhere:
            error.hint = (
                f"the image does not carry this layer, but names {layer.elsewhere[:200]}; nothing is fetched from such addresses: "
                "copy the image with skopeo, then import the copy"
            )

    def write(self) -> DirectoryRef:
        """Store the directories that the layers since the last time changed; return the tree so far."""
        return self._state.write()

    def finish(self) -> Imported:
        """Store what is not stored yet; say what there is."""
        return self._state.finish()


def read_image(image: Image, writer: TreeWriter, monitor: Monitor, limits: TarLimits | None = None) -> Imported:
    """Apply all layers of `image` and store the result through `writer`, once. Raises as ImageReading does."""
    reading = ImageReading(image, writer, monitor, limits)
    for _ in image.layers:
        reading.apply_next()
    return reading.finish()
