"""The filter of a sandbox as bytes for the kernel. Nothing is compiled where the compiled default fits."""

from __future__ import annotations

import os

from envgit.exec import linux
from envgit.light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envgit.exec.seccomp.profile_file import Filter

_FOLDER = os.path.dirname(__file__)

DECIDING_CAPABILITIES = frozenset({
    "CAP_BPF", "CAP_DAC_READ_SEARCH", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT", "CAP_SYS_MODULE", "CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG",
})  # fmt: skip
"""The capabilities that the policy asks for; the others change nothing."""

COMPILED_CAPABILITIES = frozenset({"CAP_SYS_CHROOT"})
"""Those of them that the default sandbox has: the checked-in programs are made for these."""


def default_program(
    capabilities: tuple[str, ...], nested_namespaces: bool = False, architecture: str | None = None
) -> bytes:
    """Return the BPF program of the default policy, of this machine's architecture unless another is named.

    Read from a file for the default capabilities, otherwise compiled (2 to 5 ms): call it before the clone, because compiling
    imports modules. Raises HostUnsupported on an architecture without a table.
    """
    name = architecture or os.uname().machine
    if not nested_namespaces and DECIDING_CAPABILITIES.intersection(capabilities) == COMPILED_CAPABILITIES:
        try:
            fd = os.open(f"{_FOLDER}/default-{name}.bpf", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            pass
        else:
            try:
                return os.read(fd, 1 << 16)
            finally:
                os.close(fd)
    from envgit.exec.seccomp.compiler import compile_profile
    from envgit.exec.seccomp.numbers import host_architecture, load_architecture

    machine = load_architecture(architecture or host_architecture())
    return compile_profile(default_profile(capabilities, nested_namespaces, machine.name), machine)


def default_profile(
    capabilities: tuple[str, ...], nested_namespaces: bool = False, architecture: str | None = None
) -> dict[str, Any]:
    """Return the default policy as an OCI `linux.seccomp` structure, ready for a JSON encoder."""
    from envgit.exec.seccomp import profile

    return profile.default_profile(capabilities, nested_namespaces, architecture)


def profile_program(text: bytes, capabilities: tuple[str, ...], architecture: str | None = None) -> Filter:
    """Compile a profile in the format of docker and podman, or OCI's; UsageError says what is wrong with it."""
    from envgit.exec.seccomp import profile_file

    return profile_file.profile_program(text, capabilities, architecture)


def oci_program(structure: dict[str, Any], architecture: str | None = None) -> Filter:
    """Compile the `linux.seccomp` structure of an OCI runtime spec; UsageError says what is wrong with it."""
    from envgit.exec.seccomp import profile_file

    return profile_file.oci_program(structure, architecture)


def install(program: bytes) -> None:
    """Filter every further system call of this process and its children, for good.

    Needs no_new_privs, or CAP_SYS_ADMIN in this user namespace. An empty program is none. Raises OSError: EINVAL for a program
    that the kernel refuses, EACCES without the privilege, ENOSYS on a kernel without filters.
    """
    if program:
        linux.install_filter(program)
