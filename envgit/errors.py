"""The one error tree. Only the command line turns these into text."""

from __future__ import annotations


class EnvgitError(Exception):
    """Base of every error that envgit raises on purpose.

    `code` is a stable kebab-case identifier, `exit_code` the status of the command, `hint` the next
    thing to type (or None). The message says what failed and why, in one line, without a full stop.
    """

    code = "error"
    exit_code = 2
    default_hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class NegativeAnswer(EnvgitError):
    """The question was understood and the answer is no (exit 1)."""

    code = "negative-answer"
    exit_code = 1


class Conflict(EnvgitError):
    """The command would lose or overwrite something; nothing was changed (exit 1)."""

    code = "conflict"
    exit_code = 1


class UsageError(EnvgitError):
    """What was typed makes no sense together."""

    code = "usage"


class NotARepository(EnvgitError):
    """There is no `.envgit` in the working directory or above it."""

    code = "not-a-repository"


class UnsupportedRepository(EnvgitError):
    """The repository requires a feature that this version does not know, or belongs to somebody else."""

    code = "unsupported-repository"


class UnknownRevision(EnvgitError):
    """Nothing has this name: no branch, tag, commit or operation."""

    code = "unknown-revision"


class AmbiguousRevision(EnvgitError):
    """A short id that several objects share; `candidates` lists the full ids."""

    code = "ambiguous-revision"

    def __init__(self, message: str, *, candidates: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.candidates = candidates


class UnknownPath(EnvgitError):
    """The revision or the environment has no such path, or it is of another type."""

    code = "unknown-path"


class UnknownVolume(UnknownPath):
    """There is no volume of this name (exit 1, as for a sandbox)."""

    code = "unknown-volume"
    exit_code = 1


class InvalidName(EnvgitError):
    """A branch, tag, file or attribute name that may not be used."""

    code = "invalid-name"


class RefMoved(Conflict):
    """Compare-and-swap of a ref failed: somebody else moved it."""

    code = "ref-moved"


class RepositoryBusy(EnvgitError):
    """Another process holds the repository's lock."""

    code = "repository-busy"


class CorruptObject(EnvgitError):
    """Bytes in the store, the cache or a metadata blob are not what they must be."""

    code = "corrupt-object"
    default_hint = "see everything that is damaged with: envgit fsck"


class HostileInput(EnvgitError):
    """An archive, tree or configuration that would escape, collide or exhaust."""

    code = "hostile-input"


class SourceError(EnvgitError):
    """A source of an import cannot be read or understood."""

    code = "source-error"


class StorageError(EnvgitError):
    """The disk is full, read-only, failing or not permitted; nothing acknowledged was lost."""

    code = "storage-error"


class SandboxError(EnvgitError):
    """The sandbox could not be set up."""

    code = "sandbox-error"
    exit_code = 125


class StepFailed(EnvgitError):
    """A step of a build ended with another status than 0 (exit 1; 130 when it was interrupted).

    `status`: of its program. What was built before it is kept.
    """

    code = "step-failed"
    exit_code = 1

    def __init__(self, message: str, *, status: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        if status in _INTERRUPTED:
            self.exit_code = 130


_INTERRUPTED = (130, 143)
"""Of programs that SIGINT and SIGTERM ended."""


class UnknownSandbox(EnvgitError):
    """No recorded sandbox has this name or id, or several have ids that begin so (exit 1)."""

    code = "unknown-sandbox"
    exit_code = 1


class ProgramNotExecutable(SandboxError):
    """The environment has the program, but it cannot be executed."""

    code = "program-not-executable"
    exit_code = 126


class ProgramNotFound(SandboxError):
    """The environment has no such program."""

    code = "program-not-found"
    exit_code = 127


class HostUnsupported(SandboxError):
    """The kernel or its settings lack something a sandbox needs; `envgit doctor` prints the fix."""

    code = "host-unsupported"
