"""A commit as text: git's named formats and its placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from envgit.errors import UsageError

from .dates import format_date
from .screen import Screen

if TYPE_CHECKING:
    from envgit.log import LogEntry
    from envgit.signing.verdict import Verdict
    from envgit.store.objects import Commit, Signature

NAMED_FORMATS: Final = ("oneline", "short", "medium", "full", "fuller", "reference", "raw")
_PLACEHOLDER: Final = re.compile(
    r"%(?:n|%|x[0-9a-fA-F]{2}|G[?SKF]|H|h|T|t|P|p|[ac][nNeElLdDrtiIs]|d|D|s|f|b|B|"
    r"C(?:red|green|blue|reset|yellow)|C\([a-z ]*\))"
)
_COLOURS: Final = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "reset": "", "bold": "1", "dim": "2"}


class TextOptions(NamedTuple):
    """How commits are written: a named format or `format:`/`tformat:` with placeholders."""

    format: str = "medium"
    date: str = "default"
    abbreviate: bool = False
    decorate: bool = True
    now: float = 0.0
    shorten: Callable[[str], str] = lambda oid: oid[:7]
    read_verdict: Callable[[str], Verdict] | None = None
    """Checks the signature of a commit, by its id."""
    show_signature: bool = False


def parse_format(text: str) -> str:
    """Return a format as TextOptions takes it; raises UsageError for an unknown name, as git does."""
    if text in NAMED_FORMATS or text.startswith(("format:", "tformat:")):
        return text
    if "%" in text:
        return "tformat:" + text
    known = ", ".join(NAMED_FORMATS)
    raise UsageError(f"invalid --format: {text}", hint=f"one of: {known}, or format:PLACEHOLDERS")


def commit_lines(entry: LogEntry, options: TextOptions, screen: Screen) -> Iterator[str]:
    """Yield the lines of one commit, without an empty line at the end."""
    if options.format.startswith(("format:", "tformat:")):
        template = options.format.partition(":")[2]
        yield from expand(template, entry, options, screen).split("\n")
    elif options.format == "oneline":
        oid = options.shorten(entry.oid) if options.abbreviate else entry.oid
        decoration = decorate(entry.names, screen) if options.decorate else ""
        yield f"{screen.paint('yellow', oid)}{decoration} {_subject(entry, screen)}"
    elif options.format == "reference":
        day = _date(entry.commit.author, "short", options)
        yield f"{options.shorten(entry.oid)} ({_subject(entry, screen)}, {day})"
    else:
        yield from _long_lines(entry, options, screen)


def _long_lines(entry: LogEntry, options: TextOptions, screen: Screen) -> Iterator[str]:
    style = options.format
    oid = options.shorten(entry.oid) if options.abbreviate else entry.oid
    yield screen.paint("yellow", f"commit {oid}") + (decorate(entry.names, screen) if options.decorate else "")
    if options.show_signature and options.read_verdict is not None:
        verdict = options.read_verdict(entry.oid)
        sentence = screen.safe(verdict.sentence()).replace("\n", " ")
        yield sentence if verdict.good else screen.paint("red", sentence)
    commit = entry.commit
    if style == "raw":
        yield f"tree {commit.tree.hex()}"
        yield from (f"parent {parent}" for parent in entry.parents)
        yield f"author {screen.safe(commit.author.encode())}"
        yield f"committer {screen.safe(commit.committer.encode())}"
    else:
        if len(entry.parents) > 1:
            yield "Merge: " + " ".join(options.shorten(parent) for parent in entry.parents)
        yield from _people(commit, options, screen)
    yield ""
    message = screen.safe(commit.message).rstrip("\n").split("\n")
    if style == "short":
        message = [_subject(entry, screen)]
    yield from ("    " + line for line in message)


def _date(who: Signature, style: str, options: TextOptions) -> str:
    return format_date(who.seconds, who.offset.decode("ascii"), style, options.now)


def _people(commit: Commit, options: TextOptions, screen: Screen) -> Iterator[str]:
    author, committer = commit.author, commit.committer

    def person(who: Signature) -> str:
        return screen.safe(b"%s <%s>" % (who.name, who.email))

    def date(who: Signature) -> str:
        return _date(who, options.date, options)

    if options.format == "fuller":
        yield f"Author:     {person(author)}"
        yield f"AuthorDate: {date(author)}"
        yield f"Commit:     {person(committer)}"
        yield f"CommitDate: {date(committer)}"
        return
    yield f"Author: {person(author)}"
    if options.format == "full":
        yield f"Commit: {person(committer)}"
    elif options.format == "medium":
        yield f"Date:   {date(author)}"


def subject(commit: Commit) -> bytes:
    """Return the first paragraph of the message on one line."""
    return b" ".join(commit.message.strip(b"\n").partition(b"\n\n")[0].split(b"\n"))


def _subject(entry: LogEntry, screen: Screen) -> str:
    return screen.safe(subject(entry.commit))


def _body(commit: Commit) -> bytes:
    rest = commit.message.strip(b"\n").partition(b"\n\n")[2].lstrip(b"\n")
    return rest + b"\n" if rest else b""


def decorate(decorations: tuple[str, ...], screen: Screen) -> str:
    """Return ` (HEAD -> main, tag: v1)`, or nothing."""
    if not decorations:
        return ""
    shown = screen.paint("yellow", ", ").join(_decoration(name, screen) for name in decorations)
    return screen.paint("yellow", " (") + shown + screen.paint("yellow", ")")


def _decoration(name: str, screen: Screen) -> str:
    if name.startswith("HEAD"):
        head, arrow, branch = name.partition(" -> ")
        return screen.paint("head", head + arrow) + screen.paint("branch", screen.safe(branch))
    return screen.paint("tag" if name.startswith("tag: ") else "branch", screen.safe(name))


def expand(template: str, entry: LogEntry, options: TextOptions, screen: Screen) -> str:
    """Replace git's placeholders; one that is not known stays as it is, as in git."""
    author, committer = entry.commit.author, entry.commit.committer

    def replaced(match: re.Match[str]) -> str:
        code = match.group()[1:]
        if code[0] in "ac" and len(code) == 2:
            return _person_field(author if code[0] == "a" else committer, code[1], options, screen)
        if code[0] == "C":
            return _colour(code[1:].strip("()"), screen)
        return _commit_field(code, entry, options, screen)

    return _PLACEHOLDER.sub(replaced, template)


