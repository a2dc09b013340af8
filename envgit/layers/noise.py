"""Paths that change by merely using an environment: `status` folds them into one line each."""

from __future__ import annotations

_CACHES = (
    b"var/cache/",
    b"var/lib/apt/lists/",
)
_CACHE_NAMES = frozenset((b".cache", b"__pycache__", b".mypy_cache", b".pytest_cache", b".ruff_cache", b"node_modules"))
_LOGS = (b"var/log/",)
_HISTORY = (b".bash_history", b".python_history", b".lesshst", b".viminfo", b".wget-hsts")


def classify_noise(path: bytes) -> str | None:
    """Return "cache", "bytecode", "log" or "history"; None for a path that deserves a line."""
    for prefix in _LOGS:
        if path.startswith(prefix):
            return "log"
    name = path.rpartition(b"/")[2]
    if name.endswith((b".pyc", b".pyo")) or name == b"__pycache__":
        return "bytecode"
    for prefix in _CACHES:
        if path.startswith(prefix):
            return "cache"
    if name in _HISTORY:
        return "history"
    if not _CACHE_NAMES.isdisjoint(path.split(b"/")):
        return "cache"
    return None
