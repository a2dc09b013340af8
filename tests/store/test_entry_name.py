"""Names: injective, canonical, accepted by git's strictest fsck. git is the oracle for what needs an escape."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import CorruptObject, InvalidName
from envgit.store.entry_name import decode_entry_name, encode_entry_name
from envgit.store.objects import Commit, Signature, encode_commit, encode_tree
from envgit.store.repository import GitRepository

from .conftest import assert_fsck_silent

PLAIN = (
    b"motd",
    b".github",
    b".gitkeep",
    b".gitlab-ci.yml",
    b"git",
    b"gitignore",
    b"a%b",
    b"a~1",
    b"\xff\xfe",
    b" ",
    b"x.git",
)
ESCAPED = (
    b".git",
    b".GIT",
    b".git ",
    b".git. .",
    b".git::$INDEX_ALLOCATION",
    b"git~1",
    b"GIT~2",
    b".gitmodules",
    b".GitAttributes",
    b".gitignore",
    b".mailmap",
    b"gitmod~4",
    b"gi7eba~1",
    b"maba30~1",
    b".g\xe2\x80\x8cit",
    b"\xef\xbb\xbf.git",
    b"a\\b",
    b"\\.git",
    b".git\xff",
    b".gitmodules\x80",
    b"%",
    b"%meta",
    b"%links",
    b"%25",
)

names = st.one_of(
    st.binary(min_size=1, max_size=12),
    st.sampled_from(PLAIN + ESCAPED),
    st.lists(
        st.sampled_from(
            [
                b".git",
                b"git",
                b"~1",
                b"%",
                b"\\",
                b".",
                b" ",
                b":",
                b"modules",
                b"\xe2\x80\x8d",
                b"a",
                b"M",
                b"5c",
                b"25",
            ]
        ),
        min_size=1,
        max_size=6,
    ).map(b"".join),
).filter(lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name)


@pytest.mark.parametrize("name", PLAIN)
def test_ordinary_names_are_stored_as_themselves(name: bytes) -> None:
    assert encode_entry_name(name) == name


@pytest.mark.parametrize("name", ESCAPED)
def test_special_names_are_escaped(name: bytes) -> None:
    stored = encode_entry_name(name)
    assert stored.startswith(b"%") and stored not in (b"%meta", b"%links")
    assert decode_entry_name(stored) == name


@given(names)
def test_decoding_undoes_encoding(name: bytes) -> None:
    assert decode_entry_name(encode_entry_name(name)) == name


@given(names)
def test_every_stored_name_has_one_decoding(stored: bytes) -> None:
    try:
        name = decode_entry_name(stored)
    except CorruptObject:
        return
    assert encode_entry_name(name) == stored


@pytest.mark.parametrize("stored", [b"%meta", b"%links", b".git", b"%motd", b"%a%2", b"a\\b"])
def test_what_is_no_encoding_is_refused(stored: bytes) -> None:
    with pytest.raises(CorruptObject):
        decode_entry_name(stored)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"x" * 256])
def test_what_no_directory_can_hold_is_refused(name: bytes) -> None:
    with pytest.raises(InvalidName):
        encode_entry_name(name)


def commit_names(repository: GitRepository, names: Iterable[bytes], content: bytes, mode: int) -> None:
    who = Signature(b"t", b"t", 1_700_000_000)
    with repository.objects.pack_session() as session:
        blob = session.put("blob", content)
        tree = session.put("tree", encode_tree([(mode, name, blob) for name in names]))
        oid = session.put("commit", encode_commit(Commit(tree, (), who, who, b"names\n")))
        session.finish()
    repository.refs.update("refs/heads/main", oid, None)


def test_git_accepts_every_encoded_name(repository: GitRepository) -> None:
    every = {encode_entry_name(name) for name in PLAIN + ESCAPED}
    every |= {encode_entry_name(b".git" + bytes((byte,))) for byte in range(1, 256) if byte != 0x2F}
    commit_names(repository, every, b"*\n", 0o100644)
    assert_fsck_silent(repository.git_dir)


@pytest.mark.parametrize(
    "name", [b".git", b".GIT", b".git ", b"git~1", b".gitmodules", b"gitmod~4", b"gi7eba~1", b"a\\.git"]
)
def test_git_refuses_the_plain_form(repository: GitRepository, name: bytes) -> None:
    """The negative control: unescaped, git complains about each of these."""
    commit_names(repository, [name], b"/etc/passwd", 0o120000)
    with pytest.raises(AssertionError):
        assert_fsck_silent(repository.git_dir)
