"""The result of a build, and a plan, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .build_progress import place_text, unit_line
from .escape import count_of
from .screen import Screen

if TYPE_CHECKING:
    from envgit.build import BuildResult
    from envgit.building.landing import Course, Landing
    from envgit.plan import BuildPlan

_TEXT_WIDTH = 56
_SUBJECTS = 3


def result_line(result: BuildResult, screen: Screen) -> str:
    """Return `[main 1a2b3c4] 2 of 5 units built, 3 reused`."""
    landing, count = result.landing, len(result.units)
    reused = count - result.built
    if result.built:
        parts = [f"{result.built} of {count_of(count, 'unit')} built", *([f"{reused} reused"] if reused else [])]
    else:
        parts = ["nothing to build", *([f"{count_of(reused, 'unit')} reused"] if reused else [])]
    if landing.merged:
        parts.append(_replaces(landing.course, screen))
    where = screen.safe(landing.branch) if landing.branch else "detached HEAD"
    return f"[{where} {landing.oid[:7]}] {', '.join(parts)}"


def _replaces(course: Course, screen: Screen) -> str:
    if not course.replaced:
        return f"replaces the build of {screen.safe(course.other)}" if course.other else "replaces the build before"
    subjects = [screen.safe(each.subject) for each in course.replaced[:_SUBJECTS]]
    more = ["..."] if len(course.replaced) > _SUBJECTS else []
    return f"replaces what the branch had: {count_of(len(course.replaced), 'commit')} ({', '.join(subjects + more)})"


def replaced_hints(landing: Landing) -> Iterator[str]:
    """Yield how to see what the branch no longer has, and how to keep two environments apart."""
    if landing.course.replaced:
        yield f"hint: what that changed: envgit diff --stat {landing.old[:7]} {landing.oid[:7]}"
    if landing.course.other and landing.moved:
        yield f"hint: {landing.branch or 'HEAD'} was the build of {landing.course.other}; to have both: --branch NAME"


def branch_line(plan: BuildPlan, screen: Screen) -> str:
    """Return what would become of the branch, where that is not just a step forward with new units: else ""."""
    where = screen.safe(plan.branch) if plan.branch else "detached HEAD"
    if plan.course.move == "merge":
        return f"{where}: {_replaces(plan.course, screen)}"
    return f"{where}: goes forward" if plan.course.move == "forward" and not plan.to_build else ""


def plan_lines(plan: BuildPlan, screen: Screen) -> Iterator[str]:
    """Yield a line per unit: what would be done, the commit that is reused, the unit, where it is written and why."""
    has_stages, count = len({unit.stage for unit in plan.units}) > 1, len(plan.units)
    rows = []
    for number, unit in enumerate(plan.units, 1):
        place = place_text(number, count, unit.stage if has_stages else "")
        rows.append((unit, screen.safe(f"{place} {unit_line(unit.text)}")))
    width = min(_TEXT_WIDTH, max((len(text) for _, text in rows), default=0))
    for unit, text in rows:
        why = f"  {screen.safe(str(unit.origin))}: {screen.safe(unit.reason)}" if unit.reason else ""
        word = screen.paint("green" if unit.action == "reuse" else "yellow", unit.action)
        yield f"{word}  {unit.oid[:7]:7}  {text:{width}}{why}".rstrip()
    if line := branch_line(plan, screen):
        yield line
    yield plan_summary(plan)


def plan_summary(plan: BuildPlan) -> str:
    """Return `2 of 5 units to build; nothing was changed`."""
    count = len(plan.units)
    if not plan.to_build:
        return f"nothing to build: {count_of(count, 'unit')} reused"
    return f"{plan.to_build} of {count_of(count, 'unit')} to build; nothing was changed"
