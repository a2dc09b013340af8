"""What an environment asks for, put below what the command line asks for: the words of the user always win."""

from __future__ import annotations

import os
from collections.abc import Sequence

from envgit.declaration.values import Sandbox
from envgit.errors import UsageError
from envgit.exec.ports.publish import parse_publish
from envgit.sandbox.mount_syntax import parse_mount, parse_tmpfs, parse_volume, split_fields
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest


def merge_asked(request: RunRequest, asked: Sandbox, project: str) -> RunRequest:
    """Return the request with everything in `asked` that it does not say otherwise.

    Relative paths are relative to the folder `project` and stay inside it. Raises UsageError for a mount that cannot be made.
    """
    network = request.network or asked.network
    reachable = network in (None, "private")
    mounts = _mounts(request.mounts, asked, os.path.realpath(project))
    return request._replace(
        network=network,
        publish=(*_publish(request.publish, asked.publish), *request.publish) if reachable else request.publish,
        publish_all=request.publish_all or (asked.publish_all and reachable),
        add_hosts=(*asked.add_host, *request.add_hosts),
        hostname=request.hostname or asked.hostname,
        mounts=(*request.mounts, *mounts),
        read_only=request.read_only or asked.read_only,
        limits=_limits(request.limits, asked),
        cap_add=(*request.cap_add, *_without(asked.cap_add, request.cap_drop)),
        cap_drop=(*request.cap_drop, *_without(asked.cap_drop, request.cap_add)),
        seccomp=request.seccomp or ("unconfined" if _says(asked, "seccomp") else ""),
        new_privileges=request.new_privileges or _says(asked, "no-new-privileges"),
        nested_namespaces=request.nested_namespaces or _says(asked, "nested-namespaces"),
    )


def real_source(text: str, project: str) -> str | None:
    """Return where a relative source, of a volume or mount as it is written, really is; None: it is not relative to the project."""
    source = text.split(":")[0]
    if "=" in source:
        fields = (field.partition("=") for field in split_fields(text))
        source = next((value for name, _, value in fields if name in ("src", "source")), "")
        kinds = [field for field in split_fields(text) if field.startswith("type=")]
        if kinds[-1:] != ["type=bind"]:
            return None
    elif not source.startswith("."):
        return None
    return None if source.startswith("/") else os.path.realpath(os.path.join(project, source))


def _mounts(given: Sequence[MountRequest], asked: Sandbox, project: str) -> list[MountRequest]:
    targets = {mount.target for mount in given}
    made: list[MountRequest] = []
    for text in (*asked.volume, *asked.mount):
        real = real_source(text, project)
        if real is not None and real != project and not real.startswith(project.rstrip("/") + "/"):
            raise UsageError(
                f"the environment asks for {text!r}, which leads out of the project to {real}",
                hint="name the folder yourself with -v, which takes the place of what it asks for",
            )
        mount = parse_mount(text, project) if text in asked.mount else parse_volume(text, project)
        if real is not None:  # the folder may become a link before it is opened: then it is looked at again
            mount = mount._replace(source=real, options=(*mount.options, ("within", project)))
        made.append(mount)
    made += [parse_tmpfs(text) for text in asked.tmpfs]
    return [mount for mount in made if mount.target not in targets]


def _publish(given: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Leave out what is asked for a port inside that the user publishes."""
    taken = {(wish.port, wish.protocol) for text in given for wish in parse_publish(text)}
    return [text for text in asked if taken.isdisjoint((wish.port, wish.protocol) for wish in parse_publish(text))]


def _limits(given: LimitsRequest, asked: Sandbox) -> LimitsRequest:
    names = {text.partition("=")[0] for text in given.ulimits}
    own_swap = given.memory_swap or (None if given.memory else asked.memory_swap)
    return LimitsRequest(
        memory=given.memory or asked.memory,
        memory_swap=own_swap,
        cpus=given.cpus or asked.cpus,
        pids_limit=given.pids_limit or asked.pids_limit,
        shm_size=given.shm_size or asked.shm_size,
        ulimits=(*given.ulimits, *(text for text in asked.ulimit if text.partition("=")[0] not in names)),
    )


def _without(asked: Sequence[str], refused: Sequence[str]) -> list[str]:
    """Return the capabilities asked for that the user did not decide about."""
    names = {_capability(name) for name in refused}
    return [] if "ALL" in names else [name for name in asked if _capability(name) not in names]


def _capability(name: str) -> str:
    return name.upper().removeprefix("CAP_")


def _says(asked: Sandbox, option: str) -> bool:
    return any(text.replace(":", "=").partition("=")[0] == option for text in asked.security_opt)
