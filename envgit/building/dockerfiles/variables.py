"""What a variable stands for at one point of a stage of a Dockerfile: ENV and ARG set the same variables, the last one counts."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.dockerfile.words import expand, expand_words
from envgit.environment_config import DEFAULT_PATH
from envgit.model import EnvironmentConfig


class Variables:
    """The variables of a stage while it is read from its beginning to its end."""

    def __init__(self, values: Mapping[str, str], escape: str) -> None:
        self._values = dict(values)
        self._escape = escape

    def set(self, name: str, value: str) -> None:
        self._values[name] = value

    def look_up(self, name: str) -> str | None:
        """Return a variable's value. PATH always has one: programs get it, too, when no configuration says any."""
        return self._values.get(name, DEFAULT_PATH if name == "PATH" else None)

    def values(self) -> dict[str, str]:
        """Return a copy: what a stage that begins from this one begins with."""
        return dict(self._values)

    def beside(self, config: EnvironmentConfig) -> tuple[tuple[str, str], ...]:
        """Return what a program gets beside the configuration's variables: those of ARG, sorted by name."""
        configured = dict(config.env)
        return tuple(sorted(pair for pair in self._values.items() if configured.get(pair[0]) != pair[1]))

    def expand(self, word: str) -> str:
        """Expand a word of an instruction; raises ExpansionError."""
        return expand(word, self.look_up, escape=self._escape)

    def expand_words(self, text: str) -> tuple[str, ...]:
        """Expand a text that may become several words; raises ExpansionError."""
        return expand_words(text, self.look_up, escape=self._escape)

    def expand_content(self, text: str) -> str:
        """Expand the content of a heredoc, in which quotes are text; raises ExpansionError."""
        return expand(text, self.look_up, quotes=False)
