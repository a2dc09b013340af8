"""Where another repository is: what users may type, and what is never passed on to a program.

The forms are those of git-fetch(1), "GIT URLS", without the ones that name programs (`ext::`, `fd::`, any other remote helper) and
without the unauthenticated `git://`. Users, hosts and paths become words of a command line of ssh and of the ProxyCommand in its
configuration: what could be an option or shell syntax there is refused (CVE-2017-1000117, CVE-2023-51385), after decoding of %XX.
"""

from __future__ import annotations

import os
import re
from typing import Final, NamedTuple
from urllib.parse import quote_from_bytes, unquote, unquote_to_bytes

from envgit.transfer.errors import BadAddress

KINDS: Final = ("path", "file", "bundle", "ssh", "http")

_MOST_CHARACTERS: Final = 4096
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*::")
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]")
_USER: Final = re.compile(r"[A-Za-z0-9._+~=@\\-]+")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_NUMBER: Final = re.compile(r"[0-9]+")
_USERINFO: Final = re.compile(r"://([^/:\n]*)(?::(?!\s)([^/\n]*|(?![0-9]{1,5}/)[^@\n]{0,200}))?@")
"""With spaces and / in a password that nobody escaped, up to the last @ before the path. Linear: servers say very much."""
_SCP_SECRET: Final = re.compile(r"([^\s/:@]+):(?!\s)[^/@\n]*@([^\s/:@]+:[^\n]*)")
"""As a whole text: ssh knows no passwords, but who types USER:PASSWORD@HOST:PATH meant one."""
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SIGNATURES: Final = (b"# v2 git bundle\n", b"# v3 git bundle\n")
_FORMS: Final = "a path, user@host:path, ssh://host/path, https://host/path, file:///path or FILE.bundle"


class Address(NamedTuple):
    """Another repository. `url`: as git takes it. `path`: absolute for "path", "file" and "bundle", else as the host knows it.
    `host`: without user and port, "" for what is local."""

    kind: str
    url: str
    path: str
    host: str

    @property
    def is_local(self) -> bool:
        """Whether it is on a file system of this machine."""
        return self.kind in ("path", "file", "bundle")

    @property
    def shown(self) -> str:
        """The address for messages: without a password."""
        return without_password(self.url)


def without_password(url: str) -> str:
    """Return a URL, or a text with URLs in it, without the secrets before the host.

    The only word there is for http a token more often than a name, and so goes too. In doubt more is left out than must be.
    """
    found = _SCP_SECRET.fullmatch(url)
    return f"{found[1]}@{found[2]}" if found else _USERINFO.sub(_public_part, url)


def _public_part(match: re.Match[str]) -> str:
    user, secret = match.groups()
    before = match.string[max(match.start() - 5, 0) : match.start()].lower()
    if not user or (before.endswith(("http", "https")) and secret in (None, "", "x-oauth-basic")):
        return "://"
    return f"://{user}@"


def parse_address(text: str, folder: str) -> Address:
    """Return what `text` names; relative paths start at `folder`. Looks at the file system, opens no connection.

    A local folder that contains .envgit means that repository; else, as for git, the bare repository there, its .git, REPO.git and
    REPO.bundle. A path where nothing is stays what it is. Raises BadAddress.
    """
    if not text:
        raise BadAddress("an empty text is no address of a repository", hint=f"use {_FORMS}")
    if _CONTROL.search(text) or len(text) > _MOST_CHARACTERS:
        raise BadAddress("the address has control characters or is very long", hint=f"use {_FORMS}")
    if text.startswith("-"):
        raise BadAddress(f"{text} looks like an option", hint=f"for a path write ./{text}")
    if _HELPER.match(text):
        program = text.partition("::")[0]
        raise BadAddress(f"{program}:: would start a program, which no address may", hint=f"use {_FORMS}")
    if match := _SCHEME.match(text):
        return _from_url(match[1].lower(), text, text[match.end() :])
    colon = text.find(":")
    if colon >= 0 and "/" not in text[:colon]:
        return _from_scp(text)
    if text.startswith("[") and "]:" in text:
        return _from_scp(text)
    return _from_path(_absolute(text, folder), "path")


def _from_url(scheme: str, text: str, rest: str) -> Address:
    if scheme == "file":
        return _from_file_url(text, rest)
    if scheme not in ("ssh", "http", "https"):
        secret = " (it is neither encrypted nor authenticated)" if scheme == "git" else ""
        raise BadAddress(f"{scheme}:// is not supported{secret}", hint=f"use {_FORMS}")
    if _BAD_ESCAPE.search(rest):
        raise BadAddress("the address has a % that two hexadecimal digits do not follow", hint="write %25 for it")
    if _CONTROL.search(unquote(rest)) or "\\" in rest.partition("/")[0]:
        raise BadAddress("the address hides control characters or a backslash", hint=f"use {_FORMS}")
    authority, slash, path = rest.partition("/")
    if scheme == "ssh":
        authority = unquote(authority)
    userinfo, at, place = authority.rpartition("@")
    host = _checked_host(place, text)
    if not slash or not path.strip("/"):
        raise BadAddress(
            f"{without_password(text)} names a host, but no repository there",
            hint=f"add its path: {scheme}://{place}/PATH",
        )
    if scheme == "ssh":
        _check_user(userinfo, bool(at))
        path = unquote(path)
        if path.startswith("-"):
            raise BadAddress(f"the path {path} looks like an option", hint="rename the repository")
        return Address("ssh", text, path if path.startswith("~") else "/" + path, host)
    if "?" in rest or "#" in rest:
        raise BadAddress(
            "the address of a repository has no ? and no #", hint="leave out what follows the repository's path"
        )
    return Address("http", scheme + text[len(scheme) :], "/" + path, host)


