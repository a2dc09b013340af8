"""Platforms: how they are written, which one a machine is, which one of an image's is meant.

Source: OCI image specification, image-index.md; names are normalised as containerd's package `platforms` does.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from envgit.errors import SourceError, UsageError

_OTHER_NAMES: Final = {
    "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "i386": "386", "i486": "386", "i586": "386", "i686": "386",
    "loongarch64": "loong64", "armhf": "arm", "armel": "arm", "armv5tel": "arm", "armv6l": "arm", "armv7l": "arm",
    "armv8l": "arm",
}  # fmt: skip
"""Of architectures: what `uname -m` and Debian call them."""

_VARIANTS: Final = {"armhf": "v7", "armel": "v6", "armv5tel": "v5", "armv6l": "v6", "armv7l": "v7", "armv8l": "v7"}
_SYSTEMS: Final = ("linux", "windows", "darwin", "freebsd")
_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_HINT: Final = "platforms are written OS/ARCHITECTURE, such as linux/amd64 or linux/arm64"


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}" + (f"/{self.variant}" if self.variant else "")


def parse_platform(text: str) -> Platform:
    """Return the one spelling of OS/ARCHITECTURE[/VARIANT], or of ARCHITECTURE or OS alone. Raises UsageError.

    linux/x86_64, amd64 and linux/amd64 are the same; arm is arm/v7.
    """
    words = text.split("/")
    if not all(_WORD.fullmatch(word) for word in words) or len(words) > 3:
        raise UsageError(f"{ascii(text[:100])} is not a platform", hint=_HINT)
    if len(words) == 1 and words[0].lower() in _SYSTEMS:
        return this_machine()._replace(os=words[0].lower())
    if len(words) == 1:
        words.insert(0, "linux")
    platform = _normal(words[0], words[1], words[2] if len(words) > 2 else "")
    return platform._replace(variant="v7") if platform[1:] == ("arm", "") else platform


def parse_platform_object(value: object) -> Platform | None:
    """Return the `platform` of a descriptor; None if it has none or an unreadable one."""
    if not isinstance(value, dict):
        return None
    words = [value.get(name) or "" for name in ("os", "architecture", "variant")]
    if not all(isinstance(word, str) and len(word) <= 64 for word in words) or not words[0] or not words[1]:
        return None
    return _normal(words[0], words[1], words[2])


def refuse_other_systems(platform: Platform) -> None:
    """Raise UsageError unless it is Linux."""
    if platform.os != "linux":
        raise UsageError(f"environments are Linux; {platform} is not", hint="use for example linux/amd64")


def this_machine() -> Platform:
    """Return the platform of the running kernel."""
    return platform_of_machine(os.uname().machine)


def platform_of_machine(machine: str) -> Platform:
    """Return the platform of a machine that `uname -m` calls `machine`."""
    return parse_platform(f"linux/{machine}")


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
    name, variant = architecture.lower(), variant.lower()
    architecture = _OTHER_NAMES.get(name, name)
    variant = variant or _VARIANTS.get(name, "")
    if variant.isdecimal():
        variant = f"v{variant}"
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""  # what the architecture is without one
    return Platform(system.lower(), architecture, variant)
