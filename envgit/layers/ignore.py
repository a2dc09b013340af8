"""What a run leaves behind that is never recorded: the built-in places, and the user's .envgitignore.

The rules of .envgitignore are those of gitignore(5), applied to paths from the environment's root; like git's
they say nothing about what is recorded already. The built-in places count for recorded paths too.
"""

from __future__ import annotations

from typing import Protocol

VOLATILE_DIRECTORIES = frozenset((b"proc", b"sys", b"dev", b"run", b"tmp"))
"""Top-level directories whose content belongs to a run, not to the environment."""

INJECTED_FILES = frozenset((b"etc/hosts", b"etc/hostname", b"etc/resolv.conf"))
"""Files that a run mounts over; where the environment has none, an empty one appears as the mount point."""


class _Spec(Protocol):
    def match_file(self, file: str) -> bool: ...


class IgnoreRules:
    """The built-in rules and, if there are any, those of one .envgitignore. Paths have no leading slash."""

    __slots__ = ("_spec", "mount_points")

    def __init__(self, spec: _Spec | None = None) -> None:
        self._spec = spec
        self.mount_points: frozenset[bytes] = frozenset()
        """What was made only to mount something there, with the directories made on the way to it."""

    @classmethod
    def parse(cls, text: bytes | None) -> IgnoreRules:
        """Return the rules of a .envgitignore's content; None or nothing but comments: only the built-in ones."""
        lines = text.decode("utf-8", "surrogateescape").splitlines() if text else []
        if not any(line.strip() and not line.startswith("#") for line in lines):
            return cls()
        from pathspec import GitIgnoreSpec

        return cls(GitIgnoreSpec.from_lines(lines))

    def is_volatile(self, directory: bytes) -> bool:
        """Say whether nothing below this directory is ever recorded from a run."""
        return directory in VOLATILE_DIRECTORIES

    def is_placeholder(self, path: bytes, size: int) -> bool:
        """Say whether an unrecorded regular file is the mount point of an injected file or of a volume."""
        return size == 0 and (path in INJECTED_FILES or path in self.mount_points)

    def matches(self, path: bytes, is_directory: bool) -> bool:
        """Say whether the .envgitignore excludes an unrecorded path. A matching directory excludes all below it."""
        if self._spec is None:
            return False
        text = path.decode("utf-8", "surrogateescape")
        return self._spec.match_file(text + "/" if is_directory else text)
