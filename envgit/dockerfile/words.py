"""Variables, quotes and escapes of words, as the shell-like lexer of BuildKit treats them (docs/dockerfile.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from envgit.dockerfile.errors import ExpansionError
from envgit.dockerfile.shell_patterns import cut_prefix, cut_suffix, replace
from envgit.dockerfile.whitespace import SPACE

Lookup: TypeAlias = Callable[[str], str | None]

_MAX_DEPTH = 100
"""Of ${} within ${}: more is an attack on the stack."""

_MOST_SHOWN = 100


def expand(word: str, lookup: Lookup, *, escape: str = "\\", quotes: bool = True) -> str:
    """Expand the variables of a word and remove its quotes and escapes; raises ExpansionError.

    `lookup` gives a variable's value, or None when it is not set. `quotes` False: quotes are plain text, as in heredocs.
    """
    return _Lexer(word, lookup, escape, quotes=quotes).run("")[0]


def expand_words(text: str, lookup: Lookup, *, escape: str = "\\") -> tuple[str, ...]:
    """Expand a text and split it at spaces that are not quoted, those of variables' values included; raises ExpansionError."""
    return tuple(_Lexer(text, lookup, escape).run("")[1])


def split_words(text: str, *, raw: bool, raw_escapes: bool = False) -> tuple[str, ...]:
    """Split at spaces that are not quoted; `raw`: keep the quotes, and with `raw_escapes` the escapes. Variables stay as written.

    Raises ExpansionError.
    """
    lexer = _Lexer(text, lambda name: None, "\\", raw_quotes=raw, raw_escapes=raw_escapes, keep_unset=True)
    return tuple(lexer.run("")[1])


