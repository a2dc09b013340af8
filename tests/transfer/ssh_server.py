"""A local sshd of the caller's own: one process a connection (`sshd -i`) behind a listener of ours, so that no port is raced for.

As root it lets every user of the machine in with the client's key, as an ordinary user only the caller.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import threading
from pathlib import Path
from types import TracebackType

ADDRESS = "127.0.0.1"

CONFIG = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
StrictModes no
UsePAM {pam}
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
UseDNS no
PidFile none
AcceptEnv GIT_PROTOCOL
LogLevel ERROR
SetEnv GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*
"""
CLIENT = """
Host *
IdentityFile {folder}/client_key
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
BatchMode yes
LogLevel ERROR
"""


class SshServer:
    """Serves until the end of the `with`. `folder` must be readable by whoever connects; `variables`: what clients need in their
    environment; `cut()` breaks every connection, as a cable does that is pulled."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", ""))
        assert self._program, "openssh-server is not installed"
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # the privilege separation directory
        for name in ("host_key", "client_key"):
            if not (folder / name).exists():
                words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
                subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
        pam = "yes" if os.geteuid() == 0 else "no"  # without, accounts that have no password count as locked
        (folder / "sshd_config").write_text(CONFIG.format(folder=folder, pam=pam))
        (folder / "ssh_config").write_text(CLIENT.format(folder=folder))
        self.variables = {"GIT_SSH_COMMAND": f"ssh -F '{folder}/ssh_config'"}
        self._listener = socket.create_server((ADDRESS, 0))
        self.port = int(self._listener.getsockname()[1])
        host_key = (folder / "host_key.pub").read_text()
        (folder / "known_hosts").write_text(f"[{ADDRESS}]:{self.port} {host_key}")
        self._running: list[tuple[socket.socket, subprocess.Popen[bytes]]] = []
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: Path | str, user: str | None = None) -> str:
        """Return the ssh:// address of an absolute path, for the caller or another user."""
        return f"ssh://{user or pwd.getpwuid(os.geteuid()).pw_name}@{ADDRESS}:{self.port}{path}"

    def client_key_for(self, target: Path, uid: int, gid: int) -> dict[str, str]:
        """Give another user of this machine a key of their own in `target`; return their variables. Root only."""
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "client_key", target / "client_key")
        shutil.copy(self.folder / "known_hosts", target / "known_hosts")
        (target / "ssh_config").write_text(CLIENT.format(folder=target))
        for path in (target, *target.iterdir()):
            os.chown(path, uid, gid)
        (target / "client_key").chmod(0o600)
        return {"GIT_SSH_COMMAND": f"ssh -F '{target}/ssh_config'"}

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with open(self.folder / "log", "ab") as log:
                running = subprocess.Popen(
                    [str(self._program), "-i", "-e", "-f", str(self.folder / "sshd_config")],
                    stdin=connection.fileno(),
                    stdout=connection.fileno(),
                    stderr=log,
                    cwd="/",
                )
            self._running = [each for each in self._running if each[1].poll() is None]
            self._running.append((connection, running))
            if running.poll() is not None:
                connection.close()
            else:
                threading.Thread(target=self._close_after, args=(connection, running), daemon=True).start()

    def _close_after(self, connection: socket.socket, running: subprocess.Popen[bytes]) -> None:
        running.wait()
        connection.close()

    def cut(self) -> None:
        """Break every connection at once."""
        for connection, running in self._running:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            running.terminate()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # closing alone would leave accept() at work on it
        self._listener.close()
        self.cut()
        for _, running in self._running:
            try:
                running.wait(timeout=5)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()

    def __enter__(self) -> SshServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
