"""Files into an environment: COPY, ADD, [files] and inputs, as edits of its tree (docs/copying.md)."""
