"""The result of a build, and a plan, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .build_progress import unit_line
from .escape import count_of
from .screen import Screen

if TYPE_CHECKING:
    from envgit.build import BuildResult
    from envgit.plan import BuildPlan

_TEXT_WIDTH = 48


def result_line(result: BuildResult, screen: Screen) -> str:
    """Return `[main 1a2b3c4] 2 of 5 units built, 3 reused`."""
    landing, count = result.landing, len(result.units)
    reused = count - result.built
    if result.built:
        parts = [f"{result.built} of {count_of(count, 'unit')} built", *([f"{reused} reused"] if reused else [])]
    else:
        parts = ["nothing to build", *([f"{count_of(reused, 'unit')} reused"] if reused else [])]
    if landing.merged:
        parts.append("merged with what the branch had")
    where = screen.safe(landing.branch) if landing.branch else "detached HEAD"
    return f"[{where} {landing.oid[:7]}] {', '.join(parts)}"


def plan_lines(plan: BuildPlan, screen: Screen) -> Iterator[str]:
    """Yield a line per unit: what would be done, the commit that is reused, the unit, where it is written and why."""
    stages = {unit.stage for unit in plan.units}
    rows = []
    for unit in plan.units:
        stage = f"{unit.stage}: " if len(stages) > 1 else ""
        rows.append((unit, screen.safe(f"{stage}{unit_line(unit.text)}")))
    width = min(_TEXT_WIDTH, max((len(text) for _, text in rows), default=0))
    for unit, text in rows:
        why = f"  {screen.safe(str(unit.origin))}: {screen.safe(unit.reason)}" if unit.reason else ""
        word = screen.paint("green" if unit.action == "reuse" else "yellow", unit.action)
        yield f"{word}  {unit.oid[:7]:7}  {text:{width}}{why}".rstrip()
    yield plan_summary(plan)


def plan_summary(plan: BuildPlan) -> str:
    """Return `2 of 5 units to build; nothing was changed`."""
    count = len(plan.units)
    if not plan.to_build:
        return f"nothing to build: {count_of(count, 'unit')} reused"
    return f"{plan.to_build} of {count_of(count, 'unit')} to build; nothing was changed"
