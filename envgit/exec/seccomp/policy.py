"""Which system calls a sandbox may make, as data. Every call of the table `syscalls.txt` is in exactly one group.

It starts from what docker's and podman's default profiles allow and is tighter where a sandbox of envgit needs less. The filter
does not repeat what namespaces and capabilities decide: it keeps code of the kernel out of reach that no program here
needs. How a call is refused follows what callers do about it: EPERM where the kernel itself would say so to somebody
without the privilege, ENOSYS where programs try a newer call and fall back to an older one.
"""

from __future__ import annotations

import errno
from typing import NamedTuple

NESTED = "nested namespaces"
"""Stands among the grants for the setting that lets programs create namespaces of their own."""


class Group(NamedTuple):
    """Calls with one purpose. Without `granted_by` they are always allowed."""

    purpose: str
    calls: tuple[str, ...]
    granted_by: tuple[str, ...] | None = None
    """Any one of these capabilities (or NESTED) allows them; (): nothing does."""
    refused_with: int = errno.EPERM


def _group(purpose: str, calls: str, granted_by: tuple[str, ...] | None = None, refused: int = errno.EPERM) -> Group:
    return Group(purpose, tuple(calls.split()), granted_by, refused)


UNKNOWN = errno.ENOSYS
"""The answer to every number that no group names, to other architectures and to other ABIs of the same one."""

ALWAYS = (
    _group(
        "files by descriptor",
        """close close_range copy_file_range dup dup2 dup3 fadvise64 fallocate fchdir fchmod fchown fcntl fdatasync flock
        fstat fstatfs fsync ftruncate getdents getdents64 lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read
        readahead readv sendfile splice sync sync_file_range syncfs tee write writev cachestat""",
    ),
    _group(
        "files by name",
        """access chdir chmod chown creat faccessat faccessat2 fchmodat fchmodat2 fchownat file_getattr file_setattr
        futimesat getcwd lchown link linkat lstat mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat
        openat2 readlink readlinkat rename renameat renameat2 rmdir stat statfs statx symlink symlinkat truncate umask
        unlink unlinkat utime utimensat utimes listmount statmount""",
    ),
    _group(
        "extended attributes",
        """fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
        lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat""",
    ),
    _group(
        "waiting for events",
        """epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 fanotify_mark
        inotify_add_watch inotify_init inotify_init1 inotify_rm_watch pause pipe pipe2 poll ppoll pselect6 select
        signalfd signalfd4 timerfd_create timerfd_gettime timerfd_settime""",
    ),
    _group("asynchronous files", "io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit"),
    _group(
        "memory",
        """brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mprotect
        mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages""",
    ),
    _group(
        "processes and threads",
        """arch_prctl capget capset execve execveat exit exit_group fork get_robust_list getcpu getpgid getpgrp getpid
        getppid getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open pidfd_send_signal
        prctl prlimit64 process_mrelease restart_syscall rseq sched_get_priority_max sched_get_priority_min
        sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
        sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_tid_address setpgid setpriority
        setrlimit setsid times vfork wait4 waitid""",
    ),
    _group("locks", "futex futex_requeue futex_wait futex_waitv futex_wake"),
    _group(
        "signals",
        """alarm getitimer rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
        rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack tgkill tkill""",
    ),
    _group(
        "users and groups",
        """getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid
        setresgid setresuid setreuid setuid""",
    ),
    _group(
        "time; setting it is refused by the kernel, reading it with the same calls is common",
        """adjtimex clock_adjtime clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time timer_create
        timer_delete timer_getoverrun timer_gettime timer_settime""",
    ),
    _group(
        "sockets; see FAMILIES",
        """accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg
        sendmsg sendto setsockopt shutdown""",
    ),
    _group(
        "System V and POSIX messages, semaphores and shared memory, in a namespace of their own",
        """mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl
        semget semop semtimedop shmat shmctl shmdt shmget""",
    ),
    _group("the system", "getrandom sysinfo uname"),
    _group("restricting oneself", "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp"),
    _group(
        "debuggers: they reach what is in the pid namespace and has the same ids; before Linux 4.8 ptrace could pass by a "
        "filter, but those kernels cannot run envgit",
        "process_vm_readv process_vm_writev ptrace",
    ),
    _group("what a probed program executes without knowing: refusing it kills the program", "uprobe uretprobe"),
)

