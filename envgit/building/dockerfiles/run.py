"""RUN of a Dockerfile as a Run: its command line, heredocs and mounts."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from posixpath import basename
from typing import Final

from envgit.building.dockerfiles.config import command_words
from envgit.building.dockerfiles.names import Names
from envgit.building.dockerfiles.paths import absolute_path
from envgit.building.dockerfiles.variables import Variables
from envgit.building.unit import CacheMount, Context, Injected, Run, SecretMount, StepMount, TmpfsMount, TreeMount
from envgit.dockerfile import instructions as written
from envgit.dockerfile.heredoc_words import parse_heredoc_word
from envgit.dockerfile.mounts import Mount, parse_mount
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig

SCRIPT_FOLDER: Final = "/run/envgit/heredoc"
"""Where the script of a heredoc that begins with #! lies while it runs."""

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_CACHE_MODE: Final = 0o755


def run_action(run: written.Run, config: EnvironmentConfig, variables: Variables, names: Names) -> Run:
    """Return what RUN runs, with the variables of ARG. Raises UsageError, without a place, for what is not supported."""
    refuse_run(run)
    files: tuple[Injected, ...] = ()
    script = _whole_heredoc(run)
    if script is not None and script.startswith("#!"):
        name = run.heredocs[0].name
        path = f"{SCRIPT_FOLDER}/{name if _PLAIN_NAME.fullmatch(name) else 'script'}"
        files = (Injected(path, script.encode("utf-8", "surrogateescape")),)
        argv = script_argv(script, path)
    else:
        argv = command_words(config, run.command._replace(words=_with_heredocs(run, script)))
    if not argv:
        raise UsageError("RUN has no command", hint='RUN COMMAND, or RUN ["PROGRAM", "WORD", ...]')
    mounts = [mount for text in run.mounts for mount in _mounts(text, config, variables.expand, names)]
    network = "" if run.network == "default" else run.network
    return Run(argv, env=variables.beside(config), network=network, mounts=tuple(mounts), files=files)


def refuse_run(run: written.Run) -> None:
    """Raise UsageError for what no RUN can have here, as far as it shows before variables are known."""
    if run.security != "sandbox":
        hint = "leave the option out: every RUN has the sandbox of envgit run"
        raise UsageError(f"RUN --security={run.security} is not supported", hint=hint)
    if run.devices:
        raise UsageError("RUN --device is not supported", hint="no device of this machine is given to a build")
    for text in run.mounts:
        if "$" not in text:
            _refuse_mount(parse_mount(text))


def mount_origins(run: written.Run) -> Iterator[str]:
    """Yield the names of stages, images and revisions that mounts of RUN are from: in those, variables never expand."""
    for text in run.mounts:
        for field in next(csv.reader([text]), []):
            key, _, value = field.partition("=")
            if key.lower() == "from" and value:
                yield value


def script_argv(script: str, path: str) -> tuple[str, ...]:
    """Return how the kernel starts a script: its interpreter, at most one argument of it, and the path (execve(2)).

    So the file needs no execute permission, and the environment no shell.
    """
    line = script.split("\n", 1)[0][2:].strip(" \t\r")
    interpreter, _, argument = line.partition(" ")
    if "\t" in interpreter:
        interpreter, _, argument = line.partition("\t")
    if not interpreter:
        raise UsageError("the script's first line names no interpreter", hint="#!/bin/sh")
    argument = argument.strip(" \t")
    return (interpreter, *((argument,) if argument else ()), path)


def _whole_heredoc(run: written.Run) -> str | None:
    """Return the text of the heredoc that is the whole command (RUN <<EOF), or None."""
    if run.command.is_exec or len(run.heredocs) != 1 or len(run.command.words) != 1:
        return None
    return run.heredocs[0].text if parse_heredoc_word(run.command.words[0].strip()) else None


def _with_heredocs(run: written.Run, whole: str | None) -> tuple[str, ...]:
    """Return the words of the command: a shell gets a heredoc's text, or the line and its heredocs as they are written."""
    if whole is not None:
        return (whole,)
    if run.command.is_exec or not run.heredocs:
        return run.command.words
    line = " ".join(run.command.words)
    return (line + "".join(f"\n{heredoc.content}{heredoc.name}" for heredoc in run.heredocs),)


def _mounts(text: str, config: EnvironmentConfig, expand: Callable[[str], str], names: Names) -> Iterator[StepMount]:
    mount = parse_mount(text, expand)
    _refuse_mount(mount)
    if mount.type == "secret":
        yield from _secrets(mount, config)
        return
    target = absolute_path(config.working_dir, mount.target)
    if not mount.target or target == "/":
        raise UsageError(f"--mount={text}: a mount needs a target other than /", hint="target=/PATH")
    if mount.type == "cache":
        yield CacheMount(mount.id or target, target, mount.readonly, mount.sharing or "shared")
    elif mount.type == "tmpfs":
        yield TmpfsMount(target, str(mount.size_bytes) if mount.size_bytes else "")
    else:
        source = names.files(mount.from_, "--mount=from") if mount.from_ else Context()
        yield TreeMount(source, absolute_path("/", mount.source), target, mount.readonly)


def _secrets(mount: Mount, config: EnvironmentConfig) -> Iterator[SecretMount]:
    """Yield a secret as a file, as a variable, or both: env= without target= is only a variable.

    The file can be read by every user inside, so mode, uid and gid, which are there to let one read it, change nothing.
    """
    id = mount.id or mount.source or basename(mount.target)
    if mount.env is not None:
        yield SecretMount(id, "", mount.required, mount.env or id)
    if mount.env is None or mount.target:
        target = absolute_path(config.working_dir, mount.target or f"/run/secrets/{basename(id)}")
        yield SecretMount(id, target, mount.required)


def _refuse_mount(mount: Mount) -> None:
    if mount.type == "ssh":
        hint = "give the key as a secret: --mount=type=secret,id=key and GIT_SSH_COMMAND"
        raise UsageError("RUN --mount=type=ssh is not supported", hint=hint)
    if mount.type == "cache" and (mount.from_ or mount.source):
        hint = "fill the cache in the command"
        raise UsageError("RUN --mount=type=cache with from or source is not supported", hint=hint)
    if mount.type == "cache" and (mount.uid or mount.gid or mount.mode not in (None, _CACHE_MODE)):
        hint = "leave mode, uid and gid out; root can write to a cache"
        raise UsageError("RUN --mount=type=cache with mode, uid or gid is not supported", hint=hint)
    if mount.type == "secret" and mount.mode is not None and mount.mode & 0o7111:
        raise UsageError("RUN --mount=type=secret: a secret that can be executed is not supported")
    if mount.type == "bind" and not mount.readonly:
        hint = "copy what the command has to write to: RUN --mount=source=DIR,target=/in cp -r /in /work && ..."
        raise UsageError("RUN --mount=type=bind with rw is not supported", hint=hint)
