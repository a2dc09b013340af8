"""Layouts and archives that lie, escape, exhaust or lack something: one clear error each, and nothing but that."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.errors import EnvgitError, HostileInput, SourceError
from envgit.layers.sources.tar_limits import TarLimits
from tests.images.image_builder import (
    AMD64,
    BASE,
    CONFIG,
    INDEX,
    LAYER,
    MANIFEST,
    TOP,
    Builder,
    archive_of,
    encode,
    sha256,
    tar,
)
from tests.images.reading import read
from tests.sources.tar_builder import END, file, header, long_name

SMALL = TarLimits(entries=50, content_bytes=1 << 20, hole_bytes=1 << 20, ratio=20, ratio_free_bytes=1 << 20)
ZEROS = "sha256:" + "0" * 64


# layers


def layered(*members: bytes) -> Callable[[Builder], dict[str, Any]]:
    return lambda builder: builder.image(BASE, tar(*members))


LAYERS: dict[str, Callable[[Builder], dict[str, Any]]] = {
    "dotdot": layered(file(b"../x")),
    "dotdot after a slash": layered(file(b"/../x")),
    "dotdot inside": layered(file(b"etc/../../x")),
    "dotdot in a mark": layered(file(b"../.wh.x")),
    "mark of dotdot": layered(file(b"etc/.wh...")),
    "mark of dot": layered(file(b"etc/.wh..")),
    "mark of an empty name": layered(file(b"etc/.wh.")),
    "mark of a mark": layered(file(b"etc/.wh..wh.x")),
    "below a mark": layered(file(b"etc/.wh.x/y")),
    "below a mark at the top": layered(file(b".wh.x/y")),
    "nul": layered(long_name(b"a\0b") + file(b"a"), file(b"a\0b/../../x"), header(b"", b"0")),
    "overlay whiteout": layered(header(b"etc/motd", b"3", device=(0, 0))),
    "through a link of the same layer": layered(header(b"l", b"2", link=b"/etc"), file(b"l/passwd", b"x")),
    "through a file of the same layer": layered(file(b"f"), file(b"f/x")),
    "hard link through a link": layered(header(b"l", b"2", link=b"/etc"), header(b"h", b"1", link=b"l/motd")),
    "hard link out": layered(header(b"h", b"1", link=b"../../etc/shadow")),
    "hard link to the root": layered(header(b"h", b"1", link=b"/")),
    "hard link to a directory below": layered(header(b"h", b"1", link=b"etc")),
    "hard link to a directory": layered(header(b"d", b"5"), header(b"h", b"1", link=b"d")),
    "hard link to nothing": layered(header(b"h", b"1", link=b"no")),
    "hard link to a mark": layered(file(b"etc/.wh.x"), header(b"h", b"1", link=b"etc/.wh.x")),
    "root is a file": layered(file(b"./.")),
    "root is a link": layered(header(b".", b"2", link=b"/")),
    "many entries": layered(*(file(b"%d" % n) for n in range(60))),
    "many entries in all layers": lambda builder: builder.image(
        *(tar(*(file(b"%d-%d" % (n, m)) for m in range(20))) for n in range(4))
    ),
    "many entries, hidden again": lambda builder: builder.image(
        *(tar(*(file(b"%d-%d" % (n, m)) for m in range(20)), file(b".wh..wh..opq")) for n in range(4))
    ),
    "much content in all layers": lambda builder: builder.image(
        *(tar(file(b"f", os.urandom(400_000))) for _ in range(3))
    ),
    "bomb": lambda builder: builder.image(tar(file(b"f", bytes(4 << 20)))),
    "hole bomb": layered(header(b"s", b"S", 0, magic=b"ustar  \0", tail=bytes(97) + b"77777777777\0")),
    "truncated": lambda builder: builder.image(BASE[:700]),
    "truncated gzip": lambda builder: builder.manifest(
        builder.config([BASE]), [builder.put(gzip.compress(BASE)[:-9], LAYER + "+gzip")]
    ),
    "no tar": lambda builder: builder.image(b"x" * 2048, compression=""),
    "no tar in gzip": lambda builder: builder.image(os.urandom(4096)),
    "other compression": lambda builder: builder.image(b"BZh9" + bytes(600), compression=""),
    "bytes after gzip": lambda builder: builder.manifest(
        builder.config([BASE]), [builder.put(gzip.compress(BASE) + b"more", LAYER + "+gzip")]
    ),
    "other content than the diff id": lambda builder: builder.manifest(builder.config([TOP]), [builder.layer(BASE)]),
    "layers in another order": lambda builder: builder.manifest(
        builder.config([TOP, BASE]), [builder.layer(BASE), builder.layer(TOP)]
    ),
    "content after the end mark": lambda builder: builder.manifest(
        builder.config([BASE]), [builder.layer(BASE + file(b"x", b"hidden") + END)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, tmp_path: Path) -> None:
    builder = Builder()
    layout = builder.write(tmp_path / "l", LAYERS[name](builder))
    refused(f"oci:{layout}")


# documents


def manifest(**change: Any) -> Callable[[Builder], dict[str, Any]]:
    """Return an honest manifest but for the fields given; None takes one out."""

    def make(builder: Builder) -> dict[str, Any]:
        fields: dict[str, Any] = {"schemaVersion": 2, "mediaType": MANIFEST}
        fields |= {"config": builder.config([BASE]), "layers": [builder.layer(BASE)]}
        fields = {key: value for key, value in (fields | change).items() if value is not None}
        return builder.put(encode(fields), MANIFEST)

    return make


def layer_with(**change: Any) -> Callable[[Builder], dict[str, Any]]:
    return lambda builder: builder.manifest(builder.config([BASE]), [builder.layer(BASE) | change])


def raw(data: bytes, media_type: str = MANIFEST) -> Callable[[Builder], dict[str, Any]]:
    return lambda builder: builder.put(data, media_type)


def with_config(data: bytes) -> Callable[[Builder], dict[str, Any]]:
    return lambda builder: builder.manifest(builder.put(data, CONFIG), [builder.layer(BASE)])


def deep(builder: Builder) -> dict[str, Any]:
    found = {**builder.image(BASE), "platform": AMD64}
    for _ in range(8):
        found = builder.index(found)
    return found


DOCUMENTS: dict[str, Callable[[Builder], dict[str, Any]]] = {
    "index and manifest at once": manifest(manifests=[]),
    "manifest with the layers of schema 1": manifest(manifests=[], layers=None, config=None, fsLayers=[]),
    "another type than the descriptor's": manifest(mediaType=INDEX),
    "mediaType no string": manifest(mediaType=7),
    "schema 1": manifest(schemaVersion=1),
    "schema 3": manifest(schemaVersion=3),
    "no schema": manifest(schemaVersion=None),
    "no config": manifest(config=None),
    "config a list": manifest(config=[]),
    "layers an object": manifest(layers={}),
    "layers of strings": manifest(layers=["x"]),
    "fewer layers than diff ids": manifest(layers=[]),
    "too many layers": manifest(layers=[{"mediaType": LAYER, "digest": ZEROS, "size": 0}] * 5000),
    "an artifact": lambda builder: builder.manifest(
        builder.put(b"{}", "application/vnd.oci.empty.v1+json"), [], artifactType="a/b"
    ),
    "layer of unknown type": layer_with(mediaType="application/vnd.unknown"),
    "layer encrypted": layer_with(mediaType=LAYER + "+encrypted"),
    "layer with traversal for a digest": layer_with(digest="sha256:../../../../etc/passwd"),
    "layer with a short digest": layer_with(digest="sha256:00"),
    "layer with an upper-case digest": layer_with(digest="sha256:" + "A" * 64),
    "layer with a weak digest": layer_with(digest="md5:" + "0" * 32),
    "layer without digest": layer_with(digest=None),
    "layer missing": layer_with(digest=ZEROS),
    "layer with negative size": layer_with(size=-1),
    "layer with fractional size": layer_with(size=1.5),
    "layer with true for a size": layer_with(size=True),
    "layer with an enormous size": layer_with(size=1 << 70),
    "layer smaller than said": layer_with(size=1 << 40),
    "layer larger than said": layer_with(size=3),
    "not JSON": raw(b"{"),
    "not UTF-8": raw(b'{"a": "\xff"}'),
    "UTF-16": raw('{"schemaVersion": 2}'.encode("utf-16")),
    "a list": raw(b"[]"),
    "a number": raw(b"2"),
    "NaN": raw(b'{"schemaVersion": NaN}'),
    "the same name twice": raw(b'{"schemaVersion": 2, "layers": [], "layers": []}'),
    "nested deeply": raw(b'{"a":' * 200_000 + b"1" + b"}" * 200_000),
    "an enormous number": raw(b'{"schemaVersion": ' + b"9" * 100_000 + b"}"),
    "a giant manifest": raw(b'{"schemaVersion": 2, "x": "' + b"x" * (5 << 20) + b'"}'),
    "empty manifest": raw(b""),
    "index in index in index": deep,
    "index without manifests": lambda builder: builder.index(),
    "index of text": lambda builder: builder.put(encode({"schemaVersion": 2, "manifests": "x"}), INDEX),
    "index of too many": lambda builder: builder.index(*[{"mediaType": MANIFEST, "digest": ZEROS, "size": 1}] * 5000),
    "index of nothing there": lambda builder: builder.index({"mediaType": MANIFEST, "digest": ZEROS, "size": 1, "platform": AMD64}),
    "index with its own digest": lambda builder: builder.index({"mediaType": INDEX, "digest": ZEROS, "size": 1}),
    "a configuration that is none": with_config(b"no JSON"),
    "a configuration of another form": with_config(b"[]"),
    "a giant configuration": with_config(b'{"x": "' + b"x" * (5 << 20) + b'"}'),
    "a configuration without diff ids": with_config(b"{}"),
    "diff ids of text": with_config(b'{"rootfs": {"diff_ids": "x"}}'),
    "diff ids that are none": with_config(b'{"rootfs": {"diff_ids": ["x"]}}'),
    "rootfs of text": with_config(b'{"rootfs": "x"}'),
    "half a surrogate": with_config(encode({"config": {"User": "\ud800"}, "rootfs": {"diff_ids": [sha256(BASE)]}})),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str, tmp_path: Path) -> None:
    builder = Builder()
    layout = builder.write(tmp_path / "l", DOCUMENTS[name](builder))
    refused(f"oci:{layout}")


# files of a layout


def honest(tmp_path: Path) -> tuple[Path, Path]:
    """Return an honest layout and its layer's file."""
    builder = Builder()
    layer = builder.layer(BASE)
    layout = builder.write(tmp_path / "l", builder.manifest(builder.config([BASE]), [layer]))
    return layout, layout / "blobs/sha256" / layer["digest"].removeprefix("sha256:")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


