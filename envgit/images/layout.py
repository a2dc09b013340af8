"""OCI image layouts, as a directory or within an archive (OCI image specification, image-layout.md)."""

from __future__ import annotations

from typing import Final

from envgit.errors import SourceError
from envgit.images.documents import INDEX_TYPES, Descriptor, Index, parse_document, parse_json
from envgit.images.files import Files, has_file
from envgit.images.stores import Found
from envgit.images.verified import VerifiedStream, read_document
from envgit.layers.sources.image_source import ImageSource
from envgit.platforms import Platform, choose

_NAME: Final = "org.opencontainers.image.ref.name"
_CONTAINERD_NAME: Final = "io.containerd.image.name"
_SHOWN: Final = 20


class Layout:
    """An ImageStore over `files`; `find` resolves what a reference names in index.json."""

    def __init__(self, files: Files, source: ImageSource) -> None:
        self._files = files
        self._source = source
        self._what = f"{source.transport}:{source.path}"

    def find(self, platform: Platform) -> Found:
        """Return the document that the reference names. Raises SourceError naming what there is."""
        chosen = self._choose(platform)
        return Found(self.read_manifest(chosen), chosen.digest, chosen.media_type)

    def resolve(self, platform: Platform) -> str:
        """Return the digest that the reference names."""
        return self._choose(platform).digest

    def read_manifest(self, descriptor: Descriptor) -> bytes:
        what = f"the manifest {descriptor.digest} of {self._what}"
        return read_document(self.open_blob(descriptor, what), what)

    def open_blob(self, descriptor: Descriptor, what: str) -> VerifiedStream:
        algorithm, _, hexadecimal = descriptor.digest.partition(":")
        opened = self._files.open(f"blobs/{algorithm}/{hexadecimal}")
        if opened is None:
            raise SourceError(
                f"{what} is not in {self._what}: it has no blob {descriptor.digest}", hint="copy the whole image again"
            )
        if opened.size != descriptor.size:
            opened.stream.close()
            raise SourceError(
                f"{what} has {opened.size} bytes, not the {descriptor.size} it should have",
                hint="copy the whole image again",
            )
        return VerifiedStream(opened.stream, what, descriptor.digest, descriptor.size)

    def close(self) -> None:
        self._files.close()

    def forget_downloads(self) -> None:
        pass

    def _choose(self, platform: Platform) -> Descriptor:
        manifests = self._read_index().manifests
        source = self._source
        if not manifests:
            raise SourceError(
                f"{self._what} holds no image", hint="copy one into it: skopeo copy docker://NAME oci:DIR:TAG"
            )
        if source.digest:
            return self._by_digest(manifests)
        if source.index >= 0:
            if source.index >= len(manifests):
                raise SourceError(
                    f"{self._what} has {len(manifests)} images; there is no :@{source.index}", hint="count from :@0"
                )
            return manifests[source.index]
        if source.tag:
            found = [one for one in manifests if source.tag in (_name(one), one.annotations.get(_CONTAINERD_NAME))]
            if not found:
                raise SourceError(
                    f"{self._what} has no image {source.tag!r}; {_listed(manifests)}", hint=self._hint(manifests)
                )
        else:
            found = list(manifests)
            if len({_name(one) for one in found}) > 1:
                raise SourceError(
                    f"{self._what} holds several images; {_listed(manifests)}", hint=self._hint(manifests)
                )
        if len(found) == 1 or len({one.digest for one in found}) == 1:
            return found[0]
        return found[choose(platform, [one.platform for one in found], f"the image of {self._what}")]

    def _by_digest(self, manifests: tuple[Descriptor, ...]) -> Descriptor:
        """Return the descriptor of a digest, of a manifest that index.json names or (one level down) an index of it."""
        pending = list(manifests)
        for one in manifests:
            if one.media_type in INDEX_TYPES and one.digest != self._source.digest:
                document = parse_document(self.read_manifest(one), one.media_type, f"the index {one.digest}")
                if isinstance(document, Index):
                    pending += document.manifests
        for one in pending:
            if one.digest == self._source.digest:
                return one
        raise SourceError(
            f"{self._what} has no image with the digest {self._source.digest}; {_listed(manifests)}",
            hint=self._hint(manifests),
        )

    def _read_index(self) -> Index:
        version = parse_json(self._read("oci-layout"), f"oci-layout of {self._what}").get("imageLayoutVersion")
        if version != "1.0.0":
            raise SourceError(
                f"{self._what} is a layout of the unknown version {version!r}", hint="copy the image again"
            )
        what = f"index.json of {self._what}"
        document = parse_document(self._read("index.json"), "", what)
        if not isinstance(document, Index):
            raise SourceError(f"{what} is no index", hint="copy the image again")
        return document

    def _read(self, name: str) -> bytes:
        opened = self._files.open(name)
        if opened is None:
            other = "docker-archive" if has_file(self._files, "manifest.json") else "dir"
            raise SourceError(
                f"{self._what} is no OCI image layout: it has no {name}", hint=f"if it is something else: {other}:PATH"
            )
        return read_document(
            VerifiedStream(opened.stream, f"{name} of {self._what}", "", opened.size), f"{name} of {self._what}"
        )

    def _hint(self, manifests: tuple[Descriptor, ...]) -> str:
        name = next((name for name in map(_name, manifests) if name and name.isprintable()), "")
        return f"name one: {self._what}:{name}" if name else f"name one by its position: {self._what}:@0"


def _name(descriptor: Descriptor) -> str:
    return descriptor.annotations.get(_NAME, "")


def _listed(manifests: tuple[Descriptor, ...]) -> str:
    names = [_name(one)[:100] or one.digest for one in manifests]
    shown = ", ".join(names[:_SHOWN])
    return f"it has {shown}" + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
