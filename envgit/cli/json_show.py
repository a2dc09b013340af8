"""What `show` shows, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .json_log import commit_fields
from .json_output import bytes_fields, change_fields, entry_fields, message_text

if TYPE_CHECKING:
    from envgit.show import Shown

    from .commit_text import TextOptions


def shown_fields(item: Shown, style: TextOptions) -> dict[str, Any]:
    """Return one object with its "type": commit, tag, file or directory."""
    from envgit.show import ShownCommit, ShownFile, ShownTag

    if isinstance(item, ShownCommit):
        changes = [change_fields(change) for change in item.diff.changes]
        return {"type": "commit", **commit_fields(item.entry, style), "changes": changes}
    if isinstance(item, ShownTag):
        return {
            "type": "tag",
            "name": item.name,
            "oid": item.tag,
            "message": message_text(item.message),
            "target": shown_fields(item.target, style),
        }
    if isinstance(item, ShownFile):
        return {"type": "file", **bytes_fields("path", item.path), "entry": entry_fields(item.child.entry)}
    entries = [{**bytes_fields("name", entry.name), **entry_fields(entry)} for entry in item.entries]
    return {"type": "directory", **bytes_fields("path", item.path), "entries": entries}
