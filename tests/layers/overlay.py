"""Real overlay mounts in a child process with a mount namespace of its own: the oracle of the layer laws."""

from __future__ import annotations

import ctypes
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import pytest

CLONE_NEWNS = 0x20000
MS_REC_PRIVATE = 16384 | (1 << 18)

needs_root = pytest.mark.root_only
"""Mounting overlays as an oracle needs root."""


def with_overlay(
    lowers: Sequence[str], upper: str | None, work: str | None, where: str, action: Callable[[int], Any]
) -> Any:
    """Mount lowers (top first) and upper at `where`, return action(fd of the mount), which must be picklable."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _mount(lowers, upper, work, where)
            fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY)
            answer: tuple[bool, Any] = (True, action(fd))
        except BaseException:
            answer = (False, traceback.format_exc())
        with open(write_end, "wb") as stream:
            pickle.dump(answer, stream)
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as stream:
        data = stream.read()
    os.waitpid(child, 0)
    good, result = pickle.loads(data)
    assert good, result
    return result


def _mount(lowers: Sequence[str], upper: str | None, work: str | None, where: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC_PRIVATE), None):
        raise OSError(ctypes.get_errno(), "unshare")
    options = "lowerdir=" + ":".join(lowers) + ",userxattr,index=off,metacopy=off"
    if upper is not None:
        options += f",upperdir={upper},workdir={work}"
    if libc.mount(b"overlay", where.encode(), b"overlay", ctypes.c_ulong(0), options.encode()):
        raise OSError(ctypes.get_errno(), f"mount {options}")
