"""Push of an image: a revision, with a layer for each commit, into a registry."""

from __future__ import annotations

import re
import time
from typing import Final, NamedTuple

from envgit.errors import UsageError
from envgit.layers.sources.image_source import ImageName, parse_image_name
from envgit.publishing.compression import LayerCompression
from envgit.publishing.image import plan_image
from envgit.publishing.machine import choose_platform
from envgit.publishing.making import LayerMaker
from envgit.publishing.pushing import ImagePush
from envgit.publishing.remembered import PushedBlobs, PushedImages
from envgit.registry.uploading import Uploader
from envgit.repo import Repository
from envgit.snapshot import read_snapshot

_ONLY_A_HOST: Final = re.compile(r"(?:[^/:@]*\.[^/:@]*|localhost|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


class PushImageOptions(NamedTuple):
    """`squash`: one layer, without the history. `platform`: OS/ARCHITECTURE of the image; "" is what its programs are for."""

    squash: bool = False
    compression: LayerCompression = "gzip"
    platform: str = ""


class PushedImage(NamedTuple):
    """`reference`: HOST/PATH:TAG. `digest`: of the manifest. `layers` = `present` + `mounted` + `sent`, but for equal ones.

    `bytes`: of the layers that were sent, compressed.
    """

    reference: str
    digest: str
    platform: str
    layers: int
    present: int
    mounted: int
    sent: int
    bytes: int
    seconds: float

    @property
    def pinned(self) -> str:
        """The reference that never means anything else: HOST/PATH@DIGEST."""
        return f"{self.reference.rpartition(':')[0]}@{self.digest}"


def push_image(
    repo: Repository,
    revision: str,
    reference: str,
    options: PushImageOptions = PushImageOptions(),  # noqa: B008
) -> PushedImage:
    """Push `revision` to `reference`: docker://NAME[:TAG], or NAME[:TAG].

    Only layers that the registry lacks are made and sent. The tag moves when everything is there, or not at all; a push that was
    interrupted is completed by the next. Raises UsageError, UnknownRevision, SourceError (UploadRefused), StorageError.
    """
    began = time.monotonic()
    name = parse_target(reference)
    snapshot = read_snapshot(repo.objects, repo.resolve_bytes(revision))
    platform = choose_platform(options.platform, snapshot.root, repo.reader)
    plan = plan_image(repo, revision, platform, squash=options.squash)
    maker = LayerMaker(repo, options.compression)
    repo.monitor.start(f"pushing to {name.repository}", None, "bytes")
    with Uploader(name.host, name.path, repo.environ, repo.monitor) as uploader:
        pushed = ImagePush(maker, uploader, PushedBlobs(repo), name.host, name.path).run(plan, name.tag)
    repo.monitor.finish()
    target = f"{name.repository}:{name.tag}"
    PushedImages(repo).add(snapshot.oid, target, pushed.digest)
    return PushedImage(
        target,
        pushed.digest,
        str(platform),
        len(plan.layers),
        pushed.present,
        pushed.mounted,
        pushed.sent,
        pushed.sent_bytes,
        time.monotonic() - began,
    )


def parse_target(reference: str) -> ImageName:
    """Return the name to push to. Raises UsageError for one with a digest: nobody knows that before."""
    text = reference.removeprefix("docker://")
    if _ONLY_A_HOST.fullmatch(text):  # the grammar takes it for an image of docker.io with a tag
        raise UsageError(f"{text} is a host without a name of an image", hint=f"docker://{text}/NAME[:TAG]")
    name = parse_image_name(text)
    if name.digest:
        raise UsageError(
            "an image is pushed to a tag, not to a digest", hint=f"use docker://{name.repository}:{name.tag or 'TAG'}"
        )
    return name
