"""A small root filesystem made of this host's programs, as each kind of caller can use it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.exec import idmap
from envgit.exec.spec import OverlayRoot, SandboxSpec

PROGRAMS = ("bash", "cat", "ls", "id", "env", "sleep", "true", "mount", "umount", "unshare", "mknod", "stat", "touch", "rm",
            "grep", "tty", "stty", "kill", "mkdir", "hostname", "readlink", "chmod", "chown", "chroot")  # fmt: skip


def make_root(root: Path) -> None:
    for name in ("bin", "etc", "proc", "sys", "dev", "run", "tmp", "root"):
        (root / name).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    for name in PROGRAMS:
        path = shutil.which(name)
        assert path, name
        shutil.copy(path, root / "bin" / name)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            target = root / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copy(library, target)
    (root / "bin/sh").symlink_to("bash")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nann:x:1000:\nextra:x:50:ann\n")


@pytest.fixture(scope="session")
def lower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lower") / "root"
    make_root(root)
    own(root)
    return root


def own(root: Path) -> None:
    ids = idmap.disk_ids(idmap.choose_idmap())
    if ids.shift:
        for folder, names, files in os.walk(root):
            for name in (".", *names, *files):
                os.chown(os.path.join(folder, name), ids.shift, ids.shift, follow_symlinks=False)


@pytest.fixture
def make_spec(lower: Path, tmp_path: Path) -> Iterator[Callable[..., SandboxSpec]]:
    """Return a function: (argv..., **fields) -> SandboxSpec on a fresh upper below a 0700 folder."""
    count = 0

    def make(*argv: str, **fields: object) -> SandboxSpec:
        nonlocal count
        count += 1
        base = tmp_path / f"sandbox{count}"
        for name in ("upper", "work"):
            (base / name).mkdir(parents=True)
            own(base / name)
        base.chmod(0o700)
        root = OverlayRoot((os.fsencode(lower),), os.fsencode(base / "upper"), os.fsencode(base / "work"), True)
        values: dict[str, object] = {"root": root, "idmap": idmap.choose_idmap(), "env": ((b"PATH", b"/bin"),)}
        values.update(fields)
        return SandboxSpec(argv=tuple(map(os.fsencode, argv)), **values)  # type: ignore[arg-type]

    yield make


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that makes escape attempts and tells what it finds, compiled once."""
    from tests.exec.escape.program import build

    folder = tmp_path_factory.mktemp("probe")
    folder.chmod(0o755)
    return build(folder)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A folder of the host with a file in it."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "in").write_text("hello\n")
    return folder