def _from_file_url(text: str, rest: str) -> Address:
    if _BAD_ESCAPE.search(rest):
        raise BadAddress("the address has a % that two hexadecimal digits do not follow", hint="write %25 for it")
    host, slash, path = rest.partition("/")
    if not slash or host.lower() not in ("", "localhost"):
        raise BadAddress(f"{text} names another machine", hint="a local path has three slashes: file:///srv/team.git")
    return _from_path(os.fsdecode(b"/" + unquote_to_bytes(path)), "file")


def _from_scp(text: str) -> Address:
    """`[user@]host:path`, as scp writes it; the host may be in brackets, then with a port."""
    userinfo, at, rest = text.rpartition("@") if "@" in text.partition(":")[0] or "@[" in text else ("", "", text)
    if rest.startswith("["):
        inside, bracket, path = rest[1:].partition("]:")
        place = inside if bracket and (inside.count(":") == 1 or ":" not in inside) else f"[{inside}]"
    else:
        place, _, path = rest.partition(":")
    host = _checked_host(place, text)
    _check_user(userinfo, bool(at))
    if _SCP_SECRET.fullmatch(text):
        raise BadAddress("ssh takes no password from an address", hint="set up a key: ssh-copy-id USER@HOST")
    if not path or path.startswith("-"):
        raise BadAddress(
            f"{path} looks like an option" if path else f"{text} names a host, but no repository there",
            hint=f"add its path: {place}:PATH; for a local path with a colon write ./{text}",
        )
    return Address("ssh", text, path, host)


def _checked_host(place: str, text: str) -> str:
    """Return the host of `host[:port]`."""
    host, colon, port = place, "", ""
    if not place.endswith("]"):
        host, colon, port = place.rpartition(":") if ":" in place else (place, "", "")
    if not _HOST.fullmatch(host):
        shown = host.partition(":")[0] or without_password(text)  # what follows a : may be a password
        raise BadAddress(f"{shown} is no name of a host", hint=f"use {_FORMS}")
    if colon and not (_PORT.fullmatch(port) and 0 < int(port) < 65536):
        said = f"{port} is no port" if _NUMBER.fullmatch(port) else f"what follows {host}: is no port"
        raise BadAddress(said, hint="ports are numbers from 1 to 65535; write %2F for a / in a password")
    return host.strip("[]")


def _check_user(userinfo: str, given: bool) -> None:
    if not given:
        return
    user, colon, _ = userinfo.partition(":")
    if colon:
        raise BadAddress("ssh takes no password from an address", hint="set up a key: ssh-copy-id USER@HOST")
    if not _USER.fullmatch(user) or user.startswith("-"):
        raise BadAddress(f"{user} is no name of a user", hint=f"use {_FORMS}")


def _absolute(text: str, folder: str) -> str:
    path = os.path.join(folder, text)
    return os.path.realpath(path) if ".." in path.split("/") else os.path.abspath(path)


def _from_path(path: str, kind: str) -> Address:
    found = _find(path)
    if found is None:
        found = path
    if found.endswith(".bundle") and not os.path.isdir(found):
        return Address("bundle", found, found, "")
    if os.path.isfile(found):
        if _is_bundle(found):
            return Address("bundle", found, found, "")
        if not _is_gitfile(found):
            raise BadAddress(f"{path} is a file, but no bundle", hint="bundles are made with: envgit bundle FILE")
    url = "file://" + quote_from_bytes(os.fsencode(found)) if kind == "file" else found
    return Address(kind, url, found, "")


def _find(path: str) -> str | None:
    """Return the repository that a path means, None when there is none."""
    if os.path.isdir(path):
        for candidate in (path + "/.envgit", path, path + "/.git"):
            if _is_repository(candidate) or (candidate.endswith("/.git") and os.path.isfile(candidate)):
                return candidate
        return None
    if os.path.lexists(path):
        return path
    return next((each for each in (path + ".git", path + ".bundle") if os.path.exists(each)), None)


def _is_repository(path: str) -> bool:
    return os.path.isdir(path + "/objects") and os.path.isdir(path + "/refs") and os.path.lexists(path + "/HEAD")


def _is_bundle(path: str) -> bool:
    return _first_bytes(path).startswith(_SIGNATURES)


def _is_gitfile(path: str) -> bool:
    return _first_bytes(path).startswith(b"gitdir: ")


def _first_bytes(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(16)
    except OSError as error:
        raise BadAddress(f"cannot read {path}: {error.strerror}", hint="check its owner and mode") from error


class SshPlace(NamedTuple):
    """What ssh has to be told: `user` and `port` may be ""."""

    user: str
    host: str
    port: str
    path: str


def ssh_place(address: Address) -> SshPlace:
    """Return the parts of the address of a kind "ssh"."""
    if match := _SCHEME.match(address.url):
        userinfo, _, place = unquote(address.url[match.end() :].partition("/")[0]).rpartition("@")
        port = "" if place.endswith("]") else place.rpartition(":")[2] if ":" in place else ""
        return SshPlace(userinfo, address.host, port, address.path)
    before = address.url[: len(address.url) - len(address.path) - 1]
    userinfo, _, place = before.rpartition("@")
    inside = place.removeprefix("[").removesuffix("]")
    port = inside.partition(":")[2] if inside.count(":") == 1 else ""
    return SshPlace(userinfo, address.host, port, address.path)
