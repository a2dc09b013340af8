"""Make a sandbox's group in the best way this caller has, say what is not enforced, find it again later.

The ways, best first: version 2 directly (delegated), a scope of systemd, version 1, resource limits of each process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from envgit.exec.cgroups import tree
from envgit.exec.cgroups.fallback import choose_rlimits
from envgit.exec.cgroups.hierarchy import Hierarchies, booted_with_systemd, read_hierarchies
from envgit.exec.cgroups.kind import Group, Usage
from envgit.exec.cgroups.limits import Limits
from envgit.exec.cgroups.v1 import GroupV1, create_v1, usable_controllers
from envgit.exec.cgroups.v2 import CONTROLLERS, GroupV2, Parent, create_v2, find_parent

if TYPE_CHECKING:
    from envgit.exec.cgroups.scope import Manager

__all__ = ["Group", "Usage", "create_group", "find_group", "remove_leftovers"]

NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def create_group(name: str, limits: Limits, *, want_stats: bool = False) -> Group:
    """Make the group of the sandbox called `name`, unique among sandboxes, of letters, digits, `_`, `.`, `-`.

    Whatever cannot be enforced is in `notices`, never an error. Without limits nothing is read or made, unless `want_stats`:
    then a group where it costs a few folders, never a scope. Raises SandboxError when one should be possible but is not.
    """
    if not name or not NAME_CHARACTERS.issuperset(name):
        raise ValueError(f"not a name for a group: {name!r}")
    wanted = limits.controllers
    if not wanted and not want_stats:
        return Group()
    here = read_hierarchies()
    group = _create(name, limits, here, wanted or CONTROLLERS, scopes=bool(wanted))
    missing = {name: group.refused.get(name) for name in wanted}
    if group.way == "rlimits":
        reason = explain_none(here)
        missing = dict.fromkeys(wanted, reason)
    unenforced = {name: reason for name, reason in missing.items() if reason is not None}
    group.rlimits, notices = choose_rlimits(limits, unenforced)
    group.notices += notices
    return group


def find_group(record: tuple[str, ...]) -> Group | None:
    """Reopen a group from what another process recorded; None when there was none or it is gone."""
    v1: dict[str, str] = {}
    for line in record:
        way, _, rest = line.partition(":")
        if way == "v2" and tree.exists(rest):
            return GroupV2(rest)
        if way == "scope" and tree.exists(rest):
            from envgit.exec.cgroups.scope import OpenScope

            return OpenScope(rest)
        if way == "v1":
            controller, _, path = rest.partition(":")
            if tree.exists(path):
                v1[controller] = path
    return GroupV1(v1) if v1 else None


def remove_leftovers() -> tuple[str, ...]:
    """Remove empty groups of killed makers beside where this process makes its own; return the removed folders."""
    here = read_hierarchies()
    places = {place.path for place in here.v1.values()}
    if here.unified is not None:
        places |= {here.unified.path, os.path.dirname(here.unified.path)}
    return tuple(path for place in sorted(places) for path in tree.remove_leftovers(place))


def explain_none(here: Hierarchies) -> str:
    """Say why this caller has no group with controllers."""
    if here.v1:
        if any(tree.writable(f"{place.path}/cgroup.procs") for place in here.v1.values()) or os.geteuid() == 0:
            return "control groups are read-only here"
        return "no writable control group (version 1, root only)"
    if here.unified is None:
        return "no control groups are mounted here"
    if os.geteuid() == 0:
        return "no control group is delegated to this process"
    if booted_with_systemd():
        return "no control group is delegated to this user and the user's systemd does not answer"
    return "no control group is delegated to this user"


def _create(name: str, limits: Limits, here: Hierarchies, wanted: frozenset[str], *, scopes: bool) -> Group:
    """Use the first way that has all wanted controllers, else the one with most of them."""
    parent = _find_v2(here, wanted)
    of_v2 = parent.controllers & wanted if parent else frozenset()
    of_v1 = usable_controllers(here.v1) & wanted
    manager: Manager | None = None
    if scopes and booted_with_systemd() and not wanted <= of_v2 and not wanted <= of_v1:
        from envgit.exec.cgroups.scope import find_manager

        manager = find_manager(here)
    of_scope = manager.controllers & wanted if manager else frozenset()
    most = max(len(of_v2), len(of_scope), len(of_v1))
    if not most:
        return Group()
    group: GroupV2 | GroupV1
    if parent and len(of_v2) == most:
        group, given = create_v2(name, limits, parent), of_v2
    elif manager and len(of_scope) == most:
        from envgit.exec.cgroups.scope import Scope

        group, given = Scope(name, limits, manager), of_scope
    else:
        group, given = create_v1(name, limits, here.v1), of_v1
    for controller in limits.controllers - given:
        group.refused.setdefault(controller, f"the {controller} controller is not available to this caller")
    return group


def _find_v2(here: Hierarchies, wanted: frozenset[str]) -> Parent | None:
    """Return where version 2 groups can be made, without touching a hybrid tree that has none of the controllers."""
    if here.unified is None:
        return None
    try:
        available = frozenset(tree.read(f"{here.unified.path}/cgroup.controllers").split())
    except OSError:
        return None
    return find_parent(here.unified, wanted) if available & CONTROLLERS else None
