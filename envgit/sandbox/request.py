"""What a user asks of a sandbox, before anything is looked up: one value that can be written down and run again."""

from __future__ import annotations

from envgit.light_typing import Literal, NamedTuple

NetworkMode = Literal["private", "none", "host"]


class MountRequest(NamedTuple):
    """A mount as asked for. `source`: an absolute path of the host (bind), a name (volume), REV:/path (rev), "" (tmpfs).

    `options`: further words as `--mount` and `--tmpfs` spell them, such as ("size", "64m").
    """

    kind: Literal["bind", "tmpfs", "volume", "rev"]
    source: str
    target: str
    readonly: bool = False
    options: tuple[tuple[str, str], ...] = ()


class LimitsRequest(NamedTuple):
    """Limits in the words of the options; None: not asked for. exec/cgroups/limits.py reads them."""

    memory: str | None = None
    memory_swap: str | None = None
    cpus: str | None = None
    pids_limit: str | None = None
    shm_size: str | None = None
    ulimits: tuple[str, ...] = ()


class RunRequest(NamedTuple):
    """What to run and how. Without `revision`: in the worktree, and changes stay."""

    revision: str | None = None
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    workdir: str | None = None
    user: str | None = None
    mounts: tuple[MountRequest, ...] = ()
    volumes_from: tuple[str, ...] = ()
    """NAME[:ro] of sandboxes whose mounts are taken."""
    files: tuple[tuple[str, bytes], ...] = ()
    """(path, content): files that are mounted from memory; never part of a record of a sandbox."""
    settled: bool = False
    """What the environment itself asks for is in here already, as far as it was granted, or is not wanted (sandbox/grants.py)."""
    clean_environment: bool = False
    """Nothing of the caller's variables reaches inside, not even LANG and TZ."""
    interactive: bool = False
    terminal: bool = False
    network: NetworkMode | None = None
    """None: private where it can be had, else none with a warning."""
    network_helper: str = "auto"
    """What connects a private network: auto, pasta, slirp4netns or veth."""
    publish: tuple[str, ...] = ()
    """As -p spells them."""
    publish_all: bool = False
    hostname: str | None = None
    add_hosts: tuple[str, ...] = ()
    read_only: bool = False
    entrypoint: str | None = None
    limits: LimitsRequest = LimitsRequest()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: str = ""
    """"": the built-in filter; "unconfined"; or the path of a profile."""
    new_privileges: bool = False
    nested_namespaces: bool = False
    runtime: str = ""
    """"": the built-in runner; or the name or path of an OCI runtime."""
    name: str | None = None
    detach: bool = False
    remove: bool = False
    restart: str = "no"
    """no, on-failure[:N], always, unless-stopped."""
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    log_max_bytes: int = 10 << 20
    log_max_files: int = 3
