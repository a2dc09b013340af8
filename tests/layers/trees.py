"""Generated trees: hypothesis strategies, and a way to put them into a store."""

from __future__ import annotations

import struct

from hypothesis import strategies as st

from envgit.layers.assemble import TreeAssembler
from envgit.model import DirectoryRef, Entry, Links

from .dict_store import DictStore

NAMES = st.sampled_from(
    [b"a", b"b", b"c", b"etc", b".git", b"%x", b"new\nline", b"\xff\xfe", b"n" * 255, b"sp ace", b"back\\slash", b"=x"]
)
CONTENTS = st.sampled_from(
    [b"", b"one", b"two", b"x" * 5000, bytes(4096), bytes(10000), b"a" + bytes(20000) + b"b", b"big" * 40000]
)
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o4755, 0o2755, 0o1777, 0, 0o7777])
IDS = st.sampled_from([0, 1, 1000, 65534])
TIMES = st.sampled_from([0, 1, 1_600_000_000_123_456_789, -1_000_000_001, 1_700_000_000_000_000_000])


def acl(*named: tuple[int, int, int]) -> bytes:
    """An access ACL with extra (tag, permissions, id) entries."""
    rows = [(1, 6, 0xFFFFFFFF), *named, (4, 4, 0xFFFFFFFF), (0x10, 4, 0xFFFFFFFF), (0x20, 4, 0xFFFFFFFF)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *row) for row in sorted(rows))


CAPABILITY = struct.pack("<IIIII", 0x02000001, 0x400, 0, 0, 0)
FILE_XATTRS = st.sampled_from(
    [
        (),
        (),
        (),
        ((b"user.a", b"1"),),
        ((b"security.capability", CAPABILITY),),
        ((b"user.b=", b""), (b"user.\xff", b"\0")),
    ]
)
DIRECTORY_XATTRS = st.sampled_from([(), (), ((b"user.d", b"x"),)])


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, bytes | None]:
    kind = draw(st.sampled_from("fffffdddlpc"))
    uid, gid, mtime = draw(IDS), draw(IDS), draw(TIMES)
    if kind == "l":
        target = draw(st.sampled_from([b"nowhere", b"a b", b"\xff" * 4000]))
        return Entry(b"?", "l", 0, uid, gid, mtime, target=target), None
    mode = draw(MODES)
    if kind == "f":
        data = draw(CONTENTS)
        sparse = b"\0" * 4096 in data
        return Entry(b"?", "f", mode, uid, gid, mtime, len(data), sparse=sparse, xattrs=draw(FILE_XATTRS)), data
    if kind == "d":
        return Entry(b"?", "d", mode, uid, gid, mtime, xattrs=draw(DIRECTORY_XATTRS)), None
    if kind == "p":
        return Entry(b"?", "p", mode, uid, gid, mtime), None
    return Entry(b"?", "c", mode, uid, gid, mtime, device=(1, 3)), None


Plan = list[tuple[tuple[bytes, ...], tuple[Entry, bytes | None]]]
plans = st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3).map(tuple), entries()), max_size=14)
links = st.lists(st.integers(0, 30), max_size=3)


def build(
    store: DictStore, plan: Plan, link_choices: list[int], *, devices: bool = False
) -> tuple[DirectoryRef, Links]:
    """Assemble a plan; entries that collide are left out."""
    assembler = TreeAssembler(store)
    assembler.add(b"", Entry(b".", "d", 0o755, 0, 0, 1_500_000_000_000_000_007))
    kinds: dict[bytes, str] = {}
    for components, (entry, data) in plan:
        path = b"/".join(components)
        parents = [b"/".join(components[:count]) for count in range(1, len(components))]
        if path in kinds or any(kinds.get(parent, "d") != "d" for parent in parents):
            continue
        if entry.type in "cb" and not devices:
            continue
        kinds.update(dict.fromkeys(parents, "d"))
        kinds[path] = entry.type
        content = None
        if data is not None:
            stored = store.put_file([data], bool(entry.mode & 0o111))
            entry, content = entry._replace(sha256=stored.sha256), stored.content
        assembler.add(path, entry, content)
    files = sorted(path for path, kind in kinds.items() if kind in "flp")
    for number, choice in enumerate(link_choices):
        if files:
            assembler.add_link(b"link%d" % (number % 2), files[choice % len(files)])
    assembled = assembler.finish()
    return assembled.root, assembled.links
