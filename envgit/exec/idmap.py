"""Which ids a sandbox may use, and a user namespace to work on its files in.

One idea serves root and rootless callers: inside ids 0..65535 stand for ids on disk that belong to nobody else.
Root writes any map it likes, so it takes a reserved range and works on the files from outside (DiskIds.shift). Others
need newuidmap and /etc/subuid; files with those owners can only be made inside a user namespace with the same map (the
tree namespace), where disk ids look plain. Without subordinate ids one id is left, the caller's own, as 0.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from envgit.errors import HostUnsupported, SandboxError
from envgit.exec import linux
from envgit.model import DiskIds, IdMap, IdMapExtent

ID_COUNT = 65536
RESERVED_START = 1879048192
"""0x70000000: above systemd's container ranges (524288..1879048191), below the ids that 31-bit software mistrusts."""

ROOT_RANGE_NAMES = (b"envgit", b"root")
HELPER_FOLDERS = ("/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin")
SUBUID_FILE = "/etc/subuid"
SUBGID_FILE = "/etc/subgid"

_CAP_SETGID, _CAP_SETUID = 6, 7


def choose_idmap() -> IdMap:
    """Return the best map this process can have: range, nested, subordinate or single, in this order.

    Reads /proc/self, /etc/subuid, /etc/subgid and /etc/passwd; changes nothing. A missing or unreadable
    file means "none".
    """
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0 and _has_id_capabilities():
        owned = read_extents("/proc/self/uid_map"), read_extents("/proc/self/gid_map")
        for start in _root_ranges():
            if all(_covers(extents, start) for extents in owned):
                extent = (IdMapExtent(0, start, ID_COUNT),)
                return IdMap("range", extent, extent)
        return IdMap("nested", *(_identity(extents) for extents in owned))
    if find_helper("newuidmap") and find_helper("newgidmap"):
        user = _user_name(uid)
        uids = _subordinate_range(SUBUID_FILE, user, uid)
        gids = _subordinate_range(SUBGID_FILE, user, uid)
        if uids and gids:
            return IdMap("subordinate", _around(uid, uids), _around(gid, gids))
    return IdMap("single", (IdMapExtent(0, uid, 1),), (IdMapExtent(0, gid, 1),))


def disk_ids(idmap: IdMap) -> DiskIds:
    """Return how file owners are translated where the tree's files are handled: outside the namespace for root,
    inside the tree namespace (see `run_in_tree_namespace`) otherwise."""
    count = min(_total(idmap.uids), _total(idmap.gids))
    if idmap.kind == "range":
        return DiskIds(shift=idmap.uids[0].outside, ids=count)
    if count == 1:
        return DiskIds(single=True, ids=1)
    return DiskIds(ids=count)


def needs_tree_namespace(idmap: IdMap) -> bool:
    """Return whether `enter_tree_namespace` does anything for this map: not for root."""
    return idmap.kind in ("subordinate", "single")


def enter_tree_namespace(idmap: IdMap) -> None:
    """Put this whole process, for good, into a user namespace with `idmap`; a no-op for root's maps.

    Afterwards the process is uid 0 there with every capability over files of the map's ids, and nothing else
    changed: mounts, network, working directory are the caller's. Requires that no other thread lives. Raises
    HostUnsupported or SandboxError; on failure after the namespace was entered, the process must end.
    """
    if not needs_tree_namespace(idmap):
        return
    ready_read, ready_write = os.pipe()
    done_read, done_write = os.pipe()
    helper = os.fork()  # stays outside: newuidmap has no power inside
    if helper == 0:
        _map_parent_and_exit(idmap, ready_read, ready_write, done_write)
    os.close(ready_read)
    os.close(done_write)
    try:
        try:
            linux.unshare(linux.CLONE_NEWUSER)
        except OSError as error:
            raise namespace_refused(error) from error
        os.write(ready_write, b"x")
        answer = os.read(done_read, 4096)
        if answer != b"ok":
            raise SandboxError("cannot map ids: " + answer.decode("utf-8", "replace"), hint="run `envgit doctor`")
    finally:
        os.close(ready_write)
        os.close(done_read)
        os.waitpid(helper, 0)
    _become_root(idmap)


