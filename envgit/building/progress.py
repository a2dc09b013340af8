"""What a build tells while it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from envgit.building.unit import Origin

if TYPE_CHECKING:
    from envgit.building.landing import Stopped


class Position(NamedTuple):
    """A unit on its way: `number` from 1 of `total` of all stages that are built; `stage`: "" when there is only one."""

    number: int
    total: int
    stage: str
    text: str
    origin: Origin


class BuildProgress(Protocol):
    def started(self, position: Position, reason: str) -> None:
        """A unit is carried out, because of `reason`."""

    def reused(self, position: Position, oid: str) -> None:
        """A unit was found in history."""

    def done(self, position: Position, oid: str, seconds: float) -> None:
        """A unit has become a commit."""

    def stopped(self, stopped: Stopped) -> None:
        """The build failed; what was built is kept."""


class SilentProgress:
    """Tells nothing."""

    def started(self, position: Position, reason: str) -> None:
        pass

    def reused(self, position: Position, oid: str) -> None:
        pass

    def done(self, position: Position, oid: str, seconds: float) -> None:
        pass

    def stopped(self, stopped: Stopped) -> None:
        pass
