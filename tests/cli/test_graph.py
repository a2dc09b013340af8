"""The graph has the topology of the history: it is read back, and compared with what git draws."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pytest

from envgit.cli.graph import Graph

History = list[tuple[str, list[str]]]
"""(id, parents), children first."""


def draw(history: History) -> list[tuple[str, str]]:
    """Return (row, commit id or '') as `log --graph --oneline` prints them."""
    graph = Graph()
    rows: list[tuple[str, str]] = []
    for oid, parents in history:
        drawn = graph.add(oid, parents)
        if drawn.gap is not None:
            rows.append((drawn.gap, ""))
        rows.append((drawn.commit, oid))
        rows += [(row, "") for row in drawn.links]
    return rows


def read_back(rows: list[tuple[str, str]]) -> dict[str, set[str]]:
    """Follow the lines of a drawing down from each commit and return whom they reach."""
    parents: dict[str, set[str]] = {oid: set() for _, oid in rows if oid}
    edges: set[tuple[str, int, bool]] = set()
    for row, oid in rows:
        cell = dict(enumerate(row))
        after: set[tuple[str, int, bool]] = set()
        for child, column, slanted in edges:
            if slanted and cell.get(column - 1) == "/":
                after.add((child, column - 2, True))
                continue
            found = False
            if cell.get(column) == "*":
                parents[child].add(oid)
                continue
            if cell.get(column) == "|":
                after.add((child, column, False))
                found = True
            if cell.get(column + 1) == "\\":
                after.add((child, column + 2, False))
                found = True
            if not found and cell.get(column - 1) == "/":
                after.add((child, column - 2, True))
        if oid:
            after.add((oid, row.index("*"), False))
        edges = after
    return parents


def random_history(seed: int, count: int = 30) -> History:
    choice = random.Random(seed)
    tips: list[str] = []
    made: History = []
    for number in range(count):
        oid = f"c{number:02d}"
        kind = choice.random()
        if len(tips) >= 2 and kind < 0.3:
            wanted = min(len(tips), 3 if choice.random() < 0.3 else 2)
            parents = choice.sample(tips, wanted)
            kept = [tip for tip in tips if tip not in parents or choice.random() < 0.2]
            tips = [*kept, oid]
        elif made and kind < 0.5:
            parents = [choice.choice(made)[0]]
            tips = [*[tip for tip in tips if tip not in parents], oid]
        else:
            parents = [tips.pop(choice.randrange(len(tips)))] if tips and choice.random() < 0.95 else []
            tips.append(oid)
        made.append((oid, parents))
    return made[::-1]


@pytest.mark.parametrize("seed", range(150))
def test_the_drawing_reads_back_as_the_history(seed: int) -> None:
    history = random_history(seed)
    assert read_back(draw(history)) == {oid: set(parents) for oid, parents in history}


def test_the_reader_notices_a_wrong_drawing() -> None:
    rows = draw([("m", ["a", "b"]), ("b", ["r"]), ("a", ["r"]), ("r", [])])
    broken = [(row.replace("\\", " "), oid) for row, oid in rows]
    assert read_back(broken) != read_back(rows)


def _git_history(folder: Path, history: History) -> tuple[list[str], History]:
    """Make the history with git; return what `git log --graph --oneline` prints and the order it shows."""
    environment = {**os.environ, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a"}
    environment |= {"GIT_COMMITTER_EMAIL": "a@b", "GIT_CONFIG_GLOBAL": "/dev/null"}

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=folder, env=environment, check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q", ".")
    tree = git("write-tree").strip()
    ids: dict[str, str] = {}
    for number, (oid, parents) in enumerate(reversed(history)):
        environment["GIT_AUTHOR_DATE"] = environment["GIT_COMMITTER_DATE"] = f"{1_700_000_000 + number} +0000"
        arguments = [word for parent in parents for word in ("-p", ids[parent])]
        ids[oid] = git("commit-tree", tree, *arguments, "-m", oid).strip()
        git("update-ref", f"refs/heads/{oid}", ids[oid])
    drawn = git("log", "--graph", "--format=%s", "--all", "--color=never").splitlines()
    parents_of = dict(history)
    order = [line for line in git("log", "--graph", "--format=%x01%s", "--all").split("\n") if "\x01" in line]
    return drawn, [(name, parents_of[name]) for name in (line.partition("\x01")[2] for line in order)]


def _git_rows(lines: list[str]) -> list[tuple[str, str]]:
    rows = []
    for line in lines:
        graph, _, oid = line.rpartition(" ") if "*" in line else (line, "", "")
        rows.append((graph + " ", oid))
    return rows


SIMPLE: list[History] = [
    [("c", ["b"]), ("b", ["a"]), ("a", [])],
    [("m", ["a", "b"]), ("b", ["r"]), ("a", ["r"]), ("r", [])],
    [("y", ["r"]), ("x", ["r"]), ("r", [])],
    [("n", ["m", "d"]), ("d", ["b"]), ("m", ["a", "b"]), ("b", ["r"]), ("a", ["r"]), ("r", [])],
    [("z", ["r"]), ("y", ["r"]), ("x", ["r"]), ("r", [])],
]


@pytest.mark.parametrize("number", range(len(SIMPLE)))
def test_simple_histories_are_drawn_exactly_as_git_draws_them(tmp_path: Path, number: int) -> None:
    lines, history = _git_history(tmp_path, SIMPLE[number])
    ours = [(row + oid).rstrip() for row, oid in draw(history)]
    assert ours == [line.rstrip() for line in lines]


@pytest.mark.parametrize("seed", range(6))
def test_random_histories_have_the_topology_that_git_draws(tmp_path: Path, seed: int) -> None:
    history = [(oid, parents[:2]) for oid, parents in random_history(1000 + seed, 18)]
    lines, ordered = _git_history(tmp_path, history)
    assert [oid for _, oid in draw(ordered) if oid] == [oid for _, oid in _git_rows(lines) if oid]
    assert read_back(draw(ordered)) == {oid: set(parents) for oid, parents in ordered}