FILES: dict[str, Callable[[Path, Path], object]] = {
    "a bit flipped": lambda layout, blob: flip(blob),
    "cut off": lambda layout, blob: os.truncate(blob, 20),
    "longer": lambda layout, blob: blob.write_bytes(blob.read_bytes() + b"x"),
    "empty": lambda layout, blob: os.truncate(blob, 0),
    "a blob that is a FIFO": lambda layout, blob: instead(blob, os.mkfifo),
    "a blob that is a directory": lambda layout, blob: instead(blob, Path.mkdir),
    "a blob that is a circle of links": lambda layout, blob: instead(blob, lambda path: path.symlink_to(blob)),
    "a blob that is a device": lambda layout, blob: instead(blob, to_zeros),
    "an index that is a device": lambda layout, blob: instead(layout / "index.json", to_zeros),
    "a giant index": lambda layout, blob: (layout / "index.json").write_bytes(b" " * (5 << 20)),
    "an index of another version": lambda layout, blob: (layout / "oci-layout").write_text('{"imageLayoutVersion": "2.0.0"}'),
    "a version that is text": lambda layout, blob: (layout / "oci-layout").write_text("1.0.0"),
    "no version": lambda layout, blob: (layout / "oci-layout").unlink(),
    "no index": lambda layout, blob: (layout / "index.json").unlink(),
    "an index that is a manifest": lambda layout, blob: (layout / "index.json").write_text('{"schemaVersion": 2, "layers": []}'),
    "an index of nothing": lambda layout, blob: (layout / "index.json").write_text('{"schemaVersion": 2, "manifests": []}'),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tmp_path: Path) -> None:
    layout, blob = honest(tmp_path)
    FILES[name](layout, blob)
    refused(f"oci:{layout}")


