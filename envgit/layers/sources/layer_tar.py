"""The layers of an image: tar archives with whiteouts, applied in order.

Source: OCI image specification 1.1, layer.md; what it leaves open is as moby's and containers/storage's overlay drivers do it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from envgit.errors import HostileInput, SourceError
from envgit.layers.assemble_layers import LayeredAssembler
from envgit.layers.sources.counting import CountingWriter
from envgit.layers.sources.decompress import ByteStream, open_archive
from envgit.layers.sources.source import Imported
from envgit.layers.sources.tar import TarImport, drain, member_path
from envgit.layers.sources.tar_header import display
from envgit.layers.sources.tar_limits import TarLimits
from envgit.layers.sources.tar_members import TarMember, iter_members
from envgit.model import DirectoryRef, TreeReader, TreeWriter
from envgit.monitor import Monitor

WHITEOUT: Final = b".wh."
_OPAQUE: Final = b".wh..wh..opq"
_AUFS: Final = b".wh..wh."
_AGAIN = "build the image again, or make a root filesystem of it with podman export and use tar:FILE"


class LayerImport(TarImport):
    """Applies layers, lowest first, to one tree. Limits hold for all layers together.

    Names may begin with `/`, as some builders write them: they are below the root all the same. An archive may lack its end
    mark: its digest says that it is complete.
    """

    def __init__(self, writer: TreeWriter, monitor: Monitor, limits: TarLimits | None = None) -> None:
        limits = limits or TarLimits()
        counting = CountingWriter(writer)
        self._layers = LayeredAssembler(counting, max_entries=limits.entries)
        super().__init__(counting, limits, monitor, self._layers)

    def apply(self, stream: ByteStream, diff_id: str) -> None:
        """Apply the layer in `stream`, plain or compressed, whose uncompressed archive must have the digest `diff_id`.

        Raises SourceError and HostileInput.
        """
        algorithm, _, wanted = diff_id.partition(":")
        digest = hashlib.new(algorithm)
        data = open_archive(stream, self._limits, self._monitor.advance, digest.update)
        try:
            for member in iter_members(data, self._limits, end_mark=False):
                self.take(member)
        except HostileInput as error:
            error.hint = _AGAIN
            raise
        drain(data, self._monitor)
        if digest.hexdigest() != wanted:
            raise SourceError(
                f"its content has the digest {algorithm}:{digest.hexdigest()}, not {diff_id} as the configuration says",
                hint="fetch or make the image again",
            )
        self._layers.next_layer()

    def take(self, member: TarMember) -> None:
        name = member.name.lstrip(b"/") or b"."
        if member.type == b"1":
            member.linkname = member.linkname.lstrip(b"/")
        path = member_path(name, "the name")
        directory, _, last = path.rpartition(b"/")
        if path.startswith(_AUFS) and path != _OPAQUE:
            return  # the bookkeeping of an AUFS branch, which old versions of docker left in
        if directory.startswith(WHITEOUT) or b"/" + WHITEOUT in directory:
            raise HostileInput(f"{display(path)} lies below the mark of a deleted file")
        if last == _OPAQUE:
            self._layers.hide_below(directory)
        elif last.startswith(WHITEOUT):
            hidden = last.removeprefix(WHITEOUT)
            if hidden in (b"", b".", b"..") or hidden.startswith(WHITEOUT):
                raise HostileInput(f"{display(path)} marks a file as deleted that cannot exist")
            self._layers.hide(directory + b"/" + hidden if directory else hidden)
        else:
            self._put(path, member)

    def start_from(self, root: DirectoryRef, reader: TreeReader) -> None:
        """Begin with the stored tree of the layers below those that will be applied."""
        self._layers.load(root, reader)

    def write(self) -> DirectoryRef:
        """Store the directories that changed since the last time; return the tree of the layers so far."""
        return self._layers.write()

    def finish(self) -> Imported:
        """Store what is not stored yet and return the result."""
        assembled = self._layers.finish()
        totals = self._layers.totals()
        return Imported(
            root=assembled.root,
            links=assembled.links,
            files=totals.files,
            directories=totals.directories,
            bytes=totals.bytes,
            left_out=tuple(sorted(self._left_out)),
        )
