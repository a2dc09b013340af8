"""Manifests of Kubernetes for an image of an environment: what its configuration and its `[sandbox]` ask for. Pure.

Source: the Kubernetes API v1 (PodSpec, Container), apps/v1 (Deployment), batch/v1 (Job).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from envgit.declaration.values import Sandbox
from envgit.environment_config import declared_keys
from envgit.errors import UsageError
from envgit.exec.cgroups.limits import NANO, make_limits
from envgit.exec.network.resolver import parse_extra_host
from envgit.exec.ports.publish import parse_publish
from envgit.model import EnvironmentConfig
from envgit.publishing.pod_volumes import plan_volumes, quantity

PodKind: TypeAlias = Literal["pod", "deployment", "job"]
Object: TypeAlias = dict[str, object]

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1123, as the names of containers and hosts must be."""
_VARIABLE: Final = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_EXPOSED: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?")
_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_MOST_PORTS: Final = 100
_LARGEST_ID: Final = 2**31 - 1
"""runAsUser may be larger, but most kinds of nodes refuse it."""


class PodRequest(NamedTuple):
    """`image`: a reference that the cluster pulls. `revision`: the commit, for an annotation."""

    kind: PodKind
    name: str
    image: str
    revision: str


def make_manifest(
    request: PodRequest, config: EnvironmentConfig, asked: Sandbox, leave_out: Callable[[str], None]
) -> Object:
    """Return the manifest. `leave_out` hears, in a phrase each, what Kubernetes has nothing for."""
    labels = {"app.kubernetes.io/name": request.name}
    metadata: Object = {
        "name": request.name,
        "labels": labels,
        "annotations": {"org.opencontainers.image.revision": request.revision},
    }
    spec = _pod(request, config, asked, leave_out)
    template: Object = {"metadata": {"labels": dict(labels)}, "spec": spec}
    if request.kind == "deployment":
        chosen = {"replicas": 1, "selector": {"matchLabels": dict(labels)}, "template": template}
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": chosen}
    if request.kind == "job":
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": {"template": template}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def choose_name(asked: str, path: str) -> str:
    """Return the name that was asked for, or one made of the image's path. Raises UsageError for one that cannot be."""
    if asked:
        if not _LABEL.fullmatch(asked):
            raise UsageError(
                f"{ascii(asked[:80])} is no name in Kubernetes",
                hint="up to 63 of a-z, 0-9 and -, first and last a letter or digit: --name app",
            )
        return asked
    made = re.sub(r"[^a-z0-9]+", "-", path.rpartition("/")[2].lower())[:63].strip("-")
    return made or "environment"


def _pod(request: PodRequest, config: EnvironmentConfig, asked: Sandbox, leave_out: Callable[[str], None]) -> Object:
    volumes = plan_volumes(config, asked, leave_out)
    container: Object = {"name": request.name, "image": request.image}
    for key, words in (("command", config.entrypoint), ("args", config.cmd)):
        if words:
            container[key] = [_literal(word) for word in words]
    if config.working_dir:
        container["workingDir"] = config.working_dir
    if variables := _variables(config, leave_out):
        container["env"] = variables
    if ports := _ports(config, asked, leave_out):
        container["ports"] = ports
    if resources := _resources(asked):
        container["resources"] = resources
    container["securityContext"] = _security(config, asked)
    if volumes.mounts:
        container["volumeMounts"] = list(volumes.mounts)
    spec: Object = {"containers": [container]}
    if volumes.volumes:
        spec["volumes"] = list(volumes.volumes)
    if asked.hostname:
        if _LABEL.fullmatch(asked.hostname):
            spec["hostname"] = asked.hostname
        else:
            leave_out(f"the hostname {asked.hostname!r}, which is no DNS label")
    if asked.network == "host":
        spec["hostNetwork"] = True
    elif asked.network == "none":
        leave_out('network = "none": a pod always has a network; a NetworkPolicy can close it')
    if asked.add_host:
        spec["hostAliases"] = _aliases(asked.add_host)
    if request.kind == "job":
        spec["restartPolicy"] = "Never"
    for name in ("ulimit", "security_opt"):
        for word in cast("tuple[str, ...]", getattr(asked, name)):
            if not word.startswith("no-new-privileges"):
                leave_out(f"--{name.replace('_', '-')} {word}")
    for name in ("pids_limit", "memory_swap"):
        if word := getattr(asked, name):
            leave_out(f"--{name.replace('_', '-')} {word}: a matter of the node")
    if "Healthcheck" in config.extra:
        leave_out("the health check: Kubernetes has probes of its own")
    return spec


