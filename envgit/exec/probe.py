"""Find out by trying what this host lets a sandbox do. Not on the path of a run.

Each probe does the real thing in a forked child (a setting in /proc can say yes where a security module says no) and
names the command that repairs a failure.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from typing import NamedTuple

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec import linux
from envgit.exec.idmap import choose_idmap, disk_ids, find_helper, wait_status, write_maps
from envgit.exec.mount.place import Place, new_filesystem
from envgit.exec.mount.resolve import open_inside
from envgit.exec.mount.rootfs import MountOverlay
from envgit.exec.network.carrier import FOLDERS, choose
from envgit.exec.privileges import become_namespace_root
from envgit.model import IdMap


class Finding(NamedTuple):
    """One probe: `ok`, what was seen, and the command that fixes it ("" when nothing is to be fixed or can be)."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True
    """False: sandboxes start without it, with the limit that `detail` states."""


def probe_host() -> tuple[Finding, ...]:
    """Return one Finding per capability, in the order in which a start needs them. Leaves nothing behind."""
    namespace = _probe_namespace()
    findings = [_probe_kernel(), namespace, _probe_ids()]
    if namespace.ok:
        findings += [_probe_namespaces(), _probe_mapping(), _probe_overlay(), _probe_proc()]
    return (*findings, _probe_openat2(), _probe_groups(), probe_network())


def _probe_kernel() -> Finding:
    release = os.uname().release
    numbers = [int("".join(c for c in part if c.isdigit()) or "0") for part in release.split("-")[0].split(".")[:2]]
    return Finding("kernel", numbers >= [5, 11], f"Linux {release}; 5.11 or newer is needed", "")


def _probe_namespace() -> Finding:
    failure = _attempt(linux.CLONE_NEWUSER, None, lambda: None)
    if not failure:
        return Finding("user namespace", True, "can be created")
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return Finding(
            "user namespace", False, f"AppArmor restricts them for unprivileged programs ({failure})",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        )  # fmt: skip
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return Finding("user namespace", False, failure, "sudo sysctl -w kernel.unprivileged_userns_clone=1")
    if _setting("user/max_user_namespaces") == "0":
        return Finding("user namespace", False, failure, "sudo sysctl -w user.max_user_namespaces=15000")
    return Finding("user namespace", False, f"{failure}; inside a container, its seccomp profile may refuse them")


def _probe_ids() -> Finding:
    idmap = choose_idmap()
    first = idmap.uids[0]
    count = sum(extent.size for extent in idmap.uids)
    if idmap.kind != "single":
        return Finding("ids", True, f"{idmap.kind}: {count} ids, inside 0 is {first.outside} outside")
    limit = "one id only: other owners are kept as metadata, apt and -u USER do not work inside"
    if not (find_helper("newuidmap") and find_helper("newgidmap")):
        return Finding("ids", False, f"newuidmap is missing; {limit}", "sudo apt install uidmap", False)
    fix = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un {os.geteuid()})"
    return Finding("ids", False, f"no range in /etc/subuid and /etc/subgid; {limit}", fix, False)


def _probe_namespaces() -> Finding:
    flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET
    flags |= linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWCGROUP
    failure = _attempt(flags, None, lambda: None)
    return Finding("mount, pid, net, uts, ipc, cgroup namespaces", not failure, failure or "can be created")


def _probe_mapping() -> Finding:
    idmap = choose_idmap()
    failure = _attempt(linux.CLONE_NEWUSER, idmap, lambda: None)
    return Finding(
        "id map", not failure, failure or f"{idmap.kind} map accepted", "" if not failure else "cat /etc/subuid"
    )


