"""Who commits: git's environment variables, then git's configuration files, then the login."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping

from envgit.errors import UsageError
from envgit.store.config_files import config_files
from envgit.store.dates import format_offset, parse_date
from envgit.store.objects import Signature

_SECTION = re.compile(r'\[\s*([A-Za-z0-9.-]+)(?:\s+"((?:[^"\\]|\\.)*)")?\s*\](.*)')
_ESCAPED = re.compile(r"\\(.)")
_VARIABLE = re.compile(r"([A-Za-z][A-Za-z0-9-]*)\s*(?:=\s*(.*)|(?:[#;].*)?\Z)")
_ZONE = re.compile(r".*\s([+-]\d{4})\s*\Z", re.DOTALL)
_PEOPLE = ("user", "author", "committer")
_LISTS = ("transfer.hiderefs",)
"""Each line of these counts."""
_MAX_INCLUDES = 10


def read_identity(git_dir: str, environ: Mapping[str, str], role: str, now: int) -> Signature:
    """Return the signature of `role` ("author" or "committer") at `now` (seconds); GIT_<ROLE>_* override as in git.

    Raises UsageError for a GIT_<ROLE>_DATE that is not a date.
    """
    prefix = f"GIT_{role.upper()}_"
    settings = None
    values: list[str] = []
    for key in ("name", "email"):
        value = environ.get(prefix + key.upper())
        if not value:
            settings = settings if settings is not None else read_user_settings(git_dir, environ)
            value = settings.get(f"{role}.{key}") or settings.get(f"user.{key}")
        if not value:
            value = environ.get("EMAIL") if key == "email" else None
        values.append(value or _login(environ, key))
    date = environ.get(prefix + "DATE")
    seconds, offset = (now, format_offset(now)) if not date else _parse_fixed(date, now, prefix)
    return Signature(os.fsencode(values[0]), os.fsencode(values[1]), seconds, offset.encode("ascii"))


def _parse_fixed(date: str, now: int, prefix: str) -> tuple[int, str]:
    try:
        seconds = parse_date(date, now)
    except UsageError as error:
        raise UsageError(f"{prefix}DATE: {error.message}", hint=error.hint) from None
    zone = _ZONE.match(date)
    return seconds, zone[1] if zone else format_offset(seconds)


def _login(environ: Mapping[str, str], key: str) -> str:
    name = environ.get("LOGNAME") or environ.get("USER") or f"uid{os.getuid()}"
    return name if key == "name" else f"{name}@{os.uname().nodename}"


def read_user_settings(git_dir: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return `user.*`, `author.*` and `committer.*` of git's configuration."""
    return read_sections(git_dir, environ, _PEOPLE)


def read_sections(git_dir: str, environ: Mapping[str, str], sections: Container[str]) -> dict[str, str]:
    """Return the variables of some sections of git's configuration; later files win, includes are followed.

    Sections and variables are in lower case, sub-sections follow after a dot: `gpg.ssh.program`. A variable without a value is
    "true"; the values of transfer.hideRefs are one text, a line for each.
    """
    home = environ.get("HOME", "")
    settings: dict[str, str] = {}
    for path, _ in config_files(git_dir, environ):
        _read_config(path, home, sections, settings, 0)
    return settings


def may_sign(git_dir: str, environ: Mapping[str, str]) -> bool:
    """Say whether the configuration may ask for signatures: no file without this word does. Costs reading the files, no more."""
    for path, _ in config_files(git_dir, environ):
        try:
            with open(path, "rb", buffering=0) as file:
                text = file.read().lower()
        except OSError:
            continue
        if b"gpgsign" in text or b"[include" in text:
            return True
    return False


def _read_config(path: str, home: str, sections: Container[str], settings: dict[str, str], depth: int) -> None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().replace("\\\n", "").split("\n")
    except OSError:
        return
    section = ""
    for line in lines:
        line = line.strip()
        if match := _SECTION.match(line):
            inner = "" if match[2] is None else "." + _ESCAPED.sub(r"\1", match[2])
            section = match[1].lower() + inner
            line = match[3].strip()
        if not (match := _VARIABLE.match(line)):
            continue
        key, value = f"{section}.{match[1].lower()}", "true" if match[2] is None else _unquote(match[2])
        if key == "include.path" and depth < _MAX_INCLUDES:
            target = home + value[1:] if value.startswith("~/") else value
            _read_config(os.path.join(os.path.dirname(path), target), home, sections, settings, depth + 1)
        elif section in sections:
            settings[key] = f"{settings[key]}\n{value}" if key in _LISTS and key in settings else value


def _unquote(text: str) -> str:
    """git-config(1), "Syntax": quotes, escapes, comments."""
    result: list[str] = []
    quoted, position = False, 0
    while position < len(text):
        character = text[position]
        if character == "\\" and position + 1 < len(text):
            position += 1
            result.append({"n": "\n", "t": "\t", "b": "\b"}.get(text[position], text[position]))
        elif character == '"':
            quoted = not quoted
        elif character in "#;" and not quoted:
            return "".join(result).rstrip()
        else:
            result.append(character)
        position += 1
    return "".join(result)
