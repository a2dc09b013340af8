"""Ask a registry whether it takes credentials (OCI distribution specification 1.1, section "Determining Support": /v2/)."""

from __future__ import annotations

from typing import Final

from envgit.errors import SourceError
from envgit.registry.challenge import parse_challenges
from envgit.registry.credentials import Credentials
from envgit.registry.endpoints import Endpoint
from envgit.registry.rate_limit import describe_limit
from envgit.registry.tokens import CredentialsRefused, authorize
from envgit.registry.transport import Answer, ConnectionLost, NotTls, Transport

_REFUSED: Final = (401, 403)


def check_credentials(endpoint: Endpoint, credentials: Credentials, transport: Transport) -> bool:
    """Return whether the registry said that it takes them; False when it lets everybody in and so says nothing.

    Raises CredentialsRefused; SourceError when there is no registry that could be asked. The password goes to the registry and
    to the token service that it names, never along a redirect.
    """
    url, answer = _knock(endpoint, transport)
    challenges = parse_challenges(answer.challenges())
    answer.close()
    host = endpoint.host
    if answer.status == 200:
        answer = _get(url, {"Authorization": credentials.basic()}, endpoint, transport)
        answer.close()
        if answer.status in _REFUSED:
            raise _refused(host)
        return False
    if answer.status != 401:
        raise _failure(answer, host)
    try:
        authorization = authorize(challenges, url, "", credentials, transport, insecure=endpoint.insecure)
    except CredentialsRefused as error:
        raise _refused(host) from error
    if not authorization:
        raise SourceError(f"{host} wants a kind of login that is not known here", hint="only basic and bearer are")
    answer = _get(url, {"Authorization": authorization}, endpoint, transport)
    answer.close()
    if answer.status in _REFUSED:
        raise _refused(host)
    if answer.status != 200:
        raise _failure(answer, host)
    return True


def _knock(endpoint: Endpoint, transport: Transport) -> tuple[str, Answer]:
    """Return the address that answers, with TLS if there is any, and the answer to nobody in particular."""
    url = f"https://{endpoint.host}/v2/"
    try:
        return url, _get(url, {}, endpoint, transport)
    except (NotTls, ConnectionLost):
        if not endpoint.insecure:
            raise
    url = f"http://{endpoint.host}/v2/"
    return url, _get(url, {}, endpoint, transport)


def _get(url: str, headers: dict[str, str], endpoint: Endpoint, transport: Transport) -> Answer:
    return transport.request("GET", url, headers, insecure=endpoint.insecure)


def _refused(host: str) -> CredentialsRefused:
    return CredentialsRefused(
        f"{host} does not accept this user and password", hint="some registries want a token in place of the password"
    )


def _failure(answer: Answer, host: str) -> SourceError:
    if answer.status == 429:
        limit = describe_limit(answer.header)
        return SourceError(f"{host} has had too many requests" + (f" ({limit})" if limit else ""), hint="wait")
    if answer.status >= 500:
        return SourceError(f"{host} answers {answer.status}", hint="try again later")
    return SourceError(f"{host} is no registry: it answers {answer.status} for /v2/", hint="check the name")
