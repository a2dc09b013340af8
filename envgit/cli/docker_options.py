"""Options of `docker run` and `podman run` that are no options here, with what there is instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from envgit.errors import UsageError

from .command import VerbCommand

EQUIVALENTS: Final[dict[str, str]] = {
    "--blkio-weight": "there is no limit of input and output",
    "--cgroup-parent": "limits go to a group of envgit's own: --memory, --cpus, --pids-limit",
    "--cidfile": "run -d prints the id: envgit run -d ... > FILE",
    "--cpu-period": "use --cpus NUMBER",
    "--cpu-quota": "use --cpus NUMBER",
    "--cpu-shares": "use --cpus NUMBER",
    "--cpuset-cpus": "start it with: taskset -c LIST envgit run ...",
    "--device": "devices of the host are never shown inside",
    "--disable-content-trust": "every revision is verified",
    "--dns": "add the server to /etc/resolv.conf of the host, or use --network host",
    "--dns-search": "the host's search list is used",
    "--domainname": "use --hostname NAME",
    "--expose": "use -p PORT to publish a port",
    "--gpus": "devices of the host are never shown inside",
    "--group-add": "use -u USER:GROUP, or put the user into /etc/group of the environment",
    "--health-cmd": "check from outside: envgit exec NAME -- CMD",
    "--init": "the program is process 1; start one that reaps: envgit run -- tini -- CMD",
    "--ip": "a private network has the address 10.0.2.100; publish ports with -p",
    "--ipc": "every sandbox has its own shared memory: --shm-size SIZE",
    "--isolation": "there is one kind of isolation: see docs/sandbox.md",
    "--link": "publish a port of one and use the other with --network host, or run both in one sandbox with envgit exec",
    "--log-driver": "logs are files; read them with: envgit logs NAME",
    "--mac-address": "a private network has no address that the outside sees",
    "--memory-reservation": "use --memory SIZE",
    "--memory-swappiness": "use --memory-swap SIZE",
    "--network-alias": "use --add-host NAME:IP",
    "--no-healthcheck": "there are no health checks: check from outside with envgit exec NAME -- CMD",
    "--oom-kill-disable": "use a larger --memory",
    "--oom-score-adj": "start it with: choom -n NUMBER -- envgit run ...",
    "--pid": "every sandbox has its own processes; join one with: envgit exec NAME -- CMD",
    "--platform": "an environment runs on the machine it was made for",
    "--pod": "run the programs in one sandbox: envgit exec NAME -- CMD",
    "--pull": "environments are local: envgit branch",
    "--sig-proxy": "signals are always passed on",
    "--storage-opt": "there is no quota of the changes",
    "--sysctl": "settings of the kernel are not changed for a sandbox",
    "--userns": "a user namespace is always used; its ids: envgit doctor",
    "--uts": "every sandbox has its own host name: --hostname NAME",
    "--volume-driver": "volumes are folders in the repository: envgit volume create NAME",
}


class DockerAwareCommand(VerbCommand):
    """A verb that knows the options people bring along from docker and podman: `equivalents` says what there is instead."""

    equivalents: Mapping[str, str] = EQUIVALENTS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            equivalent = self.equivalents.get(error.option_name)
            if equivalent is None:
                raise
            raise UsageError(f"{error.option_name} is an option of docker, not of envgit", hint=equivalent) from error


class ProgramCommand(DockerAwareCommand):
    """A verb whose status is a program's: its own failures, wrong options among them, are 125."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.obj.runs_program = True
        return super().parse_args(ctx, args)
