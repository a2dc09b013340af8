"""The standard streams of a supervised program: its output goes to the log and to whoever is attached, their input to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from envgit.exec.caller_terminal import set_window_size
from envgit.exec.reactor import READABLE, WRITABLE, Reactor
from envgit.sandbox.attachments import ERROR, OUTPUT
from envgit.sandbox.log_file import LogFile
from envgit.sandbox.log_line import Stream

PIECE_BYTES = 32768
MOST_UNSENT_BYTES = 1 << 20
"""Input that the program has not taken; beyond, attached clients are not read."""

END_OF_TRANSMISSION = b"\x04"

Send = Callable[[bytes, bytes], None]


class Streams:
    """Pipes, or with `terminal` a terminal, that outlive single runs of the program.

    Without `interactive` and without a terminal, standard input is empty. `send` passes output to those who are attached;
    `resume` tells them that input is taken again. While `is_behind()` output is left in its pipe, until resume_output().
    """

    def __init__(
        self,
        log: LogFile,
        send: Send,
        resume: Callable[[], None],
        is_behind: Callable[[], bool],
        *,
        interactive: bool,
        terminal: bool,
    ) -> None:
        self._log = log
        self._send = send
        self._resume = resume
        self._is_behind = is_behind
        self._held_back = False
        self._reactor: Reactor | None = None
        self._terminal = terminal
        self._interactive = interactive
        self._outputs: dict[int, tuple[Stream, bytes]] = {}
        self._input = -1
        self._unsent = b""
        self._ends = False
        self._size = (24, 80)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        if terminal:
            self.stdio = (null, null, null)
            return
        out_read, out_write = os.pipe()
        error_read, error_write = os.pipe()
        self._outputs = {out_read: ("stdout", OUTPUT), error_read: ("stderr", ERROR)}
        for fd in self._outputs:
            os.set_blocking(fd, False)
        self.stdio = (null, out_write, error_write)

    def prepare(self) -> tuple[int, int, int]:
        """Return descriptors 0, 1, 2 of the next run, which gets an input of its own."""
        if self._interactive and not self._terminal:
            self.end_input()
            read_end, self._input = os.pipe()
            os.set_blocking(self._input, False)
            if self.stdio[0] >= 0:
                os.close(self.stdio[0])
            self.stdio = (read_end, *self.stdio[1:])
        return self.stdio

    def watch(self, reactor: Reactor, terminal: int) -> None:
        """The program runs; take the master of its terminal over."""
        self._reactor = reactor
        if terminal >= 0:
            os.set_blocking(terminal, False)
            self._outputs = {terminal: ("stdout", OUTPUT)}
            self._input = terminal
            self.resize(*self._size)
        elif self._interactive:  # the program has it; here it would keep a pipe without reader from breaking
            os.close(self.stdio[0])
            self.stdio = (-1, *self.stdio[1:])
        for fd in self._outputs:
            self._watch(fd)

    def resume_output(self) -> None:
        """Read output again: whoever was behind is not, or is gone."""
        if self._held_back:
            self._held_back = False
            for fd in self._outputs:
                self._watch(fd)

    def _watch(self, fd: int) -> None:
        if self._reactor is None:
            return
        writing = self._terminal and bool(self._unsent)
        events = (0 if self._held_back else READABLE) | (WRITABLE if writing else 0)
        self._reactor.watch(fd, events, partial(self._ready, fd))

    def drain(self) -> None:
        """The program and all of its kind have ended: take what they left."""
        self._reactor = None
        self._held_back = False
        for fd in tuple(self._outputs):
            while self._read(fd):
                pass
        if self._terminal:
            for fd in tuple(self._outputs):
                os.close(fd)
            self._outputs = {}
            self._input = -1
        self._unsent = b""
        self._ends = False

    def take_input(self, data: bytes) -> bool:
        """Pass input on; False when no more should come for now."""
        if self._input < 0:
            return True  # as a terminal that nobody reads: it is gone
        self._unsent += data
        self._write()
        return len(self._unsent) <= MOST_UNSENT_BYTES

    def end_input(self) -> None:
        """The program reads to the end of what was sent, then finds the end."""
        if self._terminal:
            self.take_input(END_OF_TRANSMISSION)
        elif self._input >= 0 and not self._unsent:
            os.close(self._input)
            self._input = -1
        elif self._input >= 0:
            self._ends = True

    def resize(self, rows: int, columns: int) -> None:
        self._size = (rows, columns)
        if self._terminal and self._input >= 0:
            with suppress(OSError):
                set_window_size(self._input, rows, columns)

    def _ready(self, fd: int, events: int) -> None:
        if events & WRITABLE:
            self._write()
        if events & ~WRITABLE and self._read(fd) is False and self._reactor is not None:
            self._reactor.unwatch(fd)  # a terminal that nothing inside has open any more
        elif not self._held_back and self._is_behind():
            self._held_back = True
            for output in self._outputs:
                self._watch(output)

    def _read(self, fd: int) -> bool | None:
        """Take one piece; False at the end, None when there is nothing now."""
        try:
            data = os.read(fd, PIECE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return False
        if not data:
            return False
        stream, kind = self._outputs[fd]
        self._log.write(stream, data)
        self._send(kind, data)
        return True

    def _write(self) -> None:
        """Write what the program takes now, and the rest when it can."""
        full = len(self._unsent) > MOST_UNSENT_BYTES
        try:
            while self._unsent:
                self._unsent = self._unsent[os.write(self._input, self._unsent[:PIECE_BYTES]) :]
        except BlockingIOError:
            pass
        except OSError:  # it closed its input
            self._unsent = b""
        if self._reactor is not None:
            if self._terminal:
                self._watch(self._input)
            elif self._unsent:
                self._reactor.watch(self._input, WRITABLE, lambda events: self._write())
            else:
                self._reactor.unwatch(self._input)
        if self._ends and not self._unsent:
            self._ends = False
            self.end_input()
        if full and len(self._unsent) <= MOST_UNSENT_BYTES:
            self._resume()
