"""What became of the refs of a push, out of what `git push --porcelain` prints (git-push(1), "OUTPUT")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from envgit.errors import InvalidName
from envgit.transfer.advertising import PRIVATE, is_good_name
from envgit.transfer.values import RefOutcome, RefUpdate

UP_TO_DATE: Final = "up to date"
_REASON: Final = re.compile(r"\[([^\]]*)\](?: \((.*)\))?")
_MOST_REASON: Final = 300


def check_updates(updates: Sequence[RefUpdate], options: Sequence[str]) -> None:
    """Raise InvalidName for refs that stay on this machine, are named twice or are no names, and for options of several lines."""
    seen = set()
    for each in updates:
        if each.name.startswith(PRIVATE):
            raise InvalidName(f"{each.name} is envgit's own and stays on this machine", hint="push branches and tags")
        if not is_good_name(each.name) or each.name in seen:
            raise InvalidName(
                f"{each.name} is no name of a ref that can be pushed, or is named twice",
                hint="git help check-ref-format",
            )
        seen.add(each.name)
    if any("\n" in option or "\0" in option for option in options):
        raise InvalidName("an option of a push is one line", hint="leave out the line breaks")


def parse_outcomes(printed: bytes, updates: Sequence[RefUpdate]) -> tuple[RefOutcome, ...] | None:
    """Return one outcome per update in their order; None when git did not come so far. One that is not mentioned was not done."""
    found: dict[str, RefOutcome] = {}
    for line in printed.decode("utf-8", "surrogateescape").splitlines():
        fields = line.split("\t")
        if len(fields) < 3 or fields[0] not in (" ", "+", "-", "*", "=", "!"):
            continue
        name = fields[1].partition(":")[2]
        found[name] = _outcome(name, fields[0], fields[2])
    if not found:
        return None
    return tuple(
        found.get(each.name) or RefOutcome(each.name, False, "the other side said nothing of it") for each in updates
    )


def _outcome(name: str, flag: str, summary: str) -> RefOutcome:
    if flag == "=":
        return RefOutcome(name, True, UP_TO_DATE)
    if flag != "!":
        return RefOutcome(name, True, "")
    match = _REASON.match(summary)
    reason = (match[2] or match[1]) if match else summary
    return RefOutcome(name, False, reason[:_MOST_REASON])
