"""Requests to one repository of one registry: tokens, redirects, and what failures mean."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import RLock
from typing import Final, TypeAlias

from envgit.errors import SourceError
from envgit.registry.challenge import Challenge, parse_challenges
from envgit.registry.credentials import Credentials
from envgit.registry.endpoints import Endpoint
from envgit.registry.rate_limit import describe_limit, format_seconds, retry_seconds
from envgit.registry.tokens import authorize
from envgit.registry.transport import Answer, ConnectionLost, NotTls, Transport, host_of, join, origin_of

Body: TypeAlias = Callable[[], bytes | Iterable[bytes]]
"""Makes the body of a request, anew for every attempt."""

AGAIN: Final = frozenset((408, 429, 500, 502, 503, 504))
"""The statuses after which the same request may succeed."""
_MOST_REDIRECTS: Final = 5
LONGEST_WAIT_SECONDS: Final = 60.0
"""Whoever is told to wait longer is better told so."""
_SAID_FROM_SECONDS: Final = 3.0
_DOCKER_HUB: Final = {"registry-1.docker.io": "docker.io"}
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))
_KEEPING_METHOD: Final = frozenset((307, 308))
_READING: Final = ("GET", "HEAD")


class NotFound(SourceError):
    """The registry has no such repository, manifest or blob (or does not say so to us)."""


class Conversation:
    """`endpoint.path` is the repository. `find_credentials` is called once, when the registry wants some.

    `actions`: what a token is asked for, such as "pull" or "pull,push". May be used by several threads.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        find_credentials: Callable[[], Credentials | None],
        transport: Transport,
        actions: str = "pull",
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.endpoint = endpoint
        self._find_credentials = find_credentials
        self._credentials: Credentials | None = None
        self._challenged = False
        self._transport = transport
        self._note = note
        self._scope = f"repository:{endpoint.path}:{actions}"
        self._pushes = "push" in actions
        self._scheme = "https"
        self._authorization = ""
        self._reached = False
        self._introducing = RLock()
        """Held while the scheme or a token is found out, so that each is asked for once."""

    @property
    def name(self) -> str:
        return f"{self.endpoint.host}/{self.endpoint.path}"

    @property
    def login_command(self) -> str:
        """What to type to log in there."""
        return f"envgit login {_DOCKER_HUB.get(self.endpoint.host, self.endpoint.host)}"

    @property
    def credentials_origin(self) -> str:
        """Where the credentials that were sent are from, "" if none were."""
        return self._credentials.origin if self._credentials is not None else ""

    def send(
        self, method: str, target: str, headers: Mapping[str, str], body: Body | None = None, *, scope: str = ""
    ) -> Answer:
        """Send one request and return its answer, whatever its status.

        `target`: a path below the repository ("manifests/1.0") or the URL that a Location header gave. `scope`: what else a
        token must be good for. Raises ConnectionLost, NotTls, and SourceError for redirects that may not be followed.
        """
        sent = self._authorization
        answer = self._send(method, target, headers, body)
        if answer.status != 401 or origin_of(answer.url) != origin_of(self.url("")):
            return answer  # whom the registry redirects to may ask for nothing (CVE-2020-15157)
        challenges = parse_challenges(answer.challenges())
        answer.close()
        with self._introducing:
            if scope or self._authorization == sent:  # else another thread has done it meanwhile
                self._authorize(challenges, scope)
        return self._send(method, target, headers, body)

    def _authorize(self, challenges: list[Challenge], scope: str) -> None:
        if not self._challenged:
            self._challenged = True
            self._credentials = self._find_credentials()
        self._authorization = authorize(
            [self._widen(challenge, scope) for challenge in challenges] if self._pushes else challenges,
            self.url(""),
            self._scope,
            self._credentials,
            self._transport,
            insecure=self.endpoint.insecure,
        )

    def url(self, target: str) -> str:
        """Return the URL of a path below the repository. What is a URL already stays, but never loses TLS."""
        if "://" not in target:
            return f"{self._scheme}://{self.endpoint.host}/v2/{self.endpoint.path}/{target}"
        if self._scheme == "https" and target.startswith(f"http://{self.endpoint.host}/"):
            return "https" + target[4:]  # a registry that does not know of the proxy that does TLS for it
        return target

    def wait(self, attempt: int, answer: Answer | None = None) -> None:
        """Sleep before the next attempt: as long as the registry says, else a little more each time."""
        said = retry_seconds(answer.header) if answer is not None else None
        if said is not None and said >= _SAID_FROM_SECONDS:
            self._note(
                f"{self.endpoint.host} is busy: going on in {format_seconds(round(min(said, LONGEST_WAIT_SECONDS)))}"
            )
        time.sleep(min(0.5 * 2**attempt if said is None else said, LONGEST_WAIT_SECONDS))

    def is_worth_another(self, answer: Answer) -> bool:
        """Say whether the request may be sent again soon: the registry is busy, and does not ask to wait for long."""
        return answer.status in AGAIN and (retry_seconds(answer.header) or 0.0) <= LONGEST_WAIT_SECONDS

    def failure(self, answer: Answer, path: str) -> SourceError:
        """Return the error that an answer means; closes it."""
        body = answer.read_small(64 * 1024) or b""
        said = error_message(body)
        what = f"{self.name}, {path}" if "sha256:" in path else f"{self.name}:{path.rpartition('/')[2]}"
        tail = f": {said}" if said else ""
        login = self.login_command
        if answer.status in (401, 403):
            if self._credentials is not None:
                return NotFound(
                    f"access to {what} is denied with the credentials from {self._credentials.origin}{tail}",
                    hint=f"check the name; log in as somebody who may: {login}",
                )
            return NotFound(f"{what} does not exist, or needs a login{tail}", hint=f"check the name, or {login}")
        if answer.status == 404:
            return NotFound(f"there is no {what}{tail}", hint="check the name and the tag")
        if answer.status == 429:
            limit = describe_limit(answer.header)
            more = f" ({limit})" if limit else ""
            hint = "wait, or ask who runs the registry for more" if self._credentials else f"wait, or {login}"
            return SourceError(f"{self.endpoint.host} has had too many requests{tail}{more}", hint=hint)
        return SourceError(f"{self.endpoint.host} answers {answer.status} for {what}{tail}", hint="try again later")

    def _widen(self, challenge: Challenge, scope: str) -> Challenge:
        """Ask at once for everything that a push needs: a registry's challenge names what the one request needed."""
        asked = challenge.parameters.get("scope", "").split()
        own = f"repository:{self.endpoint.path}:"
        # Of other repositories only what a mount needs: a registry does not get tokens to write elsewhere.
        others = [one for one in asked if not one.startswith(own) and one.endswith(":pull")]
        scopes = list(dict.fromkeys([self._scope, *others, *scope.split()]))
        return challenge._replace(parameters={**challenge.parameters, "scope": " ".join(scopes)})

    def _send(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        if self._reached or not self.endpoint.insecure:
            return self._follow(method, target, headers, body)
        with self._introducing:
            if not self._reached:
                return self._find_scheme(method, target, headers, body)
        return self._follow(method, target, headers, body)

    def _find_scheme(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        """Send the first request, with TLS or without."""
        try:
            answer = self._follow(method, target, headers, body)
        except (NotTls, ConnectionLost):
            self._scheme = "http" if self._scheme == "https" else "https"
            answer = self._follow(method, target, headers, body)
        self._reached = True
        return answer

    def _follow(self, method: str, target: str, headers: Mapping[str, str], body: Body | None) -> Answer:
        """Send and follow redirects. Credentials go to the registry itself and to nobody else."""
        home = origin_of(self.url(""))
        url = self.url(target)
        for _ in range(_MOST_REDIRECTS + 1):
            sent = dict(headers)
            origin = origin_of(url)
            if origin.scheme == "http" and home.scheme == "https":
                raise SourceError(
                    f"{home.host} leads to {host_of(url)} without encryption", hint="ask who runs the registry"
                )
            if origin == home and self._authorization:
                sent["Authorization"] = self._authorization
            trusting = self.endpoint.insecure and origin.host == home.host
            answer = self._transport.request(method, url, sent, body() if body else None, insecure=trusting)
            if answer.status not in (_REDIRECTS if method in _READING else _KEEPING_METHOD):
                return answer
            location = answer.header("Location")
            answer.close()
            url = self.url(join(url, location))
        raise SourceError(f"{home.host} redirects more than {_MOST_REDIRECTS} times", hint="ask who runs the registry")


def error_message(body: bytes) -> str:
    """Return what a registry's error document says, short; "" if there is nothing to read."""
    try:
        errors: Sequence[Mapping[str, object]] = json.loads(body)["errors"]
        text = str(errors[0].get("message") or errors[0]["code"])
    except (ValueError, RecursionError, KeyError, IndexError, TypeError, AttributeError):
        return ""
    return " ".join(text.split())[:200]