def run_in_tree_namespace(idmap: IdMap, work: Callable[[], int]) -> int:
    """Run `work` in a forked child inside the tree namespace and return its status (0 to 255; 128+N when killed).

    For root's maps `work` runs here. The child shares open files with the caller and leaves by os._exit: `work`
    flushes what it writes. An EnvgitError of the set-up is raised here; an exception inside `work` prints nothing
    and gives status 125, so `work` reports its own errors.
    """
    if not needs_tree_namespace(idmap):
        return work()
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 125
        try:
            os.close(report_read)
            try:
                enter_tree_namespace(idmap)
            except SandboxError as error:
                os.write(report_write, error.message.encode("utf-8", "surrogateescape"))
                os._exit(125)
            os.close(report_write)
            status = work() & 0xFF
        finally:
            os._exit(status)
    os.close(report_write)
    failure = b""
    while piece := os.read(report_read, 4096):
        failure += piece
    os.close(report_read)
    status = wait_status(pid)
    if failure:
        raise HostUnsupported(failure.decode("utf-8", "surrogateescape"), hint="run `envgit doctor`")
    return status


def write_maps(pid: int, idmap: IdMap) -> None:
    """Write the maps of the user namespace that process `pid` was just put into; called from its parent namespace.

    Raises SandboxError naming what refused. `pid` must still be dumpable: newuidmap looks at the owner of /proc/PID.
    """
    if idmap.kind == "subordinate":
        _spawn_helpers(pid, idmap)
        return
    try:
        if _total(idmap.gids) == 1:
            _write(f"/proc/{pid}/setgroups", b"deny")
        _write(f"/proc/{pid}/uid_map", format_extents(idmap.uids))
        _write(f"/proc/{pid}/gid_map", format_extents(idmap.gids))
    except OSError as error:
        first = idmap.uids[0]
        raise SandboxError(
            f"cannot map ids {first.outside}+{first.size}: {error.strerror}", hint="run `envgit doctor`"
        ) from error


def namespace_refused(error: OSError) -> HostUnsupported:
    """Return the error for a refused user namespace, with the most likely reason for its errno."""
    reasons = {
        errno.EPERM: "the kernel or a security module forbids them",
        errno.ENOSPC: "the limit user.max_user_namespaces is reached or zero",
        errno.EUSERS: "they are nested too deeply",
        errno.EINVAL: "this kernel was built without them, or another thread lives",
    }
    reason = reasons.get(error.errno or 0, error.strerror)
    return HostUnsupported(f"cannot create a user namespace: {reason}", hint="run `envgit doctor`")


def wait_status(pid: int) -> int:
    """Wait for a child and return its exit status the way a shell counts: 128+N when killed by signal N."""
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - status if status < 0 else status


def read_extents(path: str) -> tuple[IdMapExtent, ...]:
    """Parse a uid_map or gid_map file of /proc."""
    return tuple(IdMapExtent(*map(int, line.split())) for line in _read(path).splitlines())


def format_extents(extents: tuple[IdMapExtent, ...]) -> bytes:
    """Return the lines to write into a uid_map or gid_map file."""
    return b"".join(b"%d %d %d\n" % extent for extent in extents)


def find_helper(name: str) -> str | None:
    """Return the path of newuidmap or newgidmap. Fixed folders: PATH of the caller has no say in a setuid helper."""
    for folder in HELPER_FOLDERS:
        path = f"{folder}/{name}"
        if os.access(path, os.X_OK):
            return path
    return None


def parse_subordinate_ids(text: bytes, user: bytes | None, uid: int) -> tuple[tuple[int, int], ...]:
    """Return (start, count) of every range that a subuid or subgid file gives to `user` or `uid`; skip bad lines."""
    ranges = []
    for line in text.splitlines():
        fields = line.strip().split(b":")
        if len(fields) != 3 or not (fields[1].isdigit() and fields[2].isdigit()):
            continue
        if fields[0] in (user, b"%d" % uid):
            ranges.append((int(fields[1]), int(fields[2])))
    return tuple(ranges)


