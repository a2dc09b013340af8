"""A repository as a user has it: the command in its own process, stock git beside it, and a small root filesystem."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
BUSYBOX = Path("/bin/busybox")
TIMEOUT_SECONDS = 120
APPLETS = """
    cat chmod chown cp dd echo env false find grep head hostname id ip kill ln ls mkdir mkfifo mknod mount mv ps pwd
    readlink rm rmdir sed seq sh sleep sort stat sync tail tee test touch tr true tty umount uname wc which whoami
"""
WITHOUT_BUSYBOX = "sh cat chmod cp env false grep head id ln ls mkdir mkfifo mv rm sed sleep stat tail touch true"
FOLDERS = (
    "bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr usr/share usr/share/doc var var/log"
)

ONE_ID = (
    *("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c"),
    "mount --bind /dev/null /usr/bin/newuidmap && mount --bind /dev/null /usr/bin/newgidmap && "
    'exec setpriv --ambient-caps=-all --inh-caps=-all "$@"',
    "sh",
)
"""A prefix for commands of an ordinary user that has no subordinate ids: nothing can map them."""


@dataclass(frozen=True)
class Done:
    """What a command said, decoded without loss, and its exit status."""

    words: tuple[str, ...]
    status: int
    out: str
    err: str

    def lines(self) -> list[str]:
        return self.out.splitlines()

    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Lab:
    """A project folder. Calling it runs `envgit WORDS` there and fails unless it ends with `status`."""

    path: Path
    launcher: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def git_dir(self) -> Path:
        return self.path / ".envgit"

    def __call__(self, *words: str, status: int | None = 0, stdin: bytes = b"", **variables: str) -> Done:
        return run_envgit(
            *words, cwd=self.path, status=status, stdin=stdin, launcher=self.launcher, **{**self.variables, **variables}
        )

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start a command that goes on beside the test."""
        command = [*self.launcher, *command_words(), *words]
        return subprocess.Popen(command, cwd=self.path, env=command_environment(self.variables), **options)

    def sh(self, script: str, **options: Any) -> Done:
        """Run a shell script in the worktree."""
        return self("run", "--", "sh", "-c", script, **options)

    def look(self, revision: str, script: str) -> str:
        """Return what a throw-away shell script prints in a revision."""
        return self("run", revision, "--", "sh", "-c", script).out

    def fails(self, *words: str, status: int, says: str, hint: str | None, **options: Any) -> Done:
        """Run a command that must fail with one clear error: `envgit: ...` and (unless None) a `hint: ...`."""
        done = self(*words, status=status, **options)
        errors = [line for line in done.err.splitlines() if line.startswith("envgit: ")]
        assert len(errors) == 1, done.err
        assert says in errors[0], f"{says!r} not in {errors[0]!r}"
        if hint is not None:
            hints = " ".join(line for line in done.err.splitlines() if line.startswith("hint: "))
            assert hint in hints, f"{hint!r} not in the hints of {done.err!r}"
        return done

    def git(self, *words: str, status: int = 0) -> str:
        """Run stock git on the repository; return everything it says."""
        done = subprocess.run(
            ["git", "--git-dir", str(self.git_dir), *words], capture_output=True, cwd=self.path, check=False
        )
        said = (done.stdout + done.stderr).decode("utf-8", "surrogateescape")
        assert done.returncode == status, f"git {' '.join(words)}: {done.returncode}\n{said}"
        return said

    def changes(self) -> list[str]:
        """Return what status reports, one `X path` line each."""
        return self("status", "--porcelain").lines()

    def paths(self) -> list[str]:
        """Return the paths that status reports, directories without their slash."""
        return [line[2:].rstrip("/") for line in self.changes()]

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision).strip()

    def forget_layers(self) -> None:
        """Delete the cache of layers, as anybody may at any time (`rm -rf .envgit/layers/*`)."""
        for path in (self.git_dir / "layers").iterdir():
            remove(path)

    def at(self, path: Path) -> Lab:
        return replace(self, path=path)


def command_words() -> list[str]:
    return [sys.executable, "-P", "-m", "envgit"]


