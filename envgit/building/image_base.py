"""A container image as the base of a build: the chain of its layers, and on top of it the commit that the key of the base names."""

from __future__ import annotations

from collections.abc import Callable

from envgit.building.recording import record_over
from envgit.building.stamp import Stamp, Written
from envgit.image_commits import KnownLayers, write_chain
from envgit.images import Image
from envgit.layers.clamp import clamp_tree
from envgit.model import TreeWriter
from envgit.repo import Repository
from envgit.sharing.session import open_session
from envgit.snapshot import Snapshot, read_snapshot


def record_image(repo: Repository, stamp: Stamp, open_: Callable[[], Image]) -> Snapshot:
    """Commit the layers of an image that are not here yet, and the base over them. Durable; no ref is moved.

    The layers are what `envgit import` makes of them, whatever the build is. With an epoch only the base has clamped times.
    Raises as open_image and ImageReading do.
    """
    with open_() as image:
        known = KnownLayers(repo)

        def write_layers() -> Snapshot:
            with open_session(repo.objects, repo.environ) as session:
                chain = write_chain(session, image, known.find_prefix(image.chain_ids), repo.reader, repo.monitor)
                session.finish()
            repo.objects.refresh()
            known.add(image.chain_ids, chain)
            return read_snapshot(repo.objects, chain.top)

        def write_base(writer: TreeWriter, below: Snapshot) -> Written:
            root = below.root if stamp.epoch is None else clamp_tree(below.root, stamp.epoch, repo.reader, writer)
            return Written(root)

        base = record_over(repo, stamp, write_layers, write_base)
        image.forget_downloads()
        return base
