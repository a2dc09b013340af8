"""Makes image layouts byte by byte, also ones that no honest program writes."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import zstandard

from tests.sources.tar_builder import END, file, header

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
NAME = "org.opencontainers.image.ref.name"
AMD64 = {"os": "linux", "architecture": "amd64"}


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def directory(name: bytes, mode: int = 0o755, **fields: Any) -> bytes:
    return header(name, b"5", mode=mode, **fields)


def tar(*members: bytes) -> bytes:
    return b"".join(members) + END


BASE = tar(
    directory(b"etc/"),
    file(b"etc/motd", b"base\n"),
    file(b"etc/old", b"old\n"),
    directory(b"srv/"),
    file(b"srv/a", b"a"),
)
TOP = tar(
    directory(b"etc/"),
    file(b"etc/motd", b"top\n"),
    file(b"etc/.wh.old"),
    file(b"srv/.wh..wh..opq"),
    file(b"srv/b", b"b"),
)


class Builder:
    """Collects blobs; `descriptor` makes what refers to them."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data), **more}

    def layer(self, archive: bytes, compression: str = "gzip") -> dict[str, Any]:
        if compression == "gzip":
            return self.put(gzip.compress(archive, mtime=0), LAYER + "+gzip")
        if compression == "zstd":
            return self.put(zstandard.compress(archive), LAYER + "+zstd")
        return self.put(archive, LAYER)

    def config(self, archives: list[bytes], config: object = None, **more: Any) -> dict[str, Any]:
        fields = {"rootfs": {"type": "layers", "diff_ids": [sha256(archive) for archive in archives]}, **AMD64, **more}
        if config is not None:
            fields["config"] = config
        return self.put(encode(fields), CONFIG)

    def manifest(self, config: object, layers: object, **more: Any) -> dict[str, Any]:
        fields = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, **more}
        return self.put(encode(fields), fields["mediaType"])

    def index(self, *manifests: object, **more: Any) -> dict[str, Any]:
        return self.put(encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests, **more}), INDEX)

    def image(self, *archives: bytes, compression: str = "gzip", config: object = None, **more: Any) -> dict[str, Any]:
        """Return the descriptor of a manifest over these layers."""
        layers = [self.layer(archive, compression) for archive in archives]
        return self.manifest(self.config(list(archives), config, **more), layers)

    def write(self, folder: Path, *manifests: object, version: str = "1.0.0") -> Path:
        """Write the layout with these descriptors in index.json."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": version}))
        (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
        for digest, data in self.blobs.items():
            algorithm, _, name = digest.partition(":")
            path = folder / "blobs" / algorithm / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder


def archive_of(folder: Path) -> bytes:
    """Return a tar archive of the files below a folder."""
    return tar(
        *(
            file(path.relative_to(folder).as_posix().encode(), path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        )
    )


def named(descriptor: dict[str, Any], name: str, **more: Any) -> dict[str, Any]:
    return {**descriptor, "annotations": {NAME: name}, **more}
