"""The message of a layer's commit: the instruction that made the layer, and those around it that made none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from envgit.images.history import LayerHistory

_SUBJECT_CHARACTERS: Final = 100
_RESERVED: Final = "Envgit-"


def format_layer_message(history: LayerHistory, number: int) -> bytes:
    """Return the message of a layer, counted from 1, without trailers; 0: of an image without layers.

    It does not say of how many, so that images with the same lower layers share those commits.
    """
    lines = history.text.splitlines()
    line = " ".join(lines[0].split()) if lines else ""
    subject = line if len(line) <= _SUBJECT_CHARACTERS else line[: _SUBJECT_CHARACTERS - 3].rstrip() + "..."
    if not subject:
        subject = f"layer {number}" if number else "an image without layers"
    elif subject.startswith(_RESERVED):
        subject = f"layer: {subject}"  # else it would be taken for a trailer, and removed as one
    parts = [subject, *_body(history, is_whole=[subject] == lines)]
    return "\n\n".join(parts).encode()


def _body(history: LayerHistory, *, is_whole: bool) -> Iterator[str]:
    if history.raw:
        yield _indent([history.raw])
    elif history.text and not is_whole:
        yield _indent([history.text])
    if history.before:
        yield "Before it, without files:\n" + _indent(history.before)
    if history.after:
        yield "After it, without files:\n" + _indent(history.after)


def _indent(texts: Sequence[str]) -> str:
    return "\n".join("    " + line for text in texts for line in text.splitlines())
