"""References to container images, as containers-transports(5) and docker spell them: text to value, nothing is opened.

The grammar of names is the one of the distribution project ("reference"): [HOST[:PORT]/]PATH[:TAG][@DIGEST], where a first part
without `.` and `:` that is not `localhost` is no host, and docker.io/library/ is put before a single word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from envgit.errors import UsageError

TRANSPORTS: Final = ("oci", "oci-archive", "docker-archive", "docker")
_ELSEWHERE: Final = {
    "docker-daemon": "docker save NAME -o FILE, then docker-archive:FILE",
    "containers-storage": "podman save --format oci-archive NAME -o FILE, then oci-archive:FILE",
    "sif": "skopeo copy sif:FILE oci:DIR:TAG, then oci:DIR:TAG",
    "atomic": "docker://NAME",
    "ostree": "skopeo copy ostree:NAME oci:DIR:TAG, then oci:DIR:TAG",
    "http": "docker://HOST/NAME",
    "https": "docker://HOST/NAME",
}

_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
)
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_NAME_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image. `path`: of the layout or archive; of docker the full repository, `docker.io/library/debian`."""

    transport: str
    path: str
    tag: str = ""
    """docker: never empty unless there is a digest. docker-archive: the whole reference, `docker.io/library/debian:12`."""
    digest: str = ""
    """"sha256:HEX": names the manifest."""
    index: int = -1
    """Position in a layout or archive (`:@N`); -1: not by position."""

    def __str__(self) -> str:
        prefix = "docker://" if self.transport == "docker" else f"{self.transport}:"
        tag = f":{self.tag}" if self.tag else ""
        position = f":@{self.index}" if self.index >= 0 else ""
        return f"{prefix}{self.path}{tag}{position}" + (f"@{self.digest}" if self.digest else "")


class ImageName(NamedTuple):
    """A name in a registry, complete: `host` as it is written, docker.io included."""

    host: str
    path: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        return f"{self.host}/{self.path}"


def parse_image_source(text: str) -> ImageSource:
    """Return the image that `text` names: docker://NAME, oci:DIR[:TAG][@DIGEST], oci-archive:FILE[:TAG][@DIGEST],
    docker-archive:FILE[:NAME]; `:@N` in place of a tag is a position. Raises UsageError."""
    transport, _, rest = text.partition(":")
    if transport in _ELSEWHERE:
        raise UsageError(f"images cannot be read from {transport}:", hint=f"use {_ELSEWHERE[transport]}")
    if transport not in TRANSPORTS:
        raise UsageError(f"{_show(text)} names no image", hint=f"use {_form('docker')}, {_form('oci')}, ...")
    if not rest or "\0" in rest:
        raise UsageError(f"{_show(text)} is not the name of an image", hint=f"use {_form(transport)}")
    if transport == "docker":
        if not rest.startswith("//") or rest == "//":
            raise UsageError(f"{_show(text)} has no // after docker:", hint=f"use docker://{rest.strip('/') or 'NAME'}")
        name = parse_image_name(rest[2:])
        return ImageSource("docker", name.repository, name.tag, name.digest)
    digest = ""
    if transport != "docker-archive" and (found := re.search(r"@(sha[0-9]+:[^@/]*)$", rest)):
        digest, rest = check_digest(found[1]), rest[: found.start()]
    path, _, tag = rest.partition(":")
    if not path:
        raise UsageError(f"{_show(text)} names no path", hint=f"use {_form(transport)}")
    if not tag.isprintable():
        raise UsageError(f"{_show(tag)} is no tag", hint=f"use {_form(transport)}")
    index = -1
    if tag.startswith("@"):
        if not tag[1:].isdecimal() or not tag.isascii() or len(tag) > 6:
            raise UsageError(f"{_show(tag)} is no position in an archive", hint="count images from 0: :@0")
        index, tag = int(tag[1:]), ""
    if transport == "docker-archive" and tag:
        name = parse_image_name(tag)
        if name.digest:
            raise UsageError("a docker-archive knows no digests of manifests", hint="use docker-archive:FILE:NAME:TAG")
        tag = f"{name.repository}:{name.tag}"
    return ImageSource(transport, path, tag, digest, index)


def parse_image_name(text: str) -> ImageName:
    """Return the complete name of a reference in a registry; the tag is "latest" when there is neither tag nor digest.

    Raises UsageError saying which part is wrong.
    """
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    slash = rest.rfind("/")
    colon = rest.find(":", slash + 1)
    tag = ""
    if colon >= 0:
        rest, tag = rest[:colon], rest[colon + 1 :]
        if not _TAG.fullmatch(tag):
            raise UsageError(f"{_show(tag)} in {_show(text)} is no tag", hint="tags are up to 128 of A-Z a-z 0-9 _ . -")
    host, slash_found, path = rest.partition("/")
    if not slash_found or not (set(".:[") & set(host) or host == "localhost" or host != host.lower()):
        host, path = "docker.io", rest
    if host == "index.docker.io":
        host = "docker.io"
    if host == "docker.io" and path and "/" not in path:
        path = f"library/{path}"
    if not _HOST.fullmatch(host) or int(_port(host)) > 65535:
        raise UsageError(f"{_show(host)} in {_show(text)} is no host", hint="use docker://HOST[:PORT]/NAME[:TAG]")
    if not path or not all(_PATH.fullmatch(part) for part in path.split("/")) or len(host) + len(path) >= _NAME_MAX:
        lower = path.lower()
        hint = "names are lower-case letters and digits, with single . _ - between them, parts separated by /"
        if path != lower and all(_PATH.fullmatch(part) for part in lower.split("/")):
            hint = f"names are lower-case: {lower}"
        raise UsageError(f"{_show(path or text)} is no name of an image", hint=hint)
    return ImageName(host, path, tag or ("" if digest else "latest"), digest)


def check_digest(text: str) -> str:
    """Return `text` if it is a digest whose algorithm is known; UsageError otherwise."""
    if not _DIGEST.fullmatch(text):
        raise UsageError(
            f"{_show(text)} is no digest that can be verified", hint="use @sha256: and 64 lower-case hexadecimal digits"
        )
    return text


def is_digest(text: object) -> bool:
    """Say whether `text` is a digest whose algorithm is known."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def _port(host: str) -> str:
    tail = host.rpartition("]")[2].partition(":")[2]
    return tail if tail.isdecimal() else "0"


def _form(transport: str) -> str:
    return {
        "docker": "docker://NAME[:TAG][@DIGEST]",
        "docker-archive": "docker-archive:FILE[:NAME:TAG]",
    }.get(transport, f"{transport}:PATH[:TAG][@DIGEST]")


def _show(text: str) -> str:
    return ascii(text if len(text) <= 120 else text[:100] + "...")
