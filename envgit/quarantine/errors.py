"""Why something that arrived is not let in. Nothing of it is kept, and the repository is as it was."""

from __future__ import annotations

from envgit.errors import EnvgitError


class RefusedObjects(EnvgitError):
    """What arrived is damaged, incomplete or hostile: a pack, an object, or the environment that they make up."""

    code = "refused-objects"
    default_hint = "nothing was kept; ask whoever runs the other repository to run: envgit fsck (or git fsck --strict)"


class NotAnEnvironment(RefusedObjects):
    """The objects are sound, but the commits hold no environments: an ordinary git repository."""

    code = "not-an-environment"
    default_hint = "only repositories made by envgit can be fetched; use git for this one"


class CheckExceeded(RefusedObjects):
    """The check needed more memory, time or space than it is given, or was killed."""

    code = "check-exceeded"
    default_hint = "nothing was kept; what arrived is hostile, or far larger than an environment should be"
