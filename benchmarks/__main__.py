"""python -m benchmarks: measure, print the tables, write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import sys
import time

from .bench import Bench
from .command import CommandFailed
from .machine import read_machine
from .measure import measure
from .report import format_report
from .row import Row
from .rows import ROWS
from .table import Result, format_figures
from .trees import Trees
from .workspace import Workspace

_PAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "benchmarks.md")


def main() -> int:
    """Run what was asked for; exit status 1 when a figure was missed or a row could not be measured."""
    options = _parse()
    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    rounds = 2 if options.quick and options.rounds is None else options.rounds or 5
    results: list[Result] = []
    failures: list[str] = []
    page = ""
    with Workspace(options.scratch) as workspace:
        bench = Bench(workspace, Trees(workspace, options.tree), quick=options.quick, commits=options.commits)
        machine = read_machine(workspace.folder)
        output = options.output or (None if options.only else _PAGE)
        for row in chosen:
            began = time.monotonic()
            try:
                results += _run(row, bench, rounds)
            except CommandFailed as error:
                failures.append(f"{row.name} could not be measured: {error.reason}")
                print(f"{row.name}: cannot be measured: {error}", file=sys.stderr, flush=True)
            print(f"{row.name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            page = format_report(machine, bench.versions(), bench.trees.notes, results, failures)
            if output is not None:
                with open(output, "w", encoding="utf-8") as file:
                    file.write(page)
    print(page)
    reached = all(verdict.reached is not False for result in results for verdict in result.verdicts())
    return 0 if reached and not failures else 1


def _run(row: Row, bench: Bench, rounds: int) -> list[Result]:
    results = []
    for race in row.races(bench):
        samples = measure(race.contenders, rounds * race.repeats or 1, bench.workspace)
        results.append(Result(race, samples))
        print(format_figures(results[-1:]), file=sys.stderr, flush=True)
    return results


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(row.name for row in ROWS)
    parser.add_argument("--only", metavar="NAME", action="append", choices=[row.name for row in ROWS], help=names)
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each contender (5)")
    parser.add_argument("--quick", action="store_true", help="two rounds, smaller trees, a shorter history")
    parser.add_argument("--commits", type=int, metavar="N", default=1000, help="length of the long history (1000)")
    parser.add_argument("--tree", metavar="DIR", help="root filesystem to work on instead of making one")
    parser.add_argument("--scratch", metavar="DIR", help="where the scratch folder is made ($TMPDIR or /tmp)")
    parser.add_argument("--output", metavar="FILE", help="page to write (docs/benchmarks.md, unless --only is given)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
