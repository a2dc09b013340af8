"""One cost for what several repositories of a user have in common: packs and materialised layers as hard links."""
