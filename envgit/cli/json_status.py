"""The status as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .json_output import bytes_fields, change_fields, write_json
from .screen import Screen
from .status_text import short_upstream

if TYPE_CHECKING:
    from envgit.remotes.divergence import Divergence
    from envgit.status import Status


def write_status(screen: Screen, status: Status, following: Divergence | None) -> None:
    """Print every change, directories included, and the noise groups."""
    write_json(
        screen,
        {
            "branch": status.branch,
            "head": status.head,
            "clean": not status.changes and not status.noise,
            "changes": [change_fields(change) for change in status.changes],
            "noise": [
                {"label": group.label, "count": group.paths, **bytes_fields("example", group.example)}
                for group in status.noise
            ],
            "running": status.running,
            "base_differs": status.base_differs,
            "upstream": short_upstream(following.upstream) if following else None,
            "ahead": following.ahead if following and not following.gone else None,
            "behind": following.behind if following and not following.gone else None,
        },
    )
