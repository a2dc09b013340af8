"""How large a tree may be: few objects can describe a tree without end, as a directory may be in many places."""

from __future__ import annotations

MAX_ENTRIES = 5_000_000
MAX_DEPTH = 2048
