"""Working on the files of a sandbox from outside: a root by descriptor, and a process with the rights of its user namespace.

The process never enters the sandbox's mount namespace and never changes its root, so nothing is loaded from there and no name is
looked up there but below the descriptor (CVE-2019-14271, CVE-2018-15664).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.child import close_all_but
from envgit.exec.idmap import namespace_refused, wait_status, write_maps
from envgit.exec.mount.place import Place
from envgit.exec.mount.rootfs import MountOverlay
from envgit.exec.privileges import become_namespace_root
from envgit.exec.process import end, start_time
from envgit.exec.spec import OverlayRoot
from envgit.model import IdMap

Work = Callable[[int], None]


def run_on_root(pid: int, started: int, work: Work, keep: tuple[int, ...]) -> Callable[[], str | None]:
    """Start `work(root)` in a child that is root of the user namespace of a process and has `root` and `keep` open.

    `root` is the root directory of exactly the process that `pid` and `started` name. Returns what waits for the end: None, or the
    text of the error. Raises SandboxError when that process is gone.
    """
    root = _open_root(pid, started)
    namespace = -1
    report_read, report_write = os.pipe()
    try:
        namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        child = os.fork()
        if child == 0:
            _work(root, namespace, work, keep, report_write)
    except BaseException:
        os.close(report_read)
        raise
    finally:
        os.close(report_write)
        os.close(root)
        if namespace >= 0:
            os.close(namespace)

    def wait() -> str | None:
        with os.fdopen(report_read, "rb") as report:
            said = report.read().decode("utf-8", "surrogateescape")
        status = wait_status(child)
        return said or (f"a helper process ended with status {status}" if status else None)

    return wait


@contextmanager
def mounted_root(root: OverlayRoot, idmap: IdMap) -> Iterator[tuple[int, int]]:
    """Mount an overlay in namespaces of a process that does nothing else; yield its pid and start time. Nothing of the environment
    runs."""
    base = os.path.commonpath([os.path.dirname(path) for path in (*root.lowers, root.upper, root.work)])
    lowers = tuple(os.path.relpath(path, base) for path in root.lowers)
    upper, work = (os.path.relpath(path, base) for path in (root.upper, root.work))
    operation = MountOverlay(lowers, upper, work, root.volatile)
    go_read, go_write = os.pipe()
    report_read, report_write = os.pipe()
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(base)
        try:
            pid = linux.clone_process(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
        except OSError as error:
            raise namespace_refused(error) from error
        if pid == 0:
            groups = sum(extent.size for extent in idmap.gids) > 1
            _hold_mount(operation, groups, go_read, report_write)
    finally:
        os.fchdir(here)
        for fd in (here, go_read, report_write):
            os.close(fd)
    try:
        write_maps(pid, idmap)
        os.write(go_write, b"x")
        said = os.read(report_read, 4096)
        if said != b"ok":
            raise SandboxError(said.decode("utf-8", "surrogateescape") or "cannot mount the files of the sandbox")
        yield pid, start_time(pid)
    finally:
        os.close(go_write)
        os.close(report_read)
        end(pid)


def _hold_mount(operation: MountOverlay, groups: bool, go: int, report: int) -> None:
    said = b""
    try:
        close_all_but((go, report))
        if os.read(go, 1):
            place = Place()
            linux.mount_propagation_private()
            operation.open(place)
            become_namespace_root(groups)
            operation.execute(place)
            os.fchdir(place.root_fd)
            os.chroot(b".")
            linux.prctl(linux.PR_SET_DUMPABLE, 1)  # its root is looked up by its owner, and it holds nothing else
            said = b"ok"
    except SandboxError as error:
        said = error.message.encode("utf-8", "surrogateescape")
    except BaseException as error:
        said = f"cannot mount the files of the sandbox: {error}".encode("utf-8", "surrogateescape")
    finally:
        os.write(report, said)
        os.close(report)
        os.read(go, 1)
        os._exit(0)


def _open_root(pid: int, started: int) -> int:
    """Return an O_PATH descriptor of a process's root; the start time, asked afterwards, guards against a reused pid."""
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError(f"the files of process {pid} cannot be reached: {error.strerror}") from error
    if start_time(pid) != started:
        os.close(fd)
        raise SandboxError(f"the sandbox with pid {pid} is gone")
    return fd


def _work(root: int, namespace: int, work: Work, keep: tuple[int, ...], report: int) -> None:
    status = 1
    try:
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        close_all_but((root, namespace, report, *keep))
        linux.setns(namespace, linux.CLONE_NEWUSER)
        become_namespace_root(_maps_groups())
        os.umask(0)
        work(root)
        status = 0
    except (SandboxError, OSError) as error:
        text = error.message if isinstance(error, SandboxError) else _explain(error)
        os.write(report, text.encode("utf-8", "surrogateescape"))
    except BaseException as error:
        os.write(report, f"{type(error).__name__}: {error}".encode("utf-8", "surrogateescape"))
    finally:
        os._exit(status)


def _maps_groups() -> bool:
    with open("/proc/self/gid_map", "rb") as file:
        return sum(int(line.split()[2]) for line in file) > 1


def _explain(error: OSError) -> str:
    name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return f"{name}{error.strerror or error}"
