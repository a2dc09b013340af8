"""Container images out of history: layers, configurations, manifests, and where they go."""
