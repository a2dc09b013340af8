"""Container images as sources of environments: OCI layouts, archives, registries.

`open_image` finds the manifest and the configuration, `read_image` stores the root filesystem (`ImageReading`: layer by layer),
`resolve_digest` says what a reference names now without fetching layers.
"""

from envgit.images.image import Image, ImageLayer
from envgit.images.opening import open_image, resolve_digest
from envgit.images.reading import ImageReading, read_image

__all__ = ["Image", "ImageLayer", "ImageReading", "open_image", "read_image", "resolve_digest"]
