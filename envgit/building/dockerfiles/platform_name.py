"""Names of platforms, OS/ARCHITECTURE[/VARIANT], in the words of images (Go's GOOS and GOARCH)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from envgit.errors import UsageError

_ARCHITECTURES: Final = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
    "armhf": "arm",
    "armel": "arm",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "loongarch64": "loong64",
}
_VARIANTS: Final = {"armhf": "v7", "armv7l": "v7", "armv8l": "v7", "armel": "v6", "armv6l": "v6"}
_SILENT: Final = {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}
"""Variants that are what the architecture is without one."""

_WORD = re.compile(r"[A-Za-z0-9_.-]+")


class Platform(NamedTuple):
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def parse_platform(text: str) -> Platform:
    """Return the one spelling of a platform: linux/x86_64, amd64 and linux/amd64 are the same. Raises UsageError."""
    parts = text.split("/")
    if len(parts) == 1:
        parts = ["linux", text]
    if not 2 <= len(parts) <= 3 or not all(_WORD.fullmatch(part) for part in parts):
        raise UsageError(
            f"{text!r} is not a platform", hint="platforms are written OS/ARCHITECTURE, such as linux/amd64"
        )
    name = parts[1].lower()
    architecture = _ARCHITECTURES.get(name, name)
    variant = parts[2].lower() if len(parts) == 3 else _VARIANTS.get(name, "v7" if architecture == "arm" else "")
    if (architecture, variant) in _SILENT:
        variant = ""
    if architecture == "arm" and variant.isdecimal():
        variant = f"v{variant}"
    return Platform(parts[0].lower(), architecture, variant)


def platform_of_machine(machine: str) -> Platform:
    """Return the platform of a machine that `uname -m` calls `machine`."""
    return parse_platform(f"linux/{machine}")
