"""What a stage starts from: a source that becomes a first commit, a revision, or an earlier stage."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from envgit.building.build_index import FOLDER
from envgit.building.files.context import ContextFolder, digest_inputs
from envgit.building.key import base_key
from envgit.building.record import record_of_base
from envgit.building.source_pins import SourcePins
from envgit.building.stamp import Written
from envgit.building.unit import Record, ScratchBase, SourceBase
from envgit.environment_config import DEFAULT_CONFIG
from envgit.errors import SourceError
from envgit.layers.sources import parse_source, read_source
from envgit.layers.sources.image_source import ImageSource
from envgit.layers.sources.source import DirectorySource, HostSource, TarSource
from envgit.model import Entry, EnvironmentConfig, TreeWriter
from envgit.repo import Repository

if TYPE_CHECKING:
    from envgit.images import Image

_HOST_STATE = ("/var/lib/dpkg/status", "/lib/apk/db/installed", "/var/lib/rpm/rpmdb.sqlite", "/etc/os-release")
_PIECE_BYTES = 1 << 20


class NewBase(NamedTuple):
    """A base that becomes a commit. `key`: see base_key(); `write` stores it, or it is the image that `open_image` opens."""

    record: Record
    key: bytes
    write: Callable[[TreeWriter], Written] | None
    digest: str = ""
    """Of an image: "sha256:HEX"."""
    open_image: Callable[[], Image] | None = None


def open_base(
    repo: Repository, base: ScratchBase | SourceBase, folder: str, epoch: int | None, *, pull: bool, digest: str
) -> NewBase:
    """Return a base, without reading more of it than tells it from others. Relative paths are below `folder`.

    `digest`: what a lock says that an image's name stands for, "" when none does; `pull`: ask again all the same.
    Raises UsageError for a source that is not understood, SourceError for one that cannot be had.
    """
    record = record_of_base(base)
    if isinstance(base, ScratchBase):
        return NewBase(record, base_key(record, b"", epoch), _write_nothing)
    kind = base.source.partition(":")[0]
    pins = SourcePins(repo)
    if kind in ("debian", "ubuntu"):
        identity = pins.pin(f"{base.source} {base.options}", lambda: b"%d" % repo.now(), default=b"", pull=pull)
        return NewBase(
            record, base_key(record, identity, epoch), lambda writer: _write_debian(repo, base, writer, epoch)
        )
    source = parse_source(base.source)
    if isinstance(source, ImageSource):
        return _open_image(repo, base, source, record, folder, epoch, pull, digest)
    if isinstance(source, DirectorySource | TarSource):
        source = type(source)(os.path.join(folder, source.path))
    if isinstance(source, HostSource):
        identity = sha256(b"".join(_read_if_there(path) for path in _HOST_STATE)).digest()
    elif isinstance(source, DirectorySource):
        identity = _digest_directory(repo, source.path)
    else:
        identity = pins.of_file(source.path, lambda: _hash_file(source.path))

    def write(writer: TreeWriter) -> Written:
        found = read_source(source, writer, repo.monitor, stdin=BytesIO(), is_root=os.geteuid() == 0)
        return Written(found.root, DEFAULT_CONFIG)

    return NewBase(record, base_key(record, identity, epoch), write)


def _open_image(
    repo: Repository,
    base: SourceBase,
    source: ImageSource,
    record: Record,
    folder: str,
    epoch: int | None,
    pull: bool,
    known: str,
) -> NewBase:
    from envgit.images import open_image, resolve_digest

    def resolve() -> bytes:
        return resolve_digest(
            source, environ=repo.environ, monitor=repo.monitor, platform=base.platform, folder=folder
        ).encode()

    if source.transport == "docker":
        default = known.encode() or None
        digest = SourcePins(repo).pin(f"{source} {base.platform} {known}", resolve, default=default, pull=pull)
        source = ImageSource(source.transport, source.path, "", digest.decode(), source.index)
    else:
        digest = resolve()

    opening = partial(
        open_image,
        source,
        environ=repo.environ,
        monitor=repo.monitor,
        platform=base.platform,
        folder=folder,
        downloads=repo.path(FOLDER, "downloads"),
    )
    return NewBase(record, base_key(record, digest, epoch), None, digest.decode(), opening)


def _write_nothing(writer: TreeWriter) -> Written:
    return Written(writer.put_directory(Entry(b".", "d", 0o755), ()), EnvironmentConfig())


def _write_debian(repo: Repository, base: SourceBase, writer: TreeWriter, epoch: int | None) -> Written:
    from envgit.building.debian_base import read_debian

    return Written(read_debian(base, writer, repo.monitor, epoch, repo.environ).root, DEFAULT_CONFIG)


def _digest_directory(repo: Repository, path: str) -> bytes:
    with ContextFolder.open_(path, b"", repo.path(FOLDER, "inputs"), repo.monitor) as folder:
        return digest_inputs(folder, ["**"])


def _hash_file(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            digest = sha256()
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
            return digest.digest()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", hint="check the path: tar:FILE") from error


def _read_if_there(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
