"""envgit-oci: the command line of an OCI runtime over the built-in runner, as podman, conmon and containerd call it.

Its own small parser: click would cost more than starting a container. Exit status: 0, 1 for every error, the program's for
`run` and a foreground `exec`.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from envgit import __version__
from envgit.errors import EnvgitError, ProgramNotExecutable, ProgramNotFound, UsageError

from .escape import neutralise
from .oci_options import COMMANDS, Given, parse_command_line

if TYPE_CHECKING:
    from envgit.exec.oci.container import Runtime
    from envgit.exec.oci.making import Streams

FAILED = 1


class Log:
    """Where warnings and errors go: standard error, and `--log` in the format that conmon reads."""

    def __init__(self, path: str, as_json: bool) -> None:
        self._path = path
        self._as_json = as_json

    def warn(self, message: str) -> None:
        self._write("warning", message)
        if not self._path:
            print(f"envgit-oci: warning: {neutralise(message)}", file=sys.stderr)

    def fail(self, message: str, hint: str | None) -> None:
        self._write("error", message)
        print(f"envgit-oci: {neutralise(message)}", file=sys.stderr)
        if hint:
            print(f"hint: {neutralise(hint)}", file=sys.stderr)

    def _write(self, level: str, message: str) -> None:
        if not self._path:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._as_json:
            line = json.dumps({"level": level, "msg": message, "time": now})
        else:
            line = f"time={json.dumps(now)} level={level} msg={json.dumps(message)}"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            with open(os.open(self._path, flags, 0o600), "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(line + "\n")
        except OSError as error:
            print(f"envgit-oci: log {neutralise(self._path)}: {error.strerror}", file=sys.stderr)


def main() -> None:
    """Run one command and end the process with its exit status."""
    gc.disable()  # as envgit does: it lives for milliseconds, or waits
    from .start import leave

    leave(_main())


def _main() -> int:
    from .session import Session

    environ = Session().environ
    log = Log("", False)
    try:
        given = parse_command_line(sys.argv[1:])
        log = Log(given.options.get("log", ""), given.options.get("log-format") == "json")
        return _run(given, environ, log)
    except EnvgitError as error:
        log.fail(_for_engines(error), error.hint)
    except OSError as error:
        log.fail(f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else str(error), None)
    except KeyboardInterrupt:
        log.fail("interrupted", None)
    return FAILED


def _for_engines(error: EnvgitError) -> str:
    """Return the message with the words by which engines tell what kind of error it is."""
    if isinstance(error, ProgramNotFound):
        return f"{error.message}: executable file not found in $PATH: No such file or directory"
    if isinstance(error, ProgramNotExecutable):
        return f"{error.message}: permission denied"
    return error.message


def _run(given: Given, environ: Mapping[str, str], log: Log) -> int:
    if given.command is None:
        return _say(HELP if "help" in given.options else _version())
    if "help" in given.options:
        return _say(given.command.help_text())
    name = given.command.name
    if name == "features":
        from envgit.exec.oci.features import list_features

        return _say(json.dumps(list_features(), indent=2))
    if name == "spec":
        return _write_spec(given)
    from envgit.exec.oci.container import Runtime

    runtime = Runtime(given.options.get("root") or _default_root(environ), log.warn)
    action: Callable[[Runtime, Given], int] = _ACTIONS[name]
    return action(runtime, given)


def _default_root(environ: Mapping[str, str]) -> str:
    folder = environ.get("XDG_RUNTIME_DIR", "")
    if os.geteuid() == 0 and not folder:
        return "/run/envgit-oci"
    return os.path.join(folder or f"/tmp/envgit-oci-{os.geteuid()}", "envgit-oci")


def _create(runtime: Runtime, given: Given) -> int:
    runtime.create(given.words[0], given.options.get("bundle", "."), _now(), _streams(given))
    return 0


def _start(runtime: Runtime, given: Given) -> int:
    runtime.start(given.words[0])
    return 0


def _run_container(runtime: Runtime, given: Given) -> int:
    id, bundle = given.words[0], given.options.get("bundle", ".")
    if "detach" not in given.options:
        return runtime.run(id, bundle, _now(), _streams(given))
    runtime.create(id, bundle, _now(), _streams(given))
    runtime.start(id)
    return 0


def _state(runtime: Runtime, given: Given) -> int:
    return _say(json.dumps(runtime.look(given.words[0]).state(), indent=2))


def _kill(runtime: Runtime, given: Given) -> int:
    number = _signal_number(given.words[1] if len(given.words) > 1 else "TERM")
    runtime.kill(given.words[0], number, everything="all" in given.options)
    return 0


def _delete(runtime: Runtime, given: Given) -> int:
    runtime.delete(given.words[0], force="force" in given.options)
    return 0


def _exec(runtime: Runtime, given: Given) -> int:
    options = given.options
    if "process" in options:
        from envgit.exec.oci.container import read_process

        process: object = read_process(options["process"])
    else:
        if len(given.words) < 2:
            raise UsageError("exec needs a program", hint="envgit-oci exec ID PROGRAM, or --process FILE")

        def process(own: dict[str, Any]) -> dict[str, Any]:
            return _change_process(own, given)

    return runtime.exec(given.words[0], process, _streams(given), detach="detach" in options)


def _change_process(own: dict[str, Any], given: Given) -> dict[str, Any]:
    """Return the container's process with what the command line says instead."""
    options = given.options
    process = {**own, "args": given.words[1:], "terminal": "tty" in options}
    process["env"] = [*own.get("env", []), *given.several.get("env", [])]
    if "cwd" in options:
        process["cwd"] = options["cwd"]
    if "user" in options:
        uid, _, gid = options["user"].partition(":")
        if not uid.isdigit() or not (gid or "0").isdigit():
            raise UsageError(f"{options['user']!r} is not UID[:GID]", hint="--user 1000:1000")
        process["user"] = {"uid": int(uid), "gid": int(gid or 0)}
    return process


