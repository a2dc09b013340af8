"""Find the image that a reference names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from envgit.errors import HostileInput, SourceError
from envgit.images.docker_archive import find_saved
from envgit.images.documents import REFERENCE_TYPE, Descriptor, Index, Manifest, parse_document
from envgit.images.files import DirectoryFiles
from envgit.images.image import Image, ImageLayer
from envgit.images.image_config import ImageConfig, parse_image_config
from envgit.images.layout import Layout
from envgit.images.stores import Found, ImageStore
from envgit.images.tar_files import TarFiles
from envgit.images.verified import DOCUMENT_BYTES, read_document, too_large
from envgit.layers.sources.image_source import ImageSource, parse_image_source
from envgit.monitor import Monitor
from envgit.platforms import Platform, choose, is_same, parse_platform, refuse_other_systems, this_machine

_DEEPEST_INDEX = 4


class _Request(NamedTuple):
    source: ImageSource
    environ: Mapping[str, str]
    monitor: Monitor
    platform: Platform
    insisting: bool
    """The user named the platform: another one is an error."""
    downloads: str = ""


def open_image(
    source: ImageSource | str,
    *,
    environ: Mapping[str, str],
    monitor: Monitor,
    platform: str = "",
    folder: str = "",
    downloads: str = "",
) -> Image:
    """Read the manifest and the configuration of `source` for `platform` ("": this machine's).

    Relative paths are below `folder` ("": the working directory). `downloads`: a folder for what was fetched of layers, so that
    another command goes on where this one was interrupted ("": nothing is kept). `environ`: HOME, proxies and the like, as docker
    and podman read them. Raises UsageError for a malformed reference, SourceError when there is no such image (or platform), when
    it cannot be fetched or is not what its digests say; HostileInput for what would exhaust.
    """
    request = _request(source, environ, monitor, platform, folder)._replace(downloads=downloads)
    if request.source.transport == "docker-archive":
        return _open_saved(request)
    store, found = _find(request)
    try:
        return _open_found(request, store, found)
    except BaseException:
        store.close()
        raise


def resolve_digest(
    source: ImageSource | str, *, environ: Mapping[str, str], monitor: Monitor, platform: str = "", folder: str = ""
) -> str:
    """Return the digest that `source` names now, as "sha256:HEX", without fetching layers.

    Of a reference with several platforms it is the index's, so it holds on every machine. Of a docker-archive, which has no
    manifest of its own, it is the configuration's (the image id). A reference by digest is answered without asking anybody.
    """
    request = _request(source, environ, monitor, platform, folder)
    path = request.source.path
    if request.source.digest:
        return request.source.digest
    if request.source.transport == "docker":
        from envgit.images.remote import RemoteImages

        remote = RemoteImages(request.source, environ, monitor)
        try:
            return remote.resolve()
        finally:
            remote.close()
    if request.source.transport == "docker-archive":
        archive = TarFiles(path, _scratch(environ), monitor)
        try:
            return find_saved(archive, request.source).digest
        finally:
            archive.close()
    layout = Layout(_files(request), request.source)
    try:
        return layout.resolve(request.platform)
    finally:
        layout.close()


def _request(
    source: ImageSource | str, environ: Mapping[str, str], monitor: Monitor, platform: str, folder: str
) -> _Request:
    if isinstance(source, str):
        source = parse_image_source(source)
    if source.transport != "docker" and folder:
        path = os.path.join(folder, source.path)
        source = ImageSource(source.transport, path, source.tag, source.digest, source.index)
    wanted = parse_platform(platform) if platform else this_machine()
    refuse_other_systems(wanted)
    return _Request(source, environ, monitor, wanted, bool(platform))


def _scratch(environ: Mapping[str, str]) -> str:
    return environ.get("TMPDIR") or "/var/tmp"


def _files(request: _Request) -> DirectoryFiles | TarFiles:
    path = request.source.path
    if request.source.transport == "oci-archive":
        return TarFiles(path, _scratch(request.environ), request.monitor)
    if not os.path.isdir(path):
        if os.path.exists(path):
            raise SourceError(f"{path} is not a directory", hint=f"if it is an archive: oci-archive:{path}")
        raise SourceError(f"there is no layout {path}", hint="check the path: oci:DIR[:TAG]")
    return DirectoryFiles(path)


def _find(request: _Request) -> tuple[ImageStore, Found]:
    if request.source.transport == "docker":
        from envgit.images.remote import RemoteImages

        remote = RemoteImages(request.source, request.environ, request.monitor, request.downloads)
        try:
            return remote, remote.find()
        except BaseException:
            remote.close()
            raise
    layout = Layout(_files(request), request.source)
    try:
        return layout, layout.find(request.platform)
    except BaseException:
        layout.close()
        raise


def _open_found(request: _Request, store: ImageStore, found: Found) -> Image:
    name = str(request.source)
    document = parse_document(found.data, found.media_type, f"the manifest of {name}")
    digest = found.digest
    depth = 0
    while isinstance(document, Index):
        depth += 1
        if depth > _DEEPEST_INDEX:
            raise HostileInput(
                f"the indexes of {name} are nested more than {_DEEPEST_INDEX} deep", hint="make it again"
            )
        chosen = _choose(document, request.platform, name)
        digest = chosen.digest
        document = parse_document(store.read_manifest(chosen), chosen.media_type, f"the manifest {digest} of {name}")
    what = f"the configuration of {name}"
    if document.config.size > DOCUMENT_BYTES:
        raise too_large(what)
    config_bytes = read_document(store.open_blob(document.config, what), what)
    config = parse_image_config(config_bytes, what)
    layers = _layers(store, document, config, name)
    forget = store.forget_downloads
    return _image(request, found.digest, digest, config_bytes, config, layers, store.close, forget)


def _choose(index: Index, wanted: Platform, name: str) -> Descriptor:
    images = [one for one in index.manifests if REFERENCE_TYPE not in one.annotations]
    return images[choose(wanted, [one.platform for one in images], name)]


def _layers(store: ImageStore, manifest: Manifest, config: ImageConfig, name: str) -> tuple[ImageLayer, ...]:
    _check_count(len(manifest.layers), config, name)
    layers = []
    for number, (layer, diff_id) in enumerate(zip(manifest.layers, config.diff_ids, strict=True), 1):
        what = f"layer {number} of {name}"
        opening = partial(store.open_blob, layer, what)
        layers.append(ImageLayer(layer.digest, layer.size, diff_id, opening, "".join(layer.urls[:1])))
    return tuple(layers)


def _open_saved(request: _Request) -> Image:
    archive = TarFiles(request.source.path, _scratch(request.environ), request.monitor)
    try:
        saved = find_saved(archive, request.source)
        name = str(request.source)
        config = parse_image_config(saved.config_bytes, f"the configuration of {name}")
        _check_count(len(saved.layers), config, name)
        pairs = zip(saved.layers, config.diff_ids, strict=True)
        layers = tuple(ImageLayer("", size, diff_id, open_) for (size, open_), diff_id in pairs)
        return _image(request, saved.digest, saved.digest, saved.config_bytes, config, layers, archive.close)
    except BaseException:
        archive.close()
        raise


def _check_count(layers: int, config: ImageConfig, name: str) -> None:
    if layers != len(config.diff_ids):
        raise SourceError(
            f"{name} has {layers} layers, but its configuration lists {len(config.diff_ids)}",
            hint="make the image again",
        )


def _image(
    request: _Request,
    digest: str,
    manifest_digest: str,
    config_bytes: bytes,
    config: ImageConfig,
    layers: tuple[ImageLayer, ...],
    close: Callable[[], None],
    forget: Callable[[], None] = lambda: None,
) -> Image:
    name = str(request.source)
    found = config.platform
    if found is not None and not is_same(request.platform, found):
        if request.insisting or found.os != "linux":
            raise SourceError(f"{name} is for {found}, not for {request.platform}", hint=f"use --platform {found}")
        request.monitor.warn(f"{name} is for {found}: its programs run here only through an emulator (binfmt_misc)")
    platform = str(found or request.platform)
    history = config.history
    return Image(name, digest, manifest_digest, platform, config_bytes, config.config, layers, history, close, forget)
