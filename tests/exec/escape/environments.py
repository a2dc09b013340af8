"""Hostile environments: files that are to lead what starts a sandbox out of the root, or into running what they planted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.exec.escape.host import VOLUME, Host
from tests.exec.escape.program import SOURCES

LOADED = "LOADED"
HOSTILE = "/hostile"
LOADERS = ("lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1", "lib/ld-musl-x86_64.so.1")
PYTHON_FOLDERS = ("usr/lib/python3", "usr/lib/python3.11", "usr/local/lib/python3.11", "lib/python3.11",
                  "root/.local/lib/python3.11")  # fmt: skip
PYTHON_MODULES = ("sitecustomize", "usercustomize", "encodings/__init__", "encodings/idna", "codecs", "os", "site", "pwd", "grp",
                  "signal", "traceback", "linecache", "envgit/__init__")  # fmt: skip
LIBRARY_FOLDERS = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "usr/lib/aarch64-linux-gnu",
                   "lib64", "lib")  # fmt: skip
LIBRARIES = ("libnss_files.so.2", "libnss_compat.so.2", "libnss_dns.so.2", "libnss_evil.so.2", "libgcc_s.so.1", "libpthread.so.0",
             "libc.so.6", "libdl.so.2", "gconv/EVIL.so", "gconv/UTF-16.so", "gconv/ISO8859-1.so")  # fmt: skip
LOOKS = (
    "dotdot",
    "store",
    "roots_of_processes",
    "descriptors",
    "foreign_programs",
    "same_as_host",
    "nodes_that_are_there",
)
"""What the program looks at where the environment lets it start."""

Prepare = Callable[[Path, Host], None]


class Environment(NamedTuple):
    """A hostile environment, and the words given to a program of it. `joins`: a sandbox starts on it, so that a program can be
    joined to it."""

    name: str
    criterion: str
    prepare: Prepare
    words: tuple[str, ...] = LOOKS
    joins: bool = True
    program: str = "/probe"


def bait(host: Host) -> Path:
    """Return a folder of the host that every hostile link points to."""
    return host.folder / "bait"


def lay_bait(host: Host) -> None:
    """Make the folder as every place that a link may stand for: whoever is led there finds it fit."""
    folder = bait(host)
    for name in ("pts", "shm", "mqueue", "sys", "self", "fs", "kernel", "lock"):
        (folder / name).mkdir(parents=True)
    (folder / "passwd").write_text(f"root:x:0:0::/{host.secret}:/bin/sh\n")
    for name in ("hosts", "hostname", "resolv.conf", "group", "null"):
        (folder / name).write_text("bait\n")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o777)


def _link(*paths: str, to: str = "") -> Prepare:
    def prepare(root: Path, host: Host) -> None:
        for path in paths:
            place = root / path
            if place.is_dir():
                shutil.rmtree(place)
            place.unlink(missing_ok=True)
            place.symlink_to(f"{bait(host)}{to}")

    return prepare


def _link_to(path: str, target: str) -> Prepare:
    def prepare(root: Path, host: Host) -> None:
        place = root / path
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.symlink_to(target.replace("BAIT", str(bait(host))))

    return prepare


def _file(path: str, content: bytes) -> Prepare:
    def prepare(root: Path, host: Host) -> None:
        place = root / path
        if place.is_dir():
            shutil.rmtree(place)
        place.write_bytes(content)
        place.chmod(0o755)

    return prepare


def _fifo(path: str) -> Prepare:
    def prepare(root: Path, host: Host) -> None:
        (root / path).unlink(missing_ok=True)
        os.mkfifo(root / path)

    return prepare


def _plant_loader(root: Path, host: Host) -> None:
    flags = ("-O1", "-nostdlib", "-static-pie", "-fPIE", "-ffreestanding", "-fno-stack-protector")
    planted = host.scratch / "loader"
    _compile(flags, "loader.c", planted)
    for path in LOADERS:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(planted, root / path)


def _own_program_is_link(root: Path, host: Host) -> None:
    _plant_loader(root, host)
    (root / HOSTILE[1:]).symlink_to("/proc/self/exe")


def _own_program_is_script(root: Path, host: Host) -> None:
    _plant_loader(root, host)
    (root / HOSTILE[1:]).write_text("#!/proc/self/exe\n")
    (root / HOSTILE[1:]).chmod(0o755)


def _own_program_is_script_of_link(root: Path, host: Host) -> None:
    _own_program_is_script(root, host)
    (root / HOSTILE[1:]).write_text("#!/interpreter\n")
    (root / "interpreter").symlink_to("/proc/self/../self/exe")


def _planted_modules(root: Path, host: Host) -> None:
    for folder in PYTHON_FOLDERS:
        for name in PYTHON_MODULES:
            path = root / folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"import sys; sys.__stdout__.write('{LOADED} module {name}\\n')\n")
        (root / folder / "site-packages").mkdir(exist_ok=True)
        (root / folder / "site-packages/evil.pth").write_text(f"import sys; sys.__stdout__.write('{LOADED} pth\\n')\n")


def _planted_libraries(root: Path, host: Host) -> None:
    planted = host.scratch / "library.so"
    _compile(("-O1", "-shared", "-fPIC"), "library.c", planted)
    for folder in LIBRARY_FOLDERS:
        for name in LIBRARIES:
            path = root / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(planted, path)
        (root / folder / "gconv/gconv-modules").write_text(
            "module EVIL// INTERNAL EVIL 1\nmodule UTF-16// INTERNAL UTF-16 1\n"
        )
    (root / "etc/ld.so.preload").write_text("/lib64/libc.so.6\n")
    (root / "etc/nsswitch.conf").write_text("passwd: evil files\ngroup: evil files\nhosts: evil dns\n")
    (root / "etc/ld.so.cache").write_bytes(os.urandom(200))


def _compile(flags: tuple[str, ...], source: str, target: Path) -> None:
    command = ("gcc", *flags, "-o", str(target), str(SOURCES / "planted" / source))
    subprocess.run(command, timeout=60, check=True)


def _attributes(root: Path, host: Host) -> None:
    """Attributes that an overlay obeys, in a layer: they come from outside with the environment's files."""
    for name, value in (("redirect", f"/../../../..{bait(host)}"), ("opaque", "y"), ("metacopy", ""), ("origin", "x")):
        for path in ("layer", "layer/file", "etc"):
            try:
                os.setxattr(root / path, f"user.overlay.{name}", value.encode())
            except OSError:
                continue


