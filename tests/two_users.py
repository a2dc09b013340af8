"""Two ordinary users of this machine with different subordinate ids, and a folder where each has a home of their own. Root only."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from tests.lab import Lab

NAMES = ("envgit-test", "envgit-test-b")
_IDS = 65536


@dataclass(frozen=True)
class Person:
    """`home` is empty but for what tests put there; `launcher` runs a command as this user."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def launcher(self) -> tuple[str, ...]:
        become = (
            "setpriv",
            "--reuid",
            str(self.uid),
            "--regid",
            str(self.gid),
            "--init-groups",
            "--inh-caps=-all",
            "--",
        )
        mail = f"{self.name}@example.com"
        identity = [f"GIT_{role}_{key}" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")]
        variables = [f"{key}={mail if key.endswith('EMAIL') else self.name}" for key in identity]
        gone = ("-u", "GIT_CONFIG_GLOBAL", "-u", "XDG_RUNTIME_DIR", "-u", "XDG_CACHE_HOME")
        return (*become, "env", *gone, f"HOME={self.home}", f"USER={self.name}", f"LOGNAME={self.name}", *variables)

    def lab(self, name: str, **variables: str) -> Lab:
        """Return a project of this user, which may not exist yet."""
        return Lab(self.home / name, launcher=self.launcher, variables=variables)

    def folder(self, name: str) -> Path:
        """Make a folder of this user."""
        path = self.home / name
        path.mkdir()
        os.chown(path, self.uid, self.gid)
        return path

    def trust(self, *folders: Path) -> None:
        """Let this user's git work in repositories of others (safe.directory)."""
        lines = "".join(f"\tdirectory = {folder}\n" for folder in folders)
        (self.home / ".gitconfig").write_text("[safe]\n" + lines)

    def git(self, *words: str | Path) -> str:
        done = subprocess.run([*self.launcher, "git", *words], capture_output=True, timeout=120, check=False, cwd="/")
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said
        return said


@contextmanager
def two_users() -> Iterator[tuple[Person, Person, Path]]:
    """Yield both and a folder that both can enter; everything in it is removed at the end."""
    top = Path(mkdtemp(prefix="envgit-two-users-", dir="/var/tmp"))
    top.chmod(0o755)
    try:
        people = []
        for name in NAMES:
            user = _ensure(name)
            home = top / name
            home.mkdir(mode=0o755)
            os.chown(home, user.pw_uid, user.pw_gid)
            people.append(Person(name, user.pw_uid, user.pw_gid, home))
        yield people[0], people[1], top
    finally:
        subprocess.run(["rm", "-rf", "--one-file-system", str(top)], check=False)


def share_bare(path: Path, owner: Person) -> Path:
    """Make a bare repository of stock git that everybody may push to and that checks what it gets."""
    path.mkdir()
    os.chown(path, owner.uid, owner.gid)
    owner.git("init", "-q", "--bare", "--shared=0666", "-b", "main", path)
    for key in ("receive.fsckObjects", "transfer.fsckObjects"):
        owner.git("-C", path, "config", key, "true")
    return path


def _ensure(name: str) -> pwd.struct_passwd:
    """Return the user, made with subordinate ids that nobody else has when missing."""
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
        user = pwd.getpwnam(name)
    for file in (Path("/etc/subuid"), Path("/etc/subgid")):
        lines = file.read_text().splitlines() if file.exists() else []
        ranges = [match for line in lines if (match := re.match(r"([^:]+):(\d+):(\d+)\Z", line))]
        if not any(match[1] in (name, str(user.pw_uid)) for match in ranges):
            start = max([100_000, *(int(match[2]) + int(match[3]) for match in ranges)])
            file.write_text("\n".join([*lines, f"{name}:{start}:{_IDS}"]) + "\n")
    return user


def subordinate_start(name: str) -> int:
    """Return the first subordinate id of a user."""
    for line in Path("/etc/subuid").read_text().splitlines():
        owner, start, _ = line.split(":")
        if owner == name:
            return int(start)
    raise AssertionError(f"{name} has no subordinate ids")


def special_tar(folder: Path, small_root: Path) -> Path:
    """Write an archive with owners, modes, a capability, an ACL-free xattr, links, a FIFO and a sparse file; return its path."""
    root = folder / "special"
    shutil.copytree(small_root, root, symlinks=True)
    place = root / "srv/special"
    place.mkdir()
    for number in (0, 1, 33, 1000, 65534):
        path = place / f"of-{number}"
        path.write_text(f"{number}\n")
        os.chown(path, number, number)
    for mode in (0o4755, 0o2755, 0o1777, 0o600, 0o000):
        path = place / f"mode-{mode:04o}"
        path.write_text(f"{mode:o}\n")
        path.chmod(mode)
    capable = place / "capable"
    shutil.copy(root / "bin/busybox" if (root / "bin/busybox").exists() else root / "bin/cat", capable)
    subprocess.run(["setcap", "cap_net_bind_service,cap_dac_override=ep", str(capable)], check=True)
    os.setxattr(place / "of-33", "user.note", b"kept\0bytes")
    os.link(place / "of-1000", place / "linked")
    os.symlink("of-1000", place / "symbolic")
    os.mkfifo(place / "fifo", 0o640)
    with open(place / "sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.utime(place / "of-1", ns=(1, 1_000_000_001))
    archive = folder / "special.tar"
    words = [
        "tar",
        "--format=pax",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "-C",
        str(root),
        "-cf",
        str(archive),
        ".",
    ]
    subprocess.run(words, check=True)
    archive.chmod(0o644)
    return archive
