"""The context of one command: environment variables, streams, the repository, and how everything ends.

The only module that touches os.environ, standard streams and the exit status.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from envgit.errors import AmbiguousRevision, EnvgitError
from envgit.light_typing import TYPE_CHECKING, BinaryIO, Final

from .screen import Screen, fail_output
from .terminal_monitor import TerminalMonitor

if TYPE_CHECKING:
    import click

    from envgit.repo import Repository

WARNINGS_STATUS: Final = 3
INTERRUPT_STATUS: Final = 130
BROKEN_PIPE_STATUS: Final = 141
BUG_STATUS: Final = 2
RUN_FAILED_STATUS: Final = 125
_OF_RUNS: Final = (125, 126, 127, INTERRUPT_STATUS)
USAGE_STATUS: Final = 2

_DISK_HINTS: Final = {
    errno.ENOSPC: "free some space (envgit gc helps), then run the command again; nothing acknowledged was lost",
    errno.EDQUOT: "free some space (envgit gc helps), then run the command again; nothing acknowledged was lost",
    errno.EROFS: "remount the filesystem writable, or work in another directory with -C DIR",
    errno.EACCES: "check who owns the path; a repository belongs to the user that created it",
    errno.EPERM: "check who owns the path; a repository belongs to the user that created it",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
}


class Session:
    """What a verb gets as its first argument. Opens the repository and the screen when first asked."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.debug = False
        self.runs_program = False
        self._color = "auto"
        self._pager = True
        self._repo: Repository | None = None
        self._screen: Screen | None = None
        self.stdout_is_terminal = sys.stdout.isatty()
        stderr_is_terminal = sys.stderr.isatty() and self.environ.get("TERM") != "dumb"
        self.monitor = TerminalMonitor(sys.stderr, terminal=stderr_is_terminal, width=self._width(2))

    def configure(self, *, color: str, pager: bool, debug: bool) -> None:
        """Apply the global options."""
        self._color = color
        self._pager = pager
        self.debug = debug
        self._screen = None

    @property
    def repo(self) -> Repository:
        """The repository that the working directory belongs to; raises NotARepository."""
        if self._repo is None:
            from envgit.repo import Repository

            self._repo = Repository.open_(os.getcwd(), self.environ, self.monitor)
            self._repo.finish_interrupted()
            if os.path.lexists(self._repo.path("layers", "handover")):  # else its upper directory may not be in place
                from envgit.stack import finish_handover

                finish_handover(self._repo)
            self._end_orphans(self._repo)
        return self._repo

    def _end_orphans(self, repo: Repository) -> None:
        """End sandboxes whose monitor was killed and whose programs escaped PR_SET_PDEATHSIG."""
        try:
            if not os.listdir(repo.path("sandboxes")):
                return
        except OSError:
            return
        from envgit.sandbox.state import end_orphans

        end_orphans(repo)

    @property
    def out(self) -> Screen:
        if self._screen is None:
            self._screen = self._open_screen()
        return self._screen

    def _open_screen(self) -> Screen:
        terminal = self.stdout_is_terminal
        return Screen(
            sys.stdout.buffer,
            terminal=terminal,
            color=self.wants_color(),
            width=self._width(1),
            ask_quote_high=self._quotes_high_bytes,
        )

    def wants_color(self) -> bool:
        if self._color != "auto":
            return self._color == "always"
        return self.stdout_is_terminal and not self.environ.get("NO_COLOR") and self.environ.get("TERM") != "dumb"

    def _width(self, fd: int) -> int:
        if self.environ.get("COLUMNS", "").isdigit():
            return max(20, int(self.environ["COLUMNS"]))
        try:
            return max(20, os.get_terminal_size(fd).columns or 80)  # 0: the terminal does not know
        except OSError:
            return 80

    def _quotes_high_bytes(self) -> bool:
        """Read git's core.quotePath from the repository's configuration; true without a repository."""
        from envgit.config import get_value

        try:
            value = get_value(self.repo, "core.quotePath")
        except (EnvgitError, OSError):
            return True
        return value is None or value.lower() not in ("false", "no", "off", "0")

    def say(self, text: str) -> None:
        """Say something to the user that is not data: standard error."""
        self.monitor.say(text)

    def hint_undo(self, operation: int | None) -> None:
        """Say how to take back what the command did."""
        if operation is not None:
            self.say("hint: to take this back: envgit undo")

    @property
    def stdin(self) -> BinaryIO:
        """Standard input as bytes."""
        return sys.stdin.buffer

    @property
    def stdin_is_terminal(self) -> bool:
        return sys.stdin.isatty()

    def status_of_warnings(self) -> int:
        """Return the exit status of a command that did its work: 3 when it had to warn."""
        return WARNINGS_STATUS if self.monitor.warnings else 0

    @contextmanager
    def paged(self) -> Iterator[Screen]:
        """Send standard output through the pager while the block runs, when a person reads it."""
        if not (self._pager and self.stdout_is_terminal):
            yield self.out
            return
        from .pager import open_pager

        with open_pager(self.environ) as stream:
            if stream is None:
                yield self.out
                return
            before, screen = self._screen, self._open_screen()
            screen.stream = stream
            self._screen = screen
            try:
                yield screen
                screen.flush()
            finally:
                self._screen = before

    def fail(self, error: BaseException) -> int:
        """Say what went wrong and return the exit status for it.

        A command that runs a program keeps 125 for envgit's own failures: every other status can be the program's.
        """
        status = self._say_failure(error)
        if self.runs_program and status not in _OF_RUNS:
            return RUN_FAILED_STATUS
        return status

    def _say_failure(self, error: BaseException) -> int:
        self.monitor.clear()
        if isinstance(error, EnvgitError):
            self._say_error(error.message, error.hint)
            if isinstance(error, AmbiguousRevision) and not error.hint:
                self.say("hint: the candidates are:\n" + "\n".join(f"  {name}" for name in error.candidates))
            return error.exit_code
        if isinstance(error, KeyboardInterrupt):
            self.say("envgit: interrupted")
            return INTERRUPT_STATUS
        import click  # here, because commands of the fast lane end without it

        if isinstance(error, click.Abort):
            self.say("envgit: interrupted")
            return INTERRUPT_STATUS
        if isinstance(error, click.UsageError):
            return self._fail_usage(error)
        if isinstance(error, click.ClickException):
            self._say_error(error.format_message(), None)
            return USAGE_STATUS
        if isinstance(error, OSError):
            place = f"{os.fsdecode(error.filename)}: " if error.filename else ""
            self._say_error(f"{place}{error.strerror or error}", _DISK_HINTS.get(error.errno or 0))
            return USAGE_STATUS
        if isinstance(error, MemoryError):
            self._say_error("out of memory", "close other programs, or raise the limit: ulimit -v unlimited")
            return USAGE_STATUS
        self._say_error(
            f"internal error: {type(error).__name__}: {error}",
            "this is a bug in envgit, please report it with the output of: envgit --debug ...",
        )
        return BUG_STATUS

    def _fail_usage(self, error: click.UsageError) -> int:
        context = error.ctx
        name = context.command_path if context else "envgit"
        message = error.format_message().rstrip(".")
        self._say_error(message[:1].lower() + message[1:], f"see: {name} --help")
        return USAGE_STATUS

    def _say_error(self, message: str, hint: str | None) -> None:
        self.say(f"envgit: {message}")
        if hint:
            self.say(f"hint: {hint}")

    def close(self) -> None:
        """Flush everything; raises BrokenPipeError when nobody reads standard output any more."""
        self.monitor.close()
        try:
            sys.stdout.flush()
        except OSError as error:
            fail_output(error)


def silence_stdout() -> None:
    """Let the interpreter's last flush of a closed pipe succeed."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
    except (OSError, ValueError):
        pass


def change_directory(path: str) -> None:
    """Work in `path`, as git -C does."""
    os.chdir(path)
