"""What the attempts aim at: canaries of the host, remembered before and compared afterwards."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from tests.lab import remove

KINDS = ("user", "mnt", "pid", "net", "uts", "ipc", "cgroup")
SETTINGS = (
    "kernel/core_pattern", "kernel/core_uses_pid", "kernel/modprobe", "kernel/poweroff_cmd", "kernel/hotplug",
    "kernel/sysrq", "kernel/hostname", "kernel/domainname", "kernel/panic", "kernel/dmesg_restrict",
    "kernel/kptr_restrict", "kernel/randomize_va_space", "kernel/keys/maxkeys", "vm/overcommit_memory",
    "vm/panic_on_oom", "vm/drop_caches", "fs/suid_dumpable", "fs/protected_hardlinks", "user/max_user_namespaces",
    "kernel/modules_disabled", "kernel/unprivileged_bpf_disabled",
)  # fmt: skip
FILES = ("/proc/swaps", "/proc/modules", "/sys/kernel/uevent_helper", "/proc/self/cgroup", "/etc/passwd",
         "/etc/hosts", "/etc/ld.so.preload")  # fmt: skip
PLACES_OF_OTHERS = ("/tmp/", "/var/tmp/", "/home/", "/mnt/", "/run/", "/var/lib/", "/dev/shm/")
MEANINGFUL = ("redirect", "opaque", "metacopy", "whiteout", "upper", "origin")
VOLUME = "/volume"
NOBODY = 65534
"""Root, where this runs in a user namespace that does not map it."""


class Host:
    """A folder with a canary beside a volume, a process, sockets and shared objects of the caller; `facts` tells the probes."""

    def __init__(self, program: Path) -> None:
        owner = os.stat("/dev/null").st_uid
        assert owner in (0, NOBODY), (
            f"the host's /dev/null was given to {owner} before any attempt: chown root:root /dev/null"
        )
        self.folder = Path(tempfile.mkdtemp(prefix="envgit-escape-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.secret = "canary-" + os.urandom(12).hex()
        self.volume = self.folder / "volume"
        self.scratch = self.folder / "scratch"
        for path in (self.volume, self.scratch):
            path.mkdir()
        (self.folder / "canary").write_text(self.secret)
        (self.folder / "canary").chmod(0o666)  # what keeps a sandbox away is not the mode
        command = [str(program), "--host", str(self.folder), self.secret]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        try:
            self.facts = dict(line.split("=", 1) for line in _lines_until_ready(self._process.stdout))
        except BaseException:
            self._process.kill()
            self._process.wait(timeout=20)
            remove(self.folder)
            raise
        os.set_blocking(self._process.stdout.fileno(), False)
        self.victim = int(self.facts["VICTIM"])
        self.session = (str(program), "--session", self.facts["SESSION_KEY_NAME"], self.secret)
        """A prefix for commands: their session keyring has a key of the caller."""
        for kind in KINDS:
            self.facts[f"NS_{kind}"] = os.readlink(f"/proc/self/ns/{kind}")
        self.facts["VOLUME"] = VOLUME
        self.facts["DISK"] = str(os.stat("/").st_dev)
        self._terminal = os.openpty()
        self.facts["PTS"] = os.path.basename(os.ttyname(self._terminal[1]))
        self._before = self._state()

    def words(self, **changed: str) -> list[str]:
        return [f"{name}={value}" for name, value in {**self.facts, **changed}.items()]

    def environment(self) -> dict[str, str]:
        """Return the caller's environment: it has secrets of its own."""
        return {**os.environ, "CALLER_SECRET": self.secret}

    def harm(self, said: str = "") -> list[str]:
        """Return what is different from the beginning; `said` is everything the probes printed."""
        after = self._state()
        found = [
            f"{name}: {before!r} became {after[name]!r}"
            for name, before in self._before.items()
            if after[name] != before
        ]
        if self.secret in said:
            found.append("the canary's content was printed inside")
        assert self._process.stdout is not None
        found += [line.strip() for line in self._process.stdout.readlines()]
        return found

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        for fd in self._terminal:
            os.close(fd)
        remove(self.folder)

    def _state(self) -> dict[str, object]:
        state: dict[str, object] = {}
        for path in (*(f"/proc/sys/{name}" for name in SETTINGS), *FILES):
            with suppress(OSError):
                state[path] = Path(path).read_bytes()
        state["mounts"] = [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if self._concerns(line)
        ]
        status = Path(f"/proc/{self.victim}/status").read_text()
        state["signals of the victim"] = re.findall(r"S(?:ig|hd)Pnd:\t(\w+)", status)
        state["limits of the victim"] = Path(f"/proc/{self.victim}/limits").read_text()
        state["oom score of the victim"] = Path(f"/proc/{self.victim}/oom_score_adj").read_text()
        state["nice value of the victim"] = os.getpriority(os.PRIO_PROCESS, self.victim)
        done = subprocess.run(
            ["ionice", "-p", str(self.victim)], capture_output=True, text=True, timeout=20, check=True
        )
        state["io priority of the victim"] = done.stdout
        state["files"] = sorted(path.name for path in self.folder.iterdir() if path.name not in ("lab", "bait"))
        state["canary"] = (self.folder / "canary").read_text()
        state["/dev/null"] = _owner(Path("/dev/null"))
        state["binfmt_misc"] = (
            sorted(os.listdir("/proc/sys/fs/binfmt_misc")) if os.path.isdir("/proc/sys/fs/binfmt_misc") else []
        )
        return state

    def _concerns(self, mount: str) -> bool:
        """Say whether a line of mountinfo is about a place of ours or of the system: other tests mount elsewhere."""
        point = mount.split()[4]
        return point.startswith(str(self.folder)) or not point.startswith(PLACES_OF_OTHERS)


