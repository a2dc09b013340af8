"""Finding and listing sandboxes: names, ps, top, stats."""

from __future__ import annotations

import os
import re

from .conftest import Sandboxes, wait_until


def test_names_ids_and_beginnings_of_ids_find_a_sandbox(sandboxes: Sandboxes) -> None:
    first, second = sandboxes.run("true"), sandboxes.run("true", name="two")
    assert sandboxes.inspect(first)["name"] == sandboxes.inspect(first[:8])["name"] == "one"
    common = os.path.commonprefix([first, second])
    if common:
        sandboxes.lab.fails("logs", common, status=1, says="2 sandboxes", hint=first)
    sandboxes.lab.fails("logs", "onee", status=1, says="no sandbox 'onee'", hint="did you mean: one")
    sandboxes.lab.fails("logs", "", status=1, says="no sandbox", hint="ps -a")


def test_an_ambiguous_beginning_lists_its_candidates(sandboxes: Sandboxes) -> None:
    ids = [sandboxes.run("true", name=f"s{number}") for number in range(17)]  # more than there are first digits
    digit = next(id[0] for id in ids if sum(other[0] == id[0] for other in ids) > 1)
    done = sandboxes.lab("logs", digit, status=1)
    assert all(id in done.err for id in ids if id[0] == digit)


def test_ps_lists_what_runs_and_with_a_everything(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000", name="running", options=("--label", "role=db", "--label", "plain"))
    sandboxes.run("sh", "-c", "exit 4", name="ended")
    sandboxes.wait_for("exited", "ended")
    assert sandboxes.names() == ["running"]
    assert sandboxes.names("-a") == ["ended", "running"]
    lines = sandboxes.lab("ps", "-a").lines()
    assert re.split("  +", lines[0]) == ["SANDBOX ID", "NAME", "REVISION", "COMMAND", "CREATED", "STATUS", "PORTS"]
    assert '"sleep 1000"' in lines[2] and " Up " in lines[2]
    assert '"sh -c exit 4"' in lines[1] and "Exited (4)" in lines[1]
    assert len(sandboxes.lab("ps", "-aq").lines()) == 2
    for words, found in (
        (("--filter", "label=role=db"), ["running"]),
        (("--filter", "label=role", "--filter", "label=plain"), ["running"]),
        (("--filter", "label=role=web"), []),
        (("--filter", "status=exited"), ["ended"]),
        (("--filter", "status=exited", "--filter", "status=running"), ["ended", "running"]),
        (("--filter", "exited=4"), ["ended"]),
        (("-a", "--filter", "name=end"), ["ended"]),
        (("-a", "--filter", "revision=main"), ["ended", "running"]),
    ):
        assert sandboxes.names(*words) == found, words
    sandboxes.lab.fails("ps", "--filter", "x=y", status=2, says="no filter", hint="name=")
    sandboxes.lab.fails("ps", "--filter", "status=x", status=2, says="no status", hint="exited")


def test_rename(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    sandboxes.run("true", name="two")
    sandboxes.lab.fails("rename", "one", "two", status=1, says="is taken", hint="envgit rm two")
    sandboxes.lab("rename", "one", "three")
    assert sandboxes.inspect("three")["id"] == id
    sandboxes.run("true", name="one")
    sandboxes.lab("stop", "three")
    sandboxes.lab("start", "three")
    assert sandboxes.state("three")["status"] == "running"


def test_top_and_stats(sandboxes: Sandboxes) -> None:
    sandboxes.sh("sleep 1000 & sleep 1000 & while :; do :; done")
    processes = wait_until(
        lambda: len(found := sandboxes.lab("top", "--json", "one").json()["processes"]) == 3 and found
    )
    assert [process["pid"] for process in processes][0] == 1
    assert {process["uid"] for process in processes} == {0}
    assert processes[1]["parent"] == 1 and processes[0]["parent"] == 0
    assert "sleep 1000" in sandboxes.lab("top", "one").out
    stats = sandboxes.lab("stats", "--json", "one").json()["stats"][0]
    assert stats["name"] == "one" and stats["source"] in ("cgroup", "processes")
    assert stats["pids"] == 3 and stats["memory_bytes"] > 0 and stats["cpu_percent"] > 1
    assert "one" in sandboxes.lab("stats", "--no-stream").lines()[1]
    sandboxes.lab("stop", "-t", "0", "one")
    assert len(sandboxes.lab("stats", "--no-stream").lines()) == 1
    sandboxes.lab.fails("top", "one", status=1, says="not running", hint="envgit start one")


def test_hostile_names_and_commands_are_shown_harmlessly(sandboxes: Sandboxes) -> None:
    evil = "\x1b]0;owned\x07\r\nline"
    sandboxes.run("sh", "-c", "sleep 1000", evil, options=("--label", f"x={evil}"))
    for words in (("ps", "--no-trunc"), ("top", "one"), ("inspect", "one"), ("ps", "-a", "--json")):
        out = sandboxes.lab(*words).out
        assert "\x1b" not in out and "\x07" not in out and "\r" not in out, words
    assert len(sandboxes.lab("ps").lines()) == 2
    done = sandboxes.lab("stop", evil, status=1)
    assert "\x1b" not in done.err


def test_completion_knows_names(sandboxes: Sandboxes) -> None:
    sandboxes.run("true", name="database")
    done = sandboxes.lab(_ENVGIT_COMPLETE="bash_complete", COMP_WORDS="envgit logs dat", COMP_CWORD="2")
    assert "database" in done.out
