"""How signatures are made and checked here: git's own configuration (git-config(1): user.signingKey, commit.gpgSign, gpg.*)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from envgit.errors import UsageError
from envgit.store.identity import read_sections

Format: TypeAlias = Literal["ssh", "openpgp"]

_SECTIONS = ("user", "commit", "tag", "gpg", "gpg.ssh", "gpg.openpgp")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off", "")
_KEY_TYPES = ("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "key::")
_LEVELS = ("undefined", "never", "marginal", "fully", "ultimate")
_LOOK_BYTES = 64


class SigningSettings(NamedTuple):
    """Paths are absolute or "". `format` None: not said, the key decides. `least_trust`: an index into git's trust levels."""

    sign_commits: bool
    sign_tags: bool
    key: str
    format: Format | None
    ssh_program: str
    gpg_program: str
    allowed_signers: str
    revoked: str
    least_trust: int
    environ: Mapping[str, str]

    def format_of(self, key: str) -> Format:
        """Return how to sign with `key`: git's gpg.format; without it ssh for what is an ssh key, else openpgp as git does."""
        if self.format is not None:
            return self.format
        return "ssh" if _is_ssh_key(self.path_of(key), key) else "openpgp"

    def path_of(self, key: str) -> str:
        """Return a key's name as a path, `~/` expanded."""
        return _expand(key, self.environ)


def read_signing_settings(git_dir: str, environ: Mapping[str, str]) -> SigningSettings:
    """Read them; relative files lie in the project's folder. Raises UsageError for a value that means nothing."""
    found = read_sections(git_dir, environ, _SECTIONS)
    chosen = found.get("gpg.format")
    if chosen not in (None, "ssh", "openpgp"):
        raise UsageError(
            f"gpg.format is {chosen!r}: signatures are made with ssh or openpgp keys",
            hint="envgit config gpg.format ssh",
        )
    level = found.get("gpg.mintrustlevel", "marginal").lower()
    if level not in _LEVELS:
        raise UsageError(f"gpg.minTrustLevel is {level!r}", hint=f"one of: {', '.join(_LEVELS)}")
    project = os.path.dirname(git_dir)

    def path(name: str) -> str:
        value = found.get(name, "")
        return os.path.join(project, _expand(value, environ)) if value else ""

    return SigningSettings(
        sign_commits=_is_true("commit.gpgSign", found),
        sign_tags=_is_true("tag.gpgSign", found),
        key=found.get("user.signingkey", ""),
        format="ssh" if chosen == "ssh" else "openpgp" if chosen == "openpgp" else None,
        ssh_program=_expand(found.get("gpg.ssh.program", ""), environ) or "ssh-keygen",
        gpg_program=_expand(found.get("gpg.openpgp.program") or found.get("gpg.program", ""), environ) or "gpg",
        allowed_signers=path("gpg.ssh.allowedsignersfile"),
        revoked=path("gpg.ssh.revocationfile"),
        least_trust=_LEVELS.index(level),
        environ=environ,
    )


def is_literal_key(key: str) -> bool:
    """Say whether user.signingKey is the public key itself, not a file's name."""
    return key.startswith(_KEY_TYPES)


def _is_true(name: str, found: Mapping[str, str]) -> bool:
    value = found.get(name.lower(), "").lower()
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    try:
        return int(value) != 0
    except ValueError:
        raise UsageError(f"{name} is {value!r}, not true or false", hint=f"envgit config {name} true") from None


def _expand(path: str, environ: Mapping[str, str]) -> str:
    return environ.get("HOME", "") + path[1:] if path.startswith("~/") else path


def _is_ssh_key(path: str, key: str) -> bool:
    if is_literal_key(key):
        return True
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return path.endswith(".pub")
    try:
        start = os.read(fd, _LOOK_BYTES)
    except OSError:
        return False
    finally:
        os.close(fd)
    return start.startswith((b"-----BEGIN OPENSSH PRIVATE KEY-----", *(name.encode() for name in _KEY_TYPES)))
