"""Sandboxes: user namespaces, mounts, privileges, consoles. Knows neither git nor the layers' format."""
