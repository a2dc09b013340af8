"""What an image's history says of its layers, whoever wrote it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.images.history import LayerHistory, clean_instruction, parse_history, parse_moment
from envgit.images.image import chain_ids

INSTRUCTIONS = {
    '/bin/sh -c #(nop)  CMD ["bash"]': 'CMD ["bash"]',
    "/bin/sh -c #(nop) ADD file:4eb in / ": "ADD file:4eb in /",
    "/bin/sh -c apt-get update": "RUN apt-get update",
    "RUN /bin/sh -c apt-get update # buildkit": "RUN apt-get update",
    "COPY a b /srv/ # buildkit": "COPY a b /srv/",
    "ENV A=1": "ENV A=1",
    "|1 V=12 /bin/sh -c make $V": "RUN make $V",
    "|2 A=1 B=two words /bin/sh -c make": "RUN make",
    "RUN |2 A= B=x /bin/sh -c make # buildkit": "RUN make",
    "|1 V=12 make it": "RUN make it",
    "|0 /bin/sh -c make": "RUN make",
    "RUN /bin/bash -o pipefail -c make # buildkit": "RUN /bin/bash -o pipefail -c make",
    "/bin/sh -c #(nop)": "",
    "# debian.sh --arch 'amd64' out/ 'bookworm'": "# debian.sh --arch 'amd64' out/ 'bookworm'",
    "/bin/sh -c # comment": "# comment",
    "bazel build ...": "bazel build ...",
    "| not arguments": "| not arguments",
    "": "",
}


@pytest.mark.parametrize("written", INSTRUCTIONS)
def test_instructions(written: str) -> None:
    assert clean_instruction(written) == INSTRUCTIONS[written]


def test_each_layer_has_its_instruction_and_those_without_files_around_it() -> None:
    history: list[dict[str, Any]] = [
        {"created": "2024-05-01T00:00:00Z", "created_by": "ARG V=1 # buildkit", "empty_layer": True},
        {"created": "2024-05-01T00:00:01.5Z", "created_by": "ADD root.tar / # buildkit"},
        {"created": "2024-05-01T00:00:02+02:00", "created_by": "RUN |1 V=1 /bin/sh -c make # buildkit"},
        {"created_by": "/bin/sh -c #(nop)  ENV A=1", "empty_layer": True},
        {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
    ]
    first, second = parse_history({"history": history, "created": "2025-01-01T00:00:00Z"}, 2)
    assert first == LayerHistory("ADD root.tar /", "", ("ARG V=1",), (), 1714521601)
    assert second == LayerHistory(
        "RUN make", "RUN |1 V=1 /bin/sh -c make # buildkit", (), ("ENV A=1", 'CMD ["sh"]'), 1714521602 - 7200
    )


def test_a_history_that_does_not_fit_is_listed_whole() -> None:
    fields = {"history": [{"created_by": "ADD a /"}, {"created_by": "ENV B=1", "empty_layer": True}], "created": "x"}
    assert parse_history(fields, 2) == (
        LayerHistory("", "", (), (), 0),
        LayerHistory("", "", ("ADD a /", "ENV B=1"), (), 0),
    )
    assert parse_history(fields, 0) == (LayerHistory("", "", ("ADD a /", "ENV B=1"), (), 0),)
    assert len(parse_history({}, 3)) == 3


@pytest.mark.parametrize(
    "listed", [None, 7, "x", {}, [1, None], [{"created_by": 7}], [{"created_by": "a\0b", "created": []}], [[]], [{}]]
)
def test_what_is_no_history_is_passed_over(listed: object) -> None:
    (found,) = parse_history({"history": listed}, 1)
    assert found.text in ("", "a b") and found.seconds == 0


def test_comments_stand_for_what_is_missing() -> None:
    history = [{"comment": "Imported from -"}, {"comment": "buildkit.dockerfile.v0"}]
    assert [one.text for one in parse_history({"history": history}, 2)] == ["Imported from -", ""]


def test_texts_have_an_end() -> None:
    history = [*({"created_by": f"ENV A={'x' * 60_000}", "empty_layer": True},) * 9, {"created_by": "y" * 1_000_000}]
    (found,) = parse_history({"history": history}, 1)
    assert len(found.text) < 70_000 and sum(map(len, found.before)) < 70_000 and found.before[-1] == "..."


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2024-02-29T12:00:00.123456789Z", 1709208000),
        ("0001-01-01T00:00:00Z", 0),
        ("9999-12-31T23:59:59Z", 253402300799),
        ("9999-12-31T23:59:59-23:00", 253402300799),
        ("2024-02-30T00:00:00Z", None),
        ("2024-01-01T00:00:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (7, None),
        ("1" * 1_000_000, None),
    ],
)
def test_moments(text: object, seconds: int | None) -> None:
    assert parse_moment(text) == seconds


@given(st.text() | st.from_regex(r"(RUN )?\|\d+ .*"))
def test_any_text_is_cleaned(text: str) -> None:
    history = parse_history({"history": [{"created_by": text}]}, 1)
    "".join(history[0].text + history[0].raw).encode()
    assert "\0" not in history[0].text


def test_chain_ids() -> None:
    """The first is the diff id, each other the digest of the one below and its diff id."""
    first, second, third = chain_ids(["sha256:" + "a" * 64, "sha256:" + "b" * 64, "sha256:" + "c" * 64])
    assert first == "sha256:" + "a" * 64
    assert second == "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
    assert len({first, second, third}) == 3
