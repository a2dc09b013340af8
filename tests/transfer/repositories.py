"""Bare repositories with a history, and a quarantine as the transports find it, made by stock git."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from envgit.monitor import NullMonitor


class Recorder(NullMonitor):
    """A monitor that remembers its steps, and how far each came."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[str] = []
        self.open = 0

    def start(self, step: str, total: int | None = None, unit: str = "") -> None:
        self.steps.append(step)
        self.open += 1

    def finish(self) -> None:
        self.open -= 1


def git(folder: Path, *words: str, status: int | None = 0, stdin: bytes = b"", **variables: str) -> str:
    """Run stock git on a bare repository."""
    done = subprocess.run(
        ["git", "--git-dir", str(folder), *words],
        input=stdin,
        capture_output=True,
        env={**os.environ, **variables},
        check=False,
    )
    assert status is None or done.returncode == status, done.stderr.decode(errors="replace")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def make_bare(path: Path, *settings: str) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", str(path)], check=True)
    for setting in settings:
        key, _, value = setting.partition("=")
        git(path, "config", key, value)
    return path


def commit(
    repository: Path, branch: str = "main", *, files: dict[str, bytes] | None = None, message: str = "more"
) -> bytes:
    """Add a commit on top of a branch; return its id."""
    parent = git(repository, "rev-parse", "-q", "--verify", f"refs/heads/{branch}", status=None)
    lines = git(repository, "ls-tree", parent).splitlines() if parent else []
    entries = {line.partition("\t")[2]: line for line in lines}
    for name, content in (files if files is not None else {message: message.encode()}).items():
        blob = git(repository, "hash-object", "-w", "--stdin", stdin=content)
        entries[name] = f"100644 blob {blob}\t{name}"
    tree = git(repository, "mktree", stdin="".join(line + "\n" for line in entries.values()).encode())
    new = git(repository, "commit-tree", tree, *(["-p", parent] if parent else []), "-m", message)
    git(repository, "update-ref", f"refs/heads/{branch}", new)
    return bytes.fromhex(new)


def make_history(path: Path, commits: int = 3) -> Path:
    """A repository with some commits on main, a branch side, a light and an annotated tag, and a private ref."""
    make_bare(path)
    for number in range(commits):
        commit(path, files={"file": os.urandom(2000), f"file{number}": b"%d\n" % number}, message=f"number {number}")
    git(path, "branch", "side", "main~1")
    git(path, "tag", "light", "main")
    git(path, "tag", "-m", "first", "v1", "main~2")
    git(path, "update-ref", "refs/envgit/keep/x", "main")
    return path


def make_quarantine(path: Path, ours: Path) -> Path:
    """A bare repository whose objects begin with ours, and whose refs are ours."""
    make_bare(path)
    (path / "objects/info/alternates").write_text(f"{ours}/objects\n")
    lines = git(ours, "for-each-ref", "--format=%(objectname) refs/have/%(refname)").splitlines()
    (path / "packed-refs").write_text("".join(line + "\n" for line in lines))
    if (ours / "shallow").exists():
        (path / "shallow").write_bytes((ours / "shallow").read_bytes())
    return path


def tip(repository: Path, name: str = "refs/heads/main") -> bytes:
    return bytes.fromhex(git(repository, "rev-parse", "--verify", name))


def packs(repository: Path) -> list[Path]:
    return sorted((repository / "objects/pack").glob("*.pack"))


def assert_holds(quarantine: Path, oid: bytes) -> None:
    """Check that everything below an object is there, after an index was made."""
    for pack in packs(quarantine):
        if not pack.with_suffix(".idx").exists():
            git(quarantine, "index-pack", str(pack))
    assert git(quarantine, "rev-list", "--objects", "--quiet", oid.hex()) == ""
    assert git(quarantine, "fsck", "--strict", "--no-dangling", "--connectivity-only", oid.hex(), status=None) == ""


def is_gone(pid: int, seconds: float = 5) -> bool:
    """Whether a process ends; one that nobody has waited for yet has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False
