"""A copy of this process for half of some work; what it does is trusted as much as this one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress

from envgit.errors import StorageError
from envgit.exec.limited import ChildDied, LimitedChild


class SecondProcess(LimitedChild):
    """A LimitedChild without limits whose end, when nobody expected it, is an error that the user sees."""

    def finish(self, on_message: Callable[[bytes], None]) -> bytes:
        """As LimitedChild.finish(); raises StorageError when the process ended without a result."""
        try:
            return super().finish(on_message)
        except ChildDied as died:
            reason = "failed"
            if died.memory:
                reason = "ran out of memory"
            elif died.signal:
                reason = f"was ended by signal {died.signal}"
                with suppress(ValueError):
                    reason = f"was ended by {signal.Signals(died.signal).name}"
            raise StorageError(f"the process that shares this work {reason}", hint="run the command again") from None
