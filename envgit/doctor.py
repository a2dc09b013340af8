"""Doctor: what this machine lets envgit do, found out by trying."""

from __future__ import annotations

from envgit.exec.probe import Finding, probe_host

__all__ = ["Finding", "diagnose"]


def diagnose() -> tuple[Finding, ...]:
    """Return one Finding per capability; `fix` is the exact command for each that failed."""
    return probe_host()
