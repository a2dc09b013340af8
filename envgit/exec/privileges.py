"""What the program may do: capabilities in all five sets, ids, no_new_privs, keyring, limits.

Everything is set explicitly and in an order that never needs a privilege just given up.
"""

from __future__ import annotations

import errno
import os

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.identity import Identity

SIGKILL = 9


def become_namespace_root(groups_allowed: bool) -> None:
    """Become uid 0 of the user namespace just mapped. Without mapped groups, setgroups is denied by the kernel."""
    if groups_allowed:
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    harden_process()


def harden_process() -> None:
    """Die with the monitor and be invisible to ptrace and /proc; every change of ids undoes both, so call it again."""
    linux.prctl(linux.PR_SET_PDEATHSIG, SIGKILL)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)


def drop_privileges(identity: Identity, capabilities: int, groups_allowed: bool, no_new_privileges: bool) -> None:
    """Leave `capabilities` in the bounding set, and in permitted and effective if the program runs as uid 0.

    Inheritable and ambient end empty. Raises SandboxError when the ids are not in the map.
    """
    for number in range(64):
        if not capabilities >> number & 1:
            try:
                linux.prctl(linux.PR_CAPBSET_DROP, number)
            except OSError as error:
                if error.errno != errno.EINVAL:  # beyond the kernel's last capability
                    raise
                break
    linux.prctl(linux.PR_CAP_AMBIENT, linux.PR_CAP_AMBIENT_CLEAR_ALL)
    try:
        if groups_allowed:
            os.setgroups(identity.groups)
        os.setresgid(identity.gid, identity.gid, identity.gid)
        os.setresuid(identity.uid, identity.uid, identity.uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise SandboxError(
            f"user {identity.uid}:{identity.gid} is not in this sandbox's id map",
            hint="the map is in /proc/self/uid_map inside; `envgit doctor` says how many ids there are, and how to have more",
        ) from error
    kept = capabilities if identity.uid == 0 else 0
    linux.capset(kept, kept, 0)
    if no_new_privileges:
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    harden_process()
