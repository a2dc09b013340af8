"""Classic BPF, assembled from the end: every jump goes forward, so when one is written the distance is known.

Source: Documentation/networking/filter.rst and userspace-api/seccomp_filter.rst of the kernel.
"""

from __future__ import annotations

from typing import NewType

Label = NewType("Label", int)
"""A place, counted in instructions from the end of the program."""

LOAD = 0x20  # A = the 32-bit word at offset k of struct seccomp_data
AND = 0x54  # A &= k
RETURN = 0x06
ALWAYS = 0x05  # the only jump with a distance of 32 bits
EQUAL = 0x15
GREATER = 0x25
AT_LEAST = 0x35

MAXIMUM = 4096
"""The longest program that the kernel takes (BPF_MAXINSNS)."""

_FARTHEST = 255


class Assembler:
    """Collects instructions backwards. Each method writes in front of what is there and returns the place written."""

    def __init__(self) -> None:
        self._backwards: list[bytes] = []
        self._returns: dict[int, Label] = {}

    def end(self, value: int) -> Label:
        """Leave the filter with a value; written once for each value."""
        if value not in self._returns:
            self._returns[value] = self._write(RETURN, value)
        return self._returns[value]

    def load(self, offset: int, then: Label) -> Label:
        self._lead_to(then)
        return self._write(LOAD, offset)

    def load_and(self, offset: int, mask: int, then: Label) -> Label:
        self._lead_to(then)
        if mask != 0xFFFFFFFF:
            self._write(AND, mask)
        return self._write(LOAD, offset)

    def branch(self, test: int, value: int, yes: Label, no: Label) -> Label:
        """Compare what is loaded; go to `yes` or `no`, over intermediate jumps where they are too far away."""
        if yes == no:
            return yes
        if self._distance(no) > _FARTHEST - 1:  # one less: the other jump may come between
            no = self._write(ALWAYS, self._distance(no))
        if self._distance(yes) > _FARTHEST:
            yes = self._write(ALWAYS, self._distance(yes))
        return self._write(test, value, self._distance(yes), self._distance(no))

    def program(self, start: Label) -> bytes:
        """Return the program, which begins at `start`."""
        self._lead_to(start)
        return b"".join(reversed(self._backwards))

    def _distance(self, label: Label) -> int:
        """Return the jump from an instruction written next; 0 is the one that follows it."""
        return len(self._backwards) - label

    def _lead_to(self, label: Label) -> None:
        if self._distance(label):
            self._write(ALWAYS, self._distance(label))

    def _write(self, code: int, value: int, yes: int = 0, no: int = 0) -> Label:
        self._backwards.append(code.to_bytes(2, "little") + bytes((yes, no)) + value.to_bytes(4, "little"))
        return Label(len(self._backwards))
