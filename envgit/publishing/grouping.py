"""Which commits of a long history share a layer, so that the lower layers of an image stay as they are from push to push.

Up to MOST_LAYERS changes each have a layer. Of more, the first (what everything was built on) still has its own; the others are
gathered into blocks whose sizes are powers of two, aligned to their size and growing towards the past: eight to ten blocks of
each size. A commit so moves into a larger block only when as many commits have come after it, log2(n) times in all, and a new
commit makes a new layer and now and then a few merged ones; every other layer keeps its digest.
"""

from __future__ import annotations

from typing import Final

MOST_LAYERS: Final = 100
"""overlayfs as docker mounts it has 128 at most."""
_BLOCKS_OF_A_SIZE: Final = 8


def group(count: int, most: int = MOST_LAYERS) -> list[tuple[int, int]]:
    """Return the half-open ranges of `count` changes, oldest first, that share a layer: `most` at most (at least 8)."""
    if count <= most:
        return [(number, number + 1) for number in range(count)]
    blocks = _BLOCKS_OF_A_SIZE
    while len(ranges := _blocks(count - 1, blocks)) >= most and blocks > 1:
        blocks //= 2
    return [(0, 1), *((start + 1, end + 1) for start, end in ranges)]


def _blocks(count: int, blocks: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    end, size = count, 1
    while end:
        # Where the blocks of this size begin: at a multiple of twice the size, so that larger ones fit below.
        start = max(end - blocks * size, 0) // (2 * size) * (2 * size)
        found += [(place, min(place + size, end)) for place in range(start, end, size)][::-1]
        end, size = start, 2 * size
    return found[::-1]
