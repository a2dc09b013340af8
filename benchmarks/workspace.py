"""The scratch folder of one call, its environment, and the processes started in it."""

from __future__ import annotations

import itertools
import os
import subprocess
import tempfile
from collections.abc import Sequence
from types import TracebackType

from .command import Timing, run

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Workspace:
    """A folder that is removed at the end; daemons started in it are stopped by their process id."""

    def __init__(self, parent: str | None) -> None:
        self.folder = tempfile.mkdtemp(prefix="envgit-bench-", dir=parent)
        os.chmod(self.folder, 0o755)
        self._trash = self.make("trash")
        self._numbers = itertools.count()
        self.home = self.make("home")
        with open(os.path.join(self.home, ".gitconfig"), "w", encoding="ascii") as file:
            file.write(
                "[user]\n\tname = Bench\n\temail = bench@example.org\n[gc]\n\tauto = 0\n[safe]\n\tdirectory = *\n"
            )
        self.environ = {
            "PATH": SEARCH_PATH,
            "HOME": self.home,
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "TMPDIR": self.make("tmp"),
        }
        self._daemons: list[subprocess.Popen[bytes]] = []

    def path(self, *parts: str) -> str:
        """Return a path in the folder; nothing is created."""
        return os.path.join(self.folder, *parts)

    def make(self, *parts: str) -> str:
        """Return a folder in the folder, created."""
        path = self.path(*parts)
        os.makedirs(path, exist_ok=True)
        return path

    def run(self, *argv: str, folder: str = "/", statuses: Sequence[int] = (0,)) -> Timing:
        """Execute a command in the environment of the benchmark; raises CommandFailed."""
        return run(argv, self.environ, self.folder, folder=folder, statuses=statuses)

    def start_daemon(self, argv: Sequence[str], log: str) -> subprocess.Popen[bytes]:
        """Start a process that is terminated at the end."""
        with open(log, "wb") as file:
            daemon = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=self.environ, start_new_session=True
            )
        self._daemons.append(daemon)
        return daemon

    def remove(self, *paths: str) -> None:
        """Put folders or files that may not be there out of the way; they are deleted at the very end.

        Deleting between two measurements would slow the next one down: ext4 without a journal, for one, searches for
        inodes that were not used lately, which costs more than the work that is measured.
        """
        for path in paths:
            if os.path.lexists(path):
                os.rename(path, os.path.join(self._trash, str(next(self._numbers))))

    def __enter__(self) -> Workspace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for mount in reversed(_mounts_below(self.folder)):
            subprocess.run(["umount", "--lazy", mount], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=False)


def _mounts_below(folder: str) -> list[str]:
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
        return [point for point in (line.split()[1] for line in file) if point.startswith(folder + "/")]
