"""From the layers of an image to a chain of commits, lowest first."""

from __future__ import annotations

from typing import Final, NamedTuple

from envgit.environment_config import format_config
from envgit.image_commits.message import format_layer_message
from envgit.images import Image, ImageReading
from envgit.layers.sources import Imported
from envgit.model import DirectoryRef, TreeReader
from envgit.monitor import Monitor
from envgit.snapshot import CHAIN_TRAILER, LAYER_TRAILER, write_snapshot
from envgit.store.objects import Signature
from envgit.trees import PackTreeWriter, Session

_NAME: Final = b"container image"
_EMAIL: Final = b"image@envgit.invalid"


class Chain(NamedTuple):
    """`commits`: one for each layer, the lowest first; of an image without layers one. `roots`: their files, in the same order.
    `config`: config.json of them all.

    `reused`: of how many layers, from the lowest on, the tree was there already. `imported`: None when it was of all.
    """

    commits: tuple[bytes, ...]
    roots: tuple[DirectoryRef, ...]
    config: bytes
    reused: int
    imported: Imported | None

    @property
    def top(self) -> bytes:
        return self.commits[-1]

    @property
    def root(self) -> DirectoryRef:
        return self.roots[-1]


def write_chain(
    session: Session, image: Image, known: tuple[DirectoryRef, ...], reader: TreeReader, monitor: Monitor
) -> Chain:
    """Write a commit for each layer of `image` into the session; layers of `known` trees are neither fetched nor read.

    The commits depend on nothing but the image: its layers, its configuration, its history. Each has the configuration of the
    image, so each can be run as the image is meant to be. Raises as ImageReading does.
    """
    count = len(image.layers)
    reading = ImageReading(image, PackTreeWriter(session), monitor)
    if known:
        here = "all" if len(known) == count else f"{len(known):,} of"
        monitor.note(f"{here} {count:,} layers are here already")
        if len(known) < count:
            reading.start_from(len(known), known[-1], reader)
    config = format_config(image.config)
    commits: list[bytes] = []
    roots: list[DirectoryRef] = []
    for number, history in enumerate(image.history):
        trailers: tuple[bytes, ...] = ()
        if count:
            chain_id, diff_id = image.chain_ids[number], image.layers[number].diff_id
            trailers = (LAYER_TRAILER + diff_id.encode(), CHAIN_TRAILER + chain_id.encode())
        if number < len(known):
            root = known[number]
        else:
            if count:
                reading.apply_next()
            root = reading.write()
        roots.append(root)
        who = Signature(_NAME, _EMAIL, history.seconds)
        commits.append(
            write_snapshot(
                session,
                root,
                config,
                format_layer_message(history, number + 1 if count else 0),
                parents=tuple(commits[-1:]),
                author=who,
                committer=who,
                trailers=trailers,
            )
        )
    imported = None if known and len(known) == count else reading.finish()
    return Chain(tuple(commits), tuple(roots), config, len(known), imported)
