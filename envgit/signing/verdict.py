"""What a check of a signature found."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["good", "bad", "unknown", "expired", "revoked", "unchecked", "none"]
"""`unknown`: the signature fits, but nobody said whose key it is; `unchecked`: nothing here can check it."""

LETTERS: dict[State, str] = {
    "good": "G", "bad": "B", "unknown": "U", "expired": "X", "revoked": "R", "unchecked": "E", "none": "N",
}  # fmt: skip
"""What git's %G? prints."""


class Verdict(NamedTuple):
    """`signer`: who, by the allowed signers file or the key ring; `key`: type and fingerprint; `detail`: why it is not good.

    All three may hold text of the signature's maker and are to be neutralised before a terminal sees them.
    """

    state: State
    signer: str = ""
    key: str = ""
    detail: str = ""

    @property
    def good(self) -> bool:
        return self.state == "good"

    def sentence(self) -> str:
        """Return it as one line for people."""
        by = f" by {self.signer}" if self.signer else ""
        key = f" ({self.key})" if self.key else ""
        why = f": {self.detail}" if self.detail else ""
        return _WORDS[self.state] + by + key + why


_WORDS: dict[State, str] = {
    "good": "good signature",
    "bad": "BAD signature",
    "unknown": "good signature of an unknown signer",
    "expired": "expired signature",
    "revoked": "signature of a revoked key",
    "unchecked": "signature not checked",
    "none": "no signature",
}
UNSIGNED = Verdict("none")
