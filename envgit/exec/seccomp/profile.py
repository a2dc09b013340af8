"""The policy as an OCI `linux.seccomp` structure, for given capabilities.

Entries of one call never overlap and none is unconditional beside conditional ones: libseccomp drops the conditions then, and
the same structure must mean the same under crun and runc. Hence a refusal by value is written as the refused values
and the complement of them, which takes one masked comparison for each bit.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import Any

from envgit.exec.seccomp import policy
from envgit.exec.seccomp.numbers import host_architecture, load_architecture

_WORD = 0xFFFFFFFF
_ALLOW = {"action": "SCMP_ACT_ALLOW"}


def default_profile(
    capabilities: tuple[str, ...], nested_namespaces: bool, architecture: str | None = None
) -> dict[str, Any]:
    """Return the default filter, ready for a JSON encoder; of this machine's architecture unless another is named."""
    machine = load_architecture(architecture or host_architecture())
    grants = {*capabilities, *([policy.NESTED] if nested_namespaces else [])}
    allowed: list[str] = []
    refused: dict[int, list[str]] = {}
    for group in policy.GROUPS:
        names = [name for name in group.calls if name in machine.numbers]
        if group.granted_by is None or grants & set(group.granted_by):
            allowed += names
        elif group.refused_with != policy.UNKNOWN:
            refused.setdefault(group.refused_with, []).extend(names)
    may_unshare = bool(grants & {"CAP_SYS_ADMIN", policy.NESTED})
    if may_unshare:
        allowed += ["clone", "unshare"]
    families = (*policy.FAMILIES, *([policy.PACKET_FAMILY] if "CAP_NET_RAW" in grants else []))
    entries: list[dict[str, Any]] = [
        {"names": sorted(allowed), **_ALLOW},
        *({"names": sorted(names), **_refusal(number)} for number, names in sorted(refused.items())),
        *_families(families),
        *_ioctls(),
        *_personalities(),
    ]
    if not may_unshare:
        entries += _flags("clone", policy.CLONE_FLAGS)
        entries += _flags("unshare", policy.UNSHARE_FLAGS)
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": policy.UNKNOWN,
        "architectures": [machine.scmp],
        "syscalls": entries,
    }


def _refusal(number: int) -> dict[str, Any]:
    return {"action": "SCMP_ACT_ERRNO", "errnoRet": number}


def _condition(index: int, op: str, value: int, value_two: int = 0) -> dict[str, Any]:
    return {"index": index, "value": value, "valueTwo": value_two, "op": f"SCMP_CMP_{op}"}


def _families(families: tuple[int, ...]) -> list[dict[str, Any]]:
    names = ["socket", "socketpair"]
    others = sorted(set(range(max(families))) - set(families))
    refused = [_condition(0, "EQ", family) for family in others] + [_condition(0, "GT", max(families))]
    return [{"names": names, **_ALLOW, "args": [_condition(0, "EQ", family)]} for family in families] + [
        {"names": names, **_refusal(errno.EAFNOSUPPORT), "args": [condition]} for condition in refused
    ]


def _ioctls() -> list[dict[str, Any]]:
    equal = [_condition(1, "MASKED_EQ", _WORD, request) for request in policy.REFUSED_IOCTLS]
    return [{"names": ["ioctl"], **_refusal(errno.EPERM), "args": [condition]} for condition in equal] + [
        {"names": ["ioctl"], **_ALLOW, "args": [_condition(1, "MASKED_EQ", mask, value)]}
        for mask, value in words_without(policy.REFUSED_IOCTLS)
    ]


def _personalities() -> list[dict[str, Any]]:
    return [
        {"names": ["personality"], **_ALLOW, "args": [_condition(0, "EQ", value)]} for value in policy.PERSONALITIES
    ]


def _flags(name: str, flags: tuple[int, ...]) -> list[dict[str, Any]]:
    none = _condition(0, "MASKED_EQ", sum(flags), 0)
    return [{"names": [name], **_ALLOW, "args": [none]}] + [
        {"names": [name], **_refusal(errno.EPERM), "args": [_condition(0, "MASKED_EQ", flag, flag)]} for flag in flags
    ]


def words_without(values: Iterable[int]) -> list[tuple[int, int]]:
    """Return disjoint (mask, value) patterns of 32 bits that together match every word except `values`."""
    patterns: list[tuple[int, int]] = []

    def descend(bit: int, prefix: int, inside: list[int]) -> None:
        if not inside:
            patterns.append((_WORD >> (bit + 1) << (bit + 1), prefix))
        elif bit >= 0:
            for branch in (prefix, prefix | 1 << bit):
                descend(bit - 1, branch, [value for value in inside if value >> bit & 1 == branch >> bit & 1])

    descend(31, 0, list(values))
    return patterns
