"""From a Dockerfile to a recipe: which instruction does what (docs/dockerfile.md)."""
