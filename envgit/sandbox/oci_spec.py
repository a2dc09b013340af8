"""What would run, as an OCI runtime spec: a revision's configuration below what was asked for."""

from __future__ import annotations

import json
import os
from typing import Any

from envgit.errors import UnknownPath, UsageError
from envgit.exec.cgroups.limits import make_limits
from envgit.exec.identity import resolve_identity
from envgit.exec.oci.to_oci import Extras, to_oci
from envgit.exec.program import mapped_groups
from envgit.exec.spec import OverlayRoot, SandboxSpec
from envgit.light_typing import NamedTuple
from envgit.model import DirectoryRef
from envgit.repo import Repository
from envgit.sandbox.describing import describe
from envgit.sandbox.request import RunRequest
from envgit.snapshot import read_snapshot
from envgit.stack import ensure_plan
from envgit.tree_path import find_child

_MOST_BYTES = 4 << 20
REVISION_ANNOTATION = "org.envgit.revision"
ROOT_ANNOTATION = "org.envgit.root"


class OciBundle(NamedTuple):
    """A config.json and the content of its memory files, which it expects as files/0, files/1, ... beside it."""

    config: dict[str, Any]
    files: tuple[bytes, ...]


def oci_spec(repo: Repository, request: RunRequest) -> dict[str, Any]:
    """Return the OCI runtime spec of a request, ready for a JSON encoder; the same for the same request and revision.

    Without a revision it is HEAD's. Raises what resolving it raises, and SandboxError for what OCI cannot say.
    """
    return oci_bundle(repo, request).config


def oci_bundle(repo: Repository, request: RunRequest) -> OciBundle:
    """Return the OCI runtime spec of a request with its files. Its root is `rootfs`, which whoever runs it provides."""
    revision = request.revision or "HEAD"
    oid = repo.resolve_bytes(revision)
    snapshot = read_snapshot(repo.objects, oid)
    plan = ensure_plan(repo, oid)
    given_network = request.network
    if plan.asked and not request.settled:
        from envgit.sandbox.grants import settle_request

        request = settle_request(repo, request, plan.asked)._replace(publish=request.publish)
    if given_network is None and request.network != "host":
        request = request._replace(network="none")
    lowers = tuple(repo.cache.layer_path(name) for name in plan.layers)
    spec = describe(repo, request._replace(revision=revision), plan, OverlayRoot(lowers, b"", b"")).spec
    passwd, group = (_read(repo, snapshot.root, path) for path in (b"etc/passwd", b"etc/group"))
    identity = resolve_identity(spec.user, passwd, group)
    identity = identity._replace(groups=mapped_groups(identity.groups, spec))
    annotations = {REVISION_ANNOTATION: oid.hex(), ROOT_ANNOTATION: plan.tree}
    config = to_oci(spec, identity, b"rootfs", oci_extras(request, spec)._replace(annotations=annotations))
    return OciBundle(config, tuple(content for _, content in spec.files))


def oci_extras(request: RunRequest, spec: SandboxSpec) -> Extras:
    """Return what an OCI runtime is told besides `spec`: limits, and the system call filter before it is compiled."""
    return Extras(limits=make_limits(*request.limits), seccomp=_filter(request, spec))


def write_bundle(bundle: OciBundle, folder: str) -> None:
    """Write config.json, the memory files and an empty rootfs into a new or empty folder. Raises UsageError if it is neither."""
    os.makedirs(folder, exist_ok=True)
    if os.listdir(folder):
        raise UsageError(f"the folder {folder} is not empty", hint="name a new one")
    for name in ("rootfs", "files"):
        os.mkdir(os.path.join(folder, name), 0o755)
    for number, content in enumerate(bundle.files):
        with open(os.path.join(folder, "files", str(number)), "xb") as file:
            file.write(content)
    with open(os.path.join(folder, "config.json"), "xb") as file:
        file.write(format_config(bundle.config))


def format_config(config: dict[str, Any]) -> bytes:
    """Return the text of a config.json; bytes that are not UTF-8 go through as they are."""
    return (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")


def _filter(request: RunRequest, spec: SandboxSpec) -> dict[str, Any] | None:
    from envgit.exec.seccomp.filter import default_profile

    if request.seccomp == "unconfined":
        return None
    if not request.seccomp:
        return default_profile(spec.capabilities, request.nested_namespaces)
    from envgit.exec.seccomp.numbers import host_architecture, load_architecture
    from envgit.exec.seccomp.profile_file import flatten_profile

    with open(request.seccomp, "rb") as file:  # describe() has read and understood it
        content = json.load(file)
    machine = load_architecture(host_architecture())
    flat = flatten_profile(content, spec.capabilities, machine, _kernel())
    return {**flat, "architectures": flat.get("architectures") or [machine.scmp]}


def _kernel() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(letter for letter in minor if letter.isdigit()) or 0)


def _read(repo: Repository, root: DirectoryRef, path: bytes) -> bytes:
    """Return a file of a revision as the sandbox would read it, b"" when it is missing or something else."""
    try:
        child = find_child(repo.reader, root, path, follow=True)
    except UnknownPath:
        return b""
    if child.entry.type != "f" or (child.entry.size or 0) > _MOST_BYTES:
        return b""
    return b"".join(repo.reader.iter_content(child))
