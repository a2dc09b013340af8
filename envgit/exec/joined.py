"""Clone a sandbox's first process into namespaces of which some exist already: a network that somebody else made."""

from __future__ import annotations

import os
from typing import NoReturn

from envgit.errors import SandboxError
from envgit.exec import linux
from envgit.exec.child import ChildPlan, report_failure, run_child
from envgit.exec.idmap import wait_status
from envgit.exec.mount.place import new_filesystem
from envgit.exec.mount.settings import NETWORK_PREFIX, write_settings
from envgit.exec.mount.system_mounts import MQUEUE_ATTRIBUTES, SYS_ATTRIBUTES, MountDev, MountSys
from envgit.exec.spec import JoinedNamespace

FLAGS = {"network": linux.CLONE_NEWNET, "ipc": linux.CLONE_NEWIPC, "uts": linux.CLONE_NEWUTS}


def clone_among(joined: tuple[JoinedNamespace, ...], plan: ChildPlan, flags: int) -> int:
    """Return the pid of a clone that is in the `joined` namespaces and in new ones of `flags` otherwise.

    A short-lived process enters them with the caller's power and clones with CLONE_PARENT. A /sys of a joined network,
    its settings, and the /dev/mqueue of a joined ipc namespace need that power too, so they are made there. Raises
    SandboxError when a namespace cannot be entered.
    """
    for each in joined:
        flags &= ~FLAGS[each.kind]
    answer_read, answer_write = os.pipe()
    helper = linux.clone_process(0)
    if helper == 0:
        _enter_and_clone(joined, plan, flags, answer_write)
    os.close(answer_write)
    answer = os.read(answer_read, 4096)
    os.close(answer_read)
    wait_status(helper)
    if not answer.isdigit():
        message = answer.decode("utf-8", "surrogateescape").split("\0")
        raise SandboxError(message[1] if len(message) > 1 else "cannot clone into joined namespaces")
    return int(answer)


def _enter_and_clone(joined: tuple[JoinedNamespace, ...], plan: ChildPlan, flags: int, answer: int) -> NoReturn:
    try:
        for each in joined:
            _enter(each)
        keep = plan.keep
        if not flags & linux.CLONE_NEWNET and plan.spec.network != "host":
            _write_network_settings(plan)
            keep = (*keep, *_make_sys(plan))
        if not flags & linux.CLONE_NEWIPC:
            keep = (*keep, *_make_mqueue(plan))
        pid = linux.clone_process(flags | linux.CLONE_PARENT)
        if pid == 0:
            run_child(plan._replace(keep=keep))
        os.write(answer, b"%d" % pid)
    except SandboxError as error:
        report_failure(answer, error)
    except OSError as error:
        report_failure(answer, SandboxError(f"joined namespaces: {os.fsdecode(error.filename or '')} {error.strerror}"))
    finally:
        os._exit(0)


def _enter(namespace: JoinedNamespace) -> None:
    path = os.fsdecode(namespace.path)
    try:
        fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.setns(fd, FLAGS[namespace.kind])
        finally:
            os.close(fd)
    except OSError as error:
        raise SandboxError(f"cannot join the {namespace.kind} namespace {path}: {error.strerror}") from error


def _write_network_settings(plan: ChildPlan) -> None:
    settings = tuple(each for each in plan.spec.sysctls if each[0].startswith(NETWORK_PREFIX))
    if settings:
        proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        write_settings(settings, proc)
        os.close(proc)


def _make_sys(plan: ChildPlan) -> tuple[int, ...]:
    for operation in plan.operations:
        if isinstance(operation, MountSys):
            operation.prepared = new_filesystem(b"sysfs", (), SYS_ATTRIBUTES)
            return (operation.prepared,)
    return ()


def _make_mqueue(plan: ChildPlan) -> tuple[int, ...]:
    for operation in plan.operations:
        if isinstance(operation, MountDev):
            operation.prepared_mqueue = new_filesystem(b"mqueue", (), MQUEUE_ATTRIBUTES)
            return (operation.prepared_mqueue,)
    return ()
