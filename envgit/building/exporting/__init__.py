"""From recorded steps back to a Dockerfile or an envgit.toml."""
