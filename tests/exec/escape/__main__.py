"""Write docs/escape-probes.md: every attempt in every way, as root and as an ordinary user.

Run by root: `python -m tests.exec.escape --user NAME [--python PATH] [--output FILE]`. NAME is an ordinary user with subordinate
ids, PATH an interpreter that may be used by them. `--json` makes the attempts as whoever calls and prints the verdicts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.exec.escape.environments import ENVIRONMENTS
from tests.exec.escape.program import Attempt, build, catalogue
from tests.exec.escape.stage import SANDBOXES, Stage
from tests.lab import CHECKOUT

SECONDS = 600
WAYS = (*SANDBOXES, "bwrap")
CALLERS = ("root", "user")
WORDS = {"refused": "–", "attempted": "–", "ESCAPED": "**escaped**", "REACHED": "reached", "error": "error"}
LAYERED = "overlay"
"""The group of attempts on layers, which bubblewrap does not have."""

Table = dict[str, dict[str, str]]
"""Way, then name, then kind of verdict."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.exec.escape", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--output", default=str(CHECKOUT / "docs/escape-probes.md"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        probe = build(Path(folder))
        if options.json:
            print(json.dumps(collect(probe)))
            return 0
        if os.geteuid() or not options.user:
            parser.error("the table has root's and a user's columns: run it as root, with --user NAME")
        results = {"root": collect(probe), "user": collect_as(options.user, options.python)}
        Path(options.output).write_text(document(catalogue(probe), results))
    return 0


def collect(probe: Path) -> Table:
    """Make every attempt as the present caller; what only the host shows counts as escaped for all that is looked at there."""
    table: Table = {}
    for way in (*WAYS, "weak", *(() if os.geteuid() else ("host",))):
        with Stage(probe) as stage:
            verdicts, harm = stage.attempt(way)
            table[way] = {name: verdict.kind for name, verdict in verdicts.items()}
            if way in SANDBOXES and harm:
                raise SystemExit(f"{way}: the host was harmed: {harm}")
    for way in WAYS:
        for environment in ENVIRONMENTS:
            if way == "exec" and not environment.joins:
                continue
            with Stage(probe) as stage:
                wrong = stage.start_environment(way, environment)
                table[way][f"environment {environment.name}"] = "ESCAPED" if wrong else "refused"
    return table


def collect_as(user: str, python: str) -> Table:
    command = shlex.join([python, "-m", "tests.exec.escape", "--json"])
    script = f"cd {shlex.quote(str(CHECKOUT))} && PYTHONDONTWRITEBYTECODE=1 TMPDIR=/var/tmp {command}"
    done = subprocess.run(["su", user, "-c", script], stdout=subprocess.PIPE, timeout=SECONDS, check=True)
    table: Table = json.loads(done.stdout)
    return table


def document(attempts: dict[str, Attempt], results: dict[str, Table]) -> str:
    shown = [attempt for attempt in attempts.values() if attempt.name != "rights"]
    lines = [
        *INTRODUCTION.splitlines(),
        "",
        f"Made on Linux {'.'.join(os.uname().release.split('.')[:2])} with {_bwrap()}.",
        "",
    ]
    lines += ["| | run | exec | bubblewrap |", "|---|---|---|---|"]
    for caller in CALLERS:
        cells = [_summary(results[caller][way]) for way in WAYS]
        lines.append(f"| {'root' if caller == 'root' else 'ordinary user'} | " + " | ".join(cells) + " |")
    controls = [results[caller][way] for caller, way in (("root", "host"), ("root", "weak"))]
    shown_by = {name for control in controls for name, kind in control.items() if kind in ("ESCAPED", "REACHED")}
    lines += ["", f"{len(shown_by)} of {len(shown)} attempts are shown to succeed by a control.", ""]
    for group in dict.fromkeys(attempt.group for attempt in sorted(shown)):
        lines += [f"## {group.capitalize()}", "", HEADER, "|---" * 9 + "|"]
        lines += [_row(attempt, results, shown_by) for attempt in sorted(shown) if attempt.group == group]
        lines.append("")
    lines += [
        "## Hostile environments",
        "",
        ENVIRONMENTS_SAID,
        "",
        HEADER.replace(" control |", ""),
        "|---|---|---|---|---|---|---|---|",
    ]
    for environment in ENVIRONMENTS:
        name = f"environment {environment.name}"
        lines.append(f"| {environment.name} | {environment.criterion} | " + " | ".join(_cells(name, results)) + " |")
    return "\n".join(lines) + "\n"


def _row(attempt: Attempt, results: dict[str, Table], shown_by: set[str]) -> str:
    control = {"none": "", "outside": "seen outside"}.get(attempt.control)
    if control is None:
        control = f"succeeds ({attempt.control})" if attempt.name in shown_by else "not on this kernel"
    cells = _cells(attempt.name, results)
    if attempt.group == LAYERED and attempt.control == "outside":
        cells[2] = cells[5] = "no layers"
    return (
        f"| {attempt.name} | {attempt.criterion.replace('|', chr(92) + '|')} | " + " | ".join(cells) + f" | {control} |"
    )


def _cells(name: str, results: dict[str, Table]) -> list[str]:
    return [WORDS.get(results[caller][way].get(name, ""), "not started") for caller in CALLERS for way in WAYS]


def _summary(verdicts: dict[str, str]) -> str:
    kinds = list(verdicts.values())
    escaped, reached = kinds.count("ESCAPED") + kinds.count("error"), kinds.count("REACHED")
    return f"{len(kinds)} attempts: {escaped} escaped, {reached} reached"


def _bwrap() -> str:
    said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    return re.sub(r"\s+", " ", said).strip()


HEADER = "| attempt | it succeeds when | run, root | exec, root | bwrap, root | run, user | exec, user | bwrap, user | control |"
INTRODUCTION = """\
# Escape probes

What hostile programs and hostile environments try, and how far they get. Each attempt runs in a process of its own in
a sandbox with every default (`run`), in a process joined to a running one (`exec`), and as a baseline under
bubblewrap (`bwrap --unshare-all --bind ROOT / --dev /dev --proc /proc`), started by root and by an ordinary user.

- **escaped**: something of the host was changed or read, or a right was gained that was not given.
- reached: a facility of the kernel answered that no program in a sandbox needs, such as a system call with a history
  of holes, or the sandbox's own mounts could be changed. bubblewrap has no filter unless its caller brings one; what
  the baseline shows is that these attempts do get somewhere.
- –: refused, or without any effect when the host was looked at afterwards: its files, settings, mounts, layers, a
  process, sockets, shared memory, keys and the caller's terminal.

Controls: the same attempt succeeds unconfined on the host (`host`), or in a sandbox with every capability, the host's
network, nested namespaces, no masks and no filter (`weak`). The others have no control that would do no harm; what
only shows from outside has a test that does each harm on purpose.

One thing is given away knowingly, here and by bubblewrap: a file that the caller hands over as descriptor 0, 1 or 2 can be
opened again through /proc/self/fd with all that its owner and mode allow, for writing too, when the program runs with
the owner's id (an ordinary user's sandbox does) or everybody may. For a program that is not trusted with it, use a pipe:
`cat FILE | envgit run ...`.

`tests/exec/escape/` has the programs; `python -m tests.exec.escape --user NAME` writes this file."""
ENVIRONMENTS_SAID = """\
Environments whose files are to lead what starts a sandbox out of the root, or into running what they planted.
Refusing to start is as good as starting with nothing led out. "not started": no sandbox runs on it that could be
joined."""

if __name__ == "__main__":
    sys.exit(main())