def _list(runtime: Runtime, given: Given) -> int:
    containers = runtime.containers()
    if "quiet" in given.options:
        return _say("\n".join(each.record.id for each in containers)) if containers else 0
    if given.options.get("format") == "json":
        return _say(json.dumps([{**each.state(), "created": each.record.created} for each in containers]))
    rows = [("ID", "PID", "STATUS", "BUNDLE", "CREATED")]
    rows += [
        (
            each.record.id,
            str(each.state().get("pid", 0)),
            each.status,
            neutralise(each.record.bundle),
            each.record.created,
        )
        for each in containers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return _say(
        "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        )
    )


def _ps(runtime: Runtime, given: Given) -> int:
    from envgit.exec.oci.container import processes_of

    pids = processes_of(runtime.look(given.words[0]).record)
    if given.options.get("format") == "json":
        return _say(json.dumps(pids))
    lines = ["PID      COMMAND"]
    for pid in pids:
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().rstrip(b"\0").replace(b"\0", b" ")
        except OSError:
            continue
        lines.append(f"{pid:<8} {neutralise(os.fsdecode(words))}")
    return _say("\n".join(lines))


def _write_spec(given: Given) -> int:
    from envgit.exec.oci.example import example_config

    path = os.path.join(given.options.get("bundle", "."), "config.json")
    with open(path, "x", encoding="utf-8") as file:
        file.write(json.dumps(example_config(), indent=2) + "\n")
    return 0


def _streams(given: Given) -> Streams:
    from envgit.exec.oci.making import Streams

    return Streams(given.options.get("pid-file", ""), given.options.get("console-socket", ""))


def _signal_number(text: str) -> int:
    """Return a signal's number from TERM, SIGTERM or 15."""
    if text.isdigit() and 0 < int(text) < signal.NSIG:
        return int(text)
    name = text.upper().removeprefix("SIG")
    try:
        return int(signal.Signals[f"SIG{name}"])
    except KeyError:
        raise UsageError(f"{text!r} is not a signal", hint="use a name such as TERM, or a number") from None


def _now() -> str:
    seconds = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds // 10**9)) + f".{seconds % 10**9:09d}Z"


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    return 0


def _version() -> str:
    from envgit.exec.oci.state import OCI_VERSION

    return f"envgit-oci version {__version__}\nspec: {OCI_VERSION}"


_ACTIONS: dict[str, Callable[[Any, Given], int]] = {
    "create": _create,
    "start": _start,
    "run": _run_container,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "list": _list,
    "ps": _ps,
}

HELP = "\n".join(
    [
        "Usage: envgit-oci [--root DIR] [--log FILE] [--log-format text|json] COMMAND ...",
        "",
        "An OCI runtime over the sandbox of envgit.",
        "",
        *(f"  {command.usage:42} {command.help}" for command in COMMANDS.values()),
    ]
)

if __name__ == "__main__":
    main()
