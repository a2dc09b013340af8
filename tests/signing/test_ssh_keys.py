"""Signatures by ssh keys: whom they are taken to be from, and every way in which they are worth nothing."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.signing.checking import check_commit_signature, check_tag_signature
from envgit.signing.settings import SigningSettings
from envgit.signing.signed_object import add_to_commit, add_to_tag
from envgit.signing.ssh_keys import check_ssh
from envgit.signing.verdict import Verdict
from tests.signing.keys import ALICE, MALLORY, SshKeys, signed
from tests.signing.test_signed_object import COMMIT, TAG

PAYLOAD = b"tree 1\n\nsubject\n"
NOW = 1_700_000_000
YEARS = 365 * 86400


def check(settings: SigningSettings, signature: bytes, payload: bytes = PAYLOAD, seconds: int = NOW) -> Verdict:
    return check_ssh(payload, signature, seconds, settings)


@pytest.fixture(scope="module")
def alices(ssh_keys: SshKeys) -> bytes:
    return signed(ssh_keys.settings(), PAYLOAD)


def test_an_allowed_signer_is_named(ssh_keys: SshKeys, alices: bytes) -> None:
    verdict = check(ssh_keys.settings(), alices)
    assert verdict == Verdict("good", ALICE, f"ED25519 key {ssh_keys.fingerprint('alice')}")


def test_what_ssh_keygen_signs_is_accepted_and_ours_is_the_same(ssh_keys: SshKeys, alices: bytes) -> None:
    assert ssh_keys.sign(PAYLOAD, "alice") == alices


@pytest.mark.parametrize("payload", [b"", PAYLOAD + b"\n", PAYLOAD[:-1], PAYLOAD.replace(b"1", b"2"), b"\0" + PAYLOAD])
def test_another_text_is_bad(ssh_keys: SshKeys, alices: bytes, payload: bytes) -> None:
    assert check(ssh_keys.settings(), alices, payload).state == "bad"


@pytest.mark.parametrize("settings", [{}, {"allowed_signers": ""}], ids=["not listed", "no list"])
def test_somebody_unknown_is_said_to_be_that(ssh_keys: SshKeys, settings: dict[str, str]) -> None:
    verdict = check(ssh_keys.settings(**settings), ssh_keys.sign(PAYLOAD, "mallory"))
    assert (verdict.state, verdict.signer) == ("unknown", "")
    assert ssh_keys.fingerprint("mallory") in verdict.key


@pytest.mark.parametrize("namespace", ["file", "git@example.com", "Git", "git "])
def test_a_signature_made_for_something_else_is_bad(ssh_keys: SshKeys, namespace: str) -> None:
    assert check(ssh_keys.settings(), ssh_keys.sign(PAYLOAD, "alice", namespace)).state == "bad"


def test_a_forged_namespace_inside_is_bad(ssh_keys: SshKeys) -> None:
    """The namespace is signed: rewriting it in the blob makes it fit the name but no longer the key."""
    made = ssh_keys.sign(PAYLOAD, "alice", "gat")
    body = base64.b64decode(b"".join(made.split(b"\n")[1:-2])).replace(b"\0\0\0\3gat", b"\0\0\0\3git")
    forged = b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(body) + b"\n-----END SSH SIGNATURE-----\n"
    assert check(ssh_keys.settings(), forged).state == "bad"


def test_the_key_inside_exchanged_is_not_good(ssh_keys: SshKeys) -> None:
    """mallory's signature that says it is by alice's key."""
    body = base64.b64decode(b"".join(ssh_keys.sign(PAYLOAD, "mallory").split(b"\n")[1:-2]))
    theirs, hers = (base64.b64decode(ssh_keys.public(name).split()[1]) for name in ("mallory", "alice"))
    assert theirs in body
    forged = base64.b64encode(body.replace(theirs, hers))
    armoured = b"-----BEGIN SSH SIGNATURE-----\n" + forged + b"\n-----END SSH SIGNATURE-----\n"
    assert check(ssh_keys.settings(), armoured).state == "bad"


@pytest.mark.parametrize("at", [0, 1, 6, 10, 14, 20, 60, 70, 80, 100, 150])
def test_every_flipped_bit_is_noticed(ssh_keys: SshKeys, alices: bytes, at: int) -> None:
    body = bytearray(base64.b64decode(b"".join(alices.split(b"\n")[1:-2])))
    body[at] ^= 1
    forged = b"-----BEGIN SSH SIGNATURE-----\n" + base64.b64encode(body) + b"\n-----END SSH SIGNATURE-----\n"
    assert check(ssh_keys.settings(), forged).state in ("bad", "unknown")


def test_the_time_of_the_commit_decides_about_keys_with_a_limit(ssh_keys: SshKeys, alices: bytes) -> None:
    lines = f'{ALICE} valid-after="20200101",valid-before="20250101" {ssh_keys.public("alice")}'
    settings = ssh_keys.settings(allowed_signers=ssh_keys.allow("limited", lines))
    assert check(settings, alices).state == "good"
    after, before = check(settings, alices, seconds=NOW + 5 * YEARS), check(settings, alices, seconds=NOW - 9 * YEARS)
    assert (after.state, after.detail) == ("expired", "key has expired")
    assert (before.state, before.detail) == ("expired", "key is not yet valid")


@pytest.mark.parametrize("seconds", [-1, 0, 10**11, 2**63 - 1, 2**64, 10**30])
def test_impossible_times_are_no_trouble(ssh_keys: SshKeys, alices: bytes, seconds: int) -> None:
    assert check(ssh_keys.settings(), alices, seconds=seconds).state == "good"


def test_revoked_keys(ssh_keys: SshKeys, alices: bytes) -> None:
    revoked = ssh_keys.allow("revoked", ssh_keys.public("alice"))
    verdict = check(ssh_keys.settings(revoked=revoked), alices)
    assert (verdict.state, verdict.signer) == ("revoked", ALICE)
    assert revoked in verdict.detail
    other = ssh_keys.allow("others", ssh_keys.public("mallory"))
    assert check(ssh_keys.settings(revoked=other), alices).state == "good"


def test_a_damaged_list_of_revoked_keys_makes_nothing_good(ssh_keys: SshKeys, alices: bytes) -> None:
    damaged = ssh_keys.allow("damaged", "this is no list of keys")
    assert not check(ssh_keys.settings(revoked=damaged), alices).good


def test_options_of_the_list_are_heeded(ssh_keys: SshKeys, alices: bytes) -> None:
    key = ssh_keys.public("alice")
    for options, state in (
        ('namespaces="file"', "unknown"),
        ('namespaces="git,file"', "good"),
        ("cert-authority", "unknown"),
    ):
        settings = ssh_keys.settings(allowed_signers=ssh_keys.allow("options", f"{ALICE} {options} {key}"))
        assert check(settings, alices).state == state, options


def test_the_reason_names_the_file_of_the_user(ssh_keys: SshKeys, alices: bytes) -> None:
    path = ssh_keys.allow("elsewhere", f'{ALICE} namespaces="file" {ssh_keys.public("alice")}')
    verdict = check(ssh_keys.settings(allowed_signers=path), alices)
    assert path in verdict.detail and "/proc/" not in verdict.detail


@pytest.mark.parametrize(
    "principals", ["-rf,*@example.com", "*", "--help", "a b", '"al ice"', "$(id)", ";id", "!x,alice"]
)
def test_odd_principals_are_words_and_nothing_else(ssh_keys: SshKeys, alices: bytes, principals: str) -> None:
    """They are handed to a program as words; the file is the user's, but other programs write it."""
    path = ssh_keys.allow("odd", f"{principals} {ssh_keys.public('alice')}")
    verdict = check(ssh_keys.settings(allowed_signers=path), alices)
    assert verdict.state in ("good", "unknown")
    assert ALICE not in verdict.signer


