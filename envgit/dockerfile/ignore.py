"""Which files of a build context a .dockerignore leaves out (https://docs.docker.com/build/concepts/context/#dockerignore-files)."""

from __future__ import annotations

from typing import NamedTuple

from envgit.dockerfile.errors import DockerfileError, ExpansionError
from envgit.dockerfile.ignore_rule import Rule, parse_rule
from envgit.dockerfile.whitespace import SPACE


class DockerIgnore(NamedTuple):
    """The rules of a .dockerignore; of those that match a path the last one decides.

    Paths are relative to the context, with "/", without "./" before or "/" after; os.fsdecode'd when they are not UTF-8.
    """

    rules: tuple[Rule, ...] = ()

    @classmethod
    def parse(cls, text: bytes, file: str = ".dockerignore") -> DockerIgnore:
        """Parse the file's text; raises DockerfileError for a pattern that is none. `file`: its name in messages."""
        rules = []
        lines = text.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        for number, line in enumerate(lines, 1):
            if line.startswith("#") or not line.strip(SPACE):
                continue
            try:
                rules.append(parse_rule(line))
            except ExpansionError as error:
                raise DockerfileError(f"{file}:{number}: {error.message}", hint=error.hint) from None
        return cls(tuple(rules))

    def ignores(self, path: str) -> bool:
        """Say whether the file or directory is left out."""
        for rule in reversed(self.rules):
            if rule.regex.match(path):
                return not rule.is_exception
        return False

    def may_contain(self, directory: str) -> bool:
        """Say whether anything below a directory that is left out may be not left out; False: a walk need not enter it."""
        return any(rule.is_exception and rule.may_match_below(directory) for rule in self.rules)
