"""The table: one line per contender, the verdicts below each piece of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .measure import Sample
from .row import Race
from .target import Verdict

_HEADER = ("work", "who", "median", "least", "envgit / it", "peak memory", "rounds")


@dataclass(frozen=True)
class Result:
    """A race that was run."""

    race: Race
    samples: Sequence[Sample]

    def verdicts(self) -> list[Verdict]:
        """Judge the samples."""
        return [target.judge(self.samples) for target in self.race.targets]


def format_figures(results: Sequence[Result]) -> str:
    """Return the measurements as a Markdown table."""
    lines: list[Sequence[str]] = [_HEADER]
    for result in results:
        work = result.race.work
        for sample in result.samples:
            lines.append(_figures(work, sample, result.samples))
            work = ""
    return _markdown(lines)


def format_verdicts(results: Sequence[Result]) -> str:
    """Return the figures to reach as a Markdown table."""
    lines = [("work", "to reach", "measured", "reached")]
    for result in results:
        work = result.race.work
        for verdict in result.verdicts():
            reached = {True: "yes", False: "**no**", None: "-"}[verdict.reached]
            lines.append((work, verdict.target, verdict.measured, reached))
            work = ""
    return _markdown(lines)


def _figures(work: str, sample: Sample, samples: Sequence[Sample]) -> tuple[str, ...]:
    if not sample.seconds:
        return (work, sample.name, "failed", "", "", "", "0")
    own = samples[0]
    ratio = f"{own.median / sample.median:.2f}" if own.seconds and own is not sample else ""
    peak = f"{sample.peak_bytes / 1e6:.0f} MB"
    rounds = str(len(sample.seconds))
    return (work, sample.name, format_seconds(sample.median), format_seconds(sample.least), ratio, peak, rounds)


def format_seconds(seconds: float) -> str:
    """Return a duration with three significant digits."""
    return (
        f"{seconds * 1000:.1f} ms"
        if seconds < 0.1
        else f"{seconds * 1000:.0f} ms"
        if seconds < 1
        else f"{seconds:.2f} s"
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rows = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(rows)
