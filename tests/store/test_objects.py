from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import CorruptObject, InvalidName
from envgit.store.objects import (
    Commit,
    Signature,
    Tag,
    decode_tree,
    encode_commit,
    encode_tag,
    encode_tree,
    hash_object,
    parse_commit,
    parse_commit_links,
    parse_tag,
)
from tests.store.conftest import Git

oids = st.binary(min_size=20, max_size=20)
names = st.binary(min_size=1, max_size=30).filter(lambda name: b"\0" not in name and b"/" not in name)
modes = st.sampled_from([0o100644, 0o100755, 0o120000, 0o040000])
words = st.text("abcXYZ é", min_size=1, max_size=12).map(lambda text: text.strip().encode()).filter(bool)
signatures = st.builds(Signature, words, words, st.integers(0, 2**33), st.sampled_from([b"+0000", b"-0330", b"+1245"]))
headers = st.lists(
    st.tuples(st.sampled_from([b"gpgsig", b"encoding", b"x-note"]), st.binary(max_size=40)), max_size=3
).map(
    lambda found: tuple(
        (key, value.replace(b"\0", b"")) for key, value in found if b"\n\n" not in value and value.strip(b"\n") == value
    )
)
messages = st.binary(max_size=80).map(lambda data: data.replace(b"\0", b""))
commits = st.builds(Commit, oids, st.lists(oids, max_size=3).map(tuple), signatures, signatures, messages, headers)


@given(st.dictionaries(names, st.tuples(modes, oids), max_size=20))
def test_a_tree_decodes_to_what_was_encoded_in_git_order(entries: dict[bytes, tuple[int, bytes]]) -> None:
    listed = [(mode, name, oid) for name, (mode, oid) in entries.items()]
    decoded = decode_tree(encode_tree(listed))
    assert sorted(decoded) == sorted(listed)
    assert encode_tree(decoded) == encode_tree(reversed(listed))


def test_tree_ids_are_gits(git: Git) -> None:
    blob = hash_object("blob", b"x")
    git("hash-object", "-w", "--stdin", data=b"x")
    empty = git("mktree", data=b"")
    listing = f"100644 blob {blob.hex()}\ta.b\n040000 tree {empty}\ta\n100755 blob {blob.hex()}\ta0\n"
    entries = [(0o100755, b"a0", blob), (0o040000, b"a", bytes.fromhex(empty)), (0o100644, b"a.b", blob)]
    assert git("mktree", data=listing.encode()) == hash_object("tree", encode_tree(entries)).hex()


@given(commits)
def test_a_commit_parses_to_what_was_encoded(commit: Commit) -> None:
    data = encode_commit(commit)
    assert parse_commit(data) == commit
    assert parse_commit_links(data) == (commit.tree, commit.parents, commit.committer.seconds)


@given(st.builds(Tag, oids, st.just("commit"), words, signatures, messages))
def test_a_tag_parses_to_what_was_encoded(tag: Tag) -> None:
    assert parse_tag(encode_tag(tag)) == tag


def test_what_breaks_a_header_line_is_dropped_from_names() -> None:
    assert Signature(b" .Eve <x>\nparent 0 ", b"<e@x>", 5).encode() == b"Eve xparent 0 <e@x> 5 +0000"


def test_a_message_with_nul_is_refused() -> None:
    who = Signature(b"t", b"t", 0)
    with pytest.raises(InvalidName):
        encode_commit(Commit(bytes(20), (), who, who, b"a\0b"))


@given(st.binary(max_size=200))
def test_damaged_objects_raise_corrupt_object_only(data: bytes) -> None:
    for parse in (decode_tree, parse_commit, parse_commit_links, parse_tag):
        try:
            parse(data)
        except CorruptObject:
            continue
