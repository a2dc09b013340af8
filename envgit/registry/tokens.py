"""Authorization for one repository: basic, or a bearer token from where the registry says.

Source: the distribution project's "Token Authentication Specification" and "OAuth2".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from envgit.errors import SourceError
from envgit.registry.challenge import Challenge
from envgit.registry.credentials import Credentials
from envgit.registry.transport import Answer, Transport, origin_of

_MOST_BYTES: Final = 1024 * 1024
_CLIENT: Final = "envgit"


class CredentialsRefused(SourceError):
    """A registry, or its token service, does not know the user, or not with this password."""

    code = "credentials-refused"


def authorize(
    challenges: Sequence[Challenge],
    registry_url: str,
    scope: str,
    credentials: Credentials | None,
    transport: Transport,
    *,
    insecure: bool,
) -> str:
    """Return the value of the Authorization header that answers `challenges`, "" if there is nothing to answer with.

    `registry_url`: whose challenges they are; a token service without TLS is only trusted by a registry without TLS. Raises
    SourceError when the service refuses.
    """
    for challenge in challenges:
        if challenge.scheme == "bearer" and challenge.parameters.get("realm"):
            return _bearer(challenge, registry_url, scope, credentials, transport, insecure)
    for challenge in challenges:
        if challenge.scheme == "basic" and credentials is not None and not credentials.identity_token:
            return credentials.basic()
    return ""


def _bearer(
    challenge: Challenge,
    registry_url: str,
    scope: str,
    credentials: Credentials | None,
    transport: Transport,
    insecure: bool,
) -> str:
    realm = challenge.parameters["realm"]
    origin = origin_of(realm)
    registry = origin_of(registry_url)
    if origin.scheme == "http" and registry.scheme != "http":
        raise SourceError(
            f"{registry.host} wants credentials to go to {origin.host} without encryption",
            hint="ask who runs the registry",
        )
    query = [("scope", one) for one in (challenge.parameters.get("scope") or scope).split()]
    if service := challenge.parameters.get("service"):
        query.insert(0, ("service", service))
    trusting = insecure and origin.host == registry.host
    if credentials is not None and credentials.identity_token:
        # OAuth2 knows one parameter of scopes with spaces between, the older GET several parameters.
        fields = [
            *((key, value) for key, value in query if key != "scope"),
            ("scope", " ".join(value for key, value in query if key == "scope")),
            ("grant_type", "refresh_token"),
            ("refresh_token", credentials.identity_token),
            ("client_id", _CLIENT),
        ]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = transport.request("POST", realm, headers, urlencode(fields).encode(), insecure=trusting)
    else:
        headers = {"Authorization": credentials.basic()} if credentials is not None else {}
        url = realm + ("&" if "?" in realm else "?") + urlencode(query)
        answer = transport.request("GET", url, headers, insecure=trusting)
    return "Bearer " + _token(answer, origin.host, credentials)


def _token(answer: Answer, host: str, credentials: Credentials | None) -> str:
    body = answer.read_small(_MOST_BYTES)
    if answer.status in (400, 401, 403):
        if credentials is not None:
            raise CredentialsRefused(
                f"{host} does not accept the credentials from {credentials.origin}",
                hint="log in again: envgit login REGISTRY",
            )
        raise SourceError(f"{host} gives no token without credentials", hint="log in first: envgit login REGISTRY")
    if answer.status != 200:
        raise SourceError(f"{host} gives no token: status {answer.status}", hint="try again later")
    try:
        fields = json.loads(body or b"")
        token = fields.get("token") or fields.get("access_token")
    except (ValueError, RecursionError, AttributeError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or " " in token:
        raise SourceError(f"{host} answered without a token", hint="try again later; ask who runs it")
    return token
