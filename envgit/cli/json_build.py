"""The result of a build, and a plan, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envgit.build import BuildResult
    from envgit.building.landing import Course
    from envgit.building.unit import Origin
    from envgit.plan import BuildPlan


def result_fields(result: BuildResult) -> dict[str, Any]:
    """Return the document of `build --json`."""
    landing = result.landing
    return {
        "oid": result.oid,
        "branch": landing.branch,
        "tip": landing.oid,
        "moved": landing.moved,
        "merged": landing.merged,
        "replaces": _replaced_fields(landing.course),
        "operation": landing.operation,
        "lock": result.lock or None,
        "built": result.built,
        "reused": len(result.units) - result.built,
        "units": [
            {
                "number": number,
                "text": unit.text,
                "origin": origin_fields(unit.origin),
                "oid": unit.oid,
                "reused": unit.reused,
                "reason": unit.reason,
                "seconds": round(unit.seconds, 3),
            }
            for number, unit in enumerate(result.units, 1)
        ],
    }


def plan_fields(plan: BuildPlan) -> dict[str, Any]:
    """Return the document of `plan --json`."""
    return {
        "to_build": plan.to_build,
        "branch": plan.branch,
        "move": plan.course.move,
        "replaces": _replaced_fields(plan.course),
        "units": [
            {
                "number": number,
                "stage": unit.stage,
                "text": unit.text,
                "origin": origin_fields(unit.origin),
                "action": unit.action,
                "oid": unit.oid or None,
                "reason": unit.reason,
            }
            for number, unit in enumerate(plan.units, 1)
        ],
    }


def _replaced_fields(course: Course) -> list[dict[str, str]]:
    return [{"oid": each.oid, "subject": each.subject} for each in course.replaced]


def origin_fields(origin: Origin) -> dict[str, Any]:
    return {"file": origin.file, "line": origin.line or None}
