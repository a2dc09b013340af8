"""History in a container registry: bundles as an artifact beside the runnable image (docs/registry-history.md)."""
