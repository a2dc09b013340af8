"""One host, one environment, and every way to run in it; what the caller is (root or not) is the process's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.exec.conftest import own
from tests.exec.escape import environments, ways
from tests.exec.escape.environments import Environment
from tests.exec.escape.host import Host, digest, make_root, planted_attributes
from tests.exec.escape.program import Attempt, Verdict, catalogue, failures, parse_verdicts
from tests.exec.escape.ways import Way
from tests.lab import Lab, run_envgit

SANDBOXES = ("run", "exec")
"""Ways that nothing may get out of."""

CONTROLS = ("host", "weak")


class Stage:
    """Made for one way at a time: what an attempt did must not be taken for what another did. Use as a context."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self.attempts = catalogue(program)
        self.host = Host(program)
        self.folder = self.host.folder
        self.root = make_root(self.host.scratch / "root", program)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self.host.close()

    def lab(self) -> Lab:
        """Return a repository in the host's folder, whose layers exist."""
        run_envgit("init", "lab", "--from", f"dir:{self.root}", "-m", "environment", cwd=self.folder)
        lab = Lab(self.folder / "lab", variables=self.host.environment())
        lab("run", "--", "/probe", "--list")
        return lab

    @contextmanager
    def way(self, name: str, *program: str) -> Iterator[Way]:
        """Yield a way; `program` is what the sandbox that others join runs, and waits."""
        if name == "run":
            yield ways.sandbox(self.lab(), self.host)
        elif name == "exec":
            with ways.joined(self.lab(), self.host, *(program or ("--wait",))) as way:
                yield way
        elif name == "bwrap":
            yield ways.bubblewrap(self.root, self.host)
        elif name == "host":
            yield ways.unconfined(self.program, self.host)
        else:
            own(self.root)
            yield ways.weak(self.root, self.host)

    def attempt(self, name: str) -> tuple[dict[str, Verdict], list[str]]:
        """Make every attempt in a way (controls: those that have one there); return verdicts and what was harmed."""
        chosen = [
            a for a in self.attempts.values() if a.group != "terminal" and (name not in CONTROLS or a.control == name)
        ]
        names = [attempt.name for attempt in chosen]
        with self.way(name) as way:
            layers = self._layers()
            said = way.run(self.host, names)
            verdicts = parse_verdicts(said.text)
            harm = self.host.harm(said.text)
            if name not in CONTROLS:
                terminal = way.run_on_terminal(self.host, ["terminal"])
                verdicts.update(parse_verdicts(terminal.text))
                names += [a.name for a in self.attempts.values() if a.group == "terminal"]
                if terminal.pushed:
                    harm.append(f"pushed into the caller's terminal: {terminal.pushed!r}")
            if layers is not None and self._layers() != layers:
                harm.append("a layer of the store changed")
            if name in SANDBOXES:
                harm += planted_attributes(self.folder / "lab/.envgit")
        return {name: verdicts.get(name, Verdict("error", "no verdict")) for name in names}, harm

    def _layers(self) -> dict[str, str] | None:
        layers = self.folder / "lab/.envgit/layers"
        return digest(layers) if layers.is_dir() else None

    def start_environment(self, name: str, environment: Environment) -> list[str]:
        """Start on a hostile environment in a way; return what went wrong: nothing, when the start was refused cleanly, or
        the program ran and found nothing of the host."""
        environments.lay_bait(self.host)
        environment.prepare(self.root, self.host)
        before = digest(environments.bait(self.host))
        text, status = "", 0
        try:
            with self.way(name) as way:
                command = [
                    *self.host.session,
                    *way.prefix[:-1],
                    environment.program,
                    *self.host.words(),
                    *environment.words,
                ]
                done = subprocess.run(
                    command, cwd=way.folder, env=ways.environment(self.host), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20, check=False,
                )  # fmt: skip
                text, status = done.stdout.decode(errors="replace"), done.returncode
        except subprocess.TimeoutExpired:
            return ["the start hangs"]
        except AssertionError as error:  # the repository or the first sandbox was refused
            text, status = str(error), 125
        wrong = self.host.harm(text)
        if digest(environments.bait(self.host)) != before:
            wrong.append("the host's folder was changed")
        if environments.LOADED in text or "Traceback" in text or "internal error" in text:
            wrong.append(text[-800:])
        if status == 0:
            got = failures(parse_verdicts(text), environment.words)
            # bubblewrap shows more of itself on every environment: only what leads out of this one counts
            wrong += got if name in SANDBOXES else [line for line in got if line.startswith("dotdot")]
        return wrong


def missing_controls(attempts: dict[str, Attempt], verdicts: dict[str, Verdict]) -> list[str]:
    """Return the attempts of a control that did not succeed there, with the reason."""
    refused = {
        name: got for name, got in verdicts.items() if name in attempts and got.kind not in ("ESCAPED", "REACHED")
    }
    return [f"{name}: {got.evidence}" for name, got in refused.items()]
