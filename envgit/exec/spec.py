"""What a sandbox is: one frozen value, made by a use case, executed by the runner, convertible to an OCI spec.

Paths and strings that reach the kernel are bytes. Nothing here touches the system.
"""

from __future__ import annotations

from envgit.exec.identity import Identity
from envgit.exec.network.subnet import Subnet
from envgit.light_typing import Literal, NamedTuple, TypeAlias
from envgit.model import IdMap

CAPABILITY_NUMBERS = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_FOWNER": 3, "CAP_FSETID": 4, "CAP_KILL": 5,
    "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_LINUX_IMMUTABLE": 9, "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_BROADCAST": 11, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_IPC_OWNER": 15,
    "CAP_SYS_MODULE": 16, "CAP_SYS_RAWIO": 17, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19, "CAP_SYS_PACCT": 20,
    "CAP_SYS_ADMIN": 21, "CAP_SYS_BOOT": 22, "CAP_SYS_NICE": 23, "CAP_SYS_RESOURCE": 24, "CAP_SYS_TIME": 25,
    "CAP_SYS_TTY_CONFIG": 26, "CAP_MKNOD": 27, "CAP_LEASE": 28, "CAP_AUDIT_WRITE": 29, "CAP_AUDIT_CONTROL": 30,
    "CAP_SETFCAP": 31, "CAP_MAC_OVERRIDE": 32, "CAP_MAC_ADMIN": 33, "CAP_SYSLOG": 34, "CAP_WAKE_ALARM": 35,
    "CAP_BLOCK_SUSPEND": 36, "CAP_AUDIT_READ": 37, "CAP_PERFMON": 38, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40,
}  # fmt: skip

DEFAULT_CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETFCAP",
    "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip

MASKED_PATHS = (
    b"/proc/acpi", b"/proc/asound", b"/proc/interrupts", b"/proc/kcore", b"/proc/keys", b"/proc/latency_stats",
    b"/proc/sched_debug", b"/proc/scsi", b"/proc/timer_list", b"/proc/timer_stats", b"/sys/firmware",
    b"/sys/devices/virtual/powercap", b"/sys/fs/selinux", b"/sys/devices/system/cpu/cpu*/thermal_throttle",
)  # fmt: skip
"""A `*` matches within one component. A path that does not exist is skipped; a mask that fails is fatal."""

READONLY_PATHS = (b"/proc/bus", b"/proc/fs", b"/proc/irq", b"/proc/sys", b"/proc/sysrq-trigger")

RESERVED_TARGETS = (b"/proc", b"/sys", b"/dev")
"""A caller's mount is never placed on the root, nor on or below these (`/dev/shm` excepted)."""


class OverlayRoot(NamedTuple):
    """A root file system that this sandbox mounts itself.

    `lowers` top first. `upper` and `work` are on one file system, belong to inside id 0 on disk, and no other mount
    uses them; after a volatile run `work` cannot be used again. Every path is absolute;
    the folder that contains all of them need not be reachable for inside ids.
    """

    lowers: tuple[bytes, ...]
    upper: bytes
    work: bytes
    volatile: bool = False
    """The changes are thrown away: never sync."""


class DirectoryRoot(NamedTuple):
    """A finished root file system in a directory, as OCI bundles have it; its files are owned as the id map says."""

    path: bytes


class LiveRoot(NamedTuple):
    """The root of a running sandbox, joined; `pid` and `start_time` (ticks since boot) as on_started gave them."""

    pid: int
    start_time: int


class Inside(NamedTuple):
    """Every namespace of a running sandbox, joined: its mounts, processes, network. What the spec says of mounts, files,
    host name and network does not apply; user, capabilities, limits and the system call filter do."""

    pid: int
    start_time: int


