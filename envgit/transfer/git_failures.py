"""From what git, ssh and servers print to errors that say what to do: git's status alone is 128 for nearly everything."""

from __future__ import annotations

import re
from collections.abc import Sequence

from envgit.transfer.address import Address, without_password
from envgit.transfer.errors import TransferError
from envgit.transfer.failure_rules import RULES

_LOOKED_AT = 100
"""Lines at the beginning and at the end: a server can say very much."""


def explain(lines: Sequence[str], messages: Sequence[str], address: Address, status: int, doing: str) -> TransferError:
    """Return the error for an exchange that failed.

    `lines`: git's and ssh's own words, `messages`: the server's. `doing`: "push to".
    """
    found = known_failure(lines, messages, address, doing)
    if found is not None:
        return found
    said = without_password("\n".join((*lines, *messages)))
    last = next((line for line in reversed(said.split("\n")) if line.startswith(("fatal: ", "error: "))), "")
    reason = last.partition(": ")[2] or f"git ended with status {status}"
    return TransferError(
        f"cannot {doing} {address.shown}: {reason}{_quoted(messages)}", hint=f"try: git ls-remote {address.shown}"
    )


def known_failure(lines: Sequence[str], messages: Sequence[str], address: Address, doing: str) -> TransferError | None:
    """Return the error if a rule knows what these words mean."""
    said = without_password("\n".join((*lines[:_LOOKED_AT], *lines[-_LOOKED_AT:], *messages)))
    words = {"host": address.host or address.shown, "address": address.shown, "path": address.path}
    plain = said.replace(address.shown, "ADDRESS")  # which may be called like an error
    for rule in RULES:
        match = re.search(rule.pattern, plain)
        if match:
            says = rule.says.replace("{1}", (match[1] or "") if match.re.groups else "")
            return rule.kind(
                f"cannot {doing} {words['address']}: {_fill(says, words)}{_quoted(messages)}",
                hint=_fill(rule.hint, words),
            )
    return None


def _fill(text: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        text = text.replace("{" + name + "}", value)
    return text


def _quoted(messages: Sequence[str]) -> str:
    """What the server wants to be heard, in one line."""
    shown = [without_password(each) for each in messages if each.strip("= *-!")][:3]
    return f" (it says: {'; '.join(shown)[:300]})" if shown else ""
