"""Limits as values, and docker's spellings of them. Nothing here touches the system but
check_ulimits and raise_hard_limits.

Parsers raise UsageError with a hint. Numbers are exact: no float between what is typed and what the kernel gets.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable

from envgit.errors import SandboxError, UsageError
from envgit.light_typing import NamedTuple

UNLIMITED = -1
"""Of swap and of resource limits; the value of RLIM_INFINITY in Python."""

SMALLEST_MEMORY_BYTES = 6 << 20
"""Docker's: below this no program gets as far as its first instruction."""

NANO = 10**9
CPU_PERIOD_US = 100_000
SMALLEST_NANO_CPUS = NANO // 100
LARGEST = 2**63 - 1

RLIMIT_NUMBERS = {
    "cpu": 0, "fsize": 1, "data": 2, "stack": 3, "core": 4, "rss": 5, "nproc": 6, "nofile": 7, "memlock": 8, "as": 9,
    "locks": 10, "sigpending": 11, "msgqueue": 12, "nice": 13, "rtprio": 14, "rttime": 15,
}  # fmt: skip
"""Docker's names and `as`, which OCI has; numbers of x86_64 and asm-generic."""

_UNITS = "bkmgtp"
_CAP_SYS_RESOURCE = 24


class Limits(NamedTuple):
    """What a sandbox may use; None means no limit, or for `shm_bytes` and `memory_swap_bytes` the default."""

    memory_bytes: int | None = None
    memory_swap_bytes: int | None = None
    """Memory and swap together, as in docker; UNLIMITED: any swap; None: twice the memory."""
    nano_cpus: int | None = None
    pids: int | None = None
    shm_bytes: int | None = None
    ulimits: tuple[tuple[int, int, int], ...] = ()
    """(resource number, soft, hard), one for each number; for SandboxSpec.rlimits."""

    @property
    def controllers(self) -> frozenset[str]:
        """The controllers that these limits need: some of memory, cpu, pids. Empty: no group is needed."""
        wanted = (("memory", self.memory_bytes), ("cpu", self.nano_cpus), ("pids", self.pids))
        return frozenset(name for name, value in wanted if value is not None)

    @property
    def total_bytes(self) -> int | None:
        """Memory and swap together, None for any; meaningful with `memory_bytes`."""
        if self.memory_bytes is None or self.memory_swap_bytes == UNLIMITED:
            return None
        return 2 * self.memory_bytes if self.memory_swap_bytes is None else self.memory_swap_bytes

    @property
    def cpu_quota_us(self) -> int | None:
        """Microseconds of processor time for each CPU_PERIOD_US."""
        return None if self.nano_cpus is None else self.nano_cpus * CPU_PERIOD_US // NANO


def make_limits(
    memory: str | None = None,
    memory_swap: str | None = None,
    cpus: str | None = None,
    pids_limit: str | None = None,
    shm_size: str | None = None,
    ulimits: Iterable[str] = (),
) -> Limits:
    """Parse the words of the options and check them against each other. Raises UsageError."""
    memory_bytes = None if memory is None else parse_memory(memory)
    return Limits(
        memory_bytes,
        None if memory_swap is None else parse_memory_swap(memory_swap, memory_bytes),
        None if cpus is None else parse_cpus(cpus),
        None if pids_limit is None else parse_pids(pids_limit),
        None if shm_size is None else parse_shm_size(shm_size),
        parse_ulimits(ulimits),
    )


def parse_size(text: str, option: str) -> int:
    """Return bytes of NUMBER[b|k|m|g|t|p], powers of 1024; `1.5g`, `64MB` and `64MiB` are understood as docker does."""
    number = text.strip().lower()
    shorter = number.removesuffix("b").removesuffix("i")
    if shorter[-1:] in tuple(_UNITS[1:]):  # mb and mib are m
        number = shorter
    exponent = 0
    if number and number[-1] in _UNITS:
        exponent = _UNITS.index(number[-1])
        number = number[:-1]
    value = _parse_decimal(number.rstrip(" "), 1024**exponent)
    if value is None or value > LARGEST:
        raise UsageError(f"{text!r} is not a size", hint=f"{option} 64m (units: b, k, m, g, t)")
    return value


def parse_memory(text: str) -> int | None:
    """Parse `--memory`; 0 is no limit."""
    value = parse_size(text, "--memory")
    if 0 < value < SMALLEST_MEMORY_BYTES:
        raise UsageError(f"--memory {text} is too little for any program", hint="6m is the least: --memory 6m")
    return value or None


def parse_memory_swap(text: str, memory_bytes: int | None) -> int | None:
    """Parse `--memory-swap`: memory and swap together; -1 any swap, 0 the default, equal to `--memory` none."""
    if text.strip() == "-1":
        value = UNLIMITED
    else:
        value = parse_size(text, "--memory-swap")
        if value == 0:
            return None
    if memory_bytes is None:
        raise UsageError("--memory-swap needs --memory too", hint=f"--memory 64m --memory-swap {text}")
    if UNLIMITED < value < memory_bytes:
        raise UsageError(
            f"--memory-swap {text} is less than --memory: it counts memory and swap together",
            hint="no swap at all: the same value for both",
        )
    return value


def parse_cpus(text: str) -> int | None:
    """Parse `--cpus` into nano-cpus; 0 is no limit. More than the machine has is allowed and limits nothing."""
    value = _parse_decimal(text.strip(), NANO)
    if value is None:
        raise UsageError(f"{text!r} is not a number of processors", hint="--cpus 1.5")
    if 0 < value < SMALLEST_NANO_CPUS or (value == 0 and text.strip("0. ")):
        raise UsageError(f"--cpus {text} is too little", hint="0.01 is the least: --cpus 0.01")
    if value > 2**31 * NANO:
        raise UsageError(f"--cpus {text} is more than any machine has", hint="--cpus 1.5")
    return value or None


