"""The document of a history is read as hostile."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from envgit.errors import EnvgitError, SourceError
from envgit.transfer.registry.artifact import (
    DOCUMENT_TYPE,
    MOST_DOCUMENT_BYTES,
    SEQUENCE,
    History,
    StoredBundle,
    format_history,
    format_manifest,
    parse_history,
    parse_manifest,
    sequence_of,
)

ONE, TWO = bytes(range(20)), bytes(range(1, 21))
DIGEST = "sha256:" + "a" * 64
HISTORY = History(
    {"refs/heads/main": TWO, "refs/tags/v1": ONE},
    "refs/heads/main",
    (StoredBundle(DIGEST, 10, (ONE,), ()), StoredBundle(DIGEST[:-1] + "b", 5, (TWO,), (ONE,))),
)
SUBJECT = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": DIGEST, "size": 3}


def test_round_trip() -> None:
    document = format_history(HISTORY)
    assert parse_history(document, "it") == HISTORY
    manifest = format_manifest(HISTORY, document, SUBJECT)
    said = parse_manifest(manifest, "it")
    assert (said.document_size, said.subject, said.sequence, said.tag) == (len(document), DIGEST, 1, "")
    said = parse_manifest(format_manifest(HISTORY, document, SUBJECT, 12, "1.0"), "it")
    assert (said.sequence, said.tag) == (12, "1.0")
    assert json.loads(manifest)["subject"] == SUBJECT
    assert [layer["size"] for layer in json.loads(manifest)["layers"]] == [10, 5]


def test_names_that_are_not_public_are_left_out() -> None:
    value = json.loads(format_history(HISTORY))
    for name in (
        "refs/envgit/kept/x",
        "HEAD",
        "refs/heads/../x",
        "refs/heads/a.lock",
        "refs/notes/x",
        "../../x",
        "refs/heads/a\nb",
    ):
        value["refs"][name] = ONE.hex()
    value["head"] = "refs/heads/nowhere"
    parsed = parse_history(json.dumps(value).encode(), "it")
    assert parsed.refs == HISTORY.refs and parsed.head is None


@pytest.mark.parametrize("head", [["refs/heads/main"], {}, 3, "refs/tags/none", "HEAD", None])
def test_a_head_that_is_no_branch_there_is_none(head: object) -> None:
    value = json.loads(format_history(HISTORY))
    value["head"] = head
    assert parse_history(json.dumps(value).encode(), "it") == HISTORY._replace(head=None)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "\u0661", " 1", "9" * 16, 7, None, ["1"]])
def test_what_is_no_sequence_number_counts_as_none(text: object) -> None:
    assert sequence_of({SEQUENCE: text}) == 0
    assert sequence_of({}) == 0 and sequence_of({SEQUENCE: "41"}) == 41


def test_the_highest_number_stays_one() -> None:
    manifest = format_manifest(HISTORY, format_history(HISTORY), SUBJECT, 10**15)
    assert parse_manifest(manifest, "it").sequence == 10**15 - 1


def _set(*path: Any, to: Any) -> Callable[[Any], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


DAMAGES = [
    _set("version", to=2),
    _set("version", to=None),
    _set("refs", to=[]),
    _set("refs", to={"refs/heads/main": "xyz"}),
    _set("refs", to={"refs/heads/main": 3}),
    _set("refs", to={"refs/heads/main": "A" * 40}),
    _set("refs", to={f"refs/heads/{number}": ONE.hex() for number in range(20_001)}),
    _set("bundles", to={}),
    _set("bundles", to=[{}]),
    _set("bundles", to=[None]),
    _set("bundles", 0, "digest", to="sha256:zz"),
    _set("bundles", 0, "digest", to="sha256:" + "a" * 64 + "/../x"),
    _set("bundles", 0, "digest", to=7),
    _set("bundles", 0, "size", to=0),
    _set("bundles", 0, "size", to=-1),
    _set("bundles", 0, "size", to=True),
    _set("bundles", 0, "size", to=1 << 50),
    _set("bundles", 0, "size", to="10"),
    _set("bundles", 0, "tips", to="x"),
    _set("bundles", 0, "tips", to=["a"]),
    _set("bundles", 0, "needs", to=None),
    _set("bundles", to=[{"digest": DIGEST, "size": 1, "tips": [], "needs": []}] * 257),
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_damaged_documents(number: int) -> None:
    value = json.loads(format_history(HISTORY))
    DAMAGES[number](value)
    with pytest.raises(EnvgitError) as caught:
        parse_history(json.dumps(value).encode(), "the history")
    assert "the history" in caught.value.message and caught.value.hint


@pytest.mark.parametrize("text", [b"", b"{", b"null", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"version": 1}'])
def test_what_is_no_document(text: bytes) -> None:
    with pytest.raises(SourceError):
        parse_history(text, "it")
    with pytest.raises(SourceError):
        parse_manifest(text, "it")


def test_manifests_that_are_no_history() -> None:
    good = json.loads(format_manifest(HISTORY, format_history(HISTORY), SUBJECT))
    for key, other in (("subject", None), ("subject", {"digest": 3}), ("annotations", ["x"]), ("annotations", "x")):
        with pytest.raises(SourceError):
            parse_manifest(json.dumps({**good, key: other}).encode(), "it")
    for key, wrong in (
        ("mediaType", "text/plain"),
        ("digest", "sha256:x"),
        ("size", MOST_DOCUMENT_BYTES + 1),
        ("size", None),
    ):
        value = copy.deepcopy(good)
        assert value["config"]["mediaType"] == DOCUMENT_TYPE
        value["config"][key] = wrong
        with pytest.raises(SourceError):
            parse_manifest(json.dumps(value).encode(), "it")


def test_every_changed_byte_is_read_or_refused_clearly() -> None:
    random.seed(5)
    document = bytearray(format_history(HISTORY))
    for _ in range(2000):
        changed = bytearray(document)
        changed[random.randrange(len(changed))] = random.randrange(256)
        try:
            parse_history(bytes(changed), "it")
        except EnvgitError as error:
            assert error.hint
