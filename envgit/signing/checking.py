"""The signature of one commit or tag, checked."""

from __future__ import annotations

from envgit.errors import CorruptObject
from envgit.signing.openpgp_keys import check_openpgp
from envgit.signing.program import MissingProgram
from envgit.signing.settings import SigningSettings
from envgit.signing.signed_object import BadSignature, SignedObject, split_commit, split_tag
from envgit.signing.ssh_keys import check_ssh
from envgit.signing.verdict import UNSIGNED, Verdict
from envgit.store.objects import parse_commit, parse_tag


def check_commit_signature(data: bytes, settings: SigningSettings) -> Verdict:
    """Check the signature of a commit object. Raises CorruptObject for what is none, EnvgitError for unreadable settings."""
    seconds = parse_commit(data).committer.seconds
    try:
        return _check(split_commit(data), seconds, settings)
    except BadSignature as error:
        return Verdict("bad", detail=error.message)


def check_tag_signature(data: bytes, settings: SigningSettings) -> Verdict:
    """Check the signature of an annotated tag's object; raises as check_commit_signature() does."""
    tag = parse_tag(data)
    try:
        return _check(split_tag(data), tag.tagger.seconds if tag.tagger is not None else 0, settings)
    except BadSignature as error:
        return Verdict("bad", detail=error.message)


def _check(signed: SignedObject, seconds: int, settings: SigningSettings) -> Verdict:
    if signed.signature is None:
        return UNSIGNED
    if b"\0" in signed.payload:
        raise CorruptObject("the signed text contains a NUL byte")
    try:
        if signed.kind == "SSH SIGNATURE":
            return check_ssh(signed.payload, signed.signature, seconds, settings)
        if signed.kind == "PGP SIGNATURE":
            return check_openpgp(signed.payload, signed.signature, settings)
    except MissingProgram as error:
        return Verdict("unchecked", detail=error.message)
    return Verdict("unchecked", detail=f"signatures of the kind {signed.kind} are not known here; ssh and OpenPGP are")
