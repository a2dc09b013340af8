"""Container images as history: each layer is a commit, made from nothing but the image, so that everybody gets the same ones.

`write_chain` writes the commits, `KnownLayers` finds those that were read here.
"""

from envgit.image_commits.chain import Chain, write_chain
from envgit.image_commits.known import KnownLayers

__all__ = ["Chain", "KnownLayers", "write_chain"]
