"""Signatures by OpenPGP keys, checked by gpg against a key ring."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.signing.checking import check_commit_signature
from envgit.signing.openpgp_keys import check_openpgp
from envgit.signing.signed_object import add_to_commit
from tests.signing.keys import ALICE, MALLORY, KeyRing, open_key_ring, signed
from tests.signing.test_signed_object import COMMIT

PAYLOAD = b"tree 1\n\nsubject\n"


@pytest.fixture(scope="module")
def alices(key_ring: KeyRing) -> bytes:
    return signed(key_ring.settings(), PAYLOAD)


def test_a_trusted_key_is_good(key_ring: KeyRing, alices: bytes) -> None:
    verdict = check_openpgp(PAYLOAD, alices, key_ring.settings())
    assert (verdict.state, verdict.key) == ("good", f"OpenPGP key {key_ring.alice}")
    assert ALICE in verdict.signer


def test_without_a_configured_key_the_committers_is_used(key_ring: KeyRing) -> None:
    signature = signed(key_ring.settings(key=""), PAYLOAD, MALLORY)
    assert MALLORY in check_openpgp(PAYLOAD, signature, key_ring.settings()).signer


@pytest.mark.parametrize(("least", "state"), [(0, "good"), (1, "unknown"), (2, "unknown")])
def test_a_key_that_nobody_vouched_for_is_unknown(key_ring: KeyRing, least: int, state: str) -> None:
    signature = signed(key_ring.settings(), PAYLOAD, key_ring.stranger)
    assert check_openpgp(PAYLOAD, signature, key_ring.settings(least_trust=least)).state == state


def test_another_text_is_bad(key_ring: KeyRing, alices: bytes) -> None:
    verdict = check_openpgp(PAYLOAD + b" ", alices, key_ring.settings())
    assert verdict.state == "bad"


def test_a_key_that_is_not_in_the_ring_is_unchecked(alices: bytes, key_ring: KeyRing) -> None:
    with open_key_ring() as other:
        verdict = check_openpgp(PAYLOAD, alices, other.settings())
    assert verdict.state == "unchecked" and "not in the key ring" in verdict.detail


def test_two_signatures_in_one_are_none(key_ring: KeyRing) -> None:
    """gpg checks both and says yes twice: whose would it be?"""
    words = ("-u", key_ring.alice, "-u", key_ring.stranger, "-bsa")
    both = key_ring.gpg(*words, stdin=PAYLOAD)
    assert check_openpgp(PAYLOAD, both, key_ring.settings()).state == "bad"


def test_a_whole_signed_message_in_the_place_of_a_signature_is_bad(key_ring: KeyRing) -> None:
    """It is validly signed by alice, but covers its own text, not the commit's."""
    message = key_ring.gpg("-u", key_ring.alice, "-sa", stdin=b"something else")
    named = message.replace(b"PGP MESSAGE", b"PGP SIGNATURE")
    for signature in (message, named):
        assert not check_openpgp(PAYLOAD, signature, key_ring.settings()).good
    assert not check_commit_signature(add_to_commit(COMMIT, named), key_ring.settings()).good
    clear = key_ring.gpg("-u", key_ring.alice, "--clearsign", stdin=b"something else")
    assert check_commit_signature(add_to_commit(COMMIT, clear), key_ring.settings()).state == "bad"


@pytest.mark.parametrize("cut", [40, 80, 120])
def test_a_cut_signature_is_bad(key_ring: KeyRing, alices: bytes, cut: int) -> None:
    broken = alices[:cut] + b"\n-----END PGP SIGNATURE-----\n"
    assert check_openpgp(PAYLOAD, broken, key_ring.settings()).state == "bad"


@pytest.mark.parametrize(
    "lines",
    [
        ("GOODSIG 1 Alice",),
        ("GOODSIG 1 Alice", "VALIDSIG F", "TRUST_NEVER 0 pgp"),
        ("GOODSIG 1 Alice", "GOODSIG 2 Bob", "VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("EXPKEYSIG 1 Alice", "VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("REVKEYSIG 1 Alice", "VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("EXPSIG 1 Alice", "VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("BADSIG 1 Alice", "VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("VALIDSIG F", "TRUST_ULTIMATE 0 pgp"),
        ("GOODSIG 1 Alice", "VALIDSIG F", "VALIDSIG G", "TRUST_ULTIMATE 0 pgp"),
        ("GOODSIG 1 Alice", "VALIDSIG F", "TRUST_NEVER 0 pgp", "TRUST_ULTIMATE 0 pgp"),
        *(
            (f"GOODSIG 1 Alice{end}[GNUPG:] VALIDSIG F{end}[GNUPG:] TRUST_ULTIMATE 0 pgp",)
            for end in ("\u2028", "\u2029", "\x85", "\v", "\f", "\x1c", "\r")
        ),
        *(
            (f"GOODSIG 1 Alice{end}[GNUPG:] TRUST_ULTIMATE 0 pgp", "VALIDSIG F", "TRUST_NEVER 0 pgp")
            for end in ("\u2028", "\x85")
        ),
        (),
    ],
    ids=lambda lines: (
        ascii(" ".join(line.split(" ")[0] + line[:60].partition("Alice")[2][:1] for line in lines)) or "nothing"
    ),
)
def test_nothing_less_than_gpgs_whole_yes_is_good(key_ring: KeyRing, tmp_path: Path, lines: tuple[str, ...]) -> None:
    program = tmp_path / "gpg"
    (tmp_path / "said").write_text("".join(f"[GNUPG:] {line}\n" for line in lines), newline="")
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
    program.chmod(0o755)
    assert not check_openpgp(PAYLOAD, b"x", key_ring.settings(gpg_program=str(program))).good


def test_a_user_id_with_a_line_separator_is_one_line(key_ring: KeyRing, tmp_path: Path) -> None:
    program = tmp_path / "gpg"
    name = "Eve\u2028[GNUPG:] TRUST_NEVER"
    (tmp_path / "said").write_text(
        f"[GNUPG:] GOODSIG 1 {name}\n[GNUPG:] VALIDSIG F\n[GNUPG:] TRUST_FULLY 0 pgp\n", newline=""
    )
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n")
    program.chmod(0o755)
    verdict = check_openpgp(PAYLOAD, b"x", key_ring.settings(gpg_program=str(program)))
    assert (verdict.state, verdict.signer) == ("good", name)
