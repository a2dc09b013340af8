"""envgit.toml and envgit.lock: their grammar, values and edits. Knows no repository (docs/declaration.md)."""
