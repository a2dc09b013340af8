"""Whether a process still runs: what its network is kept for."""

from __future__ import annotations


def is_running(pid: int) -> bool:
    """Tell whether a process exists and is not merely waiting to be waited for."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b") ")[2][:1] not in (b"Z", b"X", b"")
    except OSError:
        return False
