"""A run whose sandbox another OCI runtime makes: `envgit run --runtime crun|runc|PATH`."""

from __future__ import annotations

from collections.abc import Callable

from envgit.errors import UsageError
from envgit.exec.oci.foreign import find_runtime, run_foreign
from envgit.exec.spec import SandboxSpec
from envgit.sandbox.oci_spec import oci_extras
from envgit.sandbox.request import RunRequest


def narrow_request(request: RunRequest, warn: Callable[[str], None], *, foreground: bool) -> RunRequest:
    """Return the request as another runtime can have it: without a network unless the host's is asked for.

    Raises UsageError for what it cannot have at all, SandboxError when there is no such runtime.
    """
    find_runtime(request.runtime)
    if not foreground:
        raise UsageError("--runtime is for runs in the foreground", hint="leave -d and --name out")
    if request.publish or request.publish_all or request.network == "private":
        raise UsageError(
            f"{request.runtime} makes no private network", hint="--network none or host, or leave --runtime out"
        )
    if request.network is not None:
        return request
    warn(f"{request.runtime} makes no private network: this sandbox has none")
    return request._replace(network="none")


def start_with_runtime(
    request: RunRequest, spec: SandboxSpec, on_started: Callable[[int, int], None], warn: Callable[[str], None]
) -> int:
    """Start what run_once has prepared, wait for its end and return its status."""
    return run_foreign(spec, request.runtime, extras=oci_extras(request, spec), on_started=on_started, on_warning=warn)
