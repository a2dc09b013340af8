"""Package sets: the units that install them, and the list of what they installed (docs/lock.md)."""
