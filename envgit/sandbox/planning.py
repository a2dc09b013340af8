"""The steps of a start as lines, without starting or making anything: `envgit run --dry-run`."""

from __future__ import annotations

from envgit.errors import UsageError
from envgit.exec.description import describe_start
from envgit.exec.spec import LiveRoot, OverlayRoot
from envgit.layers.plan_file import Plan
from envgit.repo import Repository
from envgit.sandbox.describing import describe
from envgit.sandbox.request import LimitsRequest, RunRequest
from envgit.sandbox.running import overlay_of, sandbox_upper
from envgit.sandbox.state import find_live
from envgit.stack import ensure_plan
from envgit.uppers import upper_paths

_LIMITS = ("memory", "memory and swap together", "processors", "processes")
_NOT_YET = "new"
"""Stands for the id of an upper directory that only a start would make."""


def plan_run(repo: Repository, request: RunRequest) -> list[str]:
    """Return what running `request` now would do, in order. Layers that are not in the cache are unpacked first."""
    plan, root = _find_root(repo, request)
    if plan.asked and not request.settled:
        from envgit.sandbox.grants import settle_request

        request = settle_request(repo, request, plan.asked)
    return describe_start(describe(repo, request, plan, root).spec, limits=_limits(request.limits))


def _find_root(repo: Repository, request: RunRequest) -> tuple[Plan, OverlayRoot | LiveRoot]:
    if request.revision is not None:
        plan = ensure_plan(repo, repo.resolve_bytes(request.revision))
        return plan, overlay_of(repo, plan, sandbox_upper(repo, _NOT_YET), volatile=True)
    pointer = repo.read_pointer(repo.branch_name(), repo.read_head().oid)
    if pointer is None:
        hint = "make one: envgit import --from host"
        raise UsageError(f"branch {repo.branch_name()} has no environment yet", hint=hint)
    plan = ensure_plan(repo, pointer.base)
    live = find_live(repo, pointer.upper) if pointer.upper is not None else None
    if live is not None:
        return plan, LiveRoot(live.pid, live.start_time)
    return plan, overlay_of(repo, plan, upper_paths(repo, pointer.upper or _NOT_YET), volatile=False)


def _limits(limits: LimitsRequest) -> list[str]:
    """Return the limits of the whole sandbox; those of each process are part of its spec."""
    return [f"{name} {value}" for name, value in zip(_LIMITS, limits[: len(_LIMITS)], strict=True) if value is not None]
