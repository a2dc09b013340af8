"""A small environment with a shell, made from this machine's own files, and a runner for the command line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAMS = ("sh", "cat", "chmod", "ln", "mkdir", "mv", "rm", "true")
IDENTITY = {
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "A U Thor",
    "GIT_COMMITTER_EMAIL": "author@example.com",
}


def make_root(folder: Path) -> Path:
    """Write a root filesystem with a shell and a few files into `folder`."""
    for name in ("bin", "etc", "tmp", "dev", "proc", "sys", "root", "run", "srv"):
        (folder / name).mkdir(parents=True)
    for program in PROGRAMS:
        source = shutil.which(program, path="/usr/bin:/bin")
        assert source, f"{program} is missing on this machine"
        _copy(source, folder / "bin" / program)
        listed = subprocess.run(["ldd", source], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"/\S+", listed):
            _copy(library, folder / library.lstrip("/"))
    (folder / "etc/motd").write_text("hello\n")
    (folder / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    for name in ("hostname", "hosts", "resolv.conf"):
        (folder / "etc" / name).touch()
    (folder / "srv/notes").write_text("".join(f"line {number}\n" for number in range(20)))
    return folder


def _copy(source: str, target: Path) -> None:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(os.path.realpath(source), target)
        target.chmod(0o755)


def command_environment(home: Path) -> dict[str, str]:
    """Return the sealed variables that a test's commands see."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "TMPDIR") if name in os.environ}
    root = str(Path(__file__).resolve().parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH", "")]))
    return {**kept, **IDENTITY, "HOME": str(home), "LANG": "C.UTF-8", "TERM": "xterm", "GIT_CONFIG_GLOBAL": "/dev/null"}


def envgit(
    *words: str, cwd: Path, status: int = 0, stdin: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process; fail unless it ends with `status`."""
    environment = {**command_environment(cwd), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "envgit.cli", *words], cwd=cwd, env=environment, input=stdin, capture_output=True
    )
    out, err = done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace")
    assert done.returncode == status, f"envgit {' '.join(words)}: {done.returncode}\n{out}\n{err}"
    assert "Traceback" not in err
    return subprocess.CompletedProcess(done.args, done.returncode, out, err)
