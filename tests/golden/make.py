"""Make the golden repository of the current format: `python -m tests.golden.make`, as root, once per format version.

The inputs are archives, so that every user imports the same owners and devices; the outputs are a git bundle and the ids.
What is checked in is never made again: a difference means that the format changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from tests.lab import Lab, run_envgit
from tests.proof.roundtrip_trees import CAPABILITY, ODD_NAMES

FOLDER = Path(__file__).resolve().parent
FORMAT = "format-1"
INPUTS = ("kinds", "names", "big", "big-changed")
VARIABLES = {
    f"GIT_{role}_{key}": text
    for role in ("AUTHOR", "COMMITTER")
    for key, text in (("NAME", "Golden"), ("EMAIL", "golden@example.com"), ("DATE", "1700000000 +0100"))
}


def record(project: Path) -> Lab:
    """Import every input, one commit each, into a new repository."""
    run_envgit("init", project.name, cwd=project.parent)
    lab = Lab(project, variables=VARIABLES)
    for name in INPUTS:
        lab("import", f"tar:{FOLDER}/{FORMAT}/{name}.tar.xz", "-m", name)
    return lab


def read_ids(lab: Lab) -> dict[str, dict[str, str]]:
    """Return what must never change: per input its commit, tree, root filesystem and SHA-256."""
    ids = {}
    for steps, name in enumerate(reversed(INPUTS)):
        revision = f"main~{steps}"
        trailers = lab.git("log", "-1", "--format=%(trailers:key=Envgit-Root,valueonly)", revision)
        ids[name] = {
            "commit": lab.head(revision),
            "tree": lab.head(f"{revision}^{{tree}}"),
            "rootfs": lab.head(f"{revision}:rootfs"),
            "root": trailers.strip(),
        }
    return ids


def _kinds(root: Path) -> None:
    for name in ("etc", "empty", "bin", "dev", "srv/nested/deeper"):
        (root / name).mkdir(parents=True)
    (root / "etc/motd").write_text("welcome\n")
    (root / "etc/nothing").touch()
    os.symlink("../etc/motd", root / "srv/link")
    os.symlink(b"\xff dangling\n", root / "srv/odd-link")
    (root / "bin/tool").write_bytes(b"\x7fELF" + bytes(range(256)))
    (root / "bin/tool").chmod(0o4755)
    os.setxattr(root / "bin/tool", "security.capability", CAPABILITY)
    os.setxattr(root / "etc/motd", "user.note", b"\0\xff =\n")
    os.setxattr(root / "srv", "user.folder", b"1")
    os.link(root / "etc/motd", root / "srv/hard")
    os.link(root / "etc/motd", root / "empty/hard")
    os.mkfifo(root / "srv/pipe", 0o620)
    os.mknod(root / "dev/null", 0o20666, os.makedev(1, 3))
    os.mknod(root / "dev/disk", 0o60660, os.makedev(259, 70000))
    with (root / "srv/sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    os.chown(root / "srv/nested", 1000, 50)
    os.chown(root / "etc/nothing", 0, 65533)
    (root / "srv/nested").chmod(0o2770)
    (root / "empty").chmod(0o1777)
    (root / "etc/nothing").chmod(0)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, (number - 3) * 123_456_789_012), follow_symlinks=False)
    os.utime(root, ns=(0, -1_000_000_001))


def _names(root: Path) -> None:
    for number, name in enumerate(ODD_NAMES):
        path = os.fsencode(root) + b"/" + name
        if number % 3:
            Path(os.fsdecode(path)).write_text(f"{number}\n")
        else:
            os.mkdir(path)
            Path(os.fsdecode(path + b"/" + ODD_NAMES[-number])).write_text("")
    for path_ in (*root.rglob("*"), root):
        os.utime(path_, ns=(0, 1_700_000_000_000_000_000))


def _big(root: Path, changed: bool) -> None:
    with (root / "library.so").open("wb") as file:
        for piece in _pieces(changed):
            file.write(piece)
    for path in (root / "library.so", root):
        os.utime(path, ns=(0, 1_700_000_000_000_000_000))


def _pieces(changed: bool) -> Iterator[bytes]:
    """Yield 9 MiB that compress well and still have many places to cut."""
    for number in range(230):
        yield sha256(b"%d" % number).digest() * 2
        if changed and number == 100:
            yield b"inserted"
        yield bytes(40_960)


def main() -> None:
    folder = FOLDER / FORMAT
    if (folder / "ids.json").exists():
        sys.exit(f"{folder} is there already, and {FORMAT} is frozen")
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name in INPUTS:
            root = Path(scratch, name)
            root.mkdir()
            if name in ("kinds", "names"):
                (_kinds if name == "kinds" else _names)(root)
            else:
                _big(root, changed=name == "big-changed")
            words = [
                "tar",
                "--format=posix",
                "--sparse",
                "--xattrs",
                "--xattrs-include=*",
                "--numeric-owner",
                "--sort=name",
            ]
            options = ["--pax-option=delete=atime,delete=ctime", "-C", str(root), "-cf", "-", "."]
            packed = subprocess.run([*words, *options], check=True, capture_output=True).stdout
            small = subprocess.run(["xz", "-9e", "-c"], input=packed, check=True, capture_output=True).stdout
            (folder / f"{name}.tar.xz").write_bytes(small)
        lab = record(Path(scratch, "golden"))
        lab.git("repack", "-q", "-adf")
        lab.git("bundle", "create", "-q", str(folder / "repository.bundle"), "main")
        (folder / "ids.json").write_text(json.dumps(read_ids(lab), indent=4) + "\n")


if __name__ == "__main__":
    main()
