"""How a sandbox's file system is put together: a plan of operations on descriptors, never on names."""