class Mount(NamedTuple):
    """A caller's mount; always nodev and nosuid. `target` is absolute inside, links honoured with the environment as `/`.

    "bind": `source` of the host, opened with the caller's rights. "tmpfs": empty memory. "volume": the folder `source` of the
    store, whose owners on disk are the sandbox's. "layers": the stack `layers`, top first, read-only whatever happens.
    """

    kind: Literal["bind", "tmpfs", "volume", "layers"]
    target: bytes
    source: bytes = b""
    readonly: bool = False
    noexec: bool = False
    options: tuple[tuple[bytes, bytes], ...] = ()
    """Of tmpfs, as the kernel spells them: size, mode, uid, gid, nr_inodes."""
    layers: tuple[bytes, ...] = ()
    subpath: bytes = b""
    """Of volume and layers: what of them is shown, resolved with them as `/`."""
    insist: bool = False
    """Of bind: also the socket of a container engine."""
    within: bytes = b""
    """Of bind: the folder, without links in its path, that the source must really lie in or be; empty: anywhere."""
    marker: bytes = b""
    """Of volume: a file with `new`; what the environment has at the target is copied into the volume, then it says `used`."""


Root: TypeAlias = OverlayRoot | DirectoryRoot | LiveRoot | Inside
Network: TypeAlias = Literal["none", "host", "tap", "veth"]
"""none: the own loopback. host: the caller's. tap: the own, with an interface of which the monitor hears
when it is used. veth: the own,
into which the monitor moves an interface before the program starts."""

SHM_BYTES = 64 << 20


class JoinedNamespace(NamedTuple):
    """A namespace that exists: `path` names it (/proc/PID/ns/..., or where one is bound), on the host."""

    kind: Literal["network", "ipc", "uts"]
    path: bytes


class SandboxSpec(NamedTuple):
    """Everything the runner needs to know; no default depends on the host."""

    argv: tuple[bytes, ...]
    root: Root
    idmap: IdMap
    env: tuple[tuple[bytes, bytes], ...] = ()
    """Exactly the program's environment; HOME alone is added from the environment's passwd when it is not given."""
    cwd: bytes = b"/"
    user: bytes = b""
    """NAME|UID[:GROUP|GID]; empty is root."""
    hostname: bytes = b"envgit"
    terminal: bool = False
    network: Network = "none"
    subnet: Subnet = Subnet()
    """Addresses of a "tap"."""
    mounts: tuple[Mount, ...] = ()
    files: tuple[tuple[bytes, bytes], ...] = ()
    """(path, content): memory files mounted over the path; a missing mount point is created as an empty file."""
    capabilities: tuple[str, ...] = DEFAULT_CAPABILITIES
    masked: tuple[bytes, ...] = MASKED_PATHS
    readonly: tuple[bytes, ...] = READONLY_PATHS
    readonly_root: bool = False
    nested_namespaces: bool = False
    """Allow programs inside to create user namespaces of their own."""
    no_new_privileges: bool = True
    seccomp: bytes = b""
    """The system call filter as a classic BPF program (see exec/seccomp); empty: none."""
    rlimits: tuple[tuple[int, int, int], ...] = ()
    """(resource number, soft, hard)."""
    oom_score_adj: int | None = None
    """None: the caller's, but never below 0, which is a privilege."""
    shm_bytes: int = SHM_BYTES
    """Size of /dev/shm."""
    forbidden_sources: tuple[bytes, ...] = ()
    """Host folders that no bind mount may be or lie in (the store), besides /proc, /sys, /dev; below one they are covered."""
    identity: Identity | None = None
    """Who the program runs as, by numbers; then `user` is not looked at."""
    umask: int = 0o022
    joined: tuple[JoinedNamespace, ...] = ()
    """Entered instead of made; the caller must have power over them. A joined host name stays as it is."""
    sysctls: tuple[tuple[bytes, bytes], ...] = ()
    """(name with dots, value): settings of the sandbox's own namespaces, written below its /proc/sys."""
    fresh_run: bool = True
    """Mount an empty /run; else the root's own is seen."""
    volume_ids_as_on_disk: bool = False
    """For root: files of bind mounts belong inside to whoever the id map says, instead of to the same numbers as outside."""


def capability_mask(names: tuple[str, ...]) -> int:
    """Return the bit mask of capability names; KeyError for an unknown one."""
    return sum(1 << CAPABILITY_NUMBERS[name] for name in set(names))
