"""Login and logout: credentials for a registry, verified by it, kept where docker and podman keep theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from envgit import __version__
from envgit.errors import UsageError
from envgit.layers.sources.image_source import parse_image_name
from envgit.registry.checking import check_credentials
from envgit.registry.credential_file import forget_credentials, keep_credentials
from envgit.registry.credentials import Credentials
from envgit.registry.endpoints import find_endpoints
from envgit.registry.transport import Transport

DEFAULT_REGISTRY: Final = "docker.io"
_MOST_CHARACTERS: Final = 16 * 1024


class LoginResult(NamedTuple):
    """`place`: the file, or the helper, that has the credentials now. `verified`: the registry said that it takes them."""

    registry: str
    user: str
    place: str
    verified: bool


class LogoutResult(NamedTuple):
    """`places`: the files and helpers that had credentials; empty when nobody was logged in."""

    registry: str
    places: tuple[str, ...]


def login(registry: str, user: str, password: str, environ: Mapping[str, str]) -> LoginResult:
    """Ask the registry (HOST[:PORT], or HOST/NAMESPACE for a part of one) and keep the credentials if it takes them.

    Raises UsageError (no name, no user), SourceError (CredentialsRefused, or it cannot be asked): nothing is kept then;
    StorageError.
    """
    host, path = parse_registry(registry)
    if not user or ":" in user or len(user) > _MOST_CHARACTERS or not user.isprintable():
        raise UsageError(f"{ascii(user[:100])} cannot be the name of a user", hint="envgit login -u USER REGISTRY")
    if not password or len(password) > _MOST_CHARACTERS or any(character in password for character in "\0\r\n"):
        reason = "is empty" if not password else "has more than 16 Ki characters, or a line end"
        raise UsageError(f"the password {reason}", hint="pass it on standard input with --password-stdin")
    credentials = Credentials(user, password, "", "this login")
    transport = Transport(environ, f"envgit/{__version__}")
    try:
        verified = check_credentials(find_endpoints(host, path, environ)[-1], credentials, transport)
    finally:
        transport.close()
    return LoginResult(_name(host, path), user, keep_credentials(host, path, user, password, environ), verified)


def logout(registry: str, environ: Mapping[str, str]) -> LogoutResult:
    """Remove the credentials for a registry wherever they are. Raises UsageError, StorageError."""
    host, path = parse_registry(registry)
    return LogoutResult(_name(host, path), forget_credentials(host, path, environ))


def parse_registry(text: str) -> tuple[str, str]:
    """Return host and namespace ("": all of the registry) of a registry's name, "" being Docker Hub. Raises UsageError.

    An address such as https://index.docker.io/v1/ is understood as docker does.
    """
    name = text or DEFAULT_REGISTRY
    for scheme in ("https://", "http://"):
        if name.startswith(scheme):
            name = name.removeprefix(scheme).removesuffix("/").removesuffix("/v1").removesuffix("/v2")
    name = name.removesuffix("/")
    host, _, path = name.partition("/")
    hint = "name a host: envgit login registry.example:5000"
    try:
        parsed = parse_image_name(f"{name}/x")
    except UsageError as error:
        raise UsageError(f"{ascii(text[:100])} names no registry", hint=hint) from error
    is_hub = parsed.host == DEFAULT_REGISTRY and host in (DEFAULT_REGISTRY, "index.docker.io")
    if parsed.tag != "latest" or parsed.digest or (parsed.host != host and not is_hub):
        raise UsageError(f"{ascii(text[:100])} names no registry", hint=hint)
    return parsed.host, path


def _name(host: str, path: str) -> str:
    return f"{host}/{path}" if path else host
