"""What hot commands load and touch: counts, because seconds depend on the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proof import lab
from tests.proof.child import ENVIRON, envgit

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "pygit2",
    "dulwich",
    "rich",
    "json",
    "subprocess",
    "tempfile",
    "asyncio",
    "logging",
    "pathspec",
    "zstandard",
    "shutil",
}
HOT = (("status",), ("checkout", "side"), ("run", "main", "--", "/bin/true"), ("run", "--", "/bin/true"))

PROGRAM = """
import os, sys
events = []
if {watch!r}:
    def hook(event, args):
        if event == "open" and isinstance(args[0], (str, bytes)):
            events.append((os.fsdecode(args[0]), args[2]))
        elif event in ("os.listdir", "os.scandir"):
            events.append((os.fsdecode(args[0]) if isinstance(args[0], (str, bytes)) else str(args[0]), 0))
    sys.addaudithook(hook)
before = set(sys.modules)
from envgit.cli import start
this = os.getpid()
def leave(status):
    if os.getpid() != this:
        real(status)
    sys.stdout.flush()
    sys.stderr.flush()
    loaded = sorted(set(sys.modules) - before)
    os.write(9, repr((loaded, list(events))).encode())
    real(status)
real = os._exit
os._exit = leave
sys.argv = ["envgit", *{words!r}]
start.main()
"""


def _run(project: Path, words: tuple[str, ...], *, watch: bool = False) -> tuple[set[str], list[tuple[str, int]]]:
    """Run a command in a fresh interpreter; return the modules it loaded and the paths it opened or listed."""
    read_end, write_end = os.pipe()
    program = PROGRAM.format(words=words, watch=watch)
    command = [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + program]
    script = f'exec 9>&{write_end} {write_end}>&-; exec "$@"'
    environ = dict(ENVIRON)
    done = subprocess.Popen(["bash", "-c", script, "bash", *command], cwd=project, env=environ, pass_fds=(write_end,),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    os.close(write_end)
    with open(read_end, "rb") as stream:
        said = stream.read()
    out, err = done.communicate()
    assert done.returncode == 0 and said, (out, err)
    modules, events = eval(said)
    return set(modules), events


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = lab.build(tmp_path_factory.mktemp("hot"))
    for words in HOT:
        envgit(made, *words).good()
    envgit(made, "checkout", "main").good()
    return made


@pytest.mark.parametrize("words", HOT, ids=" ".join)
def test_hot_commands_load_nothing_heavy(project: Path, words: tuple[str, ...]) -> None:
    modules, _ = _run(project, words)
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert "click" not in modules


@pytest.mark.parametrize("words", [("--help",), ("--version",)], ids=" ".join)
def test_help_and_version_load_no_verb(project: Path, words: tuple[str, ...]) -> None:
    modules, _ = _run(project, words)
    assert {name for name in modules if name.startswith("envgit.cli.verbs.")} == set()
    assert {name for name in modules if name.startswith(("envgit.store", "envgit.layers", "envgit.exec"))} == set()


ROOMS = {
    ("status",): ("envgit.layers.materialise", "envgit.layers.sources", "envgit.exec.runner", "envgit.stack"),
    ("checkout", "side"): ("envgit.layers.materialise", "envgit.layers.capture", "envgit.exec.runner"),
    ("run", "main", "--", "/bin/true"): ("envgit.layers.capture", "envgit.layers.scan", "envgit.layers.sources"),
}


@pytest.mark.parametrize("words", ROOMS, ids=" ".join)
def test_hot_commands_load_only_their_rooms(project: Path, words: tuple[str, ...]) -> None:
    modules, _ = _run(project, words)
    assert modules & set(ROOMS[words]) == set()


def test_a_run_loads_only_what_a_start_needs(project: Path) -> None:
    """typing and re cost 4 ms, of the 25 that a start takes; what carries packets is loaded with the first packet."""
    modules, _ = _run(project, ("run", "main", "--", "/bin/true"))
    late = {"envgit.exec.network.on_demand", "envgit.exec.cgroups.limits", "envgit.exec.ports.forwarder", "envgit.exec.console",
            "envgit.exec.seccomp.compiler", "envgit.sandbox.supervisor", "envgit.sandbox.mounts"}  # fmt: skip
    assert modules & ({"typing", "re", "click", "socket", "datetime"} | late) == set()
    assert len([name for name in modules if name.startswith("envgit")]) <= 70


def _opened(project: Path, words: tuple[str, ...]) -> list[str]:
    """The paths in the repository that a command opens or lists, relative to it."""
    folder = str(project / ".envgit") + "/"
    return [path.removeprefix(folder) for path, _ in _run(project, words, watch=True)[1] if path.startswith(folder)]


def test_checkout_of_a_cached_revision_opens_few_files(project: Path) -> None:
    opened = _opened(project, ("checkout", "side"))
    assert 5 < len(opened) < 45, opened
    assert [path for path in opened if path.startswith(("layers/layer-", "uppers")) and "/fs" in path] == []
    envgit(project, "checkout", "main").good()


def test_status_reads_the_upper_directory_and_no_layer(project: Path) -> None:
    opened = _opened(project, ("status",))
    assert any(path.startswith("uppers/") for path in opened)
    kept = [path for path in opened if path.startswith(("layers/", "operations/", "logs/"))]
    assert kept == ["operations/finished"]  # a killed command is completed first


def test_json_is_loaded_when_asked_for(project: Path) -> None:
    """The control: what is measured does see a heavy module."""
    modules, _ = _run(project, ("status", "--json"))
    assert "json" in modules
    assert json.loads(envgit(project, "status", "--json").good().out)
