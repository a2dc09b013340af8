"""Metadata and hard links that are not in their one spelling, or say what is not so."""

from __future__ import annotations

import os
from binascii import b2a_base64
from hashlib import sha256
from pathlib import Path

import pytest

from envgit.errors import HostileInput
from envgit.layers.materialise import materialise
from envgit.layers.metadata import format_links
from envgit.model import Child, DiskIds, Entry
from envgit.store.objects import decode_tree
from envgit.store.repository import create_bare
from envgit.trees import MODE_FILE, GitTreeReader
from tests.quarantine.builder import Environment
from tests.quarantine.conftest import Home
from tests.quarantine.forging import Cases, oid_of, swap, with_meta

case = Cases()


META = {
    "header": (swap(b"envgit-directory 1", b"envgit-directory 2"), "damaged"),
    "no own line": (swap(b"\n. ", b"\n.. "), "damaged"),
    "order": (lambda meta: meta.replace(b"link l", b"zz l"), "canonical"),
    "twice": (lambda meta: meta + meta.split(b"\n")[2] + b"\n", "twice"),
    "no end": (lambda meta: meta[:-1], "canonical"),
    "blank line": (lambda meta: meta + b"\n", "damaged"),
    "two spaces": (swap(b" f ", b" f  "), "damaged"),
    "mode in decimal": (swap(b" 0644 ", b" 0999 "), "damaged"),
    "mode too large": (swap(b" 0644 ", b" 17777 "), "damaged"),
    "mode with a sign": (swap(b" 0644 ", b" +644 "), "canonical"),
    "owner with a sign": (swap(b" 0644 0 ", b" 0644 -1 "), "damaged"),
    "owner that is no owner": (swap(b" 0644 0 ", b" 0644 4294967295 "), "damaged"),
    "owner with an underscore": (swap(b" 0644 0 ", b" 0644 1_0 "), "canonical"),
    "time with zeros": (swap(b" 0644 0 0 0 ", b" 0644 0 0 00 "), "canonical"),
    "time of -0": (swap(b" 0644 0 0 0 ", b" 0644 0 0 -0 "), "canonical"),
    "time beyond time": (swap(b" 0644 0 0 0 ", b" 0644 0 0 %d " % 10**40), "damaged"),
    "size below 0": (swap(b" 8 ", b" -8 "), "damaged"),
    "size of 2^63": (swap(b" 8 ", b" %d " % 2**63), "damaged"),
    "upper-case digest": (lambda meta: meta.upper().replace(b"ENVGIT-DIRECTORY", b"envgit-directory"), "damaged"),
    "unknown type": (swap(b" f ", b" s "), "damaged"),
    "name that leaves": (swap(b"name f", b"../../name f"), "not a file name"),
    "name of dots": (swap(b"link l", b".. l"), "not a file name"),
    "name spelled in octal": (swap(b"name f", b"n\\141me f"), "canonical"),
    "name with a NUL": (swap(b"name f", b"na\\000me f"), "not a file name"),
    "name too long": (swap(b"name f", b"n" * 256 + b" f"), "not a file name"),
    "empty target": (swap(b"../bin/tool", b""), "target"),
    "long target": (swap(b"../bin/tool", b"t" * 4096), "target"),
    "whiteout": (lambda meta: meta + b"x c 0000 0 0 0 0:0\n", "whiteout"),
    "device number": (lambda meta: meta + b"x b 0000 0 0 0 1:4294967296\n", "damaged"),
    "attribute of overlayfs": (swap(b"../bin/tool", b"../bin/tool x:trusted.overlay.opaque=eQ=="), "cannot|attribute"),
    "attribute of the host": (swap(b"../bin/tool", b"../bin/tool x:security.selinux=eQ=="), "attribute"),
    "attribute without value": (swap(b"../bin/tool", b"../bin/tool x:user.a"), "damaged"),
    "attribute in bad base64": (swap(b"../bin/tool", b"../bin/tool x:user.a=e"), "damaged"),
    "attributes out of order": (swap(b"../bin/tool", b"../bin/tool x:user.b=eQ== x:user.a=eQ=="), "canonical"),
    "hard links below the root": (swap(b". 0755 0 0 0", b". 0755 0 0 0 links=" + b"0" * 64), "lacks its %links"),
    "not text": (lambda meta: os.urandom(200), "damaged"),
    "nothing": (lambda meta: b"", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", META)
def test_metadata_in_another_spelling(home: Home, name: str) -> None:
    change, said = META[name]
    made = Environment()
    tip = with_meta(made, b"etc", change)
    message = home.refuse(made.objects.pack(), tip)
    assert "/etc: " in message and any(part in message for part in said.split("|")), message


def with_links(made: Environment, table: bytes, folder: bytes = b"") -> bytes:
    """The root (or another directory) with this table, rightly hashed."""
    digest = sha256(table).hexdigest().encode()

    def change(meta: bytes) -> bytes:
        own, _, rest = meta.split(b"\n", 2)[1].partition(b" links=")
        return meta.replace(own + (b" links=" + rest if rest else b""), own + b" links=" + digest, 1)

    return with_meta(made, folder, change, {b"%links": (MODE_FILE, made.objects.put("blob", table))})


def value(data: bytes) -> bytes:
    return b2a_base64(data, newline=False)


CAPS = bytes(16)
ODD_INODES = {
    "major": (lambda meta: meta + b"x b 0600 0 0 0 4096:0\n", "4096:0"),
    "minor": (lambda meta: meta + b"x c 0600 0 0 0 0:1048576\n", "0:1048576"),
    "every bit": (lambda meta: meta + b"x c 0600 0 0 0 4294967295:4294967295\n", "4294967295:4294967295"),
    "large value": (lambda meta: meta + b"x p 0600 0 0 0 x:user.a=" + value(bytes(65537)) + b"\n", "65537 bytes"),
    "name of a prefix": (lambda meta: meta + b"x p 0600 0 0 0 x:user.=eA==\n", "cannot|can be stored"),
    "name of the other prefix": (lambda meta: meta + b"x p 0600 0 0 0 x:trusted.=eA==\n", "can be stored"),
    "long name": (lambda meta: meta + b"x p 0600 0 0 0 x:user." + b"n" * 251 + b"=eA==\n", "can be stored"),
    "garbage for a capability": (
        lambda meta: meta + b"x p 0600 0 0 0 x:security.capability=" + value(b"garbage") + b"\n", "capability that is none"),
    "capability of version 1": (
        lambda meta: meta + b"x p 0600 0 0 0 x:security.capability=" + value(b"\1\0\0\1" + CAPS) + b"\n", "that is none"),
    "capability of another user namespace": (
        lambda meta: meta + b"x p 0600 0 0 0 x:security.capability=" + value(b"\1\0\0\3" + CAPS + b"root") + b"\n",
        "that is none"),
    "ACL of another version": (
        lambda meta: meta + b"x p 0600 0 0 0 x:system.posix_acl_access=" + value(b"\3\0\0\0" + CAPS) + b"\n", "that is none"),
    "ACL that is cut off": (
        lambda meta: meta + b"x p 0600 0 0 0 x:system.posix_acl_access=" + value(b"\2\0\0\0" + CAPS[:-1]) + b"\n",
        "that is none"),
    "ACL of nothing": (lambda meta: meta + b"x p 0600 0 0 0 x:system.posix_acl_access=\n", "that is none"),
    "of a directory itself": (
        swap(b". 0755 0 0 0", b". 0755 0 0 0 x:system.posix_acl_default=eA=="), "posix_acl_default that is none"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_INODES)
def test_what_no_kernel_takes(home: Home, name: str) -> None:
    change, said = ODD_INODES[name]
    made = Environment()
    tip = with_meta(made, b"etc", change)
    message = home.refuse(made.objects.pack(), tip)
    assert "/etc: " in message and any(part in message for part in said.split("|")), message


def test_a_device_that_got_here_all_the_same_is_an_error_when_it_is_written(tmp_path: Path) -> None:
    made = Environment()
    root = made.root(Child(Entry(b"x", "c", 0o600, device=(4294967295, 4294967295)), None))
    store = create_bare(str(tmp_path / "store"))
    with store.objects.pack_session() as session:
        for type, data in made.objects.known.values():
            session.put(type, data)
        session.finish()
    store.objects.refresh()
    (tmp_path / "out").mkdir()
    fd = os.open(tmp_path / "out", os.O_RDONLY)
    try:
        with pytest.raises(HostileInput, match="'x' is a device of a number that no Linux kernel has"):
            materialise(root, None, GitTreeReader(store.objects), fd, DiskIds(single=True), devices=True)
    finally:
        os.close(fd)


def test_the_largest_that_a_kernel_takes(home: Home) -> None:
    made = Environment()
    lines = (
        b"v c 0600 0 0 0 4095:1048575",
        b"w p 0600 0 0 0 x:security.capability=" + value(b"\1\0\0\2" + CAPS),
        b"x p 0600 0 0 0 x:system.posix_acl_access=" + value(b"\2\0\0\0" + CAPS),
        b"y p 0600 0 0 0 x:user." + b"n" * 250 + b"=" + value(bytes(65536)),
    )
    tip = with_meta(made, b"etc", lambda meta: meta + b"\n".join(lines) + b"\n")
    assert home.accept(made.objects.pack(), tip).commits == 1


LINKS = {
    "nothing there": (b"bin/tool etc/nothing\n", "leads to nothing"),
    "a folder": (b"bin etc\n", "is a directory"),
    "through a file": (b"bin/tool etc/name/x\n", "no directory"),
    "through a link": (b"bin/tool etc/link/x\n", "no directory"),
    "two different files": (b"bin/tool etc/name\n", "different metadata"),
    "that leave": (b"../x bin/tool\n", "not a file name"),
    "absolute": (b"/bin/tool bin/tool2\n", "not a file name"),
    "one name": (b"bin/tool\n", "fewer than two"),
    "one file twice": (b"bin/tool bin/tool\n", "two hard-link sets"),
    "in two sets": (b"bin/tool bin/tool2\nbin/tool etc/name\n", "two hard-link sets"),
    "out of order": (b"bin/tool2 bin/tool\n", "canonical"),
    "sets out of order": (b"etc/link etc/name\nbin/tool bin/tool2\n", "canonical"),
    "a set within another": (b"bin bin/tool\n", "of others|directory|through another"),
    "empty": (b"", "canonical"),
    "without end": (b"bin/tool bin/tool2", "canonical"),
    "not text": (b"\0\n", "damaged"),
}


@pytest.mark.parametrize("name", LINKS)
def test_hard_links(home: Home, name: str) -> None:
    table, said = LINKS[name]
    made = Environment()
    tip = with_links(made, table)
    message = home.refuse(made.objects.pack(), tip)
    assert any(part in message for part in said.split("|")), message


@case("table of hard links, which only the root")
def links_below_the_root(made: Environment) -> bytes:
    return with_links(made, format_links(((b"link", b"name"),)), b"etc")


@case("does not have the SHA-256 the root recorded")
def a_link_table_that_is_another(made: Environment) -> bytes:
    return with_meta(made, b"", lambda meta: meta, {b"%links": (MODE_FILE, made.objects.put("blob", b"a b\n"))})


@case("lacks its %links")
def a_link_table_that_is_missing(made: Environment) -> bytes:
    return with_meta(made, b"", lambda meta: meta, {b"%links": None})


@case("not in its one spelling")
def a_link_table_nobody_recorded(made: Environment) -> bytes:
    root = made.root(links=())
    tree = decode_tree(made.objects.known[oid_of(root)][1])
    extra = (MODE_FILE, b"%links", made.objects.put("blob", b"bin/tool bin/tool2\n"))
    return made.commit(root._replace(content=made.objects.tree(*tree, extra)))


@pytest.mark.parametrize("name", case)
def test_refused(home: Home, name: str) -> None:
    case.check(home, name)
