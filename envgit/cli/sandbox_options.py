"""The options of every verb that starts a sandbox, in docker's and podman's words, and the RunRequest they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from envgit.errors import UsageError
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest

from .run_options import parse_environment
from .run_values import parse_labels, parse_log_options, parse_security_options


def _option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    return click.option(*names, **attributes)


_PROGRAM = (
    _option("-e", "--env", metavar="NAME[=VALUE]", multiple=True, help="Set a variable, or pass yours on."),
    _option("--env-file", metavar="FILE", multiple=True, help="Read variables from FILE."),
    _option("-w", "--workdir", metavar="DIR", help="Working directory inside."),
    _option("-u", "--user", metavar="USER[:GROUP]", help="User, by name or number."),
    _option("--hostname", metavar="NAME", help="Host name inside."),
)
_FILES = (
    _option("-v", "--volume", metavar="SOURCE:TARGET[:ro]", multiple=True, help="Show a host path or a volume inside."),
    _option("--mount", metavar="type=...,src=...,dst=...", multiple=True, help="Mount: bind, tmpfs, volume, rev."),
    _option("--tmpfs", metavar="DIR[:OPTIONS]", multiple=True, help="An empty folder in memory."),
    _option("--volumes-from", metavar="NAME[:ro]", multiple=True, help="The mounts of another sandbox."),
    _option("--read-only", is_flag=True, help="The environment cannot be written to."),
)
_NETWORK = (
    _option(
        "--network",
        "--net",
        type=click.Choice(["private", "none", "host"]),
        help="private (default): outbound only; none; host: this machine's.",
    ),
    _option(
        "-p", "--publish", metavar="[[IP:]HOST:]PORT", multiple=True, help="Publish a port, on 127.0.0.1 if no IP."
    ),
    _option("-P", "--publish-all", is_flag=True, help="Publish every port the environment declares."),
    _option("--add-host", metavar="NAME:IP", multiple=True, help="A line for /etc/hosts."),
)
_LIMITS = (
    _option("-m", "--memory", metavar="SIZE", help="Most memory, such as 512m."),
    _option("--memory-swap", metavar="SIZE", help="Most memory and swap together."),
    _option("--cpus", metavar="NUMBER", help="Most processors, such as 1.5."),
    _option("--pids-limit", metavar="NUMBER", help="Most processes and threads."),
    _option("--shm-size", metavar="SIZE", help="Size of /dev/shm (64m)."),
    _option("--ulimit", metavar="NAME=SOFT[:HARD]", multiple=True, help="A resource limit of each process."),
)
_RIGHTS = (
    _option("--cap-add", metavar="CAP", multiple=True, help="Give root inside a capability."),
    _option("--cap-drop", metavar="CAP", multiple=True, help="Take one away; ALL: all of them."),
    _option(
        "--security-opt", metavar="OPTION", multiple=True, help="seccomp=FILE|unconfined, no-new-privileges=false."
    ),
    _option("--privileged", is_flag=True, hidden=True),
)
_LIFE = (
    _option("-d", "--detach", is_flag=True, help="Run in the background; print the sandbox's id."),
    _option("--name", metavar="NAME", help="A name for ps, logs, exec, stop, rm; it is kept until rm."),
    _option("--rm", "remove", is_flag=True, help="Leave nothing behind when it ends."),
    _option("--restart", metavar="POLICY", default="no", help="no, on-failure[:N], always, unless-stopped."),
    _option("--stop-signal", metavar="SIGNAL", help="What `stop` sends first (TERM)."),
    _option("-l", "--label", metavar="NAME=VALUE", multiple=True, help="A label, for ps --filter."),
    _option("--log-opt", metavar="NAME=VALUE", multiple=True, help="max-size=10m, max-file=3."),
)


def sandbox_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every sandbox can be given."""
    for option in reversed(_PROGRAM + _FILES + _NETWORK + _LIMITS + _RIGHTS):
        command = option(command)
    return command


def life_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what a sandbox that outlives its command can be given."""
    for option in reversed(_LIFE):
        command = option(command)
    return command


def make_request(options: Mapping[str, Any], environ: Mapping[str, str], directory: str, **given: Any) -> RunRequest:
    """Return the request of a verb's options. `directory`: what relative paths start from. Raises UsageError."""
    if options["privileged"]:
        raise UsageError(
            "--privileged is refused: it would give the environment the whole machine",
            hint="give what is needed: --cap-add CAP, -v PATH:PATH, --security-opt seccomp=unconfined, --network host",
        )
    security = parse_security_options(options["security_opt"])
    life: dict[str, Any] = {}
    if "detach" in options:
        log = parse_log_options(options["log_opt"])
        life = {
            "detach": options["detach"], "name": options["name"], "remove": options["remove"],
            "restart": options["restart"], "stop_signal": options["stop_signal"] or "",
            "labels": parse_labels(options["label"]), "log_max_bytes": log.most_bytes, "log_max_files": log.most_files,
        }  # fmt: skip
    return RunRequest(
        env=parse_environment(options["env"], options["env_file"], environ),
        workdir=options["workdir"],
        user=options["user"],
        mounts=_mounts(options, directory),
        volumes_from=tuple(options["volumes_from"]),
        network=options["network"],
        publish=tuple(options["publish"]),
        publish_all=options["publish_all"],
        hostname=options["hostname"],
        add_hosts=tuple(options["add_host"]),
        read_only=options["read_only"],
        limits=LimitsRequest(
            options["memory"], options["memory_swap"], options["cpus"], options["pids_limit"], options["shm_size"],
            tuple(options["ulimit"]),
        ),
        cap_add=tuple(options["cap_add"]),
        cap_drop=tuple(options["cap_drop"]),
        seccomp=security.seccomp,
        new_privileges=security.new_privileges,
        nested_namespaces=security.nested_namespaces,
        **life,
        **given,
    )  # fmt: skip


def _mounts(options: Mapping[str, Any], directory: str) -> tuple[MountRequest, ...]:
    if not (options["volume"] or options["mount"] or options["tmpfs"]):
        return ()
    from envgit.sandbox.mounts import parse_mount, parse_tmpfs, parse_volume

    return (
        *(parse_volume(text, directory) for text in options["volume"]),
        *(parse_mount(text, directory) for text in options["mount"]),
        *(parse_tmpfs(text) for text in options["tmpfs"]),
    )