def _map_parent_and_exit(idmap: IdMap, ready_read: int, ready_write: int, done_write: int) -> None:
    """In the forked helper: wait until the parent has entered its namespace, map it, report, end."""
    message = b"the helper process failed"
    try:
        os.close(ready_write)
        if os.read(ready_read, 1):
            write_maps(os.getppid(), idmap)
            message = b"ok"
    except SandboxError as error:
        message = error.message.encode()
    except BaseException as error:
        message = str(error).encode("utf-8", "replace")
    finally:
        os.write(done_write, message)
        os._exit(0)


def _become_root(idmap: IdMap) -> None:
    if _total(idmap.gids) > 1:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _spawn_helpers(pid: int, idmap: IdMap) -> None:
    """Run newuidmap and newgidmap side by side: each takes a millisecond or two."""
    null = (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)
    quiet = (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0)
    error_read, error_write = os.pipe()
    running = []
    try:
        for name, extents in (("newuidmap", idmap.uids), ("newgidmap", idmap.gids)):
            path = find_helper(name)
            if path is None:
                raise HostUnsupported(f"{name} is missing", hint="install the package uidmap (or shadow-utils)")
            arguments = [name, str(pid), *(str(number) for extent in extents for number in extent)]
            actions = [null, quiet, (os.POSIX_SPAWN_DUP2, error_write, 2)]
            running.append((name, os.posix_spawn(path, arguments, {"PATH": "/usr/bin:/bin"}, file_actions=actions)))
    finally:
        os.close(error_write)
        failed = [name for name, helper in running if wait_status(helper) != 0]
        text = os.read(error_read, 1000) if failed else b""
        os.close(error_read)
    if failed:
        reason = text.decode("utf-8", "replace").strip().splitlines() or ["no reason given"]
        raise HostUnsupported(
            f"{' and '.join(failed)} refused the map: {reason[0]}",
            hint="check /etc/subuid and /etc/subgid: `envgit doctor`",
        )


def _root_ranges() -> tuple[int, ...]:
    """Starts to try for root: what both subuid and subgid give to envgit or root, then the reserved range."""
    starts = []
    texts = [_read(SUBUID_FILE), _read(SUBGID_FILE)]
    for name in ROOT_RANGE_NAMES:
        number = 0 if name == b"root" else -1
        uids, gids = (
            {start for start, count in parse_subordinate_ids(text, name, number) if count >= ID_COUNT} for text in texts
        )
        starts.extend(sorted(uids & gids))
    return (*starts, RESERVED_START)


def _subordinate_range(path: str, user: bytes | None, uid: int) -> tuple[int, int] | None:
    ranges = parse_subordinate_ids(_read(path), user, uid)
    return max(ranges, key=lambda item: item[1], default=None)


def _around(own: int, subordinate: tuple[int, int]) -> tuple[IdMapExtent, ...]:
    start, count = subordinate
    return (IdMapExtent(0, own, 1), IdMapExtent(1, start, min(count, ID_COUNT - 1)))


def _identity(extents: tuple[IdMapExtent, ...]) -> tuple[IdMapExtent, ...]:
    """Map each id that exists here to itself, up to 65536: used inside a container or the tree namespace."""
    return tuple(
        IdMapExtent(extent.inside, extent.inside, min(extent.size, ID_COUNT - extent.inside))
        for extent in sorted(extents)
        if extent.inside < ID_COUNT
    )


def _covers(extents: tuple[IdMapExtent, ...], start: int) -> bool:
    return any(extent.inside <= start and start + ID_COUNT <= extent.inside + extent.size for extent in extents)


def _total(extents: tuple[IdMapExtent, ...]) -> int:
    return sum(extent.size for extent in extents)


def _has_id_capabilities() -> bool:
    for line in _read("/proc/self/status").splitlines():
        if line.startswith(b"CapEff:"):
            mask = int(line.split()[1], 16)
            return bool(mask >> _CAP_SETUID & 1 and mask >> _CAP_SETGID & 1)
    return False


def _user_name(uid: int) -> bytes | None:
    """Return the login name from /etc/passwd; only a user of a directory service costs the name service."""
    number = b"%d" % uid
    for line in _read("/etc/passwd").splitlines():
        fields = line.split(b":", 3)
        if len(fields) > 2 and fields[2] == number:
            return fields[0]
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name.encode(sys.getfilesystemencoding(), "surrogateescape")
    except KeyError:
        return None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
