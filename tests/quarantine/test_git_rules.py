"""Commits, tags and trees that git's fsck refuses; what it is content with is accepted. git itself is asked as well."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from envgit.quarantine.errors import RefusedObjects
from envgit.quarantine.git_rules import MAX_HEADER_BYTES, MAX_PARENTS, check_git_rules
from tests.quarantine.builder import seal
from tests.quarantine.conftest import Home

OID = b"1" * 40
RAW = b"\x11" * 20
A = b"A U Thor <author@example.com> 1700000000 +0000"
HEAD = b"tree " + OID + b"\nauthor " + A + b"\ncommitter " + A + b"\n"


def commit(*, tree: bytes = OID, parents: bytes = b"", author: bytes = A, committer: bytes = A, more: bytes = b"",
           body: bytes = b"\nwords\n") -> bytes:  # fmt: skip
    return b"tree %b\n%bauthor %b\ncommitter %b\n%b%b" % (tree, parents, author, committer, more, body)


def tag(
    *, object: bytes = OID, type: bytes = b"commit", name: bytes = b"v1", who: bytes = A, more: bytes = b""
) -> bytes:
    return b"object %b\ntype %b\ntag %b\ntagger %b\n%b\nwords\n" % (object, type, name, who, more)


def tree(*entries: tuple[bytes, bytes]) -> bytes:
    return b"".join(mode + b" " + name + b"\0" + RAW for mode, name in entries)


F, X, L, D, S = b"100644", b"100755", b"120000", b"40000", b"160000"

GOOD = {
    "plain": ("commit", commit()),
    "signed": ("commit", commit(more=b"gpgsig -----BEGIN\n line\n \n end\n")),
    "encoding": ("commit", commit(more=b"encoding ISO-8859-1\n")),
    "no message": ("commit", commit(body=b"\n")),
    "no name": ("commit", commit(author=b" <a@b> 1 +0000")),
    "parents": ("commit", commit(parents=(b"parent " + OID + b"\n") * 3)),
    "tag": ("tag", tag()),
    "tag of a tag": ("tag", tag(type=b"tag")),
    "empty tree": ("tree", b""),
    "tree": ("tree", tree((F, b"%meta"), (F, b"a"), (F, b"a.b"), (D, b"a-"), (X, b"b"), (L, b"c"))[:0]),
    "order of folders": ("tree", tree((F, b"a.b"), (D, b"a"), (F, b"a0"))),
    "odd names": ("tree", tree((F, b"%.git"), (F, b"-x"), (F, b".gitt"), (F, b"\xff\n"))),
}

BAD = {
    "commit: empty": ("commit", b"", "no end of its header"),
    "commit: no tree": ("commit", commit()[46:], "lacks its line 'tree'"),
    "commit: short tree": ("commit", commit(tree=OID[:-1]), "malformed line 'tree'"),
    "commit: upper-case tree": ("commit", commit(tree=b"A" * 40), "malformed line 'tree'"),
    "commit: tree of zeros": ("commit", commit(tree=b"0" * 40), "no tree"),
    "commit: two trees": ("commit", b"tree " + OID + b"\n" + commit(), "lacks its line 'author'"),
    "commit: tree later": ("commit", commit(more=b"tree " + OID + b"\n"), "second or misplaced"),
    "commit: malformed parent": ("commit", commit(parents=b"parent xyz\n"), "malformed line 'parent'"),
    "commit: parent later": ("commit", commit(more=b"parent " + OID + b"\n"), "second or misplaced"),
    "commit: too many parents": (
        "commit", commit(parents=b"".join(b"parent %040x\n" % n for n in range(MAX_PARENTS + 1))), "parents"),
    "commit: no author": ("commit", commit().replace(b"author " + A + b"\n", b"", 1), "lacks its line 'author'"),
    "commit: two authors": ("commit", HEAD + b"author " + A + b"\n\nx", "second or misplaced"),
    "commit: no committer": ("commit", HEAD[: HEAD.index(b"committer")] + b"\nx", "lacks its line 'committer'"),
    "commit: two committers": ("commit", commit(more=b"committer " + A + b"\n"), "second or misplaced"),
    "commit: NUL in the header": ("commit", commit(more=b"x a\0b\n"), "NUL"),
    "commit: NUL in the message": ("commit", commit(body=b"\na\0b"), "NUL"),
    "commit: giant header": ("commit", commit(more=b"x " + b"y" * MAX_HEADER_BYTES + b"\n"), "header"),
    "commit: header without end": ("commit", HEAD[:-1], "no end of its header"),
    "commit: header line without key": ("commit", commit(more=b"\x01\n"), "malformed header line"),
    "author: no mail": ("commit", commit(author=b"A U Thor 1 +0000"), "malformed line 'author'"),
    "author: no space": ("commit", commit(author=b"A<a@b> 1 +0000"), "malformed line 'author'"),
    "author: no name": ("commit", commit(author=b"<a@b> 1 +0000"), "malformed line 'author'"),
    "author: two mails": ("commit", commit(author=b"A <a@b> <c@d> 1 +0000"), "malformed line 'author'"),
    "author: open mail": ("commit", commit(author=b"A <a@b 1 +0000"), "malformed line 'author'"),
    "author: bracket in the name": ("commit", commit(author=b"A > <a@b> 1 +0000"), "malformed line 'author'"),
    "author: no date": ("commit", commit(author=b"A <a@b>"), "malformed line 'author'"),
    "author: no space before the date": ("commit", commit(author=b"A <a@b>1 +0000"), "malformed line 'author'"),
    "author: date with zeros": ("commit", commit(author=b"A <a@b> 01 +0000"), "malformed line 'author'"),
    "author: negative date": ("commit", commit(author=b"A <a@b> -1 +0000"), "malformed line 'author'"),
    "author: date of words": ("commit", commit(author=b"A <a@b> now +0000"), "malformed line 'author'"),
    "author: date beyond time": ("commit", commit(author=b"A <a@b> 99999999999999999999 +0000"), "malformed"),
    "author: date beyond 64 bits": ("commit", commit(author=b"A <a@b> 9999999999999999999 +0000"), "malformed"),
    "author: no zone": ("commit", commit(author=b"A <a@b> 1"), "malformed line 'author'"),
    "author: zone of words": ("commit", commit(author=b"A <a@b> 1 CET"), "malformed line 'author'"),
    "author: long zone": ("commit", commit(author=b"A <a@b> 1 +00000"), "malformed line 'author'"),
    "committer: no mail": ("commit", commit(committer=b"x"), "malformed line 'committer'"),
    "tag: empty": ("tag", b"", "no end of its header"),
    "tag: no object": ("tag", tag()[48:], "lacks its line 'object'"),
    "tag: malformed object": ("tag", tag(object=b"main"), "malformed line 'object'"),
    "tag: no type": ("tag", tag().replace(b"type commit\n", b""), "lacks its line 'type'"),
    "tag: unknown type": ("tag", tag(type=b"secret"), "malformed line 'type'"),
    "tag: no name": ("tag", tag().replace(b"tag v1\n", b""), "lacks its line 'tag'"),
    "tag: name that leaves": ("tag", tag(name=b"../../heads/main"), "no tag can have"),
    "tag: name with a space": ("tag", tag(name=b"a b"), "no tag can have"),
    "tag: name like an option": ("tag", tag(name=b"-f"), "no tag can have"),
    "tag: malformed tagger": ("tag", tag(who=b"nobody"), "malformed line 'tagger'"),
    "tag: two objects": ("tag", tag(more=b"object " + OID + b"\n"), "second or misplaced"),
    "tree: cut off": ("tree", tree((F, b"a"))[:-1], "cut off or malformed"),
    "tree: no mode": ("tree", b" a\0" + RAW, "mode b''"),
    "tree: no end of the name": ("tree", b"100644 a", "cut off or malformed"),
    "tree: mode in words": ("tree", tree((b"file", b"a")), "mode b'file'"),
    "tree: mode with zeros": ("tree", tree((b"040000", b"a")), "mode b'040000'"),
    "tree: mode of a socket": ("tree", tree((b"140000", b"a")), "mode b'140000'"),
    "tree: mode of a device": ("tree", tree((b"20644", b"a")), "mode b'20644'"),
    "tree: group may write": ("tree", tree((b"100664", b"a")), "mode b'100664'"),
    "tree: setuid": ("tree", tree((b"104755", b"a")), "mode b'104755'"),
    "tree: out of order": ("tree", tree((F, b"b"), (F, b"a")), "out of order"),
    "tree: folder out of order": ("tree", tree((D, b"a"), (F, b"a.b")), "out of order"),
    "tree: twice": ("tree", tree((F, b"a"), (F, b"a")), "twice"),
    "tree: folder twice": ("tree", tree((D, b"a"), (D, b"a")), "twice"),
    "tree: file and folder": ("tree", tree((F, b"a"), (D, b"a")), "twice"),
    "tree: file and folder, something between": ("tree", tree((F, b"a"), (F, b"a.b"), (D, b"a")), "twice"),
    "tree: no object": ("tree", tree((F, b"a"))[:-20] + bytes(20), "without object"),
    "tree: empty name": ("tree", tree((F, b"")), "leaves it"),
    "tree: .": ("tree", tree((D, b".")), "leaves it"),
    "tree: ..": ("tree", tree((D, b"..")), "leaves it"),
    "tree: slash": ("tree", tree((F, b"../../x")), "leaves it"),
    "tree: absolute": ("tree", tree((F, b"/etc/passwd")), "leaves it"),
    "tree: long name": ("tree", tree((F, b"n" * 4097)), "4096"),
    "tree: .git": ("tree", tree((D, b".git")), "own folder"),
    "tree: .GIT": ("tree", tree((D, b".GiT")), "own folder"),
    "tree: git~1": ("tree", tree((D, b"GIT~1")), "own folder"),
    "tree: .git with a full stop": ("tree", tree((D, b".git.")), "own folder"),
    "tree: .git with a space": ("tree", tree((D, b".git ")), "own folder"),
    "tree: .git as HFS+ folds it": ("tree", tree((D, b".g\xe2\x80\x8cit")), "own folder"),
    "tree: .git with a stream": ("tree", tree((D, b".git::$INDEX_ALLOCATION")), "own folder"),
    "tree: %meta executable": ("tree", tree((X, b"%meta")), "%meta with mode"),
    "tree: %meta a symbolic link": ("tree", tree((L, b"%meta")), "%meta with mode"),
    "tree: %links a folder": ("tree", tree((D, b"%links")), "%links with mode"),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_git_accepts(name: str) -> None:
    check_git_rules(*GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    type, data, said = BAD[name]
    with pytest.raises(RefusedObjects) as caught:
        check_git_rules(type, data)
    assert said in caught.value.message


OURS = ("tag: name", "tag: two objects", "%meta", "%links", "too many parents", "giant header", "group may write", "long name",
        "NUL in the message", "header line without key", "tree later", "parent later", "two committers", "beyond 64 bits",
        "two trees", "two authors", "upper-case tree", "tree of zeros", "mode of a", "setuid")  # fmt: skip
"""Where envgit is stricter than git 2.39; everything else git refuses as well."""


def test_git_agrees(tmp_path: Path) -> None:
    """All of them in one repository: git's fsck has an error for each but where we are stricter."""
    environ = {**os.environ, "GIT_DIR": str(tmp_path)}
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path)], check=True)
    ids = {}
    for name, (type, data, _) in BAD.items():
        words = ["git", "hash-object", "-t", type, "-w", "--literally", "--stdin"]
        ids[name] = subprocess.run(words, input=data, env=environ, check=True, capture_output=True).stdout.strip()
    done = subprocess.run(["git", "fsck", "--strict", "--no-dangling"], env=environ, capture_output=True)
    said = [line for line in done.stderr.splitlines() if line.startswith(b"error") and b"broken links" not in line]
    refused = {oid for line in said for oid in re.findall(rb"[0-9a-f]{40}", line)}
    assert len(refused & set(ids.values())) > 50
    accepted = {name for name, oid in ids.items() if oid not in refused}
    assert {name for name in accepted if not any(part in name for part in OURS)} == set()


@pytest.mark.parametrize("name", ["commit: two authors", "tag: name that leaves", "tree: .git", "tree: cut off"])
def test_in_a_pack_also_where_nothing_refers_to_it(home: Home, name: str) -> None:
    from tests.quarantine.builder import Environment, entry

    type, data, said = BAD[name]
    made = Environment()
    tip = made.commit(made.root())
    entries = [entry(kind, body) for kind, body in made.objects.known.values()] + [entry(type, data)]
    assert said in home.refuse(seal(b"".join(entries), len(entries)), tip)
