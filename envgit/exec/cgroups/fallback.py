"""What resource limits can stand in for where there is no group, and the words for what they cannot.

RLIMIT_DATA for memory: private writable pages of one process (brk, anonymous maps). Not RLIMIT_AS: Go, Java and
JavaScript reserve address space by the terabyte and would not start. RLIMIT_NPROC for processes: since Linux 5.14 it
counts per user id inside the sandbox's own user namespace; before, it counted whatever the caller runs anywhere.
"""

from __future__ import annotations

import os

from envgit.exec.cgroups.limits import RLIMIT_NUMBERS, Limits, is_above

_SEE = "see envgit doctor"


def choose_rlimits(
    limits: Limits, unenforced: dict[str, str]
) -> tuple[tuple[tuple[int, int, int], ...], tuple[str, ...]]:
    """Return the resource limits for the controllers in `unenforced` (with the reason), and one notice for each.

    A lower limit that was asked for with --ulimit stays.
    """
    chosen: list[tuple[int, int, int]] = []
    notices: list[str] = []
    if "memory" in unenforced and limits.memory_bytes is not None:
        chosen += _limit("data", limits.memory_bytes, limits)
        notices.append(
            "--memory is enforced for the private memory of each process alone, not for the sandbox as a whole: "
            f"{unenforced['memory']}; {_SEE}"
        )
    if "cpu" in unenforced:
        notices.append(f"--cpus is not enforced: {unenforced['cpu']}; {_SEE}")
    if "pids" in unenforced and limits.pids is not None:
        if counts_inside(os.uname().release):
            chosen += _limit("nproc", limits.pids, limits)
            notices.append(
                "--pids-limit is enforced for each user inside alone, not for the sandbox as a whole: "
                f"{unenforced['pids']}; {_SEE}"
            )
        else:
            notices.append(f"--pids-limit is not enforced: {unenforced['pids']}; {_SEE}")
    return tuple(chosen), tuple(notices)


def counts_inside(release: str) -> bool:
    """Return whether RLIMIT_NPROC counts per user namespace (Linux 5.14)."""
    numbers = [int("".join(c for c in part if c.isdigit()) or "0") for part in release.split("-")[0].split(".")[:2]]
    return numbers >= [5, 14]


def _limit(name: str, value: int, limits: Limits) -> list[tuple[int, int, int]]:
    number = RLIMIT_NUMBERS[name]
    for known, soft, hard in limits.ulimits:
        if known == number and not is_above(hard, value):
            return [(number, soft, hard)]
    return [(number, value, value)]
