"""Signatures by ssh keys: `ssh-keygen -Y` (ssh-keygen(1), PROTOCOL.sshsig), called as git's gpg-interface.c does."""

from __future__ import annotations

import re
import time

from envgit.signing.program import Said, check_with, file_name, read_file
from envgit.signing.settings import SigningSettings, is_literal_key
from envgit.signing.verdict import Verdict

NAMESPACE = "git"
"""What a signature is made for is part of what is signed: one made to log in, or for a file, is none of a commit."""
_GOOD = re.compile(r'Good "git" signature (?:for (.*) )?with (\S+ key \S+)')
_MOST_PRINCIPALS = 32
_LAST_SECOND = 253402300799
"""Of the year 9999: dates have four digits of a year."""


class _Files:
    """What a checking program is given: the signature, and the files of the user that apply. They are read once, so that all
    questions about one signature are answered from the same text."""

    def __init__(self, signature: bytes, settings: SigningSettings) -> None:
        self.data = [signature]
        self._names: dict[str, str] = {}
        self.allowed = self._add(settings.allowed_signers, "gpg.ssh.allowedSignersFile")
        self.revoked = self._add(settings.revoked, "gpg.ssh.revocationFile")

    def _add(self, path: str, what: str) -> str | None:
        if not path:
            return None
        self.data.append(read_file(path, what))
        name = file_name(len(self.data) - 1)
        self._names[name] = path
        return name

    def explain(self, said: Said) -> str:
        """Return why a program refused, with the names that the user knows."""
        reason = said.reason()
        for name, path in self._names.items():
            reason = reason.replace(name, path)
        return reason


def sign_words(key: str, settings: SigningSettings) -> tuple[list[str], bytes | None]:
    """Return the words that sign standard input with `key`, and the file that goes with them for a key that is no file."""
    if is_literal_key(key):
        # -U: the private key is with the agent.
        return ["-Y", "sign", "-n", NAMESPACE, "-f", file_name(0), "-U"], key.removeprefix("key::").encode() + b"\n"
    return ["-Y", "sign", "-n", NAMESPACE, "-f", settings.path_of(key)], None


def check_ssh(payload: bytes, signature: bytes, seconds: int, settings: SigningSettings) -> Verdict:
    """Check a signature that was made at `seconds` (as its maker says): who is asked of the allowed signers file.

    Raises MissingProgram, and EnvgitError when a file of the configuration cannot be read.
    """
    files = _Files(signature, settings)

    def run(action: str, *words: str) -> Said:
        words = ("-Y", action, *words, "-s", file_name(0))
        return check_with(settings.ssh_program, words, settings.environ, payload=payload, files=files.data)

    why = "gpg.ssh.allowedSignersFile is not set, so no key is known"
    if files.allowed is not None:
        at = f"-Overify-time={_moment(seconds)}"
        found = run("find-principals", "-f", files.allowed, at)
        principals = list(dict.fromkeys(filter(None, re.split("[\r\n]+", found.out))))
        revocation = () if files.revoked is None else ("-r", files.revoked)
        for principal in principals[:_MOST_PRINCIPALS] if found.status == 0 else ():
            who = ("-n", NAMESPACE, "-f", files.allowed, "-I", principal, at)
            said = run("verify", *who, *revocation)
            match = _GOOD.search(said.out)
            if said.status == 0 and match is not None:
                return Verdict("good", principal, match[2])
            why = files.explain(said)
            if revocation and (match := _GOOD.search(run("verify", *who).out)):
                why = f"its key is in {settings.revoked}, or that file is damaged"
                return Verdict("revoked", principal, match[2], why)
        if not principals:
            why = "the key is not in the allowed signers file, or not for that time"
            expired = re.search(r"key has expired|key is not yet valid", found.error)
            why = expired[0] if expired else why
    said = run("check-novalidate", "-n", NAMESPACE)
    match = _GOOD.search(said.out)
    if said.status != 0 or match is None:
        return Verdict("bad", detail=said.reason())
    if why.startswith("key "):
        return Verdict("expired", key=match[2], detail=why)
    return Verdict("unknown", key=match[2], detail=why)


def _moment(seconds: int) -> str:
    """Return a time as ssh-keygen takes it, in UTC; the first second, which it does not take, is the second one."""
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(min(max(seconds, 1), _LAST_SECOND)))
