"""What docker's users type for mounts -> MountRequest: -v, --mount, --tmpfs. Every refusal names the way to say it."""

from __future__ import annotations

import os
from typing import NoReturn

from envgit.errors import UsageError
from envgit.sandbox.request import MountRequest

_VOLUME_WORDS = ("ro", "rw", "nocopy", "noexec", "z", "Z")
_TYPES = ("bind", "tmpfs", "volume", "rev")
_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS = {
    "bind": frozenset(("type", "source", "target", "readonly", "noexec", "insist")),
    "tmpfs": frozenset(("type", "target", "readonly", "noexec", "tmpfs-size", "tmpfs-mode")),
    "volume": frozenset(("type", "source", "target", "readonly", "noexec", "volume-nocopy", "volume-subpath")),
    "rev": frozenset(("type", "source", "target", "readonly", "noexec")),
}
_FLAGS = frozenset(("readonly", "noexec", "insist", "volume-nocopy"))
_REFUSED = {
    "bind-propagation": "mounts made later are never passed on, in either direction: leave it out",
    "bind-nonrecursive": "what is mounted below a folder is always shown with it: leave it out",
    "bind-recursive": "what is mounted below a folder is always shown with it: leave it out",
    "consistency": "it means nothing on Linux: leave it out",
    "volume-driver": "volumes are folders in the repository: leave it out",
    "volume-opt": "volumes are folders in the repository; for a folder of yours: -v /FOLDER:PATH",
    "relabel": "labels of SELinux are not changed; on the host: chcon -Rt container_file_t FOLDER",
}
_TRUE, _FALSE = ("", "true", "1", "yes"), ("false", "0", "no")
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NAME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_NAME = _NAME_FIRST | frozenset("_.-")
_NAME_MOST = 128


def parse_volume(text: str, cwd: str) -> MountRequest:
    """Parse `-v`: HOST:PATH[:WORDS], NAME:PATH[:WORDS] (a named volume) or PATH (an anonymous one).

    HOST begins with `/`, `./` or `../` and must exist: nothing is made on the host. WORDS, by commas: ro, rw, nocopy, noexec.
    Raises UsageError.
    """
    usage = "-v HOST:PATH[:ro], -v NAME:PATH[:ro], or -v PATH"
    parts = text.split(":")
    if not text or len(parts) > 3 or not all(parts):
        more = "; a path with a colon needs --mount type=bind,src=...,dst=..." if len(parts) > 3 else ""
        raise UsageError(f"{text!r} is not a volume", hint=usage + more)
    if len(parts) == 1:
        return MountRequest("volume", os.urandom(32).hex(), check_target(text, usage))
    source, target = parts[0], check_target(parts[1], f"-v {parts[0]}:/{parts[1]}")
    words = parts[2].split(",") if len(parts) == 3 else []
    for word in words:
        if word not in _VOLUME_WORDS:
            _refuse_volume_word(word, text)
    if "ro" in words and "rw" in words:
        raise UsageError(f"the volume {text!r} is both ro and rw", hint=usage)
    readonly = "ro" in words
    options = tuple((word, "") for word in ("noexec", "nocopy", "z", "Z") if word in words)
    if source.startswith(("/", "./", "../")) or source in (".", ".."):
        if "nocopy" in words:
            raise UsageError("nocopy is for named volumes: nothing is ever copied into a folder of the host")
        return MountRequest("bind", _existing(source, cwd), target, readonly, options)
    if source.startswith("~"):
        raise UsageError(f"{source!r}: the shell did not expand ~", hint=f"-v $HOME{source[1:]}:{target}")
    if "/" in source:
        raise UsageError(f"{source!r} is no name of a volume", hint=f"for a folder here: -v ./{source}:{target}")
    return MountRequest("volume", check_name(source), target, readonly, options)


def _refuse_volume_word(word: str, text: str) -> NoReturn:
    if word in ("shared", "rshared", "slave", "rslave", "private", "rprivate"):
        raise UsageError(f"propagation {word!r} in {text!r} is not to be had", hint=_REFUSED["bind-propagation"])
    if word in ("suid", "dev"):
        raise UsageError(f"{word!r} in {text!r} is refused: volumes are always nosuid and nodev")
    if word == "U":
        raise UsageError("'U' is not to be had: owners on the host are not changed", hint="chown the folder yourself")
    raise UsageError(f"{word!r} in {text!r} is unknown", hint=_suggest(word, _VOLUME_WORDS))


