"""Store the root filesystem of an image."""

from __future__ import annotations

from envgit.errors import HostileInput, SourceError
from envgit.images.image import Image
from envgit.layers.sources import Imported
from envgit.layers.sources.layer_tar import LayerImport
from envgit.layers.sources.tar_limits import TarLimits
from envgit.model import TreeWriter
from envgit.monitor import Monitor


def read_image(image: Image, writer: TreeWriter, monitor: Monitor, limits: TarLimits | None = None) -> Imported:
    """Apply the layers of `image` in order and store the result through `writer`. Nothing is unpacked to disk.

    Raises SourceError (unreachable, truncated, not what a digest says) and HostileInput (would escape, collide or exhaust);
    what was written is then of no use.
    """
    state = LayerImport(writer, monitor, limits)
    for number, layer in enumerate(image.layers, 1):
        what = f"layer {number} of {image.name}"
        monitor.start(f"layer {number} of {len(image.layers)}", layer.size, "bytes")
        stream = layer.open()
        try:
            state.apply(stream, layer.diff_id)
            stream.drain()
        except (SourceError, HostileInput) as error:
            if image.name not in error.message:
                error.message = f"{what}: {error.message}"
                error.args = (error.message,)
                if isinstance(error, SourceError):
                    error.hint = "fetch or make the image again"
            raise
        finally:
            stream.close()
        monitor.finish()
    return state.finish()
