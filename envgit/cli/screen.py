"""Standard output as verbs see it: text goes out as UTF-8, coloured and neutralised only where a person reads it."""

from __future__ import annotations

from collections.abc import Callable

from envgit.errors import StorageError
from envgit.light_typing import BinaryIO, Final, NoReturn

from .escape import neutralise, quote_path

_CODES: Final = {
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "head": "1;36",
    "branch": "1;32",
    "tag": "1;33",
    "dim": "2",
}


class Screen:
    """Writes text and bytes to one binary stream.

    `terminal`: what comes out is read on a terminal (directly or through the pager), so control characters that come
    from a repository are shown instead of sent. `color`: escape sequences for colours may be sent.
    `ask_quote_high` reads git's core.quotePath; it is asked when the first path appears that it matters for.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        terminal: bool,
        color: bool,
        width: int = 80,
        ask_quote_high: Callable[[], bool] = lambda: True,
    ) -> None:
        self.stream = stream
        self.terminal = terminal
        self.color = color
        self.width = width
        self._ask_quote_high = ask_quote_high
        self._quote_high: bool | None = None

    def paint(self, style: str, text: str) -> str:
        """Return `text` in a colour of git's, or as it is when colours are off. `text` must be safe already."""
        return f"\x1b[{_CODES[style]}m{text}\x1b[m" if self.color and text else text

    def safe(self, text: str | bytes) -> str:
        """Return text that came from a repository: on a terminal with control characters shown, else unchanged."""
        if isinstance(text, bytes):
            text = text.decode("utf-8", "surrogateescape")
        return neutralise(text) if self.terminal else text

    def path(self, path: bytes, prefix: bytes = b"") -> str:
        """Return a path as git prints it; harmless on any terminal."""
        if self._quote_high is None and not path.isascii():
            self._quote_high = self._ask_quote_high()
        quoted = quote_path(path, quote_high=self._quote_high is not False, prefix=prefix)
        return quoted if quoted.isascii() else self.safe(quoted)

    def write(self, text: str) -> None:
        self.write_bytes(text.encode("utf-8", "surrogateescape"))

    def line(self, text: str = "") -> None:
        self.write(text + "\n")

    def write_bytes(self, data: bytes) -> None:
        try:
            self.stream.write(data)
        except OSError as error:
            fail_output(error)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            fail_output(error)


def fail_output(error: OSError) -> NoReturn:
    """Raise the error for output that cannot be written: its disk is full, not the repository's."""
    if isinstance(error, BrokenPipeError):
        raise error
    raise StorageError(
        f"cannot write to standard output: {error.strerror or error}",
        hint="what the command did is done (envgit op log); send its output somewhere else",
    ) from error
