"""Flags of instructions: --name, --name=value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

from envgit.dockerfile.errors import ExpansionError
from envgit.suggestion import suggest

Kind: TypeAlias = Literal["text", "bool", "list"]


class Flags(NamedTuple):
    """Values by the flag's name without --."""

    texts: Mapping[str, tuple[str, ...]]
    bools: Mapping[str, bool]

    def text(self, name: str, default: str = "") -> str:
        """Return the value of a flag that is given once, or the default."""
        return self.texts.get(name, (default,))[0]

    def list(self, name: str) -> tuple[str, ...]:
        """Return the values of a flag that may be repeated."""
        return self.texts.get(name, ())

    def bool(self, name: str) -> bool | None:
        """Return a switch; None when it is not given."""
        return self.bools.get(name)


def parse_flags(flags: Sequence[str], kinds: Mapping[str, Kind]) -> Flags:
    """Parse the flags of an instruction that knows those of `kinds`; raises ExpansionError (which knows no line)."""
    texts: dict[str, tuple[str, ...]] = {}
    bools: dict[str, bool] = {}
    for flag in flags:
        name, equals, value = flag[2:].partition("=")
        kind = kinds.get(name)
        if kind is None:
            hint = (
                suggest(name, kinds, "--{}")
                if kinds
                else "it takes no flags; write -- before an argument that begins with --"
            )
            raise ExpansionError(f"unknown flag --{name}", hint=hint)
        if name in bools or (name in texts and kind != "list"):
            raise ExpansionError(f"--{name} is given twice")
        if kind == "bool":
            if value.lower() not in ("true", "false") and equals:
                raise ExpansionError(f"--{name}={value} is neither true nor false")
            bools[name] = value.lower() != "false"
        elif not equals:
            raise ExpansionError(f"--{name} has no value", hint=f"write: --{name}=VALUE")
        else:
            texts[name] = (*texts.get(name, ()), value)
    return Flags(texts, bools)
