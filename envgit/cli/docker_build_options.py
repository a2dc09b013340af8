"""Options of `docker build` and `podman build` that are no options here, with what there is instead."""

from __future__ import annotations

from typing import Final

from .docker_options import DockerAwareCommand

_NO_CACHE_STORE: Final = "the cache is the repository's commits: envgit plan says what is reused"
_LIMITS: Final = "limit the whole command: systemd-run --scope -p MemoryMax=SIZE envgit build"
_SIGNED: Final = "the commits say what was done: envgit log, envgit export-recipe"

EQUIVALENTS: Final[dict[str, str]] = {
    "--add-host": "write the line into /etc/hosts of the environment, or use --network host",
    "--annotation": "give it with LABEL, or labels under [config]",
    "--attest": _SIGNED,
    "--builder": "there is no daemon and no builder to choose",
    "--cache-from": _NO_CACHE_STORE,
    "--cache-to": _NO_CACHE_STORE,
    "--cgroup-parent": _LIMITS,
    "--check": "use: envgit plan",
    "--compress": "nothing is sent anywhere: files of the context are read in place",
    "--cpu-quota": _LIMITS,
    "--cpu-shares": _LIMITS,
    "--cpuset-cpus": "start it with: taskset -c LIST envgit build ...",
    "--device": "devices of the host are never shown inside",
    "--dns": "add the server to /etc/resolv.conf of the host, or use --network host",
    "--force-rm": "a step leaves nothing but its commit",
    "--iidfile": "use: envgit build --json, or afterwards envgit log -1 --format=%H",
    "--isolation": "there is one kind of isolation: see docs/sandbox.md",
    "--jobs": "units are built one after the other",
    "--label": "give it with LABEL, or labels under [config]",
    "--layers": "every unit is a commit and is always kept",
    "--load": "the result is a branch of this repository already",
    "--memory": _LIMITS,
    "--metadata-file": "use: envgit build --json > FILE",
    "--no-cache-filter": "use: --from-step N, where envgit plan shows the stage begin",
    "--output": "build, then: envgit export BRANCH tar:FILE, or a folder's name",
    "--progress": "progress is plain lines on standard error; -q for none",
    "--provenance": _SIGNED,
    "--push": "build, then push the branch: git --git-dir=.envgit push REMOTE BRANCH",
    "--rm": "a step leaves nothing but its commit",
    "--sbom": "use: envgit packages --json",
    "--security-opt": "steps run with the default posture: see docs/sandbox.md",
    "--shm-size": "use RUN --mount=type=tmpfs,target=/dev/shm,size=SIZE",
    "--squash": "to have one commit: envgit export BRANCH tar:- | envgit import tar:-",
    "--ssh": "keys are not passed on: give a token with --secret id=NAME,src=FILE",
    "--tag": "the result is a branch: --branch NAME; or afterwards: envgit tag NAME",
    "-t": "the result is a branch: --branch NAME; or afterwards: envgit tag NAME",
    "--ulimit": "set it before: ulimit, then envgit build",
    "--volume": "use RUN --mount=type=cache or type=bind, or inputs of a [[step]]",
    "-v": "use RUN --mount=type=cache or type=bind, or inputs of a [[step]]",
    "-o": "build, then: envgit export BRANCH tar:FILE, or a folder's name",
}


class BuildCommand(DockerAwareCommand):
    """A verb that knows the options people bring along from docker build."""

    equivalents = EQUIVALENTS
