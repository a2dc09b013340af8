"""Carry out a push of several steps, so that it either arrives or says how far it came, and leaves no temporary branch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from envgit.errors import EnvgitError
from envgit.monitor import Monitor, human_bytes
from envgit.transfer.splitting import UPLOADS, PushPlan, PushStep
from envgit.transfer.transport import RefOutcome, RefUpdate, Transport


def push_in_steps(
    transport: Transport,
    plan: PushPlan,
    updates: Sequence[RefUpdate],
    monitor: Monitor,
    *,
    atomic: bool = False,
    options: Sequence[str] = (),
) -> tuple[RefOutcome, ...]:
    """Push `plan`, which was made for `updates`; return their outcomes. What arrived of a push that fails need not be sent again.

    Temporary branches are removed also when a step fails, as far as the other side still answers. Raises what the transport raises.
    """
    count = len(plan.steps)
    if count > 1:
        monitor.note(
            f"{human_bytes(plan.bytes)} are more than the other side takes at once: sent in {count} pushes"
            + (", with the help of temporary branches" if plan.temporary else "")
        )
    try:
        for number, step in enumerate(plan.steps[:-1], 1):
            monitor.note(f"push {number} of {count}: {human_bytes(step.bytes)}")
            refused = [outcome for outcome in transport.push(step.updates, options=options) if not outcome.ok]
            if refused:
                return _refuse(updates, step, refused[0])
        if count > 1:
            monitor.note(f"push {count} of {count}: {human_bytes(plan.steps[-1].bytes)}")
        outcomes = transport.push(plan.steps[-1].updates, atomic=atomic, options=options)
    except BaseException:
        if plan.temporary:
            with suppress(EnvgitError):
                _remove(transport, plan, monitor)
        raise
    if plan.temporary:
        _remove(transport, plan, monitor)
    moved = {update.name for step in plan.steps[:-1] for update in step.updates}
    return tuple(each._replace(reason="") if each.ok and each.name in moved else each for each in outcomes)


def _refuse(updates: Sequence[RefUpdate], step: PushStep, refused: RefOutcome) -> tuple[RefOutcome, ...]:
    where = "a temporary branch was refused: " if refused.name.startswith(UPLOADS) else ""
    moved = {update.name for update in step.updates}
    reason = where + refused.reason
    return tuple(
        RefOutcome(update.name, False, reason if where or update.name in moved else "not reached") for update in updates
    )


def _remove(transport: Transport, plan: PushPlan, monitor: Monitor) -> None:
    """Remove the temporary branches that are there; what cannot be removed is said, and does no harm."""
    there = transport.list_refs().refs
    names = [name for name in plan.temporary if name in there]
    if not names:
        return
    try:
        outcomes = transport.push([RefUpdate(name, there[name], None) for name in names])
        left = [outcome.name for outcome in outcomes if not outcome.ok]
    except EnvgitError:
        left = names
    for name in left:
        monitor.warn(
            f"the temporary branch {name.removeprefix('refs/heads/')} stays on the other side: remove it there"
        )
