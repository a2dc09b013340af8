"""Words of a Dockerfile: values quoted so that an instruction reads them back unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9_@%+=:,./*?-]+\Z")
SHELL: Final = ("/bin/sh", "-c")
"""What RUN's shell form starts, unless SHELL says otherwise."""
_ONE_LIST: Final = re.compile(r"(?:[^;&|(){}`\n]|&&)*\Z")
_PLAIN_SCRIPT: Final = re.compile(r"[^\s\[\-#][^\r\n]*\Z")


def is_quotable(text: str) -> bool:
    """Say whether an instruction can hold the text at all: it has one line, and bytes that are text."""
    return not re.search("[\0\r\n\ud800-\udfff]", text)


def quote_word(text: str) -> str:
    """Return a word of an instruction that expands variables (ENV, LABEL, WORKDIR, ...)."""
    if _PLAIN.match(text):
        return text
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def json_words(words: Sequence[str]) -> str:
    """Return the exec form, for instructions that expand nothing (RUN, CMD, ENTRYPOINT, SHELL)."""
    return json.dumps(list(words), ensure_ascii=False)


def copy_words(words: Sequence[str]) -> str:
    """Return sources and target of COPY and ADD, which expand variables in both forms."""
    if all(_PLAIN.match(word) and not word.startswith("-") for word in words):
        return " ".join(words)
    return json_words([re.sub(r"([\\$])", r"\\\1", word) for word in words])


def here_document(text: str) -> tuple[str, str] | None:
    """Return (delimiter, lines with the delimiter at the end) for a text; None when only other forms can hold it.

    A here-document ends with a newline, and holds no carriage return that some parser may drop.
    """
    if not text.endswith("\n") or re.search("[\0\r\ud800-\udfff]", text):
        return None
    lines = text.split("\n")
    delimiter = next(
        word for word in ("EOF", *(f"EOF{number}" for number in range(len(lines) + 1))) if word not in lines
    )
    return delimiter, f"{text}{delimiter}"


def is_plain_script(text: str) -> bool:
    """Say whether RUN's shell form holds the script as it is: one line that is no flag, JSON, comment or here-document."""
    return bool(_PLAIN_SCRIPT.match(text)) and "<<" not in text and text == text.strip() and not text.endswith("\\")


def ends_at_first_failure(script: str) -> bool:
    """Say whether a shell ends at the first command that fails with `-e` and without it alike: commands joined by && do."""
    words = re.findall(r"[A-Za-z]+", script)
    return bool(_ONE_LIST.match(script)) and not {"if", "for", "while", "until", "case", "set", "trap", "exec"} & set(
        words
    )