PRIVILEGED = (
    _group("root directory", "chroot", ("CAP_SYS_CHROOT", NESTED)),
    _group("namespaces", "setns", ("CAP_SYS_ADMIN", NESTED)),
    _group(
        "clone with a structure in memory, which no filter can look at", "clone3", ("CAP_SYS_ADMIN", NESTED), UNKNOWN
    ),
    _group("mounts", "mount pivot_root umount2", ("CAP_SYS_ADMIN", NESTED)),
    _group(
        "mounts by descriptor, with structures in memory: programs try these and fall back",
        "fsconfig fsmount fsopen fspick mount_setattr move_mount open_tree open_tree_attr",
        ("CAP_SYS_ADMIN", NESTED),
        UNKNOWN,
    ),
    _group("names of the host", "setdomainname sethostname", ("CAP_SYS_ADMIN", NESTED)),
    _group("watching a whole file system", "fanotify_init", ("CAP_SYS_ADMIN",)),
    _group("quotas", "quotactl quotactl_fd", ("CAP_SYS_ADMIN",)),
    _group("profiles of code", "lookup_dcookie", ("CAP_SYS_ADMIN",)),
    _group("security modules", "lsm_get_self_attr lsm_list_modules lsm_set_self_attr", ("CAP_SYS_ADMIN",), UNKNOWN),
    _group("files by handle, past every directory (shocker)", "open_by_handle_at", ("CAP_DAC_READ_SEARCH",)),
    _group("programs in the kernel", "bpf", ("CAP_BPF", "CAP_SYS_ADMIN")),
    _group("performance counters", "perf_event_open", ("CAP_PERFMON", "CAP_SYS_ADMIN")),
    _group("messages of the kernel", "syslog", ("CAP_SYSLOG", "CAP_SYS_ADMIN")),
    _group("other processes' descriptors and memory", "kcmp pidfd_getfd process_madvise", ("CAP_SYS_PTRACE",)),
    _group(
        "placement of memory: libnuma takes ENOSYS for a machine without NUMA and is silent",
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        ("CAP_SYS_NICE",),
        UNKNOWN,
    ),
    _group("the clock", "clock_settime settimeofday", ("CAP_SYS_TIME",)),
    _group("modules", "delete_module finit_module init_module", ("CAP_SYS_MODULE",)),
    _group("restart", "reboot", ("CAP_SYS_BOOT",)),
    _group("accounting", "acct", ("CAP_SYS_PACCT",)),
    _group("ports", "ioperm iopl", ("CAP_SYS_RAWIO",)),
    _group("hanging up a terminal", "vhangup", ("CAP_SYS_TTY_CONFIG",)),
)

NEVER = (
    _group("another kernel", "kexec_file_load kexec_load", ()),
    _group("swap", "swapoff swapon", ()),
    _group(
        "rings shared with the kernel: a second way to make nearly every call, past this filter; EPERM is what "
        "kernel.io_uring_disabled answers",
        "io_uring_enter io_uring_register io_uring_setup",
        (),
    ),
    _group(
        "keys, which no namespace covers; ENOSYS is a kernel without them", "add_key keyctl request_key", (), UNKNOWN
    ),
    _group("page faults handled by programs, the helper of many exploits", "userfaultfd", ()),
    _group("pages of memory given to pipes, shared with a child that was given less", "vmsplice", ()),
    _group("moving other processes' pages", "migrate_pages move_pages", (), UNKNOWN),
    _group("segments of 16- and 32-bit programs, which do not run here", "modify_ldt", (), UNKNOWN),
    _group(
        "nothing that a kernel of today does, or that a C library of today asks for",
        """_sysctl afs_syscall create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg nfsservctl
        putpmsg query_module security set_thread_area sysfs tuxcall uselib ustat vserver""",
        (),
        UNKNOWN,
    ),
)

GROUPS = (*ALWAYS, *PRIVILEGED, *NEVER)

# calls whose arguments decide

FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the only families of `socket` and `socketpair`. Any other one loads a module of
the kernel; AF_VSOCK is a channel to the host of a virtual machine, AF_ALG a way to the kernel's ciphers."""

PACKET_FAMILY = 17
"""AF_PACKET, with CAP_NET_RAW: without it the kernel refuses it anyway."""

REFUSED_IOCTLS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX type into the terminal. The kernel reads 32 bits of the request (CVE-2019-10063)."""

CLONE_FLAGS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""

UNSHARE_FLAGS = (0x00000080, *CLONE_FLAGS)
"""CLONE_NEWTIME too; in the argument of clone this bit belongs to the signal."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux, Linux on a 32-bit machine, each also with the version of 2.6, and the question. The others weaken address space layout
randomisation and what may be executed, or emulate other systems."""

BY_ARGUMENT = ("clone", "ioctl", "personality", "socket", "socketpair", "unshare")