def parse_mount(text: str, cwd: str) -> MountRequest:
    """Parse `--mount type=bind|tmpfs|volume|rev,src=...,dst=...,...`, comma-separated values, quoted as in CSV files.

    Raises UsageError, naming an unknown key and what may have been meant.
    """
    given: dict[str, str] = {}
    for field in split_fields(text):
        key, found, value = field.partition("=")
        key = _ALIASES.get(key, key)
        if key in _REFUSED:
            raise UsageError(f"{key} in --mount {text!r} is not to be had", hint=_REFUSED[key])
        if key in given:
            raise UsageError(f"{key} is given twice in --mount {text!r}")
        if not found and key not in _FLAGS:
            raise UsageError(f"{field!r} in --mount {text!r} has no value", hint=f"{_known(key)}=VALUE")
        given[key] = value
    kind = given.get("type", "volume")
    if kind not in _TYPES:
        raise UsageError(f"type {kind!r} of --mount is unknown", hint=_suggest(kind, _TYPES))
    for key in given:
        if key not in _KEYS[kind]:
            elsewhere = [name for name in _TYPES if key in _KEYS[name]]
            if elsewhere:
                raise UsageError(f"{key} makes no sense with type={kind}", hint=f"it is of type={elsewhere[0]}")
            raise UsageError(
                f"{key!r} of --mount is unknown", hint=_suggest(key, sorted(_KEYS[kind] | _ALIASES.keys()))
            )
    if "target" not in given:
        raise UsageError(f"--mount {text!r} has no target", hint="add dst=/PATH")
    return _make(kind, given, check_target(given["target"], f"dst=/{given['target']}"), cwd)


def _make(kind: str, given: dict[str, str], target: str, cwd: str) -> MountRequest:
    flags = {name: _flag(name, given[name]) for name in _FLAGS if name in given}
    readonly = flags.get("readonly", False)
    options = [("noexec", "")] if flags.get("noexec") else []
    source = given.get("source", "")
    if kind == "tmpfs":
        if "tmpfs-size" in given:
            options.append(("size", _size(given["tmpfs-size"])))
        if "tmpfs-mode" in given:
            options.append(("mode", _mode(given["tmpfs-mode"])))
        return MountRequest("tmpfs", "", target, readonly, tuple(options))
    if kind == "volume":
        if flags.get("volume-nocopy"):
            options.append(("nocopy", ""))
        if given.get("volume-subpath"):
            options.append(("subpath", given["volume-subpath"]))
            if not source:
                raise UsageError("volume-subpath needs a named volume", hint="add src=NAME")
        if source.startswith(("/", ".")):
            raise UsageError(f"{source!r} is no name of a volume", hint=f"--mount type=bind,src={source},dst={target}")
        return MountRequest(
            "volume", check_name(source) if source else os.urandom(32).hex(), target, readonly, tuple(options)
        )
    if not source:
        raise UsageError(
            f"--mount type={kind} has no source", hint="add src=" + ("/FOLDER" if kind == "bind" else "REV:/PATH")
        )
    if kind == "bind":
        if flags.get("insist"):
            options.append(("insist", ""))
        return MountRequest("bind", _existing(source, cwd), target, readonly, tuple(options))
    revision, found, path = source.rpartition(":")
    if not found or not revision:
        raise UsageError(f"{source!r} does not say which path of which revision", hint=f"src={source or 'REV'}:/PATH")
    if "readonly" in flags and not readonly:
        raise UsageError("a revision never changes: it can only be mounted read-only", hint="leave readonly out")
    path = "/" + path.lstrip("/")
    return MountRequest("rev", f"{revision}:{path}", target, True, tuple(options))


