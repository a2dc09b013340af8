"""The error of a declaration or lock that cannot be understood."""

from __future__ import annotations

from envgit.errors import UsageError

from .values import Place


class DeclarationError(UsageError):
    """A declaration or a lock is wrong; the message begins with `place`."""

    code = "bad-declaration"

    def __init__(self, place: Place, message: str, *, hint: str | None = None) -> None:
        super().__init__(f"{place}: {message}", hint=hint)
        self.place = place