def make_root(folder: Path, program: Path) -> Path:
    """Write the smallest environment in which the attempts run, with files whose layer must not change."""
    for name in ("dev", "proc", "sys", "run", "etc", "tmp", "root", "layer", VOLUME[1:]):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    shutil.copy(program, folder / "probe")
    (folder / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/:/bin/sh\n")
    (folder / "etc/group").write_text("root:x:0:\nann:x:1000:\n")
    (folder / "etc/hosts").write_text("")
    for name in ("file", "mapped", "reopened", "truncated", "removed", "owned", "linked"):
        (folder / "layer" / name).write_bytes(b"layer" + bytes(8192))
    return folder


def digest(folder: Path) -> dict[str, str]:
    """Return what every path below a folder is: type, mode, owner, content, extended attributes."""
    found = {}
    for path in _walk(folder):
        status = path.lstat()
        content = b""
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        elif stat.S_ISLNK(status.st_mode):
            content = os.fsencode(os.readlink(path))
        names = os.listxattr(path, follow_symlinks=False)
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in sorted(names)]
        what = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_rdev,
            attributes,
            hashlib.sha256(content).hexdigest(),
        )
        found[str(path.relative_to(folder))] = repr(what)
    return found


def planted_attributes(folder: Path) -> list[str]:
    """Return the attributes below an upper directory that an overlay would obey and only an attempt can have made."""
    found = []
    for path in _walk(folder):
        if not path.name.startswith("marked"):
            continue
        for name in os.listxattr(path, follow_symlinks=False):
            kind, _, rest = name.partition(".overlay.")
            if rest in MEANINGFUL and kind in ("user", "trusted"):
                found.append(f"{path.name}: {name}")
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(here) / name


def _owner(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_mode, status.st_uid, status.st_gid, status.st_rdev


def _lines_until_ready(stream: IO[str]) -> Iterator[str]:
    for line in stream:
        if line == "ready\n":
            return
        assert not line.startswith("failed"), line
        yield line.rstrip("\n")
    raise AssertionError("the host's side of the probes did not start")
