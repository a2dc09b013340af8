"""Layers applied over a tree that was stored give what layers applied over layers give: any layers, cut anywhere."""

from __future__ import annotations

import io

from hypothesis import given, settings

from envgit.layers.sources.layer_tar import LayerImport
from envgit.model import DirectoryRef
from envgit.monitor import NullMonitor
from tests.images.image_builder import sha256
from tests.images.test_programs import LAYERS, layer_of
from tests.sources.memory_store import MemoryStore

Layer = tuple[dict[bytes, tuple[str, int, int, bytes]], set[bytes], set[bytes]]


def apply(state: LayerImport, archive: bytes) -> DirectoryRef:
    state.apply(io.BytesIO(archive), sha256(archive))
    return state.write()


@settings(max_examples=150, deadline=None, database=None)
@given(LAYERS)
def test_any_layers_cut_anywhere(layers: list[Layer]) -> None:
    store, monitor = MemoryStore(), NullMonitor()
    archives = [layer_of(*layer) for layer in layers]
    whole = LayerImport(store, monitor)
    trees = [apply(whole, archive) for archive in archives]
    at_once = LayerImport(store, monitor)
    for archive in archives:
        at_once.apply(io.BytesIO(archive), sha256(archive))
    finished = at_once.finish()
    assert finished == whole.finish()
    assert finished.root == trees[-1]
    for cut, tree in enumerate(trees):
        resumed = LayerImport(store, monitor)
        resumed.start_from(tree, store)
        assert resumed.write() == tree
        assert [apply(resumed, archive) for archive in archives[cut + 1 :]] == trees[cut + 1 :]
        assert resumed.finish() == finished
