"""The machine that the figures come from."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """What a reader needs to judge the figures."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    distribution: str
    python: str
    filesystem: str
    user: str
    load: float

    def lines(self) -> list[str]:
        """Return one line of text per property."""
        return [
            f"processor: {self.processor}, {self.cores} cores",
            f"memory: {self.memory_bytes / 1e9:.0f} GB",
            f"kernel: {self.kernel}, {self.distribution}",
            f"python: {self.python}",
            f"filesystem: {self.filesystem}",
            f"user: {self.user}",
            f"load average before: {self.load:.1f} (0 is an idle machine)",
        ]


def read_machine(folder: str) -> Machine:
    """Describe this machine; `folder` says which filesystem is worked on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        distribution=platform.freedesktop_os_release().get("PRETTY_NAME", "unknown distribution"),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        filesystem=_filesystem(folder),
        user="root" if os.geteuid() == 0 else "ordinary user",
        load=os.getloadavg()[0],
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(folder: str) -> str:
    found, kind = "", "unknown"
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        for line in file:
            _, point, type_ = line.split()[:3]
            inside = folder == point or folder.startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(found):
                found, kind = point, type_
    return kind
