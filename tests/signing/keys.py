"""Keys of people who sign, and the configuration that says whom to trust."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envgit.signing.settings import SigningSettings, read_signing_settings
from envgit.signing.signer import open_signer

ALICE, MALLORY = "alice@example.com", "mallory@example.com"
PASSPHRASE = "correct horse"


def run(*words: str, stdin: bytes = b"", **variables: str) -> bytes:
    """Run a program that must succeed; return what it prints."""
    environ = {**os.environ, **variables}
    done = subprocess.run(words, input=stdin, env=environ, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


@dataclass(frozen=True)
class SshKeys:
    """Files in `folder`: NAME and NAME.pub for alice and mallory, `locked` with a passphrase, `allowed` which knows alice alone."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> SshKeys:
        for name, secret in (("alice", ""), ("mallory", ""), ("locked", PASSPHRASE)):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", secret, "-C", "", "-f", str(folder / name))
        keys = cls(folder)
        keys.allow("allowed", f"{ALICE} {keys.public('alice')}")
        return keys

    def private(self, name: str) -> str:
        return str(self.folder / name)

    def public(self, name: str) -> str:
        """Return `TYPE KEY`."""
        return " ".join((self.folder / f"{name}.pub").read_text().split()[:2])

    def fingerprint(self, name: str) -> str:
        return run("ssh-keygen", "-lf", str(self.folder / f"{name}.pub")).decode().split()[1]

    def allow(self, name: str, *lines: str) -> str:
        """Write an allowed signers file (or anything else); return its path."""
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def sign(self, payload: bytes, name: str, namespace: str = "git") -> bytes:
        """Sign with stock ssh-keygen."""
        return run("ssh-keygen", "-q", "-Y", "sign", "-n", namespace, "-f", self.private(name), stdin=payload)

    def settings(self, **changes: Any) -> SigningSettings:
        found = read_signing_settings(str(self.folder / "project" / ".envgit"), dict(os.environ))
        found = found._replace(format="ssh", key=self.private("alice"), allowed_signers=str(self.folder / "allowed"))
        return found._replace(**changes)

    def config(self, key: str = "alice", **more: str) -> dict[str, str]:
        """Return git's configuration for a repository that signs with a key."""
        return {
            "user.signingKey": str(self.folder / f"{key}.pub"),
            "gpg.format": "ssh",
            "gpg.ssh.allowedSignersFile": str(self.folder / "allowed"),
            **more,
        }


@dataclass(frozen=True)
class KeyRing:
    """A home of gpg with two keys: alice's, which is trusted, and one that nobody vouched for."""

    home: str
    alice: str
    stranger: str

    def gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        return run("gpg", "--batch", "--quiet", *words, stdin=stdin, GNUPGHOME=self.home)

    def settings(self, **changes: Any) -> SigningSettings:
        environ = {**os.environ, "GNUPGHOME": self.home}
        found = read_signing_settings(f"{self.home}/project/.envgit", environ)
        return found._replace(format="openpgp", key=self.alice)._replace(**changes)


@contextmanager
def open_key_ring() -> Iterator[KeyRing]:
    """Make a key ring in a folder with a short path: its agent's socket has to have one."""
    home = tempfile.mkdtemp(prefix="ring-", dir="/tmp")
    try:
        for mail in (ALICE, MALLORY):
            words = ("--passphrase", "", "--quick-gen-key", f"Somebody <{mail}>", "ed25519", "sign", "never")
            run("gpg", "--batch", "--quiet", *words, GNUPGHOME=home)
        listing = run("gpg", "--batch", "--with-colons", "--list-keys", GNUPGHOME=home).decode()
        alice, stranger = (line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
        levels = f"{alice}:6:\n{stranger}:2:\n"
        (Path(home) / "ownertrust").write_text(levels)
        run("gpg", "--batch", "--quiet", "--import-ownertrust", f"{home}/ownertrust", GNUPGHOME=home)
        yield KeyRing(home, alice, stranger)
    finally:
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": home}, check=False, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


def signed(settings: SigningSettings, payload: bytes, key: str = "") -> bytes:
    """Sign as a commit is signed."""
    with open_signer(settings, key, f"Alice <{ALICE}>", lambda line: None) as sign:
        return sign(payload)
