"""The mark behind the last operation that is wholly in place (docs/format.md section 7). Apart from `operations`, which hot
commands do not load."""

from __future__ import annotations

import os

FINISHED = "finished"


def read_finished(git_dir: str) -> int:
    """Return the number of the last operation known to be in place; 0 when unknown."""
    try:
        with open(f"{git_dir}/operations/{FINISHED}", "rb") as file:
            return int(file.read() or b"0")
    except (FileNotFoundError, ValueError):
        return 0


def is_interrupted(git_dir: str) -> bool:
    """Say whether an operation is recorded that is not known to be in place: its command was killed, or is just at work."""
    return os.path.exists(f"{git_dir}/operations/{read_finished(git_dir) + 1:08d}")
