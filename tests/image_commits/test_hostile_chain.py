"""Images that no honest program makes, over layers that are here: a clear error, and the repository as it was."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from envgit.errors import EnvgitError, HostileInput, SourceError
from envgit.images import open_image
from envgit.import_environment import import_environment
from envgit.layers.sources.image_source import parse_image_source
from envgit.repo import Repository
from tests.image_commits.test_chain import import_chain, new_repo
from tests.images.image_builder import BASE, LAYER, TOP, Builder, directory, tar
from tests.images.reading import read
from tests.sources.tar_builder import file, header, pax

LAYERS: dict[str, bytes] = {
    "dotdot": tar(file(b"../x")),
    "dotdot in a mark": tar(file(b"../.wh.x")),
    "mark of dotdot": tar(file(b"etc/.wh...")),
    "below a mark": tar(file(b".wh.etc/x")),
    "overlay whiteout": tar(header(b"etc/motd", b"3", device=(0, 0))),
    "hard link to a directory that is here": tar(header(b"x", b"1", link=b"etc")),
    "hard link to what a layer here hides": tar(header(b"x", b"1", link=b"etc/old")),
    "hard link to nothing": tar(header(b"x", b"1", link=b"no")),
    "hard link out": tar(header(b"x", b"1", link=b"../etc/passwd")),
    "through a file of its own": tar(file(b"a"), file(b"a/b")),
    "root is a file": tar(file(b"./", b"x")),
    "cut off": TOP[:700],
    "no tar": b"x" * 2000,
    "name too long": tar(pax((b"path", b"a" * 256)) + file(b"x")),
    "no member after the first": tar(header(b"etc", b"5"), b"x" * 512),
}


def state(repo: Repository) -> dict[str, bytes]:
    """Return every file of the repository but the lock, by a digest of its content."""
    root = Path(repo.git_dir)
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).digest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    """Has the layers BASE and TOP."""
    repo = new_repo(tmp_path / "lab")
    builder = Builder()
    import_chain(repo, builder.write(tmp_path / "honest", builder.image(BASE, TOP)))
    return repo


def layout(tmp_path: Path, *archives: bytes) -> Path:
    builder = Builder()
    return builder.write(tmp_path / "hostile", builder.image(*archives))


def refuse(repo: Repository, path: Path) -> EnvgitError:
    with pytest.raises((HostileInput, SourceError)) as caught:
        import_environment(repo, parse_image_source(f"oci:{path}"), platform="linux/amd64")
    assert caught.value.hint and "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", LAYERS)
def test_the_repository_stays_as_it_is(name: str, repo: Repository, tmp_path: Path) -> None:
    path = layout(tmp_path, BASE, TOP, LAYERS[name])
    refuse(repo, path)  # the index is there now
    before = state(repo)
    assert "layer 3 of " in refuse(repo, path).message
    after = state(repo)
    assert after == before


@pytest.mark.parametrize("name", ["a layer that lies about its diff id", "a blob that is another"])
def test_what_is_verified_before_anything_is_kept(name: str, repo: Repository, tmp_path: Path) -> None:
    builder = Builder()
    third = builder.layer(tar(file(b"new")))
    says = [BASE, TOP, tar(file(b"other"))] if "diff id" in name else [BASE, TOP, tar(file(b"new"))]
    layers = [builder.layer(BASE), builder.layer(TOP), third]
    path = builder.write(tmp_path / "hostile", builder.manifest(builder.config(says), layers))
    if "blob" in name:
        blob = path / "blobs/sha256" / third["digest"][7:]
        blob.write_bytes(builder.blobs[layers[0]["digest"]].ljust(third["size"], b"\0")[: third["size"]])
    refuse(repo, path)
    before = state(repo)
    refuse(repo, path)
    assert state(repo) == before


def test_a_chain_that_claims_layers_that_are_here_has_their_files(repo: Repository, tmp_path: Path) -> None:
    """Who lies about diff ids of layers that are here gets what these ids name, never what the liar would have."""
    builder = Builder()
    liars = [builder.layer(tar(file(b"evil"))), builder.layer(tar(file(b"evil2")))]
    path = builder.write(tmp_path / "liar", builder.manifest(builder.config([BASE, TOP]), liars))
    chain = import_chain(repo, path)
    assert chain.reused == 2
    assert sorted(repo.reader.read_directory(chain.root).children) == [b"etc", b"srv"]


# layers of all kinds


def kinds(builder: Builder) -> dict[str, dict[str, Any]]:
    archive = tar(directory(b"d/"), file(b"d/a", b"a"))
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0ABCD"
    chunked = zstandard.compress(archive[:512]) + zstandard.compress(archive[512:]) + skippable
    annotations = {"io.github.containers.zstd-chunked.manifest-position": "1:2:3:4"}
    docker = "application/vnd.docker.image.rootfs."
    return {
        "plain": builder.put(archive, LAYER),
        "gzip": builder.layer(archive),
        "zstd": builder.layer(archive, "zstd"),
        "zstd:chunked": builder.put(chunked, LAYER + "+zstd", annotations=annotations),
        "docker": builder.put(archive, docker + "diff.tar"),
        "docker foreign": builder.put(archive, docker + "foreign.diff.tar", urls=["https://files.invalid/x"]),
        "nondistributable": builder.put(archive, "application/vnd.oci.image.layer.nondistributable.v1.tar"),
        "gzip that says plain": builder.layer(archive) | {"mediaType": LAYER},
        "nothing told by urls": builder.put(archive, LAYER, urls="x"),
    }


@pytest.mark.parametrize("kind", kinds(Builder()))
def test_kinds_of_layers(kind: str, tmp_path: Path) -> None:
    builder = Builder()
    layer = kinds(builder)[kind]
    archive = tar(directory(b"d/"), file(b"d/a", b"a"))
    path = builder.write(tmp_path / "layout", builder.manifest(builder.config([archive]), [layer]))
    assert read(f"oci:{path}").text == {"d/a": "a"}


def test_a_layer_that_is_not_distributed_is_not_fetched_from_where_the_image_says(tmp_path: Path) -> None:
    builder = Builder()
    layer = kinds(builder)["docker foreign"]
    path = builder.write(tmp_path / "layout", builder.manifest(builder.config([tar()]), [layer]))
    (path / "blobs/sha256" / layer["digest"][7:]).unlink()
    with pytest.raises(SourceError) as caught:
        read(f"oci:{path}")
    assert "https://files.invalid/x" in (caught.value.hint or "") and "nothing is fetched" in (caught.value.hint or "")


def test_artifacts_are_refused_by_name(tmp_path: Path) -> None:
    builder = Builder()
    config = builder.put(b"{}", "application/vnd.oci.empty.v1+json")
    artifact = builder.manifest(config, [builder.layer(BASE)], artifactType="application/vnd.example.sbom")
    path = builder.write(tmp_path / "layout", artifact)
    with pytest.raises(SourceError, match=r"artifact of type 'application/vnd\.example\.sbom'"):
        open_image(f"oci:{path}", environ={}, monitor=new_repo(tmp_path / "lab").monitor, platform="linux/amd64")
