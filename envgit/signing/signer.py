"""Making one signature."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from shutil import which
from typing import TypeAlias

from envgit.errors import EnvgitError
from envgit.signing import openpgp_keys, ssh_keys
from envgit.signing.program import Said, find_program, memory_file, program_environment, read_streams, start
from envgit.signing.settings import Format, SigningSettings
from envgit.signing.signed_object import BadSignature, check_armour

_SECONDS = 300.0
"""As long as a person may take for a passphrase or to touch a token."""
_SET_KEY = "envgit config user.signingKey ~/.ssh/id_ed25519.pub"
_TOUCH = "Confirm user presence"

Sign: TypeAlias = Callable[[bytes], bytes]
"""Returns the armoured signature of what it is given; raises SigningFailed."""


class SigningFailed(EnvgitError):
    """No signature was made, so nothing was written."""

    code = "signing-failed"


@contextmanager
def open_signer(
    settings: SigningSettings, key: str, committer: str, note: Callable[[str], None], *, seconds: float = _SECONDS
) -> Iterator[Sign]:
    """Yield what signs once, with `key` ("": user.signingKey, else for OpenPGP whatever key `committer`, `Name <mail>`, has).

    The program is started here and waits for the text: where it is needed this process may be in a user namespace, in which agents
    are not found; also a forked child of this process may ask for the signature. `note` is told when a token waits for a touch.
    Raises SigningFailed without a key, MissingProgram.
    """
    name = key or settings.key
    format = settings.format_of(name)
    file: bytes | None = None
    if format == "ssh":
        if not name:
            raise SigningFailed(
                "user.signingKey is not set, so there is no key to sign with",
                hint=_SET_KEY,
            )
        program = settings.ssh_program
        words, file = ssh_keys.sign_words(name, settings)
    else:
        program = settings.gpg_program
        words = openpgp_keys.sign_words(name or committer)
    if not name and which(program, path=settings.environ.get("PATH")) is None:
        raise SigningFailed(f"user.signingKey is not set, and there is no {program} to find a key", hint=_SET_KEY)
    running = _Running(program, words, settings, file, format, note, seconds, named=bool(name))
    try:
        yield running.sign
    finally:
        running.close()


class _Running:
    """The program, waiting for what to sign on a socket: unlike a pipe's its end can be told while forked copies of it are open."""

    def __init__(
        self,
        program: str,
        words: list[str],
        settings: SigningSettings,
        file: bytes | None,
        format: Format,
        note: Callable[[str], None],
        seconds: float,
        *,
        named: bool,
    ) -> None:
        self._named = named
        path = find_program(program, settings.environ)
        environ = program_environment(settings.environ)
        if format == "openpgp" and "GPG_TTY" not in environ:
            environ.update(_terminal())
        self._program, self._format, self._note, self._seconds = program, format, note, seconds
        self._feed, text = socket.socketpair()
        self._out, out = os.pipe()
        self._error, error = os.pipe()
        ends = [out, error] if file is None else [out, error, memory_file(file)]
        try:
            self._pid = start(path, [program, *words], environ, [text.fileno(), *ends])
        except BaseException:
            self._close_streams()
            raise
        finally:
            text.close()
            for fd in ends:
                os.close(fd)

    def sign(self, payload: bytes) -> bytes:
        """Return the signature of `payload`. It does not wait for the program, which may be another process' child."""
        streams, until = (self._out, self._error), time.monotonic() + self._seconds
        said = read_streams(streams, until, self._hear, self._feed, payload)
        if said is None:
            raise SigningFailed(
                f"{self._program} took longer than {self._seconds:.0f} s",
                hint=self._way("it may wait for a passphrase", payload),
            )
        error = said[1].decode("utf-8", "replace")
        try:
            if self._format == "openpgp" and openpgp_keys.CREATED not in error:
                raise BadSignature("no signature")
            return check_armour(said[0])
        except BadSignature:
            reason = Said(1, "", error).reason()
            raise SigningFailed(f"{self._program} made no signature: {reason}", hint=self._way("", payload)) from None

    def _way(self, why: str, payload: bytes) -> str:
        if not self._named:
            try_ = _SET_KEY
        else:
            try_ = (
                "ssh-add -L lists the agent's keys" if self._format == "ssh" else "gpg --list-secret-keys lists yours"
            )
        without = "tag --no-sign" if payload.startswith(b"object ") else "commit --no-gpg-sign"
        return f"{why + '; ' if why else ''}{try_}; without a signature: envgit {without}"

    def _hear(self, said: bytes) -> None:
        """Pass on that a token waits; everything else is only of interest when it fails."""
        line = said.removesuffix(b"\n").rpartition(b"\n")[2].decode("utf-8", "replace")
        if line.startswith(_TOUCH):
            self._note(line)

    def close(self) -> None:
        """End the program, which has either signed or is not needed."""
        self._close_streams()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)

    def _close_streams(self) -> None:
        self._feed.close()
        os.close(self._out)
        os.close(self._error)


def _terminal() -> dict[str, str]:
    """Return GPG_TTY, by which gpg's agent asks for a passphrase: the terminal that the user is at, if any."""
    for fd in (0, 1, 2):
        with suppress(OSError):
            return {"GPG_TTY": os.ttyname(fd)}
    return {}
