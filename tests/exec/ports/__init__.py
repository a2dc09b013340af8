"""Published ports, tested against a namespace of the tests' own: no sandbox is started."""
