"""Platforms of images: how they are written, which one a machine is, which one of an index is meant.

Source: OCI image specification, image-index.md; names are normalised as containerd's package `platforms` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from envgit.errors import SourceError, UsageError

_ARCHITECTURES: Final = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "i386": "386", "i686": "386",
    "i586": "386", "loongarch64": "loong64",
}  # fmt: skip
_MACHINES: Final = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv8l": "arm/v7", "armv6l": "arm/v6", "armv5tel": "arm/v5",
    "i386": "386", "i586": "386", "i686": "386", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
    "loongarch64": "loong64", "mips64": "mips64", "mips": "mips",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


def parse_platform(text: str) -> Platform:
    """Return the platform that --platform names: OS/ARCHITECTURE[/VARIANT], or ARCHITECTURE alone. Raises UsageError."""
    words = text.split("/")
    if not all(_WORD.fullmatch(word) for word in words) or len(words) > 3:
        raise UsageError(f"{ascii(text[:100])} is no platform", hint="use for example linux/amd64 or linux/arm64")
    if len(words) == 1 and words[0].lower() not in ("linux", "windows", "darwin", "freebsd"):
        words.insert(0, "linux")
    if len(words) == 1:
        words.append(this_machine().architecture)
    platform = _normal(words[0], words[1], words[2] if len(words) > 2 else "")
    if words[1].lower() == "armel" and not platform.variant:
        return platform._replace(variant="v6")
    if platform.os != "linux":
        raise UsageError(
            f"environments are Linux; {platform} is not", hint="use for example linux/amd64 or linux/arm64"
        )
    return platform


def parse_platform_object(value: object) -> Platform | None:
    """Return the `platform` of a descriptor; None if it has none or an unreadable one."""
    if not isinstance(value, dict):
        return None
    words = [value.get(name) or "" for name in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) and len(word) <= 64 for word in words) or not words[0] or not words[1]:
        return None
    return _normal(words[0], words[1], words[2])


def this_machine() -> Platform:
    """Return the platform of the running kernel."""
    machine = os.uname().machine
    architecture, _, variant = _MACHINES.get(machine, machine).partition("/")
    return Platform("linux", architecture, variant)


def choose(wanted: Platform, offered: Sequence[Platform | None], what: str) -> int:
    """Return which of `offered` runs on `wanted`, the best first: the same variant, then lower ones of arm.

    None means that nothing is said about it: taken when it is the only one. Raises SourceError that lists what there is.
    """
    if len(offered) == 1 and offered[0] is None:
        return 0
    for platform in _accepted(wanted):
        if platform in offered:
            return offered.index(platform)
    names = sorted({str(platform) for platform in offered if platform is not None and platform.os != "unknown"})
    shown = ", ".join(ascii(name)[1:-1] for name in names[:20]) or "no platform"
    raise SourceError(
        f"{what} is not there for {wanted}; it is for {shown}",
        hint=f"choose one: --platform {ascii(names[0])[1:-1]}" if names else "name another image",
    )


def is_same(wanted: Platform, found: Platform) -> bool:
    """Say whether an image for `found` is one for `wanted`."""
    return found in _accepted(wanted)


def _accepted(wanted: Platform) -> list[Platform]:
    accepted = [wanted]
    if wanted.architecture == "arm":
        level = {"v8": 8, "v7": 7, "v6": 6, "v5": 5, "": 7}.get(wanted.variant, 0)
        accepted += [wanted._replace(variant=f"v{lower}") for lower in range(level, 4, -1)]
    elif wanted.architecture == "amd64" and re.fullmatch(r"v[2-4]", wanted.variant):
        accepted += [wanted._replace(variant=f"v{lower}") for lower in range(int(wanted.variant[1]) - 1, 1, -1)]
    return [*accepted, wanted._replace(variant="")]


def _normal(system: str, architecture: str, variant: str) -> Platform:
    system, architecture, variant = system.lower(), architecture.lower(), variant.lower()
    if architecture == "armhf" and not variant:
        variant = "v7"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if variant.isdigit():
        variant = f"v{variant}"
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    return Platform(system, architecture, variant)
