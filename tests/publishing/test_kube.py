"""Manifests for Kubernetes: the structure of its API, and what becomes of everything an environment can ask for."""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

import pytest
from ruamel.yaml import YAML

from envgit.declaration.values import Sandbox
from envgit.environment_config import parse_config
from envgit.errors import EnvgitError, UsageError
from envgit.kube import format_yaml, make_kube_manifest
from envgit.monitor import NullMonitor
from envgit.publishing.pods import PodKind, PodRequest, choose_name, make_manifest
from envgit.push_image import push_image
from envgit.repo import Repository
from tests.lab import Lab
from tests.publishing.test_images import commit
from tests.publishing.writable_registry import WritableRegistry

IMAGE = "registry.example/me/app@sha256:" + "a" * 64
STRING, NUMBER, FLAG = str, int, bool
QUANTITIES = {"cpu": STRING, "memory": STRING}
CONTAINER = {
    "name": STRING, "image": STRING, "command": [STRING], "args": [STRING], "workingDir": STRING,
    "env": [{"name": STRING, "value": STRING}], "ports": [{"containerPort": NUMBER, "protocol": STRING}],
    "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
    "securityContext": {
        "runAsUser": NUMBER, "runAsGroup": NUMBER, "runAsNonRoot": FLAG, "allowPrivilegeEscalation": FLAG,
        "readOnlyRootFilesystem": FLAG, "capabilities": {"add": [STRING], "drop": [STRING]},
    },
    "volumeMounts": [{"name": STRING, "mountPath": STRING, "readOnly": FLAG}],
}  # fmt: skip
VOLUME = {
    "name": STRING,
    "emptyDir": {"medium": STRING, "sizeLimit": STRING},
    "persistentVolumeClaim": {"claimName": STRING},
}
POD = {
    "containers": [CONTAINER], "volumes": [VOLUME], "hostname": STRING, "hostNetwork": FLAG, "restartPolicy": STRING,
    "hostAliases": [{"ip": STRING, "hostnames": [STRING]}],
}  # fmt: skip
LABELS = {"app.kubernetes.io/name": STRING}
META = {"name": STRING, "labels": LABELS, "annotations": {"org.opencontainers.image.revision": STRING}}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD}
KINDS: dict[str, Any] = {
    "pod": POD,
    "deployment": {"replicas": NUMBER, "selector": {"matchLabels": LABELS}, "template": TEMPLATE},
    "job": {"template": TEMPLATE},
}
"""The part of the API (v1.30) that is written; unknown fields are errors, as with kubectl's strict validation."""


