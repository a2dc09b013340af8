"""The config.json that `envgit-oci spec` writes: the built-in defaults over a folder `rootfs`."""

from __future__ import annotations

from typing import Any

from envgit.exec.identity import Identity
from envgit.exec.idmap import choose_idmap
from envgit.exec.oci.to_oci import Extras, to_oci
from envgit.exec.program import DEFAULT_PATH
from envgit.exec.seccomp.filter import default_profile
from envgit.exec.spec import DirectoryRoot, SandboxSpec


def example_config() -> dict[str, Any]:
    """Return it with the ids that this caller may use: `rootfs` must belong to inside id 0."""
    spec = SandboxSpec(
        argv=(b"sh",),
        root=DirectoryRoot(b"rootfs"),
        idmap=choose_idmap(),
        env=((b"PATH", DEFAULT_PATH),),
    )
    seccomp = default_profile(spec.capabilities)
    return to_oci(spec, Identity(0, 0, (), b"/root"), b"rootfs", Extras(seccomp=seccomp))
