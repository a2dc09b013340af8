"""Taking paths back, for `restore` and `checkout -- PATH`."""

from __future__ import annotations

from collections.abc import Sequence

from .command import environment_path
from .escape import count_of
from .session import Session


def restore_and_say(session: Session, texts: Sequence[str], source: str | None, *, quiet: bool) -> None:
    """Restore the paths from `source` (HEAD by default) and say which."""
    from envgit.restore import restore_paths

    result = restore_paths(session.repo, [environment_path(text) for text in texts], source)
    if quiet:
        return
    origin = session.out.safe(source) if source else "HEAD"
    session.out.line(f"Restored {count_of(len(result.paths), 'path')} from {origin}")
    for path in result.paths[:20]:
        session.out.line(f"    {session.out.path(path)}")
    if len(result.paths) > 20:
        session.out.line(f"    and {len(result.paths) - 20:,} more")
    session.hint_undo(result.operation)
