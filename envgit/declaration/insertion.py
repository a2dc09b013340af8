"""Where a new table of an environment goes in a text, and how it is spelled."""

from __future__ import annotations

import re

from .locating import locate
from .toml_text import format_block, format_key

_ORDER = ("", "packages", "files", "step", "config", "sandbox")
"""Of an environment's tables in a text; "" is the one with `from`."""

_COMMENT = re.compile(r"[ \t]*#[^\n]*\n?")


def insert_table(text: str, path: tuple[str, ...], table: str, fields: dict[str, object]) -> str:
    """Return a TOML text with a new table `table` of the environment at `path`: () at top level, or ("env", NAME).

    It goes after the last of the environment's tables that come before it by custom, or at the end. `step` is a list of tables.
    """
    header = ".".join(format_key(name) for name in (*path, table))
    lines = [f"[[{header}]]" if table == "step" else f"[{header}]"]
    lines += [f"{format_key(key)} = {format_block(value)}" for key, value in fields.items()]
    start = _end_of_section(text, path, table)
    before, after = text[:start].rstrip("\n"), text[start:].lstrip("\n")
    return (f"{before}\n\n" if before else "") + "\n".join(lines) + "\n" + (f"\n{after}" if after else "")


def insert_key(text: str, path: tuple[str, ...], key: str, value: object) -> str | None:
    """Return a TOML text with a new key at the end of the table that has the header `path`; None: no table has just that."""
    headers = locate(text).headers
    number = next((number for number, (names, _) in enumerate(headers) if names == path), None)
    if number is None:
        return None
    end = headers[number + 1][1] if number + 1 < len(headers) else len(text)
    start = _without_next_comment(text, end)
    section = text[:start].rstrip("\n")
    return f"{section}\n{format_key(key)} = {format_block(value)}\n{text[len(section) + 1 :]}"


def _end_of_section(text: str, path: tuple[str, ...], table: str) -> int:
    headers = locate(text).headers
    ends = [*(offset for _, offset in headers[1:]), len(text)][: len(headers)]
    after: int | None = None
    for (names, _), end in zip(headers, ends, strict=True):
        kind = _kind(names, path)
        if kind is not None and _ORDER.index(kind) <= _ORDER.index(table):
            after = end
    return len(text) if after is None else _without_next_comment(text, after)


def _without_next_comment(text: str, end: int) -> int:
    """Return where the section that ends at `end` ends indeed: a comment just above the next header is that one's."""
    if end == len(text):
        return end
    before = text[:end]
    while before:
        start = before.rfind("\n", 0, -1) + 1
        if not _COMMENT.fullmatch(before, start):
            break
        before = before[:start]
    return len(before)


def _kind(names: tuple[str, ...], path: tuple[str, ...]) -> str | None:
    """Return which of an environment's tables a header belongs to, None: to another environment."""
    if path:
        if names[:2] != path:
            return None
        return names[2] if len(names) > 2 and names[2] in _ORDER else ""
    if names == ("env",):
        return ""
    return names[0] if names[0] in _ORDER else None
