"""Kube: a manifest of Kubernetes that runs a pushed image of a revision."""

from __future__ import annotations

import json
from contextlib import suppress
from io import StringIO
from typing import Any, Final, NamedTuple

from envgit.declaration.values import Sandbox
from envgit.environment_config import declared_label, parse_config
from envgit.errors import SourceError, UsageError
from envgit.layers.sources.image_source import ImageName, ImageSource, parse_image_name
from envgit.publishing.pods import PodKind, PodRequest, choose_name, make_manifest
from envgit.publishing.remembered import PushedImages
from envgit.repo import Repository
from envgit.sandbox.asked import parse_asked
from envgit.snapshot import read_config_bytes, read_snapshot
from envgit.stack import ASKED_LABEL

_REVISION: Final = "org.opencontainers.image.revision"


class KubeManifest(NamedTuple):
    """`yaml`: the document. `image`: HOST/PATH@DIGEST. `left_out`: what was asked for and Kubernetes has nothing for."""

    yaml: str
    image: str
    left_out: tuple[str, ...]


def make_kube_manifest(
    repo: Repository, revision: str, *, image: str = "", kind: PodKind = "pod", name: str = ""
) -> KubeManifest:
    """Return a manifest that runs `revision` as it was pushed to `image` ("": the last time, wherever that was).

    The image is named by its digest: what runs never changes unasked. It is looked up in what was pushed from here, and for another
    reference in the registry: there it must be of this revision, by its annotation or label org.opencontainers.image.revision, and
    one that does not say is warned of. Raises UsageError when there is no such image or it is of another revision, SourceError, and
    HostileInput for a request that is not understood.
    """
    snapshot = read_snapshot(repo.objects, repo.resolve_bytes(revision))
    config = parse_config(read_config_bytes(repo.objects, snapshot))
    text = declared_label(config, ASKED_LABEL)
    asked = parse_asked(text) if text else Sandbox()
    target = _find_image(repo, snapshot.oid, revision, image)
    left_out: list[str] = []
    request = PodRequest(
        kind, choose_name(name, target.path), f"{target.repository}@{target.digest}", snapshot.oid.hex()
    )
    manifest = make_manifest(request, config, asked, left_out.append)
    return KubeManifest(format_yaml(manifest), request.image, tuple(left_out))


def format_yaml(manifest: dict[str, object]) -> str:
    """Return a document that means the same in YAML 1.1, which is what Kubernetes reads, and in 1.2: there `yes`, `12:30` and
    `0x1` are no texts, so all texts but the API's own words are quoted."""
    from ruamel.yaml import YAML
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def quoted(value: object, key: str = "") -> object:
        match value:
            case dict():
                return {name: quoted(each, name) for name, each in value.items()}
            case list():
                return [quoted(each) for each in value]
            case str() if key not in _PLAIN_KEYS:
                return DoubleQuotedScalarString(value)
        return value

    yaml = YAML()
    yaml.width = 1 << 30
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = StringIO()
    yaml.dump(quoted(manifest), out)
    return out.getvalue()


_PLAIN_KEYS = frozenset(("apiVersion", "kind", "protocol", "restartPolicy", "medium"))


def _find_image(repo: Repository, oid: bytes, revision: str, reference: str) -> ImageName:
    if not reference:
        pushed = PushedImages(repo).find(oid)
        if pushed is None:
            raise UsageError(
                f"{revision} was not pushed from here as an image",
                hint=f"envgit push {revision} docker://HOST/NAME first, or name one: --image HOST/NAME:TAG",
            )
        return parse_image_name(pushed[0])._replace(digest=pushed[1])
    name = parse_image_name(reference.removeprefix("docker://"))
    if not name.digest:
        pushed = PushedImages(repo).find(oid, f"{name.repository}:{name.tag}")
        if pushed is not None:
            return name._replace(digest=pushed[1])
    elif PushedImages(repo).has(oid, name.digest):
        return name
    digest, found = _ask_registry(repo, name)
    if found and found != oid.hex():
        raise UsageError(
            f"{reference} is an image of {found[:40]}, not of {revision}",
            hint=f"push it: envgit push {revision} docker://{name.repository}:TAG",
        )
    if not found:
        repo.monitor.warn(f"{reference} does not say which revision it is of: it may be another than {revision}")
    return name._replace(digest=digest)


def _ask_registry(repo: Repository, name: ImageName) -> tuple[str, str]:
    """Return the digest of an image and the commit that it says it is of, "" where it does not say. Raises SourceError."""
    from envgit.images.opening import open_image
    from envgit.images.remote import RemoteImages

    source = ImageSource("docker", name.repository, name.tag, name.digest)
    remote = RemoteImages(source, repo.environ, repo.monitor)
    try:
        found = remote.find()
    finally:
        remote.close()
    digest = name.digest or found.digest
    revision = _text_of(found.data, "annotations")
    if not revision:
        pinned = ImageSource("docker", name.repository, "", digest)
        with suppress(SourceError), open_image(pinned, environ=repo.environ, monitor=repo.monitor) as image:
            revision = _text_of(image.config_bytes, "config", "Labels")
    return digest, revision


def _text_of(document: bytes, *path: str) -> str:
    """Return the revision that an object of a JSON document names, "" for none."""
    try:
        found: Any = json.loads(document)
        for key in path:
            found = found.get(key) or {}
        text = found.get(_REVISION, "")
    except (ValueError, RecursionError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""