def command_environment(variables: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **variables}


def run_envgit(
    *words: str,
    cwd: Path,
    status: int | None = 0,
    stdin: bytes = b"",
    launcher: Sequence[str] = (),
    **variables: str,
) -> Done:
    """Run the command line in its own process. Fails on another exit status than `status` and on any traceback."""
    done = subprocess.run(
        [*launcher, *command_words(), *words],
        cwd=cwd,
        env=command_environment(variables),
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
    said = f"envgit {' '.join(words)}: {done.returncode}\n{out}\n{err}"
    assert "Traceback (most recent call last)" not in err + out, said
    assert "Exception ignored" not in err, said
    assert status is None or done.returncode == status, said
    return Done(words, done.returncode, out, err)


def assert_stock_git_is_content(git_dir: Path, scratch: Path) -> None:
    """Check what format.md promises of stock git: fsck is silent here and in a clone; log, show and cat-file work."""

    def git(*words: str, where: Path = git_dir) -> bytes:
        done = subprocess.run(["git", "--git-dir", str(where), *words], capture_output=True, check=False)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stderr.decode(errors='replace')}"
        return done.stdout + done.stderr

    assert git("fsck", "--strict", "--full", "--no-dangling") in (b"", _UNBORN), git_dir
    heads = git("for-each-ref", "--format=%(objectname)", "refs/heads").split()
    if not heads:
        return
    clone = scratch / "clone-of-git-dir"
    done = subprocess.run(["git", "clone", "-q", "--bare", str(git_dir), str(clone)], capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b""), done.stderr
    assert git("fsck", "--strict", "--full", "--no-dangling", where=clone) == b"", git_dir
    shutil.rmtree(clone)
    for head in {oid.decode() for oid in heads}:
        revisions = git("log", "--format=%H", head, "--", "rootfs").split()
        assert revisions, head
        if git("ls-tree", head, "rootfs/etc"):
            assert git("log", "--format=%H", head, "--", "rootfs/etc"), head
        for name in ("etc/os-release", "usr/lib/os-release"):
            if git("ls-tree", head, f"rootfs/{name}"):
                assert git("show", f"{head}:rootfs/{name}"), name


_UNBORN = b"notice: HEAD points to an unborn branch (main)\nnotice: No default references\n"


def make_root(folder: Path) -> Path:
    """Write a root filesystem with a shell, a few programs and a few files: from a static busybox, or from this machine's
    own programs and the libraries that ldd names."""
    for name in FOLDERS.split():
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    if BUSYBOX.exists() and subprocess.run(["ldd", BUSYBOX], capture_output=True, check=False).returncode:
        shutil.copyfile(BUSYBOX, folder / "bin/busybox")
        (folder / "bin/busybox").chmod(0o755)
        for name in APPLETS.split():
            (folder / "bin" / name).symlink_to("busybox")
    else:
        _copy_programs(folder)
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nann:x:1000:\n")
    (folder / "etc/motd").write_text("welcome\n")
    (folder / "etc/os-release").write_text('ID=small\nNAME="Small"\n')
    (folder / "srv/lines").write_text("".join(f"line {number}\n" for number in range(20)))
    (folder / "usr/share/doc/README").write_text("read me\n")
    return folder


def _copy_programs(folder: Path) -> None:
    for name in WITHOUT_BUSYBOX.split():
        program = shutil.which(name, path="/usr/bin:/bin")
        assert program, f"{name} is missing on this machine"
        shutil.copy(os.path.realpath(program), folder / "bin" / name)
        listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+)", listed):
            target = folder / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(os.path.realpath(library), target)


def remove(path: Path) -> None:
    """Remove a tree whose folders may be closed to their owner, and whose owners may be the ids of a sandbox."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    if os.geteuid():  # overlayfs leaves a closed folder in each work directory
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], capture_output=True, check=False)
    done = subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=False)
    if done.returncode and os.geteuid():
        whole = ("unshare", "--user", "--map-auto", "--map-root-user", "rm", "-rf", "--", str(path))
        done = subprocess.run(whole, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
