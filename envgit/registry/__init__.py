"""A client of container registries (OCI distribution specification 1.1): names, credentials, tokens, verified downloads."""