def _literal(text: str) -> str:
    """Return a text in which Kubernetes replaces nothing: it takes $(NAME) for a reference, and $$ for one $."""
    return text.replace("$", "$$") if "$(" in text or "$$" in text else text


def _variables(config: EnvironmentConfig, leave_out: Callable[[str], None]) -> list[Object]:
    found: dict[str, Object] = {}
    for key, value in config.env:
        if _VARIABLE.fullmatch(key):
            found[key] = {"name": key, "value": _literal(value)}
        else:
            leave_out(f"the variable {key[:80]!r} here, but the image has it")
    return list(found.values())


def _ports(config: EnvironmentConfig, asked: Sandbox, leave_out: Callable[[str], None]) -> list[Object]:
    found: dict[tuple[int, str], None] = {}
    for text in declared_keys(config, "ExposedPorts"):
        match = _EXPOSED.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last <= 65535:
            leave_out(f"the port {text[:40]!r}, which is none")
            continue
        found.update(dict.fromkeys((port, match[3] or "tcp") for port in range(first, last + 1)))
    for text in asked.publish:
        found.update(dict.fromkeys((wish.port, wish.protocol) for wish in parse_publish(text)))
    if len(found) > _MOST_PORTS:
        leave_out(f"{len(found) - _MOST_PORTS} of {len(found)} ports: they are reachable all the same")
    return [{"containerPort": port, "protocol": protocol.upper()} for port, protocol in sorted(found)[:_MOST_PORTS]]


def _resources(asked: Sandbox) -> Object:
    limits = make_limits(asked.memory, None, asked.cpus)
    amounts: Object = {}
    if limits.nano_cpus is not None:
        thousandths = -(-limits.nano_cpus * 1000 // NANO)
        amounts["cpu"] = f"{thousandths // 1000}" if thousandths % 1000 == 0 else f"{thousandths}m"
    if limits.memory_bytes is not None:
        amounts["memory"] = quantity(limits.memory_bytes)
    return {"requests": amounts, "limits": dict(amounts)} if amounts else {}


def _security(config: EnvironmentConfig, asked: Sandbox) -> Object:
    found: Object = {}
    user, _, group = config.user.partition(":")
    if _NUMBER.fullmatch(user) and int(user) <= _LARGEST_ID:
        found["runAsUser"] = int(user)
        found["runAsNonRoot"] = int(user) != 0
        if _NUMBER.fullmatch(group) and int(group) <= _LARGEST_ID:
            found["runAsGroup"] = int(group)
    found["allowPrivilegeEscalation"] = any(
        word in ("no-new-privileges=false", "no-new-privileges:false") for word in asked.security_opt
    )
    if asked.read_only:
        found["readOnlyRootFilesystem"] = True
    capabilities = {
        key: [name.upper().removeprefix("CAP_") for name in names]
        for key, names in (("add", asked.cap_add), ("drop", asked.cap_drop))
        if names
    }
    if capabilities:
        found["capabilities"] = capabilities
    return found


def _aliases(texts: tuple[str, ...]) -> list[Object]:
    names: dict[str, list[str]] = {}
    for text in texts:
        name, address = parse_extra_host(text)
        names.setdefault(address, []).append(name)
    return [{"ip": address, "hostnames": hosts} for address, hosts in names.items()]
