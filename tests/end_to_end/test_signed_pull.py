"""pull --verify-signatures: every commit that is new, not the last one alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.store.objects import parse_commit
from tests.end_to_end.hub import commit, make_pair
from tests.lab import Lab
from tests.signing.conftest import ssh_keys as ssh_keys
from tests.signing.keys import SshKeys
from tests.signing.test_verify import configure

WORDS = ("pull", "--verify-signatures")


@pytest.fixture
def pair(lab: Lab, ssh_keys: SshKeys, tmp_path: Path) -> tuple[Lab, Lab]:
    """One who signs when told to, and one who checks."""
    ours, theirs, _ = make_pair(lab, tmp_path)
    configure(ours, ssh_keys.config())
    configure(theirs, ssh_keys.config())
    return ours, theirs


def make(lab: Lab, text: str, *, signed: bool) -> str:
    lab("commit", "--allow-empty", *(["-S"] if signed else []), "-m", text)
    return lab.head()


def refuse(theirs: Lab, oid: str, *words: str) -> None:
    before = theirs.git("for-each-ref", "refs/heads")
    theirs.fails(*WORDS, *words, status=1, says=f"commit {oid[:12]} has no signature", hint="allowedSignersFile")
    assert theirs.git("for-each-ref", "refs/heads") == before


def test_one_that_is_not_signed_below_a_signed_one(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    made = make(ours, "one", signed=True)
    ours("push")
    theirs(*WORDS)
    assert theirs.head() == made
    bad = make(ours, "two", signed=False)
    make(ours, "three", signed=True)
    ours("push")
    refuse(theirs, bad)
    assert theirs.head("origin/main") == made
    theirs("fetch")  # brings it, unasked
    refuse(theirs, bad)
    theirs("pull")
    ours("commit", "--allow-empty", "-S", "-m", "four")
    ours("push")
    theirs(*WORDS)
    assert theirs.head() == ours.head()


def test_tags_that_are_asked_for(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    bad = make(ours, "one", signed=False)
    ours("tag", "light")
    ours("tag", "-a", "-m", "not signed", "plain")
    ours("tag", "-s", "-m", "signed", "good")
    ours("push", "origin", "light", "plain", "good")
    ours("push", "origin", "refs/tags/good:refs/tags/renamed")
    for name in ("light", "plain", "renamed"):
        refuse(theirs, bad, "origin", f"refs/tags/{name}")
    theirs(*WORDS, "origin", "refs/tags/good")
    assert theirs.head() == bad


def test_an_annotated_tag_is_pulled_as_its_commit(pair: tuple[Lab, Lab]) -> None:
    ours, theirs = pair
    made = commit(ours, "one")
    ours("tag", "-a", "-m", "text", "v1")
    ours("push", "origin", "v1")
    theirs("pull", "origin", "refs/tags/v1")
    assert theirs.head() == made and theirs.sh("cat /srv/note").out == "one\n"


def test_layers_of_an_image_need_no_signature_below_one(pair: tuple[Lab, Lab], tmp_path: Path) -> None:
    ours, theirs = pair
    chain = ours.head()
    for number in range(2):
        body = ours.git("cat-file", "commit", chain)
        text = parse_commit(os.fsencode(body)).message.decode() + f"Envgit-Layer: sha256:{number:064}\n"
        chain = ours.git("commit-tree", f"{chain}^{{tree}}", "-p", chain, "-m", text).strip()
    ours("reset", "--hard", chain)
    ours("push")
    refuse(theirs, chain)
    made = make(ours, "over them", signed=True)
    ours("push")
    theirs(*WORDS)
    assert theirs.head() == made