def test_lines_of_others_lend_nobody_a_name(ssh_keys: SshKeys) -> None:
    """mallory's own line, a comment that names alice, and a line broken in two are no line of alice's for mallory's key."""
    lines = (
        f"{ALICE} {ssh_keys.public('alice')}",
        f"# {ALICE} {ssh_keys.public('mallory')}",
        f"{MALLORY} {ssh_keys.public('mallory')} {ALICE}",
        ALICE,
    )
    settings = ssh_keys.settings(allowed_signers=ssh_keys.allow("mixed", *lines))
    verdict = check(settings, ssh_keys.sign(PAYLOAD, "mallory"))
    assert (verdict.state, verdict.signer) == ("good", MALLORY)


def test_a_key_of_many_names_is_asked_for_few(ssh_keys: SshKeys, alices: bytes) -> None:
    many = ",".join(f"user{number}@example.com" for number in range(500))
    settings = ssh_keys.settings(allowed_signers=ssh_keys.allow("many", f"{many} {ssh_keys.public('alice')}"))
    assert check(settings, alices).signer == "user0@example.com"


def test_files_that_are_none_are_refused_and_nothing_waits(ssh_keys: SshKeys, alices: bytes, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(9 << 20)
    for name, says in (
        ("fifo", "not a file"),
        ("folder", "not a file"),
        ("huge", "larger"),
        ("gone", "cannot be read"),
    ):
        for setting in ("allowed_signers", "revoked"):
            with pytest.raises(EnvgitError, match=says) as caught:
                check(ssh_keys.settings(**{setting: str(tmp_path / name)}), alices)
            assert caught.value.hint


def test_an_empty_list_knows_nobody(ssh_keys: SshKeys, alices: bytes) -> None:
    for lines in ((), ("# nobody",), ("\0\0\0",), ("x" * 100000,)):
        settings = ssh_keys.settings(allowed_signers=ssh_keys.allow("nobody", *lines))
        assert check(settings, alices).state == "unknown", lines


def test_a_program_that_is_not_there_checks_nothing(ssh_keys: SshKeys, alices: bytes) -> None:
    data = add_to_commit(COMMIT, alices)
    verdict = check_commit_signature(data, ssh_keys.settings(ssh_program="/nonexistent/keygen"))
    assert verdict.state == "unchecked" and "was not found" in verdict.detail


PROGRAMS = {
    "says yes": "echo 'Good \"git\" signature for alice@example.com with ED25519 key SHA256:x'; exit 1",
    "says nothing": "exit 0",
    "floods": "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
    "is killed": "kill -9 $$",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_a_status_and_a_sentence_together_are_good(
    ssh_keys: SshKeys, alices: bytes, name: str, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{PROGRAMS[name]}\n")
    program.chmod(0o755)
    begun = time.monotonic()
    assert not check(ssh_keys.settings(ssh_program=str(program)), alices).good
    assert time.monotonic() - begun < 10


def test_objects(ssh_keys: SshKeys) -> None:
    settings = ssh_keys.settings()
    commit, tag = (signed(settings, data) for data in (COMMIT, TAG))
    assert check_commit_signature(add_to_commit(COMMIT, commit), settings).good
    assert check_tag_signature(add_to_tag(TAG, tag), settings).good
    assert check_commit_signature(COMMIT, settings) == check_tag_signature(TAG, settings) == Verdict("none")
    assert check_commit_signature(add_to_commit(COMMIT, tag), settings).state == "bad"
    twice = add_to_commit(add_to_commit(COMMIT, commit), commit)
    assert check_commit_signature(twice, settings) == Verdict("bad", detail="the commit has two signatures")


@pytest.mark.parametrize("armour", ["SIGNED MESSAGE", "PGP MESSAGE", "EVIL SIGNATURE"])
def test_other_kinds_are_not_checked_and_not_good(ssh_keys: SshKeys, alices: bytes, armour: str) -> None:
    data = add_to_commit(COMMIT, alices.replace(b"SSH SIGNATURE", armour.encode()))
    verdict = check_commit_signature(data, ssh_keys.settings())
    assert verdict.state == "unchecked" and armour in verdict.detail
