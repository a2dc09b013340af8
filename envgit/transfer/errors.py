"""Why objects or refs could not be exchanged with another repository."""

from __future__ import annotations

from envgit.errors import EnvgitError, UsageError


class BadAddress(UsageError):
    """What was typed or configured names no repository that may be talked to."""

    code = "bad-address"


class TransferError(EnvgitError):
    """The exchange failed; nothing was changed here."""

    code = "transfer-error"


class Unreachable(TransferError):
    """No connection: unknown host, refused, no route, timed out."""

    code = "unreachable"


class AccessDenied(TransferError):
    """The other side wants somebody else, or forbids it."""

    code = "access-denied"


class NoSuchRepository(TransferError):
    """There is no repository at the address."""

    code = "no-such-repository"


class Stalled(TransferError):
    """Nothing came for longer than the limit; the connection was cut."""

    code = "stalled"


class ProtocolViolation(TransferError):
    """The other side sent what git's protocol does not allow."""

    code = "protocol-violation"


class MissingPrerequisite(TransferError):
    """A bundle builds on commits that are not here."""

    code = "missing-prerequisite"


class RemoteMoved(TransferError):
    """What was listed a moment ago is no longer there."""

    code = "remote-moved"