def check(value: Any, shape: Any, where: str = "") -> None:
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert value.keys() <= shape.keys(), f"{where}: {value.keys() - shape.keys()}"
        for key, each in value.items():
            check(each, shape[key], f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, where
        for each in value:
            check(each, shape[0], where + "[]")
    else:
        assert type(value) is shape, f"{where}: {value!r}"


def load(text: str, version: tuple[int, int] = (1, 2)) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    return yaml.load(text)


def make(config: object, kind: PodKind = "pod", **asked: Any) -> tuple[Any, list[str]]:
    """Return the manifest as read from its text, checked, and what was left out."""
    left_out: list[str] = []
    parsed = parse_config(json.dumps(config).encode())
    manifest = make_manifest(PodRequest(kind, "app", IMAGE, "c" * 40), parsed, Sandbox(**asked), left_out.append)
    text = format_yaml(manifest)
    found = load(text)
    assert found == load(text, (1, 1)) == manifest
    check(found, {"apiVersion": STRING, "kind": STRING, "metadata": META, "spec": KINDS[kind]})
    return found, left_out


def container(config: object, **asked: Any) -> Any:
    found, left_out = make(config, **asked)
    assert left_out == []
    return found["spec"]["containers"][0]


def test_the_configuration() -> None:
    config = {
        "Entrypoint": ["/bin/app", "-v"], "Cmd": ["serve"], "Env": ["A=1", "PATH=/bin"], "WorkingDir": "/srv",
        "User": "1000:100", "ExposedPorts": {"80/tcp": {}, "53/udp": {}, "9000-9002": {}}, "Volumes": {"/data/": {}},
    }  # fmt: skip
    assert container(config) == {
        "name": "app", "image": IMAGE, "command": ["/bin/app", "-v"], "args": ["serve"], "workingDir": "/srv",
        "env": [{"name": "A", "value": "1"}, {"name": "PATH", "value": "/bin"}],
        "ports": [{"containerPort": port, "protocol": name} for port, name in
                  ((53, "UDP"), (80, "TCP"), (9000, "TCP"), (9001, "TCP"), (9002, "TCP"))],
        "securityContext": {"runAsUser": 1000, "runAsGroup": 100, "runAsNonRoot": True, "allowPrivilegeEscalation": False},
        "volumeMounts": [{"name": "volume-1", "mountPath": "/data"}],
    }  # fmt: skip


def test_what_the_sandbox_asks_for() -> None:
    found, left_out = make(
        {"Volumes": {"/data": {}}},
        memory="1g", cpus="1.5", read_only=True, cap_add=("CAP_NET_ADMIN",), cap_drop=("all",), publish=("8080:80",),
        tmpfs=("/run:size=64m,ro",), shm_size="1500k", volume=("store:/data:ro",), hostname="web", network="host",
        add_host=("db:192.0.2.7", "cache:192.0.2.7", "six:[2001:db8::1]"), security_opt=("no-new-privileges=false",),
    )  # fmt: skip
    assert left_out == []
    spec = found["spec"]
    assert spec["volumes"] == [
        {"name": "volume-1", "persistentVolumeClaim": {"claimName": "store"}},
        {"name": "volume-2", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": "volume-3", "emptyDir": {"medium": "Memory", "sizeLimit": "1500Ki"}},
    ]
    assert (spec["hostname"], spec["hostNetwork"]) == ("web", True)
    assert spec["hostAliases"] == [
        {"ip": "192.0.2.7", "hostnames": ["db", "cache"]},
        {"ip": "2001:db8::1", "hostnames": ["six"]},
    ]
    one = spec["containers"][0]
    amounts = {"cpu": "1500m", "memory": "1Gi"}
    assert one["resources"] == {"requests": amounts, "limits": amounts}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": True,
        "readOnlyRootFilesystem": True,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    }
    assert one["volumeMounts"][0] == {"name": "volume-1", "mountPath": "/data", "readOnly": True}
    assert one["ports"] == [{"containerPort": 80, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("config", "asked", "says"),
    [
        ({}, {"network": "none"}, "NetworkPolicy"),
        ({}, {"volume": ("./data:/data",)}, "folder of this machine"),
        ({}, {"volume": ("/etc:/data",)}, "folder of this machine"),
        ({}, {"mount": ("type=bind,src=/x,dst=/y",)}, "--mount"),
        ({}, {"ulimit": ("nofile=10",)}, "--ulimit nofile=10"),
        ({}, {"pids_limit": "10"}, "--pids-limit 10"),
        ({}, {"security_opt": ("nested-namespaces",)}, "--security-opt"),
        ({}, {"hostname": "a.b_c"}, "DNS label"),
        ({"Healthcheck": {"Test": ["CMD", "x"]}}, {}, "probes"),
        ({"Env": ["1 bad=x"]}, {}, "1 bad"),
        ({"ExposedPorts": {"x": {}}}, {}, "port"),
        ({"ExposedPorts": {"70000": {}}}, {}, "port"),
        ({"ExposedPorts": {"1-60000": {}}}, {}, "reachable"),
        ({"Volumes": {"rel": {}}}, {}, "volume"),
    ],
)
def test_what_has_no_counterpart_is_said(config: object, asked: dict[str, Any], says: str) -> None:
    _, left_out = make(config, **asked)
    assert len(left_out) == 1 and says in left_out[0]


def expanded(text: str) -> str:
    """What Kubernetes makes of a text (its package `expansion`) where no variable is known."""
    return re.sub(r"\$\$|\$\([^)]*\)", lambda match: "$" if match[0] == "$$" else "EXPANDED", text)


@pytest.mark.parametrize("text", ["$(HOME)", "$$(HOME)", "$$", "$$$(A)", "a$b", "$", "$HOME", "x$(", "cost: 5$$"])
def test_references_stay_what_they_are(text: str) -> None:
    found = container({"Cmd": [text], "Env": [f"A={text}"], "Entrypoint": [text]})
    assert expanded(found["args"][0]) == expanded(found["command"][0]) == expanded(found["env"][0]["value"]) == text


@pytest.mark.parametrize(
    "text",
    ["yes", "on", "n", "~", "null", "12:30", "0x1", "1e3", "010", "1_000", "", " lead", "a: b", "- x", "#c", "x" * 500,
     "two\nlines\n", "tab\t", "\x1b[31m", "\x7f\x85\u2028", "\ufeff", "quote\"'\\", "{{ x }}", "%YAML", "...", "😀", "ж"],
)  # fmt: skip
def test_texts_are_texts_for_every_reader(text: str) -> None:
    assert container({"Cmd": [text]})["args"] == [text]


@pytest.mark.parametrize(("user", "wanted"), [("", None), ("root", None), ("0", 0), ("7:me", 7), ("99999999999", None)])
def test_users(user: str, wanted: int | None) -> None:
    assert container({"User": user})["securityContext"].get("runAsUser") == wanted


def test_kinds() -> None:
    deployment, job = make({}, "deployment")[0], make({}, "job")[0]
    assert (deployment["apiVersion"], deployment["kind"]) == ("apps/v1", "Deployment")
    chosen = deployment["spec"]
    assert (
        chosen["selector"]["matchLabels"]
        == chosen["template"]["metadata"]["labels"]
        == deployment["metadata"]["labels"]
    )
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_names() -> None:
    assert choose_name("", "docker.io/library/My_App.x") == "my-app-x"
    assert choose_name("", "me/" + "a" * 62 + "-b") == "a" * 62
    assert choose_name("", "me/__") == "environment"
    for bad in ("A", "-a", "a-", "a" * 64, "a.b", "a\n"):
        with pytest.raises(UsageError):
            choose_name(bad, "x")


def open_(lab: Lab, environ: dict[str, str]) -> Repository:
    return Repository.open_(str(lab.path), environ, NullMonitor())


def test_the_image_is_the_one_that_was_pushed(lab: Lab, fake: WritableRegistry, environ: dict[str, str]) -> None:
    first = push_image(open_(lab, environ), "HEAD", f"{fake.host}/me/app:1")
    second = push_image(
        open_(lab, environ),
        "HEAD",
        f"{fake.host}/me/web:2",
    )
    commit(lab, "echo x > srv/x", "x")
    repo = open_(lab, environ)
    assert make_kube_manifest(repo, "HEAD~1").image == second.pinned
    assert make_kube_manifest(repo, "HEAD~1", image=f"{fake.host}/me/app:1").image == first.pinned
    made = make_kube_manifest(repo, "HEAD~1", image=first.pinned, kind="deployment", name="other")
    found = load(made.yaml)
    assert (found["metadata"]["name"], made.image) == ("other", first.pinned)
    assert found["metadata"]["annotations"]["org.opencontainers.image.revision"] == lab.head("HEAD~1")
    with pytest.raises(UsageError, match="not pushed"):
        make_kube_manifest(repo, "HEAD")
    # What was not pushed from here: the registry says what it is now, and which revision it is of.
    for other in (f"docker://{fake.host}/me/app:1", first.pinned):
        with pytest.raises(UsageError, match="is an image of " + lab.head("HEAD~1")):
            make_kube_manifest(repo, "HEAD", image=other)
    lab.path.joinpath(".envgit/build/pushed-images").unlink()
    assert make_kube_manifest(repo, "HEAD~1", image=f"{fake.host}/me/app:1").image == first.pinned
    assert make_kube_manifest(repo, "HEAD~1", image=second.pinned).image == second.pinned
    with pytest.raises(EnvgitError):
        make_kube_manifest(repo, "HEAD", image=f"{fake.host}/me/none:1")


@pytest.mark.parametrize("label", [None, "own", "other"])
def test_an_image_that_has_no_annotation(
    lab: Lab, fake: WritableRegistry, environ: dict[str, str], label: str | None
) -> None:
    """As other programs make them: a label of the configuration says it, or nothing does."""
    push_image(open_(lab, environ), "HEAD", f"{fake.host}/me/app:1")
    stored = next(iter(fake.manifests.values()))
    media_type, data = stored["1"]
    manifest = json.loads(data)
    del manifest["annotations"]
    (blobs,) = (each for each in fake.blobs.values() if manifest["config"]["digest"] in each)
    config = json.loads(blobs[manifest["config"]["digest"]])
    if label is not None:
        revision = lab.head() if label == "own" else "5" * 40
        config.setdefault("config", {})["Labels"] = {"org.opencontainers.image.revision": revision}
    text = json.dumps(config).encode()
    digest = "sha256:" + sha256(text).hexdigest()
    blobs[digest] = text
    manifest["config"] |= {"digest": digest, "size": len(text)}
    data = json.dumps(manifest).encode()
    for name in ("other", "sha256:" + sha256(data).hexdigest()):
        stored[name] = (media_type, data)
    repo, monitor = open_(lab, environ), NullMonitor()
    repo.monitor = monitor
    if label == "other":
        with pytest.raises(UsageError, match="is an image of 5555"):
            make_kube_manifest(repo, "HEAD", image=f"{fake.host}/me/app:other")
        return
    made = make_kube_manifest(repo, "HEAD", image=f"{fake.host}/me/app:other")
    assert made.image.endswith("@sha256:" + sha256(data).hexdigest())
    assert ["does not say which revision" in text for text in monitor.warnings] == ([True] if label is None else [])


def test_the_command(lab: Lab, fake: WritableRegistry, environ: dict[str, str]) -> None:
    pushed = push_image(open_(lab, environ), "HEAD", f"{fake.host}/me/app:1")
    done = lab("kube")
    assert load(done.out)["spec"]["containers"][0]["image"] == pushed.pinned and done.err == ""
    assert load(lab("kube", "HEAD", "--kind", "job", "--name", "x").out)["kind"] == "Job"
    lab.fails("kube", "nothing", status=2, says="nothing", hint=None)
    lab.fails("kube", "--name", "A B", status=2, says="no name", hint="--name")
    lab.fails("kube", "--image", "UPPER", status=2, says="UPPER", hint=None)
