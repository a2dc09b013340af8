"""Write docs/envgit.schema.json: python -m tests.declaration.write_schema."""

from __future__ import annotations

from pathlib import Path

from envgit.declaration.schema import format_schema

if __name__ == "__main__":
    (Path(__file__).parents[2] / "docs" / "envgit.schema.json").write_bytes(format_schema())
