"""The laws of layers: what is written is what is read, and overlayfs agrees."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

from envgit.layers.capture import capture
from envgit.layers.compare import diff_trees
from envgit.layers.materialise import materialise
from envgit.layers.scan import scan_directory
from envgit.model import DirectoryRef, DiskIds, Links
from envgit.monitor import NullMonitor

from . import trees
from .dict_store import DictStore
from .overlay import needs_root, with_overlay

PLAIN = DiskIds(0)
SHIFTED = DiskIds(1_879_048_192)
fast = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Place:
    """A scratch folder whose sub-folders are opened by name."""

    def __init__(self, path: str) -> None:
        self.path = path

    def make(self, name: str) -> tuple[str, int]:
        path = os.path.join(self.path, name)
        os.mkdir(path)
        return path, os.open(path, os.O_RDONLY | os.O_DIRECTORY)


def in_scratch(test: Callable[[Place], None]) -> None:
    path = tempfile.mkdtemp(prefix="envgit-layers-")
    try:
        test(Place(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def explain(store: DictStore, expected: DirectoryRef, found: DirectoryRef) -> str:
    changes = list(diff_trees(expected, found, store, with_mtime=True))
    return "\n".join(repr(change) for change in changes) or "links differ"


@needs_root
@pytest.mark.parametrize("ids", [PLAIN, SHIFTED], ids=["plain", "shifted"])
@fast
@given(plan=trees.plans, links=trees.links)
def test_materialise_then_scan_is_the_same_tree(ids: DiskIds, plan: trees.Plan, links: list[int]) -> None:
    store = DictStore()
    root, expected_links = trees.build(store, plan, links)

    def body(place: Place) -> None:
        _, fd = place.make("out")
        monitor = NullMonitor()
        materialise(root, None, store, fd, ids, monitor=monitor)
        assert monitor.warnings == []
        scanned = scan_directory(fd, store, ids)
        os.close(fd)
        assert scanned.root == root, explain(store, root, scanned.root)
        assert scanned.links == expected_links and not scanned.skipped

    in_scratch(body)


@needs_root
@fast
@given(base_plan=trees.plans, base_links=trees.links, plan=trees.plans, links=trees.links)
def test_edge_over_base_is_the_target(
    base_plan: trees.Plan, base_links: list[int], plan: trees.Plan, links: list[int]
) -> None:
    store = DictStore()
    base, _ = trees.build(store, base_plan, base_links)
    target, expected_links = trees.build(store, base_plan[: len(base_plan) // 2] + plan, links)

    def body(place: Place) -> None:
        lower, lower_fd = place.make("lower")
        edge, edge_fd = place.make("edge")
        where, fd = place.make("where")
        os.close(fd)
        materialise(base, None, store, lower_fd, PLAIN)
        materialise(target, base, store, edge_fd, PLAIN)

        def look(mounted: int) -> tuple[DirectoryRef, Links, DictStore]:
            own = DictStore()
            scanned = scan_directory(mounted, own, PLAIN, one_filesystem=False)
            return scanned.root, scanned.links, own

        found, found_links, own = with_overlay([edge, lower], None, None, where, look)
        store.metas.update(own.metas)
        assert found == target, explain(store, target, found)
        assert found_links == expected_links
        captured = capture(edge_fd, base, store, store, PLAIN)
        assert captured.root == target, explain(store, target, captured.root)
        flat, flat_fd = place.make("flat")
        done = materialise(target, None, store, flat_fd, PLAIN, link_from=[edge_fd, lower_fd])
        assert scan_directory(flat_fd, store, PLAIN).root == target
        assert done.size == 0 or not expected_links or done.reused >= 0
        for open_fd in (lower_fd, edge_fd, flat_fd):
            os.close(open_fd)

    in_scratch(body)