def _root_device(root: Path, host: Host) -> None:
    if os.geteuid() == 0:
        os.mknod(root / "device-of-the-layer", 0o060666, int(host.facts["DISK"]))


HOSTILE_USERS = (
    b"root:x:4294967296:-1:::\n:::::\nroot:x:0:0:\0:" + b"A" * 100000 + b":\n\xff\xfe:x:1:1::/:\n" + b":" * 5000
)
NUMBERS = b"".join(b"g%d:x:%d:ann,root\n" % (number, number) for number in range(1, 70000))
ENVIRONMENTS = (
    Environment("dev_is_a_link", "/dev of the host's folder is mounted over", _link("dev"), joins=False),
    Environment("proc_is_a_link", "/proc is mounted in a folder of the host", _link("proc"), joins=False),
    Environment("sys_is_a_link", "/sys is mounted in a folder of the host", _link("sys"), joins=False),
    Environment("run_is_a_link", "/run is mounted in a folder of the host", _link("run"), joins=False),
    Environment("dev_leads_to_proc", "/dev is mounted over /proc", _link_to("dev", "proc"), joins=False),
    Environment("proc_leads_up", "/proc is mounted above the root", _link_to("proc", "../../../../../.."), joins=False),
    Environment("dev_is_a_file", "the start goes on without an own /dev", _file("dev", b""), joins=False),
    Environment("proc_is_a_file", "the start goes on without an own /proc", _file("proc", b""), joins=False),
    Environment("etc_is_a_link", "memory files or lookups of users go to a folder of the host", _link("etc")),
    Environment("etc_files_are_links", "a file of the host is read or covered", _link("etc/hosts", "etc/hostname", to="/hosts")),
    Environment("resolv_conf_leads_up", "a file of the host is created", _link_to("etc/resolv.conf", "../../../../../..BAIT/new")),
    Environment("hosts_is_a_fifo", "the start hangs", _fifo("etc/hosts"), joins=False),
    Environment("users_are_of_the_host", "the host's file of users is read", _link("etc/passwd", to="/passwd")),
    Environment("users_are_a_process", "a file of a process is read as users", _link_to("etc/passwd", "/proc/self/environ")),
    Environment("users_are_a_fifo", "the start hangs", _fifo("etc/passwd")),
    Environment("users_are_a_device", "the start hangs or fills memory", _link_to("etc/passwd", "/dev/zero")),
    Environment(
        "users_are_hostile", "hostile numbers and names give other ids or a traceback",
        _file("etc/passwd", HOSTILE_USERS),
    ),
    Environment("groups_are_many", "more groups than the kernel takes stop the start", _file("etc/group", NUMBERS)),
    Environment("volume_target_is_a_link", "the volume is mounted in the host's folder", _link_to(VOLUME[1:], "../../..BAIT")),
    Environment("volume_target_is_proc", "the volume is mounted over /proc", _link_to(VOLUME[1:], "proc"), joins=False),
    Environment("volume_target_is_root", "the volume is mounted over /", _link_to(VOLUME[1:], "tmp/../.."), joins=False),
    Environment("program_is_the_runner", "the host's program that starts it is executed", _own_program_is_link, program=HOSTILE),
    Environment("interpreter_is_the_runner", "it is executed as interpreter of a script", _own_program_is_script, program=HOSTILE),
    Environment("interpreter_leads_to_the_runner", "the same, through a link", _own_program_is_script_of_link, program=HOSTILE),
    Environment("modules_are_planted", "a Python module of the environment is loaded by what starts it", _planted_modules),
    Environment("libraries_are_planted", "a library of the environment is loaded by what starts it", _planted_libraries),
    Environment("layer_has_overlay_attributes", "an attribute of a layer's file leads out of the layer", _attributes),
    Environment("layer_has_a_device", "a device node of a layer's can be opened", _root_device, ("disk_in_the_environment",)),
)  # fmt: skip
