"""Profiles that users name: docker's and podman's JSON, and OCI's own, brought to the OCI structure and compiled."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from envgit.errors import UsageError
from envgit.exec.seccomp.compiler import compile_rules
from envgit.exec.seccomp.numbers import Architecture, host_architecture, load_architecture, read_table
from envgit.exec.seccomp.rules import read_rules

_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": "",  # there is one thread
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": "",  # the kernel's mitigations stay on
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": "",  # only with a listener
    "SECCOMP_FILTER_FLAG_LOG": "the seccomp profile asks the kernel to log refusals, which is left out",
}
_SHOWN_NAMES = 8


class Filter(NamedTuple):
    """A program for filter.install, and what to tell the user about how it was made."""

    program: bytes
    notices: tuple[str, ...] = ()


def profile_program(text: bytes, capabilities: tuple[str, ...], architecture: str | None = None) -> Filter:
    """See filter.profile_program."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"the seccomp profile is not JSON: {error}",
            hint="see docs/seccomp.md for the format, or use seccomp=unconfined",
        ) from error
    if not isinstance(content, Mapping):
        raise UsageError("the seccomp profile is not a JSON object", hint="see docs/seccomp.md for the format")
    if "defaultAction" not in content and isinstance(content.get("linux"), Mapping):
        raise UsageError("this is a whole OCI runtime spec, not a seccomp profile", hint="give its part linux.seccomp")
    machine = load_architecture(architecture or host_architecture())
    return oci_program(flatten_profile(content, capabilities, machine, _kernel_version()), machine.name)


def oci_program(structure: Mapping[str, Any], architecture: str | None = None) -> Filter:
    """See filter.oci_program."""
    machine = load_architecture(architecture or host_architecture())
    _check_architectures(structure, machine)
    notices = _flag_notices(structure)
    rules = read_rules(structure, machine)
    known = read_table()
    strange = [name if name.isprintable() else ascii(name) for name in rules.unknown_names if name not in known]
    if strange:
        more = f" and {len(strange) - _SHOWN_NAMES} more" if len(strange) > _SHOWN_NAMES else ""
        notices.append(
            f"the seccomp profile names system calls that envgit does not know, left out: {', '.join(strange[:_SHOWN_NAMES])}{more}"
        )
    return Filter(compile_rules(rules, machine), tuple(notices))


def flatten_profile(
    content: Mapping[str, Any], capabilities: tuple[str, ...], machine: Architecture, kernel: tuple[int, int]
) -> dict[str, Any]:
    """Return the OCI structure that docker or podman would make of their format for a container like this one.

    Entries apply when all their "includes" do and none of their "excludes"; errors may have names; old profiles name one
    call an entry.
    """
    flat = {key: value for key, value in content.items() if key not in ("archMap", "syscalls", "defaultErrno")}
    if "defaultErrno" in content:
        flat["defaultErrnoRet"] = _error_number(content["defaultErrno"], "defaultErrno")
    entries = content.get("syscalls") or []
    flat["syscalls"] = entries
    if isinstance(entries, list):
        flat["syscalls"] = [
            _flatten_entry(entry, f"syscalls[{place}]") if isinstance(entry, Mapping) else entry
            for place, entry in enumerate(entries)
            if not isinstance(entry, Mapping) or _applies(entry, capabilities, machine, kernel, f"syscalls[{place}]")
        ]
    return flat


def _flatten_entry(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    flat = {key: value for key, value in entry.items() if key in ("names", "action", "errnoRet", "args")}
    if "name" in entry and not flat.get("names"):
        flat["names"] = [entry["name"]]
    if entry.get("errno"):
        flat["errnoRet"] = _error_number(entry["errno"], f"{where}.errno")
    return flat


def _error_number(name: object, where: str) -> int:
    number = getattr(errno, name, None) if isinstance(name, str) and name.startswith("E") else None
    if not isinstance(number, int):
        raise UsageError(f"seccomp profile: {where}: {name!r} is no error", hint="a name as in errno(3), like EPERM")
    return number


def _applies(
    entry: Mapping[str, Any], capabilities: tuple[str, ...], machine: Architecture, kernel: tuple[int, int], where: str
) -> bool:
    includes, excludes = (_condition(entry, key, where) for key in ("includes", "excludes"))
    return (
        all(name in capabilities for name in includes["caps"])
        and not any(name in capabilities for name in excludes["caps"])
        and (not includes["arches"] or machine.go in includes["arches"])
        and machine.go not in excludes["arches"]
        and (not includes["minKernel"] or kernel >= _version(includes["minKernel"], where))
        and (not excludes["minKernel"] or kernel < _version(excludes["minKernel"], where))
    )


def _condition(entry: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    given = entry.get(key) or {}
    if not isinstance(given, Mapping):
        raise UsageError(f"seccomp profile: {where}.{key} is not an object", hint="see docs/seccomp.md for the format")
    unknown = set(given) - {"caps", "arches", "minKernel"}
    if unknown:  # leaving it out could allow what was not meant to be
        raise UsageError(
            f"seccomp profile: {where}.{key}: {sorted(unknown)[0]!r} is not known", hint="caps, arches or minKernel"
        )
    for name in ("caps", "arches"):
        if not isinstance(given.get(name) or [], list):
            raise UsageError(f"seccomp profile: {where}.{key}.{name} is not a list", hint='like ["CAP_SYS_ADMIN"]')
    return {"caps": given.get("caps") or [], "arches": given.get("arches") or [], "minKernel": given.get("minKernel")}


def _version(text: object, where: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)\.(\d+)", text) if isinstance(text, str) else None
    if not match:
        raise UsageError(f"seccomp profile: {where}: minKernel {text!r} is no version", hint='like "5.10"')
    return int(match[1]), int(match[2])


def _kernel_version() -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _check_architectures(structure: Mapping[str, Any], machine: Architecture) -> None:
    named = structure.get("architectures") or [machine.scmp]
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise UsageError("seccomp profile: `architectures` is not a list of names", hint=f'like ["{machine.scmp}"]')
    if machine.scmp not in named:
        raise UsageError(
            f"the seccomp profile is for {', '.join(named)}, this machine is {machine.name}",
            hint=f"add {machine.scmp} to its `architectures`",
        )


def _flag_notices(structure: Mapping[str, Any]) -> list[str]:
    flags = structure.get("flags") or []
    if not isinstance(flags, list):
        raise UsageError("seccomp profile: `flags` is not a list", hint="leave it out")
    for flag in flags:
        if not isinstance(flag, str) or flag not in _FLAGS:
            raise UsageError(f"seccomp profile: {flag!r} is no flag", hint="one of " + ", ".join(_FLAGS))
    return [_FLAGS[flag] for flag in flags if _FLAGS[flag]]
