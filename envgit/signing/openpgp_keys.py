"""Signatures by OpenPGP keys: gpg and the lines of its --status-fd (GnuPG's doc/DETAILS), read as git's gpg-interface.c does."""

from __future__ import annotations

from envgit.signing.program import check_with, file_name
from envgit.signing.settings import SigningSettings
from envgit.signing.verdict import State, Verdict

CREATED = "[GNUPG:] SIG_CREATED "
_STATUS = "[GNUPG:] "
_LEVELS = {"TRUST_UNDEFINED": 0, "TRUST_NEVER": 1, "TRUST_MARGINAL": 2, "TRUST_FULLY": 3, "TRUST_ULTIMATE": 4}
_RESULTS: dict[str, State] = {
    "GOODSIG": "good", "BADSIG": "bad", "EXPSIG": "expired", "EXPKEYSIG": "expired", "REVKEYSIG": "revoked",
    "ERRSIG": "unchecked",
}  # fmt: skip
_OFFLINE = (
    *("--batch", "--no-tty", "--keyid-format=long", "--status-fd=1", "--disable-dirmngr"),
    *("--no-auto-key-retrieve", "--no-auto-key-import"),
)
"""A signature can name a server to fetch its key from; nobody is asked."""


def sign_words(key: str) -> list[str]:
    """Return the words that sign standard input with `key` (an id, a fingerprint, `Name <mail>`), detached and armoured."""
    return ["--status-fd=2", "-bsau", key]


def check_openpgp(payload: bytes, signature: bytes, settings: SigningSettings) -> Verdict:
    """Check a signature against the key ring. A key that is trusted less than gpg.minTrustLevel (marginal) is unknown.

    Raises MissingProgram.
    """
    words = (*_OFFLINE, "--verify", "--", file_name(0), "-")
    said = check_with(settings.gpg_program, words, settings.environ, payload=payload, files=[signature])
    if said.late:
        return Verdict("bad", detail=said.reason())
    results: list[tuple[State, str]] = []
    fingerprints: list[str] = []
    levels: list[int] = []
    for line in said.out.split("\n"):  # not splitlines(): gpg prints U+2028 and U+0085 of a user id as they are
        if not line.startswith(_STATUS):
            continue
        word, _, rest = line.removeprefix(_STATUS).partition(" ")
        if word in _RESULTS:
            results.append((_RESULTS[word], rest))
        elif word == "VALIDSIG":
            fingerprints.append(rest.partition(" ")[0])
        elif word in _LEVELS:
            levels.append(_LEVELS[word])
    if (
        len(results) != 1 or len(fingerprints) > 1 or len(levels) > 1
    ):  # several signatures in one: which of them would count?
        return Verdict("bad", detail="it holds several signatures" if results else said.reason())
    fingerprint, trust = (fingerprints or [""])[0], (levels or [0])[0]
    state, rest = results[0]
    identifier, _, name = rest.partition(" ")
    key = f"OpenPGP key {fingerprint or identifier}"
    if state == "unchecked":
        return Verdict(state, "", key, "the key is not in the key ring")
    if state == "good" and (said.status != 0 or not fingerprint):
        return Verdict("bad", name, key, said.reason())
    if state == "good" and trust < settings.least_trust:
        return Verdict("unknown", name, key, "the key is in the key ring, but nobody said that it is trusted")
    return Verdict(state, name, key)