def parse_pids(text: str) -> int | None:
    """Parse `--pids-limit`; 0 and -1 are no limit, as in docker."""
    word = text.strip()
    if word in ("-1", "0"):
        return None
    if not _is_number(word) or not 0 < int(word) <= 2**22:  # the kernel's largest pid_max
        raise UsageError(f"{text!r} is not a number of processes", hint="--pids-limit 100, or -1 for no limit")
    return int(word)


def parse_shm_size(text: str) -> int | None:
    """Parse `--shm-size`; 0 is the default."""
    return parse_size(text, "--shm-size") or None


def parse_ulimit(text: str) -> tuple[int, int, int]:
    """Parse NAME=SOFT[:HARD] into (resource number, soft, hard); -1 or `unlimited` is UNLIMITED."""
    name, equals, values = text.partition("=")
    if name not in RLIMIT_NUMBERS:
        raise UsageError(f"{name!r} is no resource limit", hint=f"one of {', '.join(sorted(RLIMIT_NUMBERS))}")
    words = values.split(":")
    if not equals or len(words) > 2 or not all(_is_rlimit(word) for word in words):
        raise UsageError(f"{text!r} is not a resource limit", hint=f"--ulimit {name}=SOFT[:HARD], numbers or -1")
    numbers = [UNLIMITED if word in ("-1", "unlimited") else int(word) for word in words]
    soft, hard = numbers[0], numbers[-1]
    if hard != UNLIMITED and not UNLIMITED < soft <= hard:
        raise UsageError(
            f"--ulimit {text}: the soft limit is above the hard limit", hint=f"--ulimit {name}={hard}:{hard}"
        )
    return RLIMIT_NUMBERS[name], soft, hard


def parse_ulimits(texts: Iterable[str]) -> tuple[tuple[int, int, int], ...]:
    """Parse every `--ulimit`; the last one of a name counts."""
    return tuple({limit[0]: limit for limit in map(parse_ulimit, texts)}.values())


def check_ulimits(ulimits: Iterable[tuple[int, int, int]]) -> None:
    """Raise UsageError for a hard limit above this process's own, unless it can give that (see raise_hard_limits)."""
    for number, soft, hard in ulimits:
        own = resource.getrlimit(number)[1]
        if is_above(hard, own) and not may_raise():
            name = rlimit_name(number)
            least = own if is_above(soft, own) else soft
            raise UsageError(
                f"--ulimit {name}: {_spell(hard)} is above your own hard limit of {own}, "
                "and only a process with CAP_SYS_RESOURCE can raise that",
                hint=f"--ulimit {name}={least}:{own}",
            )


def may_raise() -> bool:
    """Return whether this process has CAP_SYS_RESOURCE. Root in a container often has not."""
    with open("/proc/self/status", "rb", buffering=0) as file:
        lines = file.read().splitlines()
    effective = next((int(line.split()[1], 16) for line in lines if line.startswith(b"CapEff:")), 0)
    return bool(effective >> _CAP_SYS_RESOURCE & 1)


def raise_hard_limits(pid: int, ulimits: Iterable[tuple[int, int, int]]) -> None:
    """Give a process of the sandbox hard limits above its own, from outside: root of a user namespace cannot.

    After clone, before the child sets its limits; nothing happens when none is above. Raises SandboxError when refused.
    """
    for number, soft, hard in ulimits:
        if is_above(hard, resource.getrlimit(number)[1]):
            try:
                resource.prlimit(pid, number, (soft, hard))
            except (OSError, ValueError) as error:
                raise SandboxError(
                    f"the kernel refused --ulimit {rlimit_name(number)}={_spell(soft)}:{_spell(hard)}",
                    hint="nofile is bounded by: sysctl fs.nr_open" if number == 7 else "choose a lower hard limit",
                ) from error


def is_above(value: int, bound: int) -> bool:
    """Compare two resource limits, of which UNLIMITED is the highest."""
    return bound != UNLIMITED and (value == UNLIMITED or value > bound)


def rlimit_name(number: int) -> str:
    """Return docker's name of a resource number."""
    return next((name for name, known in RLIMIT_NUMBERS.items() if known == number), str(number))


def format_size(size_bytes: int) -> str:
    """Spell a size for a message: `64 MB` for 64m, as docker's units have it."""
    for exponent in range(len(_UNITS) - 1, 0, -1):
        unit = 1024**exponent
        if size_bytes >= unit:
            number = f"{size_bytes / unit:.1f}".removesuffix(".0")
            return f"{number} {_UNITS[exponent].upper()}B"
    return f"{size_bytes} bytes"


def _spell(value: int) -> str:
    return "unlimited" if value == UNLIMITED else str(value)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _is_rlimit(text: str) -> bool:
    return text in ("-1", "unlimited") or (_is_number(text) and int(text) <= LARGEST)


def _parse_decimal(text: str, unit: int) -> int | None:
    """Return TEXT * `unit`, rounded down; None when it is no plain decimal number."""
    whole, point, fraction = text.partition(".")
    if not _is_number(whole or "0") or not (whole or fraction) or (point and not _is_number(fraction or "0")):
        return None
    scale: int = 10 ** len(fraction)
    return int(whole or "0") * unit + int(fraction or "0") * unit // scale
