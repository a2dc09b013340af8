"""Names and messages of a repository made harmless for a terminal, and names quoted as git quotes them."""

from __future__ import annotations

from envgit.light_typing import TYPE_CHECKING, Final
from envgit.monitor import human_bytes as human_bytes

if TYPE_CHECKING:
    import re

_LETTERS: Final = {7: "a", 8: "b", 9: "t", 10: "n", 11: "v", 12: "f", 13: "r", 34: '"', 92: "\\"}
_QUOTED_HIGH: Final = rb'[\x00-\x1f\x7f-\xff"\\]'
_QUOTED: Final = rb'[\x00-\x1f\x7f"\\]'
_UNSAFE: Final = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
# `re` is imported, and these are compiled and cached by it, on first use: most commands print nothing unusual and save the time.


def neutralise(text: str) -> str:
    """Show control characters, except newline and tab, as `^[`; C1, direction marks and stray bytes as `<U+009B>`."""
    if text.isascii() and text.isprintable():
        return text
    import re

    return re.sub(_UNSAFE, _shown, text)


def _shown(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20 or code == 0x7F:
        return "^" + chr(code ^ 0x40)
    if 0xDC80 <= code <= 0xDCFF:
        return f"<{code - 0xDC00:02X}>"
    return f"<U+{code:04X}>"


def quote_path(path: bytes, *, quote_high: bool = True, force: bool = False, prefix: bytes = b"") -> str:
    """Return `prefix + path` as git prints it: C-quoted when a byte asks for it; bytes above 0x7f only with
    `quote_high` (git's core.quotePath). `force`: in quotes in any case."""
    whole = prefix + path
    if not force and whole.isascii() and b'"' not in whole and b"\\" not in whole:
        text = whole.decode("ascii")
        if text.isprintable():
            return text
    import re

    unusual = _QUOTED_HIGH if quote_high or not _is_utf8(whole) else _QUOTED
    if not force and not re.search(unusual, whole):
        return whole.decode("utf-8")
    escaped = re.sub(unusual, lambda match: _octal(match.group()[0]).encode("ascii"), whole)
    return f'"{escaped.decode("utf-8")}"'


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _octal(byte: int) -> str:
    letter = _LETTERS.get(byte)
    return f"\\{letter}" if letter else f"\\{byte:03o}"


def count_of(count: int, noun: str, plural: str | None = None) -> str:
    """Return `1 file`, `9,012 files`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