class _Words:
    """Collects words: `add` splits at spaces, `add_raw` does not."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._parts: list[str] = []

    def add(self, text: str) -> None:
        for char in text:
            if char in SPACE:
                self.end()
            else:
                self._parts.append(char)

    def add_raw(self, text: str) -> None:
        self._parts.append(text)

    def end(self) -> None:
        word = "".join(self._parts)
        if word:
            self.words.append(word)
        self._parts.clear()


class _Lexer:
    """One pass over a text. `raw_*`: keep the quotes or escapes; `keep_unset`: variables that are not set stay as written."""

    def __init__(
        self,
        text: str,
        lookup: Lookup,
        escape: str,
        *,
        quotes: bool = True,
        raw_quotes: bool = False,
        raw_escapes: bool = False,
        keep_unset: bool = False,
    ) -> None:
        self._text = text
        self._at = 0
        self._lookup = lookup
        self._escape = escape
        self._quotes = quotes
        self._raw_quotes = raw_quotes
        self._raw_escapes = raw_escapes
        self._keep_unset = keep_unset
        self._depth = 0

    def run(self, stop: str, *, raw_escapes: bool = False) -> tuple[str, list[str]]:
        """Read up to the character `stop`, or with "" to the end; return the text, and its words."""
        before, self._raw_escapes = self._raw_escapes, self._raw_escapes if not stop else raw_escapes
        result: list[str] = []
        words = _Words()
        while self._at < len(self._text):
            char = self._peek()
            if char == stop:
                self._at += 1
                break
            if char == "$":
                text = self._variable()
                words.add(text)
            elif char == "'" and self._quotes:
                text = self._single_quoted()
                words.add_raw(text)
            elif char == '"' and self._quotes:
                text = self._double_quoted()
                words.add_raw(text)
            elif char == "<":
                text = self._heredoc_sign()
                words.add_raw(text)
            elif char == self._escape:
                self._at += 1
                text = (char if self._raw_escapes else "") + self._next()
                words.add_raw(text)
            else:
                text = self._next()
                words.add(text)
            result.append(text)
        else:
            if stop:
                raise ExpansionError(f"no '{stop}' that ends a substitution in: {self._excerpt()}")
        words.end()
        self._raw_escapes = before
        return "".join(result), words.words

    def _excerpt(self) -> str:
        """Return the line that was being read, for a message."""
        at = max(self._at - 1, 0)
        line = self._text[self._text.rfind("\n", 0, at) + 1 :].split("\n", 1)[0]
        return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}..."

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        char = self._peek()
        self._at += len(char)
        return char

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise ExpansionError(
                f"no ' that ends the quotation in: {self._excerpt()}", hint="write \\' or \"'\" for the character"
            )
        start, self._at = self._at, end + 1
        return self._text[start : end + 1] if self._raw_quotes else self._text[start + 1 : end]

    def _double_quoted(self) -> str:
        self._at += 1
        mark = '"' if self._raw_quotes else ""
        result = [mark]
        while self._at < len(self._text):
            char = self._peek()
            if char == '"':
                self._at += 1
                return "".join([*result, mark])
            if char == "$":
                result.append(self._variable())
                continue
            self._at += 1
            if char == self._escape:
                if self._raw_escapes:
                    result.append(char)
                if self._peek() in ('"', "$", self._escape):
                    char = self._next()
                elif not self._peek():
                    break
            result.append(char)
        raise ExpansionError(
            f'no " that ends the quotation in: {self._excerpt()}', hint="write \\\" or '\"' for the character"
        )

    def _heredoc_sign(self) -> str:
        """Keep `<<` and the blanks after it together with the word that follows."""
        start = self._at
        self._at += 1
        if self._peek() == "<":
            self._at += 1
            at = self._at + (self._peek() == "-")
            while self._text[at : at + 1] in ("\t", "\r", " "):
                at += 1
                self._at = at
        return self._text[start : self._at]

    def _variable(self) -> str:
        self._at += 1
        if self._peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._lookup(name)
            return f"${name}" if value is None and self._keep_unset else value or ""
        self._at += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ExpansionError("substitutions are nested too deeply")
        if self._peek() in ("{", "}", ":"):
            raise self._bad()
        value = self._substitution(self._name())
        self._depth -= 1
        return value

    def _name(self) -> str:
        """Read letters, digits and _; or digits only; or one special parameter of the shell."""
        start = self._at
        if self._peek() and self._peek() in "@*#?-$!":
            self._at += 1
        elif self._peek().isdecimal():
            while self._peek().isdecimal():
                self._at += 1
        else:
            while self._peek().isalpha() or self._peek().isdecimal() or self._peek() == "_":
                self._at += 1
        return self._text[start : self._at]

    def _substitution(self, name: str) -> str:
        """Read what follows the name in ${}."""
        sign = self._next()
        value = self._lookup(name)
        is_kept = value is None and self._keep_unset
        if sign == "}":
            return f"${{{name}}}" if is_kept else value or ""
        if sign == "/":
            return self._replacement(name, value)
        if sign == ":":
            sign += self._next()
        is_pattern = sign in ("#", "%")
        if sign[:1] not in (*":+-?#%",) or sign in (":#", ":%"):
            raise self._bad()
        word = self.run("}", raw_escapes=is_pattern)[0]
        if is_kept:
            return f"${{{name}{sign}{word}}}"
        if is_pattern:
            longest = word.startswith(sign)
            cut = cut_prefix if sign == "#" else cut_suffix
            return cut(word[longest:], value or "", longest=longest)
        is_missing = value is None or (sign[0] == ":" and not value)
        if sign[-1] == "+":
            return "" if is_missing else word
        if sign[-1] == "-":
            return word if is_missing else value or ""
        if sign[-1] != "?":
            raise self._bad()
        if is_missing:
            raise ExpansionError(f"{name}: {word or ('is not set' if value is None else 'is empty')}")
        return value or ""

    def _replacement(self, name: str, value: str | None) -> str:
        every = self._peek() == "/"
        self._at += every
        pattern = self.run("/", raw_escapes=True)[0]
        replacement = self.run("}", raw_escapes=True)[0]
        if value is None and self._keep_unset:
            return f"${{{name}/{pattern}/{replacement}}}"
        return replace(pattern, value or "", replacement, every=every)

    def _bad(self) -> ExpansionError:
        return ExpansionError(
            f"a substitution that is none of the known ones in: {self._excerpt()}",
            hint="known: ${x} ${x:-w} ${x-w} ${x:+w} ${x+w} ${x:?w} ${x?w} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r} ${x//p/r}",
        )
