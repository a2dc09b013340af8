"""When a sandbox whose program ended is started again, and how long that waits."""

from __future__ import annotations

from typing import Literal, NamedTuple

from envgit.errors import UsageError

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 60.0
SETTLED_SECONDS = 10.0
"""A program that lived so long begins with the first delay again."""


class RestartPolicy(NamedTuple):
    """`most`: how many restarts after failures; 0: any number."""

    kind: Literal["no", "on-failure", "always", "unless-stopped"] = "no"
    most: int = 0

    def wants(self, exit_code: int, restarts: int) -> bool:
        """Say whether a program that ended by itself is started again, for the (restarts+1)th time."""
        if self.kind == "on-failure":
            return exit_code != 0 and (not self.most or restarts < self.most)
        return self.kind != "no"


def parse_restart_policy(text: str) -> RestartPolicy:
    """Parse no, on-failure[:N], always or unless-stopped. Raises UsageError."""
    kind, colon, count = text.partition(":")
    if kind == "on-failure" and (not colon or (count.isascii() and count.isdigit() and len(count) <= 9)):
        return RestartPolicy("on-failure", int(count or "0"))
    if not colon:
        if kind in ("", "no"):
            return RestartPolicy()
        if kind == "always":
            return RestartPolicy("always")
        if kind == "unless-stopped":
            return RestartPolicy("unless-stopped")
    raise UsageError(f"{text!r} is no restart policy", hint="--restart no, on-failure[:N], always or unless-stopped")


def next_delay(delay_seconds: float, lived_seconds: float) -> float:
    """Return how long to wait before the next start, after a wait of `delay_seconds` before the last one (0: none)."""
    if lived_seconds >= SETTLED_SECONDS or not delay_seconds:
        return FIRST_DELAY_SECONDS
    return min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
