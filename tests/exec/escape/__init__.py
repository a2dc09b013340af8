"""Escape probes: what a hostile program or environment tries against the host, and what the host sees of it.

The attempts are small C functions in one static program (*.c; probe.h says how they report), run by `ways`: a sandbox, a
program joined to a running one, bubblewrap, and controls that show that an attempt can succeed. `host` is what they aim at;
it is looked at from outside afterwards. `python -m tests.exec.escape` writes docs/escape-probes.md.
"""