def _commit_field(code: str, entry: LogEntry, options: TextOptions, screen: Screen) -> str:
    if code == "n":
        return "\n"
    if code == "%":
        return "%"
    if code[0] == "G":
        return _signature_field(code[1], entry, options, screen)
    if code[0] == "x":
        return chr(int(code[1:], 16)) if int(code[1:], 16) < 0x80 else chr(0xDC00 + int(code[1:], 16))
    fields: dict[str, Callable[[], str]] = {
        "H": lambda: entry.oid,
        "h": lambda: options.shorten(entry.oid),
        "T": lambda: entry.commit.tree.hex(),
        "t": lambda: entry.commit.tree.hex()[:7],
        "P": lambda: " ".join(entry.parents),
        "p": lambda: " ".join(options.shorten(parent) for parent in entry.parents),
        "d": lambda: decorate(entry.names, screen),
        "D": lambda: screen.safe(", ".join(entry.names)),
        "s": lambda: _subject(entry, screen),
        "f": lambda: re.sub("[^A-Za-z0-9._]+", "-", _subject(entry, screen)).strip("-."),
        "b": lambda: screen.safe(_body(entry.commit)),
        "B": lambda: screen.safe(entry.commit.message),
    }
    return fields[code]()


def _signature_field(code: str, entry: LogEntry, options: TextOptions, screen: Screen) -> str:
    from envgit.signing.verdict import LETTERS, UNSIGNED

    verdict = options.read_verdict(entry.oid) if options.read_verdict is not None else UNSIGNED
    fingerprint = verdict.key.rpartition(" ")[2]
    fields = {"?": LETTERS[verdict.state], "S": verdict.signer, "K": fingerprint, "F": fingerprint}
    return screen.safe(fields[code])


def _person_field(who: Signature, code: str, options: TextOptions, screen: Screen) -> str:
    if code in "nN":
        return screen.safe(who.name)
    if code in "eE":
        return screen.safe(who.email)
    if code in "lL":
        return screen.safe(who.email.partition(b"@")[0])
    styles = {"d": options.date, "D": "rfc", "r": "relative", "t": "unix", "i": "iso", "I": "iso-strict", "s": "short"}
    return _date(who, styles[code], options)


def _colour(name: str, screen: Screen) -> str:
    if not screen.color:
        return ""
    codes = [_COLOURS[word] for word in name.split() if word in _COLOURS]
    return f"\x1b[{';'.join(codes)}m"
