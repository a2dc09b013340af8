"""Images of umoci and skopeo, and what umoci makes of ours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.layers.sources.tar import import_tar
from envgit.model import Entry
from envgit.monitor import NullMonitor
from tests.images.image_builder import BASE, TOP, Builder, directory, named, tar
from tests.images.reading import Read, read
from tests.lab import remove
from tests.sources.memory_store import MemoryStore
from tests.sources.tar_builder import file, header

ALL_IDS = ("unshare", "--user", "--map-auto", "--map-root-user") if os.geteuid() else ()
"""An ordinary user unpacks in a namespace with all ids."""


def run(*words: str | Path, script: str = "") -> bytes:
    command = [*ALL_IDS, "sh", "-ec", script, "sh", *words] if script else list(words)
    done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


Comparable = dict[bytes, tuple[Entry, bytes]]


def comparable(store: MemoryStore, entries: dict[bytes, Entry]) -> Comparable:
    """Everything of every path but the root, and the times of directories, which programs set as they please."""
    return {
        path: (
            entry._replace(mtime_ns=0 if entry.type == "d" else entry.mtime_ns, sparse=False),
            store.blobs[entry.sha256] if entry.sha256 else b"",
        )
        for path, entry in entries.items()
        if path
    }


def unpacked_by_umoci(image: str, folder: Path) -> tuple[Comparable, object]:
    """Return what umoci makes of an image, and its hard links."""
    script = 'umoci unpack --image "$1" "$2"; tar -C "$2/rootfs" --format=pax --xattrs "--xattrs-include=*" -c .'
    archive = run(image, folder, script=script)
    remove(folder)
    store = MemoryStore()
    imported = import_tar(io.BytesIO(archive), store, NullMonitor())
    return comparable(store, store.paths(imported.root)), imported.links


def ours(found: Read) -> tuple[Comparable, object]:
    return comparable(found.store, found.entries), found.imported.links


# random layers

NAMES = st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=3).map(b"/".join)
KINDS = st.one_of(
    st.tuples(st.just("f"), st.sampled_from([0o644, 0o755, 0o4711]), st.sampled_from([0, 7]), st.binary(max_size=4)),
    st.tuples(st.just("d"), st.sampled_from([0o755, 0o1777, 0o700]), st.sampled_from([0, 7]), st.just(b"")),
    st.tuples(st.just("l"), st.just(0o777), st.just(0), st.sampled_from([b"a", b"/b", b"../c", b"no"])),
    st.tuples(st.just("p"), st.just(0o600), st.just(0), st.just(b"")),
    st.tuples(st.just("h"), st.just(0), st.just(0), st.just(b"")),
)
LAYERS = st.lists(
    st.tuples(st.dictionaries(NAMES, KINDS, max_size=6), st.sets(NAMES, max_size=3), st.sets(NAMES, max_size=1)),
    min_size=1,
    max_size=4,
)


def layer_of(wanted: dict[bytes, tuple[str, int, int, bytes]], hidden: set[bytes], opaque: set[bytes]) -> bytes:
    """Return an archive in the order of real builders: directories before what is in them, marks before files."""
    kinds: dict[bytes, tuple[str, int, int, bytes]] = {}
    for path, kind in sorted(wanted.items()):
        parents = [path[:position] for position, byte in enumerate(path) if byte == 0x2F]
        if all(kinds.get(parent, ("d",))[0] == "d" for parent in parents):
            for parent in parents:
                kinds.setdefault(parent, ("d", 0o755, 0, b""))
            kinds[path] = kind
    for path in hidden | opaque:
        parts = path.split(b"/")
        inside = parts if path in opaque else parts[:-1]
        parents = [b"/".join(parts[: count + 1]) for count in range(len(inside))]
        if all(kinds.get(parent, ("d",))[0] == "d" for parent in parents):
            for parent in parents:
                kinds.setdefault(parent, ("d", 0o755, 0, b""))
    members: list[bytes] = []
    files: list[bytes] = []
    rest: list[bytes] = []
    for path, (type_, mode, uid, data) in sorted(kinds.items()):
        if type_ == "d":
            members.append(directory(path, mode, uid=uid))
            if path in opaque:
                members.append(file(path + b"/.wh..wh..opq"))
        elif type_ == "l":
            rest.append(header(path, b"2", link=data, mtime=5))
        elif type_ == "p":
            rest.append(header(path, b"6", mode=mode))
        elif type_ == "h" and files:
            rest.append(header(path, b"1", link=files[0]))
        elif type_ == "f":
            files.append(path)
            rest.append(file(path, data, mode=mode, uid=uid, mtime=7))
    for path in sorted(hidden):
        parent, _, name = path.rpartition(b"/")
        if not parent or kinds.get(parent, ("",))[0] == "d":
            members.append(file((parent + b"/" if parent else b"") + b".wh." + name))
    return tar(*members, *rest)


@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(LAYERS)
def test_random_layers_become_what_umoci_makes_of_them(
    tmp_path: Path, layers: list[tuple[dict[bytes, tuple[str, int, int, bytes]], set[bytes], set[bytes]]]
) -> None:
    builder = Builder()
    layout = tmp_path / "layout"
    shutil.rmtree(layout, ignore_errors=True)
    builder.write(layout, named(builder.image(*(layer_of(*layer) for layer in layers)), "t"))
    assert ours(read(f"oci:{layout}:t")) == unpacked_by_umoci(f"{layout}:t", tmp_path / "bundle")


def test_images_that_umoci_makes(tmp_path: Path) -> None:
    """umoci writes the marks here: of files, of directories, of directories that become files."""
    script = """
        cd "$1"; umoci init --layout l; umoci new --image l:t; umoci unpack --image l:t one
        cd one/rootfs; mkdir -p -m 750 d/e gone var; echo 1 > d/e/f; ln d/e/f d/g; ln -s e d/s; echo x > gone/x; chown 3:4 d/g
        cd ../..; umoci repack --image l:t one; umoci unpack --image l:t two
        cd two/rootfs; rm -r gone d/e; echo file > d/e; echo more >> d/g; rm d/s; mkdir d/s; touch d/s/n; chmod 4755 d/g
        cd ../..; umoci repack --image l:t two
        umoci config --image l:t --config.env A=1 --config.cmd sh --config.user 7
        umoci config --image l:t --config.workingdir /d --config.exposedports 80/tcp
    """
    run(tmp_path, script=script)
    image = f"{tmp_path / 'l'}:t"
    found = read(f"oci:{image}")
    assert ours(found) == unpacked_by_umoci(image, tmp_path / "check")
    assert found.kinds == {"d": "d", "d/e": "f", "d/g": "f", "d/s": "d", "d/s/n": "f", "var": "d"}
    assert (found.config.env[-1], found.config.cmd, found.config.user) == (("A", "1"), ("sh",), "7")
    assert found.config.extra["ExposedPorts"] == {"80/tcp": {}}
    run(tmp_path, script='rm -rf "$1/one" "$1/two"')


# skopeo


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("oci:{}/copy:t", []),
        ("oci:{}/copy:t", ["--dest-compress-format", "zstd"]),
        ("oci:{}/copy:t", ["--dest-decompress"]),
        ("oci-archive:{}/copy:t", []),
        ("docker-archive:{}/copy:me/app:t", []),
    ],
)
def test_copies_that_skopeo_makes(target: str, options: list[str], tmp_path: Path) -> None:
    builder = Builder()
    image = builder.image(BASE, TOP, config={"Env": ["A=1"]}, created="2020-01-01T00:00:00Z", history=[{}, {}])
    layout = builder.write(tmp_path / "layout", named(image, "t"))
    reference = target.format(tmp_path)
    run("skopeo", "--insecure-policy", "copy", "-q", *options, f"oci:{layout}:t", reference)
    copied, original = read(reference), read(f"oci:{layout}:t")
    assert ours(copied) == ours(original)
    assert copied.config == original.config
    assert copied.imported.root.sha256 == original.imported.root.sha256
    raw = json.loads(run("skopeo", "--insecure-policy", "inspect", "--raw", reference))
    assert raw["schemaVersion"] == 2