def _probe_overlay() -> Finding:
    idmap = choose_idmap()
    place = Place()
    with tempfile.TemporaryDirectory(prefix="envgit-doctor-") as folder:
        shift = disk_ids(idmap).shift
        names = (b"lower", b"upper", b"work")
        for name in names:
            path = os.fsencode(folder) + b"/" + name
            os.mkdir(path)
            if shift:
                os.chown(path, shift, shift)
        here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chdir(folder)
        try:
            operation = MountOverlay((names[0],), names[1], names[2], False)
            flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNS
            open_ = lambda: operation.open(place)  # noqa: E731
            failure = _attempt(flags, idmap, lambda: operation.execute(place), before=open_)
        finally:
            os.fchdir(here)
            os.close(here)
            _empty_work(folder)
    fix = "sudo modprobe overlay" if failure else ""
    return Finding("overlay in a user namespace", not failure, failure or "mounts with userxattr", fix)


def _probe_proc() -> Finding:
    flags = linux.CLONE_NEWUSER | linux.CLONE_NEWNS | linux.CLONE_NEWPID
    failure = _attempt(flags, choose_idmap(), lambda: os.close(new_filesystem(b"proc", (), 0)))
    detail = failure and f"{failure}; inside a container, its /proc is masked (docker: systempaths=unconfined)"
    return Finding("fresh /proc", not failure, detail or "can be mounted")


def _probe_openat2() -> Finding:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        os.close(linux.openat2(root, b"proc", os.O_PATH, 0, linux.RESOLVE_IN_ROOT))
        return Finding("openat2", True, "works", required=False)
    except OSError as error:
        os.close(open_inside(root, b"proc"))
        return Finding("openat2", False, f"{error.strerror}: paths are walked step by step instead", required=False)
    finally:
        os.close(root)


def _probe_groups() -> Finding:
    from envgit.exec.cgroups.diagnosis import diagnose_limits

    return Finding("limits", *diagnose_limits(), required=False)


def probe_network(folders: tuple[bytes, ...] = FOLDERS) -> Finding:
    """Say what carries a private network; `folders` are searched for programs."""
    try:
        helpers = choose(as_root=os.geteuid() == 0, folders=folders)
    except HostUnsupported as error:
        return Finding("network", False, f"{error.message}: sandboxes have none of their own", error.hint or "", False)
    return Finding("network", True, f"private, by {', '.join(helper.kind for helper in helpers)}", required=False)


def _attempt(
    flags: int, idmap: IdMap | None, work: Callable[[], None], *, before: Callable[[], None] | None = None
) -> str:
    """Clone with `flags`, map ids, run `before` as the caller and `work` as root inside; return "" or what failed."""
    go_read, go_write = os.pipe()
    said_read, said_write = os.pipe()
    try:
        try:
            pid = linux.clone_process(flags)
        except OSError as error:
            return error.strerror or errno.errorcode.get(error.errno or 0, "refused")
        if pid == 0:
            _work_and_exit(go_read, go_write, said_write, idmap, work, before)
        try:
            failure = ""
            if idmap is not None:
                write_maps(pid, idmap)
            os.write(go_write, b"x")
        except SandboxError as error:
            failure = error.message
            os.kill(pid, 9)
        status = wait_status(pid)
        if failure or status == 0:
            return failure
        return os.read(said_read, 4096).decode("utf-8", "replace") or f"ended with status {status}"
    finally:
        for fd in (go_read, go_write, said_read, said_write):
            os.close(fd)


def _work_and_exit(
    go: int, go_write: int, said: int, idmap: IdMap | None, work: Callable[[], None], before: Callable[[], None] | None
) -> None:
    status = 1
    try:
        os.close(go_write)
        if os.read(go, 1):
            if before is not None:
                before()
            if idmap is not None:
                become_namespace_root(sum(extent.size for extent in idmap.gids) > 1)
            work()
            status = 0
        else:
            os.write(said, b"the probing process ended")
    except SandboxError as error:
        os.write(said, error.message.encode("utf-8", "surrogateescape"))
    except OSError as error:
        os.write(said, f"{error.filename or ''} {error.strerror}".strip().encode())
    finally:
        os._exit(status)


def _empty_work(folder: str) -> None:
    """Remove what the overlay left in `work`: mode 000, but the caller's own (or root removes it anyway)."""
    inner = f"{folder}/work/work"
    if os.path.isdir(inner):
        os.chmod(inner, 0o700)
        os.rmdir(inner)


def _setting(name: str) -> str:
    try:
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
