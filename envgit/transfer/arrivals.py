"""What a fetch left in a quarantine."""

from __future__ import annotations

import os
import re
from typing import Final

from envgit.transfer.values import Fetched

_HEADER_BYTES: Final = 12
_OID_LINE: Final = re.compile(rb"[0-9a-f]{40}")


class Arrivals:
    """Counts the packs that come after it was made."""

    def __init__(self, git_dir: str) -> None:
        self._git_dir = git_dir
        self._before = set(self._packs())

    def fetched(self) -> Fetched:
        """Return what came since."""
        size = objects = 0
        for name in self._packs():
            if name not in self._before:
                with open(f"{self._git_dir}/objects/pack/{name}", "rb", buffering=0) as file:
                    size += os.fstat(file.fileno()).st_size
                    objects += int.from_bytes(file.read(_HEADER_BYTES)[8:], "big")
        return Fetched(size, objects, read_shallow(self._git_dir))

    def _packs(self) -> list[str]:
        return [name for name in os.listdir(self._git_dir + "/objects/pack") if name.endswith(".pack")]


def read_shallow(git_dir: str) -> tuple[bytes, ...]:
    """Return the commits whose parents are missing on purpose (gitrepository-layout(5), `shallow`)."""
    try:
        with open(git_dir + "/shallow", "rb") as file:
            lines = file.read().split()
    except FileNotFoundError:
        return ()
    return tuple(bytes.fromhex(line.decode()) for line in lines if _OID_LINE.fullmatch(line))
