"""`linux.resources` of config.json as limits of a control group, and back."""

from __future__ import annotations

from envgit.errors import SandboxError
from envgit.exec.cgroups.limits import NANO, UNLIMITED, Limits
from envgit.exec.oci.fields import Fields
from envgit.light_typing import NamedTuple

_DEFAULT_PERIOD_US = 100_000
_KNOWN = {"memory": {"limit", "swap"}, "pids": {"limit"}, "cpu": {"quota", "period"}}


class Resources(NamedTuple):
    """Limits and where the caller would have its group (`linux.cgroupsPath`): we make ours beside our own instead."""

    limits: Limits
    cgroups_path: str = ""


def read_resources(linux: Fields, warnings: list[str]) -> Resources:
    """Return what `linux.resources` limits; a warning names every limit that is not enforced."""
    resources = linux.object("resources")
    for name in resources.names():
        if name == "devices":
            _check_devices(resources, warnings)
            continue
        inner = resources.object(name) if name in _KNOWN else None
        for key in inner.names() if inner is not None else [""]:
            if key not in _KNOWN.get(name, ()):
                warnings.append(f"linux.resources.{name}{'.' if key else ''}{key} is not supported and not enforced")
    memory, pids, cpu = (resources.object(name) for name in ("memory", "pids", "cpu"))
    memory_bytes = _limit(memory, "limit")
    swap = _signed(memory, "swap")
    quota = _limit(cpu, "quota")
    nano_cpus = None
    if quota is not None:
        nano_cpus = quota * NANO // (cpu.number("period", _DEFAULT_PERIOD_US, most=10**7) or _DEFAULT_PERIOD_US)
    limits = Limits(
        memory_bytes,
        (UNLIMITED if swap is not None and swap < 0 else swap) if memory_bytes is not None else None,
        nano_cpus,
        _limit(pids, "limit"),
    )
    return Resources(limits, linux.text("cgroupsPath", ""))


def write_resources(limits: Limits) -> dict[str, object]:
    """Return `linux.resources` for `limits`."""
    found: dict[str, object] = {}
    if limits.memory_bytes is not None:
        total = limits.total_bytes
        found["memory"] = {"limit": limits.memory_bytes, "swap": -1 if total is None else total}
    if limits.cpu_quota_us is not None:
        found["cpu"] = {"quota": limits.cpu_quota_us, "period": _DEFAULT_PERIOD_US}
    if limits.pids is not None:
        found["pids"] = {"limit": limits.pids}
    return found


def _limit(fields: Fields, key: str) -> int | None:
    value = _signed(fields, key)
    return value if value is not None and value > 0 else None


def _signed(fields: Fields, key: str) -> int | None:
    value = fields.number(key, 0, least=-1, most=2**63 - 1)
    return value or None


def _check_devices(resources: Fields, warnings: list[str]) -> None:
    """A rule that denies says nothing new (there are no other nodes, and none can be made); one that allows is not obeyed."""
    allowed = [each.name for each in resources.objects("devices") if each.flag("allow")]
    if any(not isinstance(each, str) for each in allowed):
        raise SandboxError("config.json: linux.resources.devices")
    if allowed:
        warnings.append("linux.resources.devices: no further device can be used, whatever is allowed")
