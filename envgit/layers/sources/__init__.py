"""What an environment can be made from: this host, a directory, a tar archive, an image.

`parse_source` turns what `--from` was given into a value; `read_source` stores it through a TreeWriter. Images are read by the
room `images`, which reaches registries as well.
"""

from envgit.layers.sources.image_source import ImageSource
from envgit.layers.sources.read import read_source
from envgit.layers.sources.source import (
    DirectorySource,
    HostSource,
    Imported,
    LeftOut,
    LocalSource,
    Source,
    TarSource,
    parse_source,
)

__all__ = [
    "DirectorySource",
    "HostSource",
    "ImageSource",
    "Imported",
    "LeftOut",
    "LocalSource",
    "Source",
    "TarSource",
    "parse_source",
    "read_source",
]
