"""A git server program at the other end of ssh, as two pipes that never wait for ever."""

from __future__ import annotations

import os
import select
import shlex
from collections.abc import Mapping
from shutil import which
from typing import Final

from envgit.exec.bound_program import end_bound, start_bound
from envgit.exec.process import exit_status
from envgit.transfer.address import Address, ssh_place
from envgit.transfer.errors import Stalled, TransferError
from envgit.transfer.git_run import sending_limits

_PIECE: Final = 65536
_MOST_SAID: Final = 65536
_LAST_WORDS_SECONDS: Final = 0.2
_MOST_READ_AHEAD: Final = 64 * 1024 * 1024


class SshConnection:
    """`ssh HOST git-upload-pack PATH` with GIT_SSH_COMMAND, core.sshCommand (`command`) and GIT_SSH as in git-config(1)."""

    def __init__(
        self,
        address: Address,
        service: str,
        environ: Mapping[str, str],
        command: str,
        silent_seconds: float,
        version: int,
    ) -> None:
        self._host = address.host
        self._silent_seconds = silent_seconds
        self._said = b""
        self._ahead = bytearray()
        self._ended = False
        self._talks = True
        program, arguments = _ssh_words(address, service, environ, command)
        variables = {**environ, **({"GIT_PROTOCOL": f"version={version}"} if version else {})}
        theirs_in, self._write_fd = os.pipe()
        self._read_fd, theirs_out = os.pipe()
        self._talk_fd, theirs_talk = os.pipe()
        try:
            self._pid = start_bound(
                program, arguments, variables, files=(theirs_in, theirs_out, theirs_talk), limits=sending_limits()
            )
        except OSError as error:
            for fd in (self._write_fd, self._read_fd, self._talk_fd):
                os.close(fd)
            raise TransferError(
                f"cannot start {program}: {error.strerror}", hint="sudo apt install openssh-client"
            ) from error
        finally:
            for fd in (theirs_in, theirs_out, theirs_talk):
                os.close(fd)
        os.set_blocking(self._write_fd, False)

    def read(self, size: int) -> bytes:
        """Return exactly `size` bytes, fewer at the end."""
        while len(self._ahead) < size:
            if not self._wait(for_writing=False):
                break
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    def write(self, data: bytes) -> int:
        """Write all of it; what comes meanwhile is kept, so that both sides never wait for each other."""
        view = memoryview(data)
        while view:
            if self._wait(for_writing=True):
                try:
                    view = view[os.write(self._write_fd, view) :]
                except BlockingIOError:
                    continue
        return len(data)

    def said(self) -> list[str]:
        """Return what ssh and the server printed on standard error."""
        while self._talks and select.select([self._talk_fd], [], [], _LAST_WORDS_SECONDS)[0]:
            self._take_talk()
        return self._said.decode("utf-8", "replace").splitlines()

    def end_writing(self) -> None:
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1

    def close(self) -> None:
        """End ssh, if need be by force."""
        if self._ended:
            return
        self._ended = True
        self.end_writing()
        done, raw = os.waitpid(self._pid, os.WNOHANG)
        exit_status(raw) if done else end_bound(self._pid)
        os.close(self._read_fd)
        os.close(self._talk_fd)

    def _wait(self, *, for_writing: bool) -> bool:
        """Wait until something moves; return whether there may be more (reading), or writing is possible."""
        sources = [self._talk_fd] if self._talks else []
        if len(self._ahead) < _MOST_READ_AHEAD:
            sources.append(self._read_fd)
        readable, writable, _ = select.select(
            sources, [self._write_fd] if for_writing else [], [], self._silent_seconds
        )
        if not readable and not writable:
            raise Stalled(
                f"{self._host} was silent for {self._silent_seconds:g} seconds; the connection was cut",
                hint="nothing was changed here; check your network, then run the command again",
            )
        if self._talk_fd in readable:
            self._take_talk()
        if self._read_fd in readable:
            data = os.read(self._read_fd, _PIECE)
            self._ahead += data
            if not data and not for_writing:
                return False
            if not data and not writable:
                raise BrokenPipeError("the remote end hung up unexpectedly")
        return bool(writable) if for_writing else True

    def _take_talk(self) -> bool:
        data = os.read(self._talk_fd, _PIECE)
        self._said = (self._said + data)[:_MOST_SAID]
        self._talks = bool(data)
        return self._talks


def _ssh_words(address: Address, service: str, environ: Mapping[str, str], command: str) -> tuple[str, list[str]]:
    place = ssh_place(address)
    words = ["-o", "SendEnv=GIT_PROTOCOL"]
    words += ["-p", place.port] if place.port else []
    words += [f"{place.user}@{place.host}" if place.user else place.host, f"{service} {shlex.quote(place.path)}"]
    chosen = environ.get("GIT_SSH_COMMAND") or command
    if chosen:
        return "/bin/sh", ["sh", "-c", f'{chosen} "$@"', chosen, *words]
    name = environ.get("GIT_SSH") or "ssh"
    program = which(name, path=environ.get("PATH", os.defpath))
    if program is None:
        raise TransferError(f"there is no {name} to reach {place.host} with", hint="sudo apt install openssh-client")
    return program, [name, *words]
