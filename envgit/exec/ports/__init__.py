"""Published ports: host sockets bound before a sandbox starts, and one process that carries their traffic inside."""
