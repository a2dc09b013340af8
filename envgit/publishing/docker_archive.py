"""An image as `docker save` writes it: what `docker load` and `podman load` read (moby's image/spec, version 1.2)."""

from __future__ import annotations

import json
from hashlib import sha256
from io import BytesIO
from typing import BinaryIO

from envgit.publishing.archive import Member, write_archive
from envgit.publishing.image import format_config
from envgit.publishing.layout import WrittenImage
from envgit.publishing.making import MadeImage


def write_docker_archive(out: BinaryIO, name: str, made: MadeImage) -> WrittenImage:
    """Write an image whose layers are plain. `name`: its complete name with a tag, "" for none. The same image, the same bytes."""
    config = format_config(made.plan, [each.diff_id for each in made.ids])
    config_hex = sha256(config).hexdigest()
    layers = [f"{each.diff_id.removeprefix('sha256:')}.tar" for each in made.ids]
    # docker and podman show docker.io/library/app:1 as app:1, and save it under that name.
    short = name.removeprefix("docker.io/").removeprefix("library/")
    manifest = [{"Config": f"{config_hex}.json", "RepoTags": [short] if short else None, "Layers": layers}]
    text = json.dumps(manifest, separators=(",", ":")).encode()
    members = {
        f"{config_hex}.json": Member(len(config), lambda: BytesIO(config)),
        "manifest.json": Member(len(text), lambda: BytesIO(text)),
    }
    for layer, blob in zip(layers, made.layers, strict=True):
        members[layer] = Member(blob.id.size, blob.file.open)
    write_archive(out, members)
    return WrittenImage(f"sha256:{config_hex}", len(layers), sum(each.size for each in made.ids))
