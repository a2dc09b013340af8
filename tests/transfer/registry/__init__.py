"""History in a registry."""
