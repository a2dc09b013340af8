"""Where a signature is in a commit and a tag, and what it covers: as git has it, and nothing that git would take for two."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.signing.signed_object import BadSignature, add_to_commit, add_to_tag, split_commit, split_tag
from envgit.store.objects import parse_commit

HEAD = b"tree " + b"1" * 40 + b"\nauthor A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000"
COMMIT = HEAD + b"\n\nsubject\n\nbody\n"
TAG = b"object " + b"1" * 40 + b"\ntype commit\ntag v1\ntagger A <a@x> 1 +0000\n\nsubject\n"
SSH = b"-----BEGIN SSH SIGNATURE-----\nQUJD\n-----END SSH SIGNATURE-----\n"
PGP = b"-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\nQUJD\n=aaaa\n-----END PGP SIGNATURE-----\n"


def header(signature: bytes, name: bytes = b"gpgsig") -> bytes:
    return b"\n" + name + b" " + signature.rstrip(b"\n").replace(b"\n", b"\n ")


@pytest.mark.parametrize("signature", [SSH, PGP])
def test_a_signature_that_is_added_is_found_and_covers_everything_else(signature: bytes) -> None:
    commit, tag = split_commit(add_to_commit(COMMIT, signature)), split_tag(add_to_tag(TAG, signature))
    assert commit.kind == tag.kind == signature[11:24].decode()
    assert (commit, tag) == ((COMMIT, signature), (TAG, signature))


@given(st.binary(max_size=200).filter(lambda text: b"\0" not in text))
def test_any_message_survives(message: bytes) -> None:
    data = HEAD + b"\n\n" + message
    added = add_to_commit(data, SSH)
    assert split_commit(added) == (data, SSH)
    assert parse_commit(added).message == message


def test_unsigned_objects_have_none() -> None:
    assert split_commit(COMMIT) == (COMMIT, None)
    assert split_tag(TAG) == (TAG, None)
    assert split_commit(COMMIT).kind == ""


def test_text_in_a_message_is_no_signature_of_a_commit() -> None:
    data = COMMIT + header(SSH) + b"\n" + SSH
    assert split_commit(data) == (data, None)


def test_other_headers_stay_part_of_what_is_signed() -> None:
    rest = b"\nencoding latin1\nmergetag object 1\n type commit"
    data = HEAD + rest + header(SSH) + b"\nlast one" + b"\n\nsubject\n"
    assert split_commit(data).payload == HEAD + rest + b"\nlast one\n\nsubject\n"


def test_the_signature_under_the_other_hash_is_covered_by_neither() -> None:
    data = HEAD + header(SSH) + header(PGP, b"gpgsig-sha256") + b"\n\nsubject\n"
    assert split_commit(data) == (HEAD + b"\n\nsubject\n", SSH)


BROKEN = {
    "cut off": SSH[:-20],
    "no end": SSH.partition(b"-----END")[0],
    "no begin": SSH[30:],
    "text behind": SSH + b"more\n",
    "text before": b"more\n" + SSH,
    "two blocks": SSH + SSH,
    "two kinds": SSH + PGP,
    "one in the other": SSH.replace(b"QUJD", PGP.rstrip()),
    "end of another kind": SSH.replace(b"END SSH", b"END PGP"),
    "carriage returns": SSH.replace(b"\n", b"\r\n"),
    "escape sequences": SSH.replace(b"QUJD", b"\x1b[2J"),
    "NUL": SSH.replace(b"QUJD", b"QU\0D"),
    "high bytes": SSH.replace(b"QUJD", b"\xff\xfe"),
    "huge": SSH.replace(b"QUJD", b"QUJD\n" * 20000),
    "empty": b"",
    "one dash": b"-\n",
}


@pytest.mark.parametrize("signature", BROKEN.values(), ids=BROKEN)
def test_what_is_not_one_block_of_armour_is_refused(signature: bytes) -> None:
    with pytest.raises(BadSignature):
        split_commit(HEAD + header(signature) + b"\n\nsubject\n")


@pytest.mark.parametrize(
    "name", sorted(set(BROKEN) - {"empty", "one dash", "no begin", "text before", "two blocks", "two kinds"})
)
def test_a_tag_whose_armour_is_broken_is_refused(name: str) -> None:
    with pytest.raises(BadSignature):
        split_tag(TAG + BROKEN[name])


def test_the_last_block_of_a_tag_is_its_signature_and_covers_those_before() -> None:
    assert split_tag(TAG + SSH + PGP) == (TAG + SSH, PGP)


@pytest.mark.parametrize(
    "headers",
    [
        header(SSH) + header(SSH),
        header(SSH) + header(PGP),
        header(PGP) + b"\nencoding x" + header(SSH),
        header(SSH) + header(SSH, b"gpgsig-sha512"),
        header(SSH, b"gpgsigx") + header(SSH),
        b"\ngpgsig" + header(SSH),
        header(PGP, b"gpgsig-sha256") + header(SSH, b"gpgsig-sha256"),
    ],
    ids=["twice", "two kinds", "apart", "unknown hash", "unknown", "without a value", "twice under the other hash"],
)
def test_more_than_one_signature_is_none(headers: bytes) -> None:
    with pytest.raises(BadSignature):
        split_commit(HEAD + headers + b"\n\nsubject\n")


def test_a_tag_with_a_signature_among_its_headers_is_refused() -> None:
    with pytest.raises(BadSignature):
        split_tag(TAG.replace(b"\n\n", header(SSH) + b"\n\n", 1))


def test_a_folded_line_of_another_header_is_no_signature() -> None:
    data = HEAD + b"\nnote x\n gpgsig " + SSH.replace(b"\n", b"\n ").rstrip() + b"\n\nsubject\n"
    assert split_commit(data) == (data, None)


def test_git_reads_the_same_payload(tmp_path: Path) -> None:
    """git hands the program what it takes for the payload: with a program that prints it, the two can be compared."""
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ncat > {tmp_path}/payload\n")
    program.chmod(0o755)
    git = ["git", "--git-dir", str(tmp_path / "r"), "-c", f"gpg.program={program}"]
    subprocess.run([*git, "init", "-q", "--bare"], check=True)
    tree = subprocess.run([*git, "mktree"], input=b"", capture_output=True, check=True).stdout.strip()
    data = (HEAD + b"\nnote x\n y" + header(PGP) + b"\nlast one\n\nsubject\n\n  body \n").replace(b"1" * 40, tree)
    words = [*git, "hash-object", "-t", "commit", "-w", "--stdin"]
    oid = subprocess.run(words, input=data, capture_output=True, check=True).stdout.decode().strip()
    subprocess.run([*git, "verify-commit", oid], capture_output=True, check=False)
    assert (tmp_path / "payload").read_bytes() == split_commit(data).payload
