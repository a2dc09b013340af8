"""Which image a reference names: layouts, archives, tags, digests, positions, platforms."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard

from envgit.errors import EnvgitError, SourceError, UsageError
from envgit.images import open_image, resolve_digest
from envgit.monitor import NullMonitor
from tests.images.image_builder import (
    AMD64,
    BASE,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LIST,
    DOCKER_MANIFEST,
    TOP,
    Builder,
    archive_of,
    encode,
    named,
    sha256,
    tar,
)
from tests.images.reading import read
from tests.sources.tar_builder import file, header

RESULT = {"etc/motd": "top\n", "srv/b": "b"}


def resolve(reference: str, platform: str = "linux/amd64") -> str:
    return resolve_digest(reference, environ={}, monitor=NullMonitor(), platform=platform)


def one_line(n: int) -> bytes:
    return tar(file(b"which", b"%d" % n))


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A layout with the images a and b."""
    builder = Builder()
    a, b = builder.image(one_line(1)), builder.image(one_line(2))
    return builder.write(tmp_path / "two", named(a, "a"), named(b, "b:x", platform=AMD64))


def test_the_only_image_needs_no_name(tmp_path: Path) -> None:
    builder = Builder()
    image = builder.image(BASE, TOP, config={"Env": ["A=1"], "Cmd": ["/bin/sh"]})
    layout = builder.write(tmp_path / "l", named(image, "latest"))
    for reference in (f"oci:{layout}", f"oci:{layout}:latest", f"oci:{layout}@{image['digest']}", f"oci:{layout}:@0"):
        found = read(reference)
        assert found.text == RESULT
        assert found.image.digest == found.image.manifest_digest == image["digest"] == resolve(reference)
        assert found.image.platform == "linux/amd64"
        assert json.loads(found.image.config_bytes)["config"] == {"Env": ["A=1"], "Cmd": ["/bin/sh"]}
    assert (found.config.env, found.config.cmd) == ((("A", "1"),), ("/bin/sh",))


def test_tags_digests_and_positions(two: Path) -> None:
    assert read(f"oci:{two}:a").text == read(f"oci:{two}:@0").text == {"which": "1"}
    assert read(f"oci:{two}:b:x").text == read(f"oci:{two}@{resolve(f'oci:{two}:@1')}").text == {"which": "2"}


