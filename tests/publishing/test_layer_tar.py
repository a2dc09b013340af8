"""Layers of differences: what readers make of them is the tree again, and the same trees give the same bytes."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from envgit.layers.sources import DirectorySource, read_source
from envgit.model import Child, DirectoryRef, Entry
from envgit.monitor import NullMonitor
from envgit.publishing.layer_tar import LayerContent, write_layer
from tests.images.image_builder import Builder, named
from tests.images.reading import read
from tests.publishing.random_trees import folder, grow, store_tree
from tests.sources.memory_store import MemoryStore
from tests.sources.test_tar_programs import make_tree


def layer(store: MemoryStore, old: DirectoryRef | None, new: DirectoryRef) -> tuple[bytes, LayerContent]:
    out = io.BytesIO()
    content = write_layer(old, new, store, out.write)
    return out.getvalue(), content


def names(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [member.name for member in archive]


def write_image(path: Path, archives: Sequence[bytes]) -> str:
    builder = Builder()
    builder.write(path, named(builder.image(*archives), "1"))
    return f"oci:{path}:1"


@pytest.mark.parametrize("seed", range(40))
def test_layers_of_a_history_are_its_trees(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    store = MemoryStore()
    trees = [folder(random)]
    for _ in range(random.randrange(1, 6)):
        trees.append(grow(trees[-1], random, random.randrange(1, 25)))
    refs = [store_tree(store, tree, random) for tree in trees]
    archives = [layer(store, old, new)[0] for old, new in zip([None, *refs], refs, strict=False)]
    found = read(write_image(tmp_path / "layout", archives))
    assert found.imported.root.sha256 == refs[-1].sha256
    assert archives == [layer(store, old, new)[0] for old, new in zip([None, *refs], refs, strict=False)]


def one(store: MemoryStore, *children: Child, links: tuple[tuple[bytes, ...], ...] = ()) -> DirectoryRef:
    return store.put_directory(Entry(b".", "d", 0o755), sorted(children), links)


def text(store: MemoryStore, name: bytes, data: bytes = b"x") -> Child:
    stored = store.put_file([data], False)
    return Child(Entry(name, "f", 0o644, size=stored.size, sha256=stored.sha256), stored.content)


def sub(store: MemoryStore, name: bytes, *children: Child) -> Child:
    ref = one(store, *children)
    return Child(Entry(name, "d", sha256=ref.sha256), ref)


def test_only_what_changed_is_in_a_layer() -> None:
    store = MemoryStore()
    kept = sub(store, b"kept", text(store, b"f"))
    old = one(store, kept, sub(store, b"d", text(store, b"gone"), text(store, b"same")), text(store, b"top"))
    new = one(store, kept, sub(store, b"d", text(store, b"new"), text(store, b"same")), text(store, b"top", b"y"))
    assert names(layer(store, old, new)[0]) == [".", "d", "d/.wh.gone", "d/new", "top"]


def test_a_kind_that_changed_needs_no_whiteout() -> None:
    store = MemoryStore()
    device = Child(Entry(b"dev", "c", 0o666, device=(1, 3)), None)
    old = one(store, sub(store, b"a", text(store, b"f")), text(store, b"b"), device)
    new = one(store, text(store, b"a"), sub(store, b"b", text(store, b"f")))
    assert names(layer(store, old, new)[0]) == [".", ".wh.dev", "a", "b", "b/f"]


def test_a_link_comes_after_what_it_names() -> None:
    """Paths sort otherwise than names depth first: "a.x" < "a/x"."""
    store = MemoryStore()
    tree = one(store, sub(store, b"a", text(store, b"x")), text(store, b"a.x"), links=((b"a.x", b"a/x"),))
    with tarfile.open(fileobj=io.BytesIO(layer(store, None, tree)[0])) as archive:
        assert [(member.name, member.linkname) for member in archive][2:] == [("a/x", ""), ("a.x", "a/x")]


def test_links_that_change_bring_all_their_names() -> None:
    store = MemoryStore()
    children = [text(store, name) for name in (b"a", b"b", b"c")]
    old = one(store, *children, links=((b"a", b"b"),))
    new = one(store, *children, links=((b"b", b"c"),))
    with tarfile.open(fileobj=io.BytesIO(layer(store, old, new)[0])) as archive:
        assert [(member.name, member.linkname) for member in archive] == [(".", ""), ("a", ""), ("b", ""), ("c", "b")]


def test_names_that_mean_a_deletion_are_left_out_and_said() -> None:
    store = MemoryStore()
    bad = text(store, b".wh.b")
    old = one(store, text(store, b"b"), bad)
    new = one(store, text(store, b"b"), sub(store, b".wh..wh..opq", text(store, b"x")), sub(store, b"d", bad))
    data, content = layer(store, old, new)
    assert content.left_out == (b".wh..wh..opq", b"d/.wh.b")
    assert names(data) == [".", "d"]


def test_deep_trees() -> None:
    store = MemoryStore()
    child = text(store, b"leaf")
    for _ in range(2000):
        child = sub(store, b"d", child)
    assert layer(store, None, one(store, child))[1].entries == 2002


def test_umoci_unpacks_what_we_wrote(tmp_path: Path) -> None:
    """Two layers of real files: the second changes, deletes and replaces."""
    first = tmp_path / "tree"
    make_tree(first)
    store = MemoryStore()

    def stored() -> DirectoryRef:
        source = DirectorySource(str(first))
        return read_source(source, store, NullMonitor(), stdin=io.BytesIO(), is_root=os.geteuid() == 0).root

    old = stored()
    (first / "plain").unlink()
    (first / "plain").mkdir()
    (first / "plain/inside").write_text("inside")
    (first / "symlink").unlink()
    (first / "d/empty").rmdir()
    (first / "d/empty").write_text("a file now")
    new = stored()
    write_image(tmp_path / "layout", [layer(store, None, old)[0], layer(store, old, new)[0]])
    rootless = [] if os.geteuid() == 0 else ["--rootless"]
    command = ["umoci", "unpack", *rootless, "--image", f"{tmp_path}/layout:1", str(tmp_path / "bundle")]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    unpacked = MemoryStore()
    source = DirectorySource(f"{tmp_path}/bundle/rootfs")
    root = read_source(source, unpacked, NullMonitor(), stdin=io.BytesIO(), is_root=os.geteuid() == 0).root
    ours, theirs = store.paths(new), unpacked.paths(root)
    if os.geteuid():  # umoci notes the owner of a rootless file in an attribute of its own
        theirs = {path: entry._replace(xattrs=_without(entry)) for path, entry in theirs.items()}
    theirs = {path: entry._replace(sparse=ours[path].sparse) for path, entry in theirs.items()}
    assert theirs == ours


def _without(entry: Entry) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pair for pair in entry.xattrs if pair[0] != b"user.rootlesscontainers")
