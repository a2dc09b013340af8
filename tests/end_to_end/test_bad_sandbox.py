"""Requests for sandboxes that cannot be had: one clear error, the next words to type, and nothing is left."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from envgit.cli.docker_options import EQUIVALENTS
from tests.lab import Lab


@pytest.fixture
def lab(labs: Callable[[Path], Lab], small_origin: Path) -> Lab:
    return labs(small_origin)


@pytest.fixture(autouse=True)
def nothing_is_left(lab: Lab) -> object:
    yield
    assert lab("ps", "-aq").out == ""
    assert [path for path in (lab.git_dir / "sandboxes").glob("*") if path.name != "names"] == []


@pytest.mark.parametrize("option", sorted(EQUIVALENTS))
def test_options_of_docker_are_known_by_name(lab: Lab, option: str) -> None:
    words = ("run", option, "HEAD", "--", "true")
    lab.fails(*words, status=125, says=f"{option} is an option of docker", hint=EQUIVALENTS[option])


def test_privileged_is_refused(lab: Lab) -> None:
    lab.fails("run", "--privileged", "HEAD", "--", "true", status=125, says="--privileged is refused", hint="--cap-add")


def test_an_occupied_port_names_who_has_it(lab: Lab) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words in (("run",), ("run", "-d", "--name", "web")):
            lab.fails(*words, "-p", f"{port}:80", "HEAD", "--", "true", status=125, says=f"{port}", hint="")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("-v", "/no/such/folder:/x"), 125, "/no/such/folder"),
        (("-v", "/:/x"), 125, "refused"),
        (("--volumes-from", "nobody"), 125, "nobody"),
        (("--mount", "type=rev,src=nothing:/etc,dst=/x"), 125, "nothing"),
        (("--mount", "type=nfs,dst=/x"), 125, "nfs"),
        (("--tmpfs", "/x:size=large"), 125, "large"),
        (("-u", "nobody-here"), 125, "nobody-here"),
        (("-u", "99999999"), 125, "id map"),
        (("-w", "/no/such/place"), 125, "/no/such/place"),
        (("--cap-add", "EVERYTHING"), 125, "EVERYTHING"),
        (("--security-opt", "seccomp=/no/such/profile"), 125, "/no/such/profile"),
        (("--security-opt", "label=disable"), 125, "label"),
        (("--memory", "1"), 125, "--memory 1"),
        (("--memory", "lots"), 125, "lots"),
        (("--cpus", "many"), 125, "many"),
        (("--ulimit", "nofile"), 125, "nofile"),
        (("--pids-limit", "0.5"), 125, "0.5"),
        (("-p", "99999:80"), 125, "99999"),
        (("-p", "80:80:80:80"), 125, "80:80:80:80"),
        (("--network", "none", "-p", "80"), 125, "-p needs a network"),
        (("--network", "host", "-p", "80"), 125, "--network host"),
        (("--add-host", "name"), 125, "name"),
        (("--restart", "always"), 125, "--restart needs -d"),
        (("--runtime", "no-such-runtime"), 125, "no-such-runtime"),
    ],
)
def test_values_that_make_no_sense(lab: Lab, words: tuple[str, ...], status: int, says: str) -> None:
    lab.fails("run", *words, "HEAD", "--", "true", status=status, says=says, hint="")


@pytest.mark.parametrize(
    "words", [("run",), ("run", "-d"), ("run", "-d", "--name", "xy"), ("run", "--name", "xy", "--rm")]
)
def test_a_program_that_is_not_there(lab: Lab, words: tuple[str, ...]) -> None:
    lab.fails(*words, "HEAD", "--", "no-such-program", status=127, says="no-such-program", hint=None)
    lab.fails(*words, "HEAD", "--", "/etc/passwd", status=126, says="/etc/passwd", hint=None)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"Env": "A=b"}, "Env"),
        ({"Cmd": [1]}, "Cmd"),
        ({"User": ["root"]}, "User"),
        ({"WorkingDir": {"a": 1}}, "WorkingDir"),
        ([], "object"),
    ],
)
def test_a_configuration_that_is_none(lab: Lab, config: object, says: str) -> None:
    commit_config(lab, config)
    lab.fails("run", "odd", "--", "true", status=125, says=says, hint=None)


def test_what_a_configuration_may_hold_is_no_error(lab: Lab) -> None:
    odd = {
        "Env": ["=x", "A=b"],
        "ExposedPorts": {"80/tcp": {}, "odd": {}},
        "Volumes": [],
        "StopSignal": 9,
        "Healthcheck": None,
    }
    commit_config(lab, odd)
    assert "A=b" in lab("run", "odd", "--", "env").lines()
    lab.fails("run", "-P", "odd", "--", "true", status=125, says="odd", hint="")


def commit_config(lab: Lab, config: object) -> None:
    """Make the branch `odd`: HEAD with another config.json, by stock git."""
    git = ["git", "--git-dir", str(lab.git_dir)]

    def run(*words: str, stdin: bytes = b"") -> str:
        return subprocess.run([*git, *words], input=stdin, capture_output=True, check=True).stdout.decode().strip()

    blob = run("hash-object", "-w", "--stdin", stdin=json.dumps(config).encode())
    entries = [line for line in run("ls-tree", "HEAD").splitlines() if not line.endswith("\tconfig.json")]
    tree = run("mktree", stdin="\n".join([*entries, f"100644 blob {blob}\tconfig.json\n"]).encode())
    digest = hashlib.sha256(json.dumps(config).encode()).hexdigest()
    message = re.sub(r"(?<=Envgit-Config: sha256:)[0-9a-f]+", digest, run("log", "-1", "--format=%B", "HEAD"))
    commit = run("commit-tree", tree, "-p", "HEAD", "-F", "-", stdin=message.encode())
    run("update-ref", "refs/heads/odd", commit)


@pytest.mark.root_only
def test_a_host_without_network_helpers(lab: Lab) -> None:
    hidden = "for p in pasta slirp4netns nft; do for d in /usr/bin /usr/sbin /bin /sbin; do " \
        '[ ! -e $d/$p ] || mount --bind /dev/null $d/$p; done; done; exec "$@"'  # fmt: skip
    prefix = ("unshare", "--mount", "sh", "-c", hidden, "sh")
    bare = replace(lab, launcher=prefix)
    bare.fails("run", "--network", "private", "HEAD", "--", "true", status=125, says="no private network", hint="passt")
    done = bare("run", "HEAD", "--", "echo", "fine")
    assert done.out == "fine\n" and "passt" in done.err
    assert bare("run", "--network", "none", "HEAD", "--", "echo", "fine").err == ""
    bare.fails("run", "-p", "0:80", "HEAD", "--", "true", status=125, says="no private network", hint="passt")
    assert "published" in lab("run", "-p", "0:80", "HEAD", "--", "true").err  # the control