@pytest.mark.parametrize(
    ("tail", "says", "hint"),
    [
        ("", "holds several images; it has a, b:x", ":a"),
        (":c", "has no image 'c'; it has a, b:x", ":a"),
        (":@2", "there is no :@2", ":@0"),
        ("@sha256:" + "0" * 64, "has no image with the digest", ":a"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(two: Path, tail: str, says: str, hint: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(f"oci:{two}{tail}")
    assert says in caught.value.message and hint in (caught.value.hint or "")


@pytest.mark.parametrize("kind", ["plain", "gzip", "zstd", "pipe"])
def test_archives_of_layouts(two: Path, kind: str, tmp_path: Path) -> None:
    data = archive_of(two)
    path = tmp_path / "archive"
    if kind == "pipe":
        os.mkfifo(path)
        writer = threading.Thread(target=path.write_bytes, args=(data,))
        writer.start()
    elif kind == "gzip":
        path.write_bytes(gzip.compress(data))
    else:
        path.write_bytes(zstandard.compress(data) if kind == "zstd" else data)
    assert read(f"oci-archive:{path}:b:x", {"TMPDIR": str(tmp_path)}).text == {"which": "2"}
    assert sorted(os.listdir(tmp_path)) == ["archive", "two"]


def test_relative_paths_are_below_the_folder(two: Path) -> None:
    monitor = NullMonitor()
    assert resolve_digest("oci:two:a", environ={}, monitor=monitor, folder=str(two.parent)) == resolve(f"oci:{two}:a")
    with open_image("oci:two:a", environ={}, monitor=monitor, folder=str(two.parent)) as image:
        assert image.layers


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("oci:{}/no", "there is no layout"),
        ("oci:{}/file", "is not a directory"),
        ("oci:{}", "is no OCI image layout"),
        ("oci-archive:{}", "is a directory"),
        ("oci-archive:{}/no", "No such file"),
        ("oci-archive:{}/file", "no tar archive"),
        ("docker-archive:{}/tar", "is no archive of docker save"),
        ("docker-archive:{}/oci", "is no archive of docker save"),
    ],
)
def test_what_is_no_image(reference: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"something else")
    (tmp_path / "tar").write_bytes(tar(file(b"etc/passwd")))
    (tmp_path / "oci").write_bytes(tar(file(b"oci-layout", b"{}")))
    with pytest.raises(SourceError) as caught:
        read(reference.format(tmp_path))
    assert says in caught.value.message and caught.value.hint


# platforms

ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}
ARM7 = {"os": "linux", "architecture": "arm", "variant": "v7"}
ARM6 = {"os": "linux", "architecture": "arm", "variant": "v6"}
NO_IMAGE = {"os": "unknown", "architecture": "unknown"}


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A layout whose one name is an index of several platforms, with an attestation."""
    builder = Builder()
    images = [
        {**builder.image(one_line(number), **platform), "platform": platform}
        for number, platform in enumerate((AMD64, ARM64, ARM7, ARM6, {"os": "windows", "architecture": "amd64"}))
    ]
    attestation = builder.put(b"{}", "application/vnd.oci.image.manifest.v1+json", platform=NO_IMAGE)
    attestation["annotations"] = {"vnd.docker.reference.type": "attestation-manifest"}
    return builder.write(tmp_path / "many", named(builder.index(*images, attestation), "latest"))


@pytest.mark.parametrize(
    ("platform", "which"),
    [
        ("linux/amd64", "0"), ("amd64", "0"), ("linux/x86_64", "0"), ("linux/amd64/v1", "0"), ("linux/amd64/v3", "0"),
        ("linux/arm64", "1"), ("linux/arm64/v8", "1"), ("linux/aarch64", "1"), ("linux/arm/v7", "2"), ("arm/v7", "2"),
        ("linux/arm", "2"), ("linux/armhf", "2"), ("linux/arm/v6", "3"), ("linux/arm/v8", "2"), ("linux/armel", "3"),
    ],
)  # fmt: skip
def test_platforms(many: Path, platform: str, which: str) -> None:
    if platform == "arm/v7":
        platform = "linux/" + platform
    found = read(f"oci:{many}", platform=platform)
    assert found.text == {"which": which}
    assert found.image.digest == resolve(f"oci:{many}") != found.image.manifest_digest
    assert read(f"oci:{many}@{found.image.manifest_digest}", platform=platform).text == {"which": which}


@pytest.mark.parametrize("platform", ["linux/s390x", "linux/arm/v5", "linux/386"])
def test_a_platform_that_is_not_there_is_answered_with_those_that_are(many: Path, platform: str) -> None:
    with pytest.raises(
        SourceError, match=r"is for linux/amd64, linux/arm/v6, linux/arm/v7, linux/arm64, windows/amd64"
    ):
        read(f"oci:{many}", platform=platform)


@pytest.mark.parametrize("platform", ["windows/amd64", "linux/", "a/b/c/d", "linux/amd 64", "/"])
def test_platforms_that_are_none(many: Path, platform: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(f"oci:{many}", platform=platform)
    assert caught.value.hint


def test_an_image_of_another_platform(tmp_path: Path) -> None:
    builder = Builder()
    layout = builder.write(tmp_path / "l", builder.image(BASE, **{**AMD64, "architecture": "s390x"}))
    with pytest.raises(SourceError, match="is for linux/s390x, not for linux/amd64"):
        read(f"oci:{layout}", platform="linux/amd64")
    found = read(f"oci:{layout}", platform="")
    assert found.text and "emulator" in found.monitor.warnings[0]


def test_layouts_that_list_platforms_at_the_top(tmp_path: Path) -> None:
    builder = Builder()
    a, b = ({**builder.image(one_line(n), **p), "platform": p} for n, p in enumerate((AMD64, ARM64)))
    assert read(f"oci:{builder.write(tmp_path / 'l', a, b)}", platform="linux/arm64").text == {"which": "1"}


def test_nested_indexes(tmp_path: Path) -> None:
    builder = Builder()
    inner = builder.index({**builder.image(one_line(1)), "platform": AMD64})
    assert read(f"oci:{builder.write(tmp_path / 'l', builder.index(inner))}").text == {"which": "1"}


# docker


def docker_types(builder: Builder) -> dict[str, Any]:
    config = builder.put(builder.blobs[builder.config([BASE])["digest"]], DOCKER_CONFIG)
    layer = builder.put(gzip.compress(BASE), DOCKER_LAYER)
    manifest = builder.manifest(config, [layer], mediaType=DOCKER_MANIFEST)
    data = encode({"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [{**manifest, "platform": AMD64}]})
    return builder.put(data, DOCKER_LIST)


def test_docker_media_types(tmp_path: Path) -> None:
    builder = Builder()
    assert "etc/motd" in read(f"oci:{builder.write(tmp_path / 'l', docker_types(builder))}").text


def saved(*images: tuple[list[str], list[bytes]], **more: Any) -> bytes:
    """Return what `docker save` writes."""
    members, items = [], []
    for names, archives in images:
        diff_ids = [sha256(archive) for archive in archives]
        config = encode({"config": {"User": "7"}, "rootfs": {"type": "layers", "diff_ids": diff_ids}, **AMD64})
        name = hashlib.sha256(config).hexdigest()
        layers = [f"{number}-{name[:6]}/layer.tar" for number in range(len(archives))]
        members.append(file(f"{name}.json".encode(), config))
        for layer, archive in zip(layers, archives, strict=True):
            members.append(file(layer.encode(), archive))
        items.append({"Config": f"{name}.json", "RepoTags": names or None, "Layers": layers, **more})
    return tar(*members, file(b"manifest.json", encode(items)))


def test_docker_archives(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    path.write_bytes(saved((["debian:12", "me/x:1"], [BASE, TOP])))
    for tail in ("", ":debian:12", ":docker.io/library/debian:12", ":me/x:1", ":@0"):
        found = read(f"docker-archive:{path}{tail}")
        assert found.text == RESULT and found.config.user == "7"
        assert found.image.digest == sha256(found.image.config_bytes) == resolve(f"docker-archive:{path}{tail}")
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert read(f"docker-archive:{path}").text == RESULT


def test_docker_archives_of_several_images(tmp_path: Path) -> None:
    path = tmp_path / "saved.tar"
    path.write_bytes(saved((["a:1"], [one_line(1)]), (["b:1"], [one_line(2)]), ([], [one_line(3)])))
    assert read(f"docker-archive:{path}:b:1").text == {"which": "2"}
    assert read(f"docker-archive:{path}:@2").text == {"which": "3"}
    for tail, says in (
        ("", "holds 3 images: a:1, b:1"),
        (":c", "has no image 'docker.io/library/c:latest'"),
        (":@3", "no :@3"),
    ):
        with pytest.raises(SourceError) as caught:
            read(f"docker-archive:{path}{tail}")
        assert says in caught.value.message and caught.value.hint


def test_docker_archives_share_layers_by_links(tmp_path: Path) -> None:
    config = encode({"rootfs": {"diff_ids": [sha256(BASE), sha256(BASE)]}})
    items = [{"Config": "c.json", "RepoTags": [], "Layers": ["x/layer.tar", "y/layer.tar"]}]
    link = header(b"y/layer.tar", b"2", link=b"../x/layer.tar")
    path = tmp_path / "saved.tar"
    path.write_bytes(
        tar(file(b"x/layer.tar", BASE), link, file(b"c.json", config), file(b"manifest.json", encode(items)))
    )
    assert "etc/motd" in read(f"docker-archive:{path}").text


# configuration


def test_the_configuration_keeps_what_says_how_to_run(tmp_path: Path) -> None:
    builder = Builder()
    wanted: dict[str, Any] = {
        "ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}, "Labels": {"a": "b"}, "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 5}, "OnBuild": ["RUN x"], "Shell": ["/bin/bash", "-c"],
    }  # fmt: skip
    other = {"Hostname": "0123", "Image": "sha256:1", "AttachStdin": False, "Tty": True, "Env": None, "Entrypoint": []}
    config = {**wanted, **other, "WorkingDir": "srv", "User": "a:b"}
    found = read(f"oci:{builder.write(tmp_path / 'l', builder.image(BASE, config=config))}").config
    assert found.extra == wanted
    assert (found.env, found.entrypoint, found.working_dir, found.user) == ((), (), "/srv", "a:b")


@pytest.mark.parametrize(
    "config",
    [
        {"Env": "A=1"}, {"Env": [1]}, {"Env": ["=x"]}, {"Cmd": "sh"}, {"Cmd": ["a\0b"]}, {"Entrypoint": {"a": 1}}, {"User": 7},
        {"WorkingDir": ["/"]}, {"Labels": ["a"]}, {"Labels": {"a": 1}}, {"ExposedPorts": ["80"]}, {"Volumes": "x"},
        {"Healthcheck": {"Test": "x"}}, {"StopSignal": 9}, {"OnBuild": [{}]}, ["x"], "x",
    ],
)  # fmt: skip
def test_configurations_of_wrong_types_are_refused(config: object, tmp_path: Path) -> None:
    builder = Builder()
    with pytest.raises(EnvgitError) as caught:
        read(f"oci:{builder.write(tmp_path / 'l', builder.image(BASE, config=config))}")
    assert caught.value.code == "source-error" and "config" in caught.value.message
