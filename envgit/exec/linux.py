"""System calls that Python does not offer. The only module that touches the C library.

`_ctypes` instead of `ctypes`: the public module costs up to 2.5 ms of import on the path of every run, the extension
module 0.3 ms, and nothing but integers and bytes is passed. Every call raises OSError with the kernel's errno; none
is retried, none falls back: that is the business of callers, and tests replace single functions here to
simulate kernels that lack them.
"""

from __future__ import annotations

import os
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_PYTHONAPI,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    dlopen,
    dlsym,
    get_errno,
)

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_PARENT = 0x8000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
O_PATH = os.O_PATH

MS_REC = 0x4000
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_IDMAP = 0x100000

RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

CLOSE_RANGE_CLOEXEC = 4
LAST_FD = 0xFFFFFFFF
SIGCHLD = 17

_X86_64 = {
    "clone": 56, "mount": 165, "umount2": 166, "pivot_root": 155, "setns": 308, "unshare": 272, "capset": 126,
    "prctl": 157, "sethostname": 170, "keyctl": 250, "signalfd4": 289, "rt_sigaction": 13,
    "syncfs": 306, "seccomp": 317,
}  # fmt: skip
_GENERIC = {
    "clone": 220, "mount": 40, "umount2": 39, "pivot_root": 41, "setns": 268, "unshare": 97, "capset": 91,
    "prctl": 167, "sethostname": 161, "keyctl": 219, "signalfd4": 74, "rt_sigaction": 134,
    "syncfs": 267, "seccomp": 277,
}  # fmt: skip
_COMMON = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "close_range": 436,
    "openat2": 437, "mount_setattr": 442,
}  # fmt: skip
"""asm-generic and every other architecture number calls added since Linux 5.1 alike."""

_NUMBERS = {**(_X86_64 if os.uname().machine == "x86_64" else _GENERIC), **_COMMON}


class _Long(_SimpleCData):  # type: ignore[type-arg]
    _type_ = "l"


class _Word(_SimpleCData):  # type: ignore[type-arg]
    """A register: an int, bytes (its address), or None."""

    _type_ = "P"


class _Text(_SimpleCData):  # type: ignore[type-arg]
    """Holds the address of bytes, where a structure has to contain one."""

    _type_ = "z"


