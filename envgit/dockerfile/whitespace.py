"""The characters that separate words of a Dockerfile: Unicode's White_Space, which is not quite what str.strip() takes."""

from __future__ import annotations

SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
BLANK = "\t\v\f\r "
"""What separates the instruction from its arguments, and plain arguments from each other."""


def split_blank(text: str, limit: int = -1) -> list[str]:
    """Split at runs of BLANK, at most `limit` times; a run at an end of the text leaves an empty string there."""
    words, start, at = [], 0, 0
    while at < len(text) and limit:
        if text[at] not in BLANK:
            at += 1
            continue
        words.append(text[start:at])
        while at < len(text) and text[at] in BLANK:
            at += 1
        start, limit = at, limit - 1
    return [*words, text[start:]]
