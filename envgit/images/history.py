"""The history of an image's configuration: which instruction made which layer.

Source: OCI image specification 1.1, config.md, "history"; what docker's old builder, BuildKit and buildah write there. It is
what somebody wrote, verified by nothing: whatever it holds, an image can be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

_TEXT_CHARACTERS: Final = 64 * 1024
_LISTED_CHARACTERS: Final = 64 * 1024
_CUT: Final = " ..."
_LATEST_SECONDS: Final = 253_402_300_799
"""The end of the year 9999: what git and everybody else can show."""
_SHELL: Final = "/bin/sh -c "
_NOP: Final = re.compile(r"#\(nop\)\s*")
_ARGUMENTS: Final = re.compile(r"\|(\d{1,4}) ")
_CONTROL: Final = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_MOMENT: Final = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.\d{1,30})?([Zz]|[+-]\d\d:\d\d)")


class LayerHistory(NamedTuple):
    """One layer. `before`: instructions since the layer below that made none; `after`: of the last layer, those that follow."""

    text: str
    """The instruction; "" when nothing says."""
    raw: str
    """As it was written; "" when `text` has all of it."""
    before: tuple[str, ...]
    after: tuple[str, ...]
    seconds: int
    """When it was made, since the epoch; 0 when nothing says."""


class _Step(NamedTuple):
    text: str
    raw: str
    seconds: int | None
    is_empty: bool


def parse_history(fields: Mapping[str, object], layers: int) -> tuple[LayerHistory, ...]:
    """Return the history of each layer, lowest first; of an image without layers that of the whole.

    `fields`: the image's configuration. Where the history has another number of layers than the image, nothing says what
    made which: then the last one lists all of it.
    """
    image_seconds = parse_moment(fields.get("created"))
    listed = fields.get("history")
    steps = [_step(item) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    if layers == 0 or sum(not step.is_empty for step in steps) != layers:
        nothing = LayerHistory("", "", (), (), image_seconds or 0)
        return (*(nothing,) * (layers - 1), nothing._replace(before=_texts(steps)))
    found: list[LayerHistory] = []
    waiting: list[_Step] = []
    for step in steps:
        if step.is_empty:
            waiting.append(step)
            continue
        seconds = step.seconds if step.seconds is not None else image_seconds
        found.append(LayerHistory(step.text, step.raw, _texts(waiting), (), seconds or 0))
        waiting = []
    found[-1] = found[-1]._replace(after=_texts(waiting))
    return tuple(found)


def clean_instruction(text: str) -> str:
    """Return an instruction as its author wrote it in a Dockerfile, as far as `created_by` tells.

    Removed are the shell that docker names before everything, `#(nop)`, build arguments (`|2 A=1 B=2`) and BuildKit's mark.
    """
    text = text.strip().removesuffix("# buildkit").rstrip()
    name, shell, command = "RUN ", "", text
    if text.startswith("RUN "):
        command = text[4:].lstrip()
    elif not (text.startswith(_SHELL) or _ARGUMENTS.match(text)):
        return text
    if match := _ARGUMENTS.match(command):
        command = _without_arguments(command[match.end() :], int(match[1]))
    if command.startswith(_SHELL):
        shell, command = _SHELL, command.removeprefix(_SHELL).lstrip()
    if match := _NOP.match(command):
        return command[match.end() :].rstrip()
    if shell and command.startswith("#"):
        return command  # the mark of a tool such as debuerreotype, no command
    return (name + command).rstrip()


def parse_moment(value: object) -> int | None:
    """Return a date of RFC 3339 in seconds, at least 0; None for what is none."""
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 100 else None
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match[1].upper() + match[2].upper().replace("Z", "+00:00"))
        seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
    return min(max(seconds, 0), _LATEST_SECONDS)


def _without_arguments(text: str, count: int) -> str:
    """Return what follows `count` words NAME=VALUE. A value may have spaces: where a shell is named, what is before it goes."""
    before, shell, command = text.partition(_SHELL)
    if shell and (not before or before.endswith(" ")):
        return shell + command
    return " ".join(text.split(" ")[count:])


def _step(item: Mapping[str, object]) -> _Step:
    raw = _text(item.get("created_by"))
    text = clean_instruction(raw)
    comment = _text(item.get("comment"))
    if not text and not comment.startswith("buildkit.dockerfile"):
        text = comment
    has_arguments = _ARGUMENTS.match(raw.removeprefix("RUN ").lstrip()) is not None
    return _Step(text, raw if has_arguments else "", parse_moment(item.get("created")), item.get("empty_layer") is True)


def _text(value: object) -> str:
    """Return text without control characters but line ends and tabs; git keeps no NUL, terminals obey the others."""
    if not isinstance(value, str):
        return ""
    text = _CONTROL.sub(" ", value.replace("\r\n", "\n")).strip()
    return text if len(text) <= _TEXT_CHARACTERS else text[:_TEXT_CHARACTERS] + _CUT


def _texts(steps: list[_Step]) -> tuple[str, ...]:
    found: list[str] = []
    room = _LISTED_CHARACTERS
    for step in steps:
        room -= len(step.text) + 1
        if room < 0:
            return (*found, _CUT.strip())
        if step.text:
            found.append(step.text)
    return tuple(found)
