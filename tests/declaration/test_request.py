"""The request that a label carries: canonical JSON, and nothing that [sandbox] could not say."""

from __future__ import annotations

import pytest

from envgit.declaration.errors import DeclarationError
from envgit.declaration.request import format_request, parse_request
from envgit.declaration.tables import SANDBOX
from envgit.declaration.values import Place, Sandbox
from tests.declaration.examples import BASE, WHOLE, only


def test_the_text() -> None:
    sandbox = only(WHOLE).sandbox
    assert sandbox is not None
    text = format_request(sandbox)
    assert text == (
        '{"cap_add":["NET_ADMIN"],"cpus":"1.5","memory":"512m","mount":["type=bind,src=.,dst=/src"],"network":"none",'
        '"pids_limit":"200","publish":["8080","127.0.0.1:53:53/udp"],"read_only":true}'
    )
    assert parse_request(text) == sandbox._replace(place=Place(""), places={})


@pytest.mark.parametrize("text", ["", "read_only = false\npublish_all = false\ncap_add = []"])
def test_asking_for_nothing(text: str) -> None:
    sandbox = only(f"{BASE}[sandbox]\n{text}").sandbox
    assert sandbox is not None
    assert format_request(sandbox) == "{}"
    assert parse_request("{}") == Sandbox()


def test_every_key_of_the_table_is_a_field_of_the_value() -> None:
    assert set(SANDBOX.keys) == set(Sandbox._fields) - {"place", "places"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        '{"privileged":true}',
        '{"network":"bridge"}',
        '{"place":"x"}',
        '{"memory":1e999}',
        '{"cpus":NaN}',
        '{"mount":"x"}',
        '{"mount":null}',
        '{"mount":["a\\u001b"]}',
        '{"mount":[{}]}',
        '{"publish":[["8080"]]}',
        "[" * 100000,
        '{"pids_limit":' + "9" * 5000 + "}",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(DeclarationError, match="^the request of the environment: "):
        parse_request(text)
