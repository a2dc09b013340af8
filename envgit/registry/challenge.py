"""What a registry asks for when it answers 401 (RFC 9110, section 11.6.1): WWW-Authenticate, parsed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_SCHEME = re.compile(rf"\s*({_TOKEN})(?=[\s,]|$)")
_PARAMETER = re.compile(rf'\s*,?\s*({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_TOKEN[:-2]}/:=]+))')


class Challenge(NamedTuple):
    scheme: str
    """Lower case: "bearer", "basic"."""
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return every challenge of the headers in order; what is malformed is passed over."""
    found: list[Challenge] = []
    for header in headers:
        position = 0
        while match := _SCHEME.match(header, position):
            position = match.end()
            parameters: dict[str, str] = {}
            while parameter := _PARAMETER.match(header, position):
                value = re.sub(r"\\(.)", r"\1", parameter[2]) if parameter[2] is not None else parameter[3]
                parameters.setdefault(parameter[1].lower(), value)
                position = parameter.end()
            found.append(Challenge(match[1].lower(), parameters))
            comma = re.compile(r"\s*,").match(header, position)
            if comma is None:
                break
            position = comma.end()
    return found