def parse_tmpfs(text: str) -> MountRequest:
    """Parse `--tmpfs PATH[:size=64m,mode=1777,uid=N,gid=N,nr_inodes=N,ro,noexec,...]`; raises UsageError."""
    target, _, words = text.partition(":")
    usage = "--tmpfs PATH[:size=64m,mode=1777,ro,noexec]"
    target = check_target(target, usage)
    readonly = False
    options: dict[str, str] = {}
    for word in words.split(",") if words else []:
        key, found, value = word.partition("=")
        if word in ("ro", "rw"):
            readonly = word == "ro"
        elif word in ("noexec", "exec"):
            options.pop("noexec", None)
            if word == "noexec":
                options["noexec"] = ""
        elif word in ("nosuid", "nodev", "noatime", "relatime"):
            continue  # the first two are always so, the others make no difference in memory
        elif word in ("suid", "dev"):
            raise UsageError(f"{word!r} in --tmpfs is refused: memory folders are always nosuid and nodev")
        elif key == "size" and found:
            options["size"] = _size(value)
        elif key == "mode" and found:
            options["mode"] = _mode(value)
        elif key in ("uid", "gid", "nr_inodes") and found:
            if not value.isascii() or not value.isdigit():
                raise UsageError(f"{word!r} in --tmpfs is not a number", hint=usage)
            options[key] = value
        else:
            known = ("size", "mode", "uid", "gid", "nr_inodes", "ro", "rw", "noexec", "exec")
            raise UsageError(f"{word!r} in --tmpfs is unknown", hint=_suggest(key, known))
    return MountRequest("tmpfs", "", target, readonly, tuple(options.items()))


def split_fields(text: str) -> list[str]:
    """Split comma-separated values as docker does (RFC 4180): a field in double quotes may hold commas and doubled quotes."""
    fields, field, position, quoted = [], "", 0, False
    while position < len(text):
        sign = text[position]
        if quoted and sign == '"' and text[position + 1 : position + 2] == '"':
            field += '"'
            position += 1
        elif sign == '"' and (quoted or not field):
            quoted = not quoted
        elif sign == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += sign
        position += 1
    if quoted:
        raise UsageError(
            f"a quote in {text!r} is not closed", hint="""for example: --mount 'type=bind,"src=/a,b",dst=/c'"""
        )
    fields.append(field)
    if not all(fields):
        raise UsageError(f"a field of {text!r} is empty", hint="--mount type=bind,src=/FOLDER,dst=/PATH")
    return fields


def check_target(text: str, usage: str) -> str:
    """Return the target of a mount, normalised; raises UsageError unless it is an absolute path."""
    if not text.startswith("/") or "\0" in text:
        raise UsageError(f"the target {text!r} of a mount is not an absolute path", hint=usage)
    return "/" + os.path.normpath(text).lstrip("/")


def check_name(name: str) -> str:
    """Return the name of a volume; raises UsageError for one that may not be used."""
    if not name or name[0] not in _NAME_FIRST or not _NAME.issuperset(name) or len(name) > _NAME_MOST:
        raise UsageError(
            f"{name!r} is no name of a volume",
            hint=f"letters, digits, '_', '.' and '-', a letter or digit first, at most {_NAME_MOST}",
        )
    return name


def _existing(source: str, cwd: str) -> str:
    if "\0" in source:
        raise UsageError("the source of a mount contains a NUL byte")
    path = os.path.normpath(os.path.join(cwd, source))
    if not os.path.exists(path):
        what = "is a link that leads nowhere" if os.path.islink(path) else "does not exist"
        raise UsageError(f"{path}, the source of a mount, {what}", hint=f"make it first: mkdir -p {path}")
    return path


def _flag(name: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise UsageError(f"{name}={value} is neither true nor false", hint=f"just {name}")


def _size(text: str) -> str:
    lower = text.lower().removesuffix("ib") if text.lower().endswith("ib") else text.lower()
    digits = lower.rstrip("bkmgt")
    unit = lower[len(digits) :]
    unit = unit[:-1] if len(unit) == 2 and unit.endswith("b") else unit
    if not digits.isascii() or not digits.isdigit() or unit not in _UNITS or not int(digits):
        raise UsageError(f"{text!r} is not a size of memory", hint="for example size=64m")
    return str(int(digits) * _UNITS[unit])


def _mode(text: str) -> str:
    if not text or not frozenset("01234567").issuperset(text) or int(text, 8) > 0o1777:
        raise UsageError(f"{text!r} is not a mode from 0 to 1777", hint="octal, for example mode=1777 or mode=700")
    return text


def _known(key: str) -> str:
    return key if key in frozenset().union(*_KEYS.values()) else "src"


def _suggest(word: str, known: tuple[str, ...] | list[str]) -> str:
    from envgit.suggestion import did_you_mean  # only what is wrong needs it

    return did_you_mean(word, known, likeness=0.5) or "one of: " + ", ".join(known)