class _Function(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Long


class _HeldFunction(CFuncPtr):
    """Called without releasing the interpreter lock: a clone must not come back twice into released state."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO | FUNCFLAG_PYTHONAPI
    _restype_ = _Long


class _Handler(CFuncPtr):
    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_PYTHONAPI
    _restype_ = None


_LIBRARY = dlopen(None, 0)  # type: ignore[arg-type]  # None: what is loaded already
_ARGUMENTS = (_Long, _Word, _Word, _Word, _Word, _Word, _Word)
_syscall = _Function(dlsym(_LIBRARY, "syscall"))
_syscall.argtypes = _ARGUMENTS
_held_syscall = _HeldFunction(dlsym(_LIBRARY, "syscall"))
_held_syscall.argtypes = _ARGUMENTS
_before_fork = _Handler(dlsym(_LIBRARY, "PyOS_BeforeFork"))
_after_fork_child = _Handler(dlsym(_LIBRARY, "PyOS_AfterFork_Child"))
_after_fork_parent = _Handler(dlsym(_LIBRARY, "PyOS_AfterFork_Parent"))


def _call(name: str, *arguments: int | bytes | None) -> int:
    padded = arguments + (0,) * (6 - len(arguments))
    result = _syscall(_NUMBERS[name], *padded)
    if result < 0:
        number = get_errno()
        raise OSError(number, os.strerror(number), name)
    return int(result)


def clone_process(flags: int) -> int:
    """Fork with namespaces: return 0 in the child and its pid in the parent.

    Raw clone(2) without a stack is fork(2) plus `flags`; unlike unshare(2) it puts the child itself into the new pid
    namespace and may create a user namespace while other threads live. CPython's fork handlers run as in os.fork;
    glibc's do not, so the child must be the copy of a process with no other thread inside the allocator.
    """
    _before_fork()
    result = _held_syscall(_NUMBERS["clone"], flags | SIGCHLD, 0, 0, 0, 0, 0)
    if result == 0:
        _after_fork_child()
        return 0
    number = get_errno()
    _after_fork_parent()
    if result < 0:
        raise OSError(number, os.strerror(number), "clone")
    return int(result)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def setns(fd: int, flags: int) -> None:
    _call("setns", fd, flags)


def mount_propagation_private() -> None:
    """Cut the whole mount namespace off from its peers: nothing mounted here is ever seen outside."""
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None)


def remount_bind(path: bytes, ms_flags: int) -> None:
    """Change the flags of one mount the old way; only for kernels without mount_setattr (before 5.12)."""
    _call("mount", None, path, None, 0x20 | 0x1000 | ms_flags, None)


def mount_overlay(target: bytes, options: bytes) -> None:
    """Mount an overlay the old way, nodev and nosuid; only for kernels without "lowerdir+" (before 6.7)."""
    _call("mount", b"overlay", target, b"overlay", 0x2 | 0x4, options)


def umount_detach(path: bytes) -> None:
    _call("umount2", path, MNT_DETACH)


def pivot_root_here() -> None:
    """Make the mount at the working directory the root; the old root ends up stacked at the same place."""
    _call("pivot_root", b".", b".")


def fsopen(filesystem: bytes) -> int:
    return _call("fsopen", filesystem, 1)


def fsconfig_string(fd: int, key: bytes, value: bytes) -> None:
    _call("fsconfig", fd, FSCONFIG_SET_STRING, key, value, 0)


def fsconfig_flag(fd: int, key: bytes) -> None:
    _call("fsconfig", fd, FSCONFIG_SET_FLAG, key, None, 0)


def fsconfig_create(fd: int) -> None:
    _call("fsconfig", fd, FSCONFIG_CMD_CREATE, None, None, 0)


def fsmount(fd: int, attributes: int) -> int:
    return _call("fsmount", fd, 1, attributes)


def open_tree(directory_fd: int, path: bytes, flags: int) -> int:
    return _call("open_tree", directory_fd, path, flags | OPEN_TREE_CLOEXEC)


def move_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the mount behind `mount_fd` on the file behind `target_fd`; neither is looked up by name."""
    _call("move_mount", mount_fd, b"", target_fd, b"", 0x4 | 0x40)


def mount_setattr(fd: int, flags: int, set_: int, clear: int = 0, userns_fd: int = 0) -> None:
    attributes = b"".join(value.to_bytes(8, "little") for value in (set_, clear, 0, userns_fd))
    _call("mount_setattr", fd, b"", flags | AT_EMPTY_PATH, attributes, len(attributes))


def openat2(directory_fd: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
    how = b"".join(value.to_bytes(8, "little") for value in (flags | os.O_CLOEXEC, mode, resolve))
    return _call("openat2", directory_fd, path, how, len(how))


def close_range(first: int, last: int, flags: int = 0) -> None:
    if first <= last:
        _call("close_range", first, last, flags)


def default_signal(number: int) -> None:
    """Give a signal its default action, also those that the C library keeps for itself (32 to 34)."""
    _call("rt_sigaction", number, bytes(32), None, 8)


def prctl(option: int, argument: int = 0, argument2: int = 0) -> int:
    return _call("prctl", option, argument, argument2, 0, 0)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's three sets (capabilities version 3: two 32-bit halves each)."""
    header = (0x20080522).to_bytes(4, "little") + bytes(4)
    halves = [(value >> shift) & 0xFFFFFFFF for shift in (0, 32) for value in (effective, permitted, inheritable)]
    _call("capset", header, b"".join(half.to_bytes(4, "little") for half in halves))


def sync_filesystem(fd: int) -> None:
    """Make everything on the filesystem of an open file durable."""
    _call("syncfs", fd)


def sethostname(name: bytes) -> None:
    _call("sethostname", name, len(name))


def join_new_session_keyring() -> None:
    """Leave the caller's session keyring behind: keys of the host must not be reachable from inside."""
    _call("keyctl", 1, None)


def signalfd(signals: set[int]) -> int:
    """Return a descriptor that is readable while one of the (blocked) signals is pending."""
    mask = sum(1 << (number - 1) for number in signals)
    return _call("signalfd4", -1, mask.to_bytes(8, "little"), 8, os.O_CLOEXEC | os.O_NONBLOCK)


def install_filter(program: bytes) -> None:
    """Make a classic BPF program the system call filter of this thread (struct sock_fprog; 8 bytes an instruction)."""
    address = bytes(memoryview(_Text(program)))
    _call("seccomp", 1, 0, (len(program) // 8).to_bytes(8, "little") + address)