def test_the_honest_layout_is_read(tmp_path: Path) -> None:
    assert read(f"oci:{honest(tmp_path)[0]}", limits=SMALL).text


# docker archives


def docker(items: object, *members: bytes) -> bytes:
    config = encode({"rootfs": {"diff_ids": [sha256(BASE)]}})
    return tar(file(b"c.json", config), file(b"l.tar", BASE), *members, file(b"manifest.json", encode(items)))


def item(**change: object) -> list[object]:
    return [{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]} | change]


SAVED: dict[str, bytes] = {
    "no list": docker({}),
    "a list of text": docker(["x"]),
    "no images": docker([]),
    "no Config": docker(item(Config=None)),
    "Config of another type": docker(item(Config=7)),
    "Config missing": docker(item(Config="no.json")),
    "Config outside": docker(item(Config="../../../../../etc/passwd")),
    "Config absolute": docker(item(Config="/etc/passwd")),
    "Layers of another type": docker(item(Layers="l.tar")),
    "Layers of numbers": docker(item(Layers=[1])),
    "layer missing": docker(item(Layers=["no.tar"])),
    "layer outside": docker(item(Layers=["../../etc/passwd"])),
    "more layers than diff ids": docker(item(Layers=["l.tar", "l.tar"])),
    "layer with other content": docker(item(Layers=["other.tar"]), file(b"other.tar", TOP)),
    "layer is the configuration": docker(item(Layers=["c.json"])),
    "layer is a directory": docker(item(Layers=["d"]), header(b"d", b"5")),
    "layer is a link out": docker(item(Layers=["o"]), header(b"o", b"2", link=b"../../etc/passwd")),
    "layers that are a circle of links": docker(
        item(Layers=["x"]), header(b"x", b"2", link=b"y"), header(b"y", b"2", link=b"x")
    ),
    "too many layers": docker(item(Layers=["l.tar"] * 5000)),
    "too many images": docker(item() * 5000),
    "RepoTags of another type": docker(item(RepoTags=7)),
    "giant manifest": docker(item(x="x" * (5 << 20))),
    "cut off": docker(item())[:1500],
    "sparse manifest": tar(header(b"manifest.json", b"S", 0, magic=b"ustar  \0", tail=bytes(97) + b"00000001000\0")),
    "no JSON": tar(file(b"manifest.json", b"no")),
    "nested deeply": tar(file(b"manifest.json", b"[" * 100_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAVED)
def test_docker_archives(name: str, tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    path.write_bytes(SAVED[name])
    refused(f"docker-archive:{path}")


def test_the_honest_docker_archive_is_read(tmp_path: Path) -> None:
    (tmp_path / "saved.tar").write_bytes(docker(item()))
    assert read(f"docker-archive:{tmp_path / 'saved.tar'}", limits=SMALL).text


@pytest.mark.parametrize("reference", ["oci:{}", "docker-archive:{}", "oci-archive:{}"])
def test_names_in_errors_are_of_files_and_never_their_content(reference: str, tmp_path: Path) -> None:
    """What a link leads to must not be shown: it may be a file of somebody else."""
    secret = tmp_path / "secret"
    secret.write_text('{"manifests": "hunter2", "hunter2": 1}')
    layout = honest(tmp_path)[0]
    (layout / "index.json").unlink()
    (layout / "index.json").symlink_to(secret)
    target = layout if reference.startswith("oci:") else secret
    error = refused(reference.format(target))
    assert "hunter2" not in error.message + (error.hint or "")


def refused(reference: str) -> EnvgitError:
    with pytest.raises((SourceError, HostileInput)) as caught:
        read(reference, limits=SMALL)
    error = caught.value
    assert error.hint and error.message and "\n" not in error.message
    assert "envgit import" not in error.hint
    return error


def test_there_are_enough_of_them() -> None:
    assert len(LAYERS) + len(DOCUMENTS) + len(FILES) + len(SAVED) >= 120
    assert json.loads(encode(AMD64)) == AMD64


# damage


def damaged(data: bytes, position: int, byte: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([byte]) + data[position + 1 :]


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 1 << 20), st.integers(0, 255), st.sampled_from(["oci-archive", "docker-archive"]))
def test_a_changed_byte_is_an_error_or_changes_nothing(tmp_path: Path, position: int, byte: int, kind: str) -> None:
    builder = Builder()
    data = docker(item())
    if kind == "oci-archive":
        data = archive_of(builder.write(tmp_path / "l", builder.image(BASE, TOP)))
    path = tmp_path / "archive"
    path.write_bytes(data)
    honest_root = read(f"{kind}:{path}").imported.root.sha256
    path.write_bytes(damaged(data, position, byte))
    try:
        found = read(f"{kind}:{path}", {"TMPDIR": str(tmp_path)})
    except EnvgitError as error:
        assert error.hint
    else:
        # The configuration of a docker-archive is covered by no digest of somebody else: its layers are by its own.
        assert found.imported.root.sha256 == honest_root
