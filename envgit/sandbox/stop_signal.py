"""Signals by number or name, as kill(1), docker and podman take them."""

from __future__ import annotations

import signal

from envgit.errors import UsageError

_ALIASES = {"IOT": "ABRT", "CLD": "CHLD", "POLL": "IO", "STKFLT": "16"}


def parse_signal(text: str) -> int:
    """Parse 9, KILL, SIGKILL, sigkill, RTMIN+3. Raises UsageError."""
    name = text.upper().removeprefix("SIG")
    name = _ALIASES.get(name, name)
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    number = int(name) if name.isascii() and name.isdigit() and len(name) < 4 else 0
    if not number and base in ("RTMIN", "RTMAX") and (not sign or (offset.isascii() and offset.isdigit())):
        distance = int(offset or "0")
        number = int(signal.SIGRTMIN) + distance if base == "RTMIN" else int(signal.SIGRTMAX) - distance
    elif not number and not sign:
        number = int(getattr(signal, f"SIG{name}", 0) or 0)
    if 1 <= number < signal.NSIG:
        return number
    raise UsageError(f"{text!r} is no signal", hint="by name or number: TERM, SIGINT, 9")
