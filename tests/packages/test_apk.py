"""apk's database of installed packages."""

from __future__ import annotations

from .views import MemoryView, packages_of, words

INSTALLED = b"""\
C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:alpine-baselayout
V:3.6.5-r0
A:x86_64
S:8515
I:315392
T:Alpine base dir structure and init scripts
U:https://git.alpinelinux.org/cgit/aports/tree/main/alpine-baselayout
L:GPL-2.0-only
o:alpine-baselayout
m:Natanael Copa <ncopa@alpinelinux.org>
t:1714981135
c:66187892e05b03a41d08e9acabd19b7576a1c875
D:alpine-baselayout-data=3.6.5-r0 /bin/sh
F:dev
F:dev/pts
R:P:odd
Z:Q1pcfTfDNEbNKQc2s1tia7da05M8Q=

C:Q1Vg3mhk7bM9bm7PbZGhd8FLlHtRk=
P:libcrypto3
V:3.3.2-r0
A:x86_64
o:openssl
T:Crypto library from openssl
F:usr/lib
R:libcrypto.so.3
V:6.6.6

"""


def test_installed() -> None:
    packages, notices = packages_of(MemoryView({"lib/apk/db/installed": INSTALLED}))
    assert notices == []
    assert [package[:4] for package in packages] == [
        ("apk", "alpine-baselayout", "3.6.5-r0", "x86_64"),
        ("apk", "libcrypto3", "3.3.2-r0", "x86_64"),
    ]
    assert (packages[0].source, packages[1].source) == (None, "openssl")
    assert packages[0].summary == "Alpine base dir structure and init scripts"


def test_below_usr_is_read_once() -> None:
    view = MemoryView({"usr/lib/apk/db/installed": INSTALLED}, links={"lib": "usr/lib"})
    packages, _ = packages_of(view)
    assert len(packages) == 2 and view.read == [b"lib/apk/db/installed"]


def test_odd_records() -> None:
    odd = b"P:one\n\n\n\nV:2\nP:two\n\nP:three\nV:3\x1b[31m\n\nP:\xff\nV:1\n\nrubbish\n\nP:five\nV:5"
    packages, notices = packages_of(MemoryView({"lib/apk/db/installed": odd}))
    assert words(packages) == ["five 5", "two 2"]
    assert len(notices) == 4 and all(notice.isprintable() for notice in notices)
