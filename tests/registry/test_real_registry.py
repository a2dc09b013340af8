"""A registry of the distribution project, filled by skopeo."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.images import resolve_digest
from envgit.monitor import NullMonitor
from tests.images.image_builder import AMD64, BASE, TOP, Builder, named, tar
from tests.images.reading import read
from tests.lab import Lab, run_envgit
from tests.sources.tar_builder import file

CONFIG = """
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: %(folder)s/data}}
http: {addr: "%(host)s"}
"""
HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
"""The password is "secret"."""
RESULT = {"etc/motd": "top\n", "srv/b": "b"}


def start(folder: Path, more: str = "") -> tuple[str, subprocess.Popen[bytes]]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{listener.getsockname()[1]}"
    (folder / "config.yml").write_text(CONFIG % {"folder": folder, "host": host} + more)
    program = shutil.which("docker-registry") or shutil.which("registry")
    assert program, "docker-registry is not installed"
    running = subprocess.Popen([program, "serve", str(folder / "config.yml")], stderr=subprocess.DEVNULL)
    for _ in range(1000):
        with socket.socket() as probe:
            address, port = host.split(":")
            if probe.connect_ex((address, int(port))) == 0:
                return host, running
        assert running.poll() is None, "docker-registry does not start"
        _wait(0.01)
    raise AssertionError("docker-registry does not answer")


_wait = time.sleep
"""As it was before the tests' fixture took it away."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host of a registry that holds app:1 (two layers), app:many (an index) and app:docker (docker's own types)."""
    folder = tmp_path_factory.mktemp("registry")
    host, running = start(folder)
    try:
        builder = Builder()
        image = builder.image(BASE, TOP, config={"Env": ["A=1"], "User": "7"})
        arm = {"os": "linux", "architecture": "arm64"}
        parts = [{**builder.image(tar(file(p["architecture"].encode())), **p), "platform": p} for p in (AMD64, arm)]
        layout = builder.write(folder / "layout", named(image, "1"), named(builder.index(*parts), "many"))
        for tag, words in (("1", []), ("many", ["--all"]), ("docker", ["--format", "v2s2"])):
            source = f"oci:{layout}:{tag.replace('docker', '1')}"
            command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", *words]
            subprocess.run([*command, source, f"docker://{host}/me/app:{tag}"], check=True)
        yield host
    finally:
        running.terminate()
        running.wait()


def digest_by_skopeo(reference: str) -> str:
    raw = subprocess.run(
        ["skopeo", "--insecure-policy", "inspect", "--tls-verify=false", "--raw", reference],
        capture_output=True,
        check=True,
    ).stdout
    manifest = subprocess.run(["skopeo", "manifest-digest", "/dev/stdin"], input=raw, capture_output=True, check=True)
    return manifest.stdout.decode().strip()


@pytest.mark.parametrize("tag", ["1", "docker"])
def test_pull(tag: str, registry: str, environ: dict[str, str]) -> None:
    reference = f"docker://{registry}/me/app:{tag}"
    found = read(reference, environ)
    assert found.text == RESULT
    assert (found.config.env, found.config.user) == ((("A", "1"),), "7")
    resolved = resolve_digest(reference, environ=environ, monitor=NullMonitor())
    assert found.image.digest == resolved == digest_by_skopeo(reference)
    assert read(f"docker://{registry}/me/app@{resolved}", environ).text == RESULT


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_platforms(architecture: str, registry: str, environ: dict[str, str]) -> None:
    reference = f"docker://{registry}/me/app:many"
    found = read(reference, environ, platform=f"linux/{architecture}")
    assert list(found.text) == [architecture]
    assert found.image.digest == digest_by_skopeo(reference) != found.image.manifest_digest


def test_import_and_init(registry: str, tmp_path: Path) -> None:
    reference = f"docker://{registry}/me/app:1"
    run_envgit("init", "lab", "--from", reference, cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    config = json.loads(lab.git("show", "main:config.json"))
    assert config == {"Env": ["A=1"], "User": "7"}
    assert lab.git("show", "main:rootfs/etc/motd") == "top\n"
    assert lab.git("log", "--format=%s").splitlines() == ["layer 2", "layer 1"]
    lab("import", f"docker://{registry}/me/app:many", "--platform", "linux/arm64", "-m", "arm")
    assert lab.git("ls-tree", "--name-only", "main:rootfs").split() == ["%meta", "arm64"]
    assert json.loads(lab.git("show", "main:config.json")) == {}
    lab("import", reference)
    message = lab.git("log", "-1", "--format=%B")
    assert message.startswith(f"import {reference}\n\nlinux/amd64, digest {digest_by_skopeo(reference)}\n")
    before = lab.head()
    lab("import", reference, "-n")
    assert lab.head() == before
    lab.fails("import", f"docker://{registry}/me/no:1", status=2, says="there is no", hint="check the name")
    lab.fails(
        "import",
        f"docker://{registry}/me/app:many",
        "--platform",
        "linux/s390x",
        status=2,
        says="is for linux/amd64",
        hint="--platform",
    )
    lab.fails(
        "import",
        "host",
        "--platform",
        "linux/s390x",
        status=2,
        says="no choice of platforms",
        hint="leave --platform out",
    )
    assert lab.head() == before


def test_a_registry_that_wants_a_login(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    host, running = start(tmp_path, f"auth: {{htpasswd: {{realm: here, path: {tmp_path}/htpasswd}}}}\n")
    try:
        builder = Builder()
        layout = builder.write(tmp_path / "layout", named(builder.image(BASE, TOP), "1"))
        command = ["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false", "--dest-creds", "me:secret"]
        subprocess.run([*command, f"oci:{layout}:1", f"docker://{host}/app:1"], check=True)
        lab = tmp_path / "lab"
        arguments = ("init", str(lab), "--from", f"docker://{host}/app:1")
        done = run_envgit(*arguments, cwd=tmp_path, status=2)
        assert "needs a login" in done.err and "envgit login" in done.err and not lab.exists()
        auth = base64.b64encode(b"me:secret").decode()
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        run_envgit(*arguments, cwd=tmp_path, DOCKER_CONFIG=str(tmp_path))
        assert Lab(lab).git("show", "main:rootfs/etc/motd") == "top\n"
    finally:
        running.terminate()
        running.wait()
