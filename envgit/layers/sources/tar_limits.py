"""What an archive may ask for. Real distributions stay far below; archives made to exhaust a machine do not."""

from __future__ import annotations

from dataclasses import dataclass

from envgit.layers.metadata import NAME_MAX_BYTES
from envgit.layers.tree_limits import MAX_DEPTH

_MIB = 1024 * 1024
_GIB = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class TarLimits:
    """Each limit is checked before the memory, the time or the disk it protects is spent."""

    entries: int = 2_000_000
    extended_header_bytes: int = 8 * _MIB
    """One PAX header, GNU long name or sparse map."""
    extended_headers_per_member: int = 16
    path_bytes: int = (MAX_DEPTH + 1) * (NAME_MAX_BYTES + 1)
    sparse_segments: int = 1_000_000
    """Of one file."""
    hole_bytes: int = 64 * _GIB
    """Zeros that sparse files of one archive claim together."""
    content_bytes: int = 4096 * _GIB
    """Content of one archive, holes not counted."""
    ratio: int = 200
    """Uncompressed bytes for each compressed one ..."""
    ratio_free_bytes: int = 16 * _GIB
    """... once more than this came out. (An archive of 4 GiB of zeros is odd but honest.)"""
    window_bytes: int = 128 * _MIB
    """Memory that a decompressor may use."""
