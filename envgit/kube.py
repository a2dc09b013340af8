"""Kube: a manifest of Kubernetes that runs a pushed image of a revision."""

from __future__ import annotations

from io import StringIO
from typing import NamedTuple

from envgit.declaration.values import Sandbox
from envgit.environment_config import declared_label, parse_config
from envgit.errors import UsageError
from envgit.layers.sources.image_source import ImageName, parse_image_name
from envgit.publishing.pods import PodKind, PodRequest, choose_name, make_manifest
from envgit.publishing.remembered import PushedImages
from envgit.repo import Repository
from envgit.sandbox.asked import parse_asked
from envgit.snapshot import read_config_bytes, read_snapshot
from envgit.stack import ASKED_LABEL


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
    reference in the registry. Raises UsageError when there is no such image, and HostileInput for a request that is not understood.
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
    if name.digest:
        return name
    pushed = PushedImages(repo).find(oid, f"{name.repository}:{name.tag}")
    if pushed is not None:
        return name._replace(digest=pushed[1])
    from envgit.images import resolve_digest

    digest = resolve_digest(f"docker://{name.repository}:{name.tag}", environ=repo.environ, monitor=repo.monitor)
    return name._replace(digest=digest)
