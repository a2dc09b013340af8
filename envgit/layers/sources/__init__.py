"""What an environment can be made from: this host, a directory, a tar archive.

`parse_source` turns what `--from` was given into a value; `read_source` stores it through a TreeWriter.
"""

from envgit.layers.sources.read import read_source
from envgit.layers.sources.source import (
    DirectorySource,
    HostSource,
    Imported,
    LeftOut,
    Source,
    TarSource,
    parse_source,
)

__all__ = ["DirectorySource", "HostSource", "Imported", "LeftOut", "Source", "TarSource", "parse_source", "read_source"]
