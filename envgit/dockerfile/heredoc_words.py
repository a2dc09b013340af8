"""Words that announce a heredoc: [DESCRIPTOR]<<[-]NAME, the name possibly quoted."""

from __future__ import annotations

import re
from typing import NamedTuple

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.words import split_words

_HEREDOC = re.compile(r"([0-9]*)<<(-?)([\t\n\f\r ]*)([^<]*)\Z")


class HeredocWord(NamedTuple):
    """`is_spaced`: there is space before the name, so it may as well be an operator (`$((1 << 2))`) or the shell's business."""

    name: str
    descriptor: int
    strip_tabs: bool
    expand: bool
    is_spaced: bool


def find_heredocs(line: str) -> tuple[HeredocWord, ...]:
    """Find the heredocs that an instruction announces; a line whose quotes do not match announces none."""
    if "<<" not in line:
        return ()
    try:
        words = split_words(line, raw=True, raw_escapes=True)
    except ExpansionError:
        return ()
    return tuple(found for word in words if (found := parse_heredoc_word(word)))


def parse_heredoc_word(word: str) -> HeredocWord | None:
    """Parse one word; None when it announces nothing."""
    found = _HEREDOC.match(word)
    if not found or not found[4]:
        return None
    try:
        names, raw_names = split_words(found[4], raw=False), split_words(found[4], raw=True)
    except ExpansionError:
        return None
    if len(names) != 1 or len(raw_names) != 1:
        return None
    quotes = [sum(map(name.count, "'\"")) for name in (names[0], raw_names[0])]
    descriptor = int(found[1][:20] or 0)
    return HeredocWord(names[0], descriptor, bool(found[2]), quotes[0] == quotes[1], bool(found[3]))
