"""Images into registries: the distribution project's own, and one that can be told to misbehave."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.errors import EnvgitError, SourceError, UsageError
from envgit.monitor import NullMonitor
from envgit.push_image import PushedImage, PushImageOptions, push_image
from envgit.repo import Repository
from tests.lab import Lab, command_environment, run_envgit
from tests.publishing.test_images import commit, root_of
from tests.publishing.writable_registry import BREAK, Asked, Reply, WritableRegistry
from tests.registry.test_real_registry import HTPASSWD, start


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    host, running = start(tmp_path_factory.mktemp("registry"))
    yield host
    running.terminate()
    running.wait()


@pytest.fixture
def grown(lab: Lab) -> Lab:
    commit(lab, "echo a > srv/a; ln srv/a srv/b; rm -r usr/share", "one")
    commit(lab, "rm srv/b; mkdir srv/b; echo x > srv/b/x", "two")
    return lab


@pytest.fixture
def push(grown: Lab, environ: dict[str, str]) -> Callable[..., PushedImage]:
    """Return a function that pushes a revision of `grown`."""

    def run(reference: str, revision: str = "HEAD", **options: object) -> PushedImage:
        repo = Repository.open_(str(grown.path), environ, NullMonitor())
        return push_image(repo, revision, reference, PushImageOptions(**options))  # type: ignore[arg-type]

    return run


def counts(pushed: PushedImage) -> tuple[int, int, int]:
    return pushed.sent, pushed.present, pushed.mounted


def skopeo(*words: str) -> bytes:
    done = subprocess.run(["skopeo", "--insecure-policy", *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_a_real_registry(registry: str, push: Callable[..., PushedImage], grown: Lab, tmp_path: Path) -> None:
    reference = f"docker://{registry}/real/app:1"
    first = push(reference)
    assert counts(first) == (3, 0, 0) and first.bytes > 0 and first.layers == 3
    again = push(reference)
    assert counts(again) == (0, 3, 0) and again.digest == first.digest and again.bytes == 0
    shutil.rmtree(grown.git_dir / "build")
    assert counts(push(reference)) == (0, 3, 0)
    assert counts(push(f"{registry}/real/other")) == (0, 0, 3)
    commit(grown, "echo more > srv/more", "more")
    more = push(reference)
    assert counts(more) == (1, 3, 0)
    raw = skopeo("inspect", "--tls-verify=false", "--raw", reference)
    assert len(json.loads(raw)["layers"]) == 4
    skopeo("copy", "-q", "--src-tls-verify=false", f"docker://{more.pinned}", f"oci:{tmp_path}/layout:1")
    rootless = ["--rootless"] if os.geteuid() else []
    unpack = ["umoci", "unpack", *rootless, "--image", f"{tmp_path}/layout:1", str(tmp_path / "bundle")]
    subprocess.run(unpack, capture_output=True, check=True)
    assert (tmp_path / "bundle/rootfs/srv/more").read_text() == "more\n"
    run_envgit("init", "again", "--from", f"docker://{more.pinned}", cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(grown)


@pytest.mark.parametrize("options", [{"squash": True}, {"compression": "zstd"}, {"compression": "none"}])
def test_other_forms(
    options: dict[str, object], registry: str, push: Callable[..., PushedImage], grown: Lab, tmp_path: Path
) -> None:
    reference = f"docker://{registry}/forms/{'-'.join(options)}:1"
    assert push(reference, **options).layers == (1 if "squash" in options else 3)
    run_envgit("init", "again", "--from", reference, cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(grown)


def test_what_is_pushed_is_what_is_exported(
    registry: str, push: Callable[..., PushedImage], grown: Lab, tmp_path: Path
) -> None:
    pushed = push(f"{registry}/same/app:1")
    grown("export", f"oci:{tmp_path}/layout:1")
    index = json.loads((tmp_path / "layout/index.json").read_bytes())
    assert index["manifests"][0]["digest"] == pushed.digest


def test_pieces_to_a_real_registry(
    registry: str, push: Callable[..., PushedImage], grown: Lab, small_pieces: Callable[[int], None], tmp_path: Path
) -> None:
    small_pieces(100_000)
    reference = f"docker://{registry}/pieces/app:1"
    push(reference)
    run_envgit("init", "again", "--from", reference, cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(grown)


def test_a_registry_that_wants_a_login(
    push: Callable[..., PushedImage], tmp_path: Path, environ: dict[str, str]
) -> None:
    (tmp_path / "htpasswd").write_text(HTPASSWD)
    host, running = start(tmp_path, f"auth: {{htpasswd: {{realm: here, path: {tmp_path}/htpasswd}}}}\n")
    try:
        with pytest.raises(SourceError) as caught:
            push(f"{host}/me/app")
        assert "without a login" in caught.value.message and f"envgit login {host}" in (caught.value.hint or "")
        (tmp_path / "home/.docker").mkdir(parents=True)
        auths = {host: {"auth": "bWU6c2VjcmV0"}}
        (tmp_path / "home/.docker/config.json").write_text(json.dumps({"auths": auths}))
        assert counts(push(f"{host}/me/app")) == (3, 0, 0)
        auths[host]["auth"] = "bWU6d3Jvbmc="
        (tmp_path / "home/.docker/config.json").write_text(json.dumps({"auths": auths}))
        with pytest.raises(SourceError, match="with the credentials from"):
            push(f"{host}/me/app")
    finally:
        running.terminate()
        running.wait()


@pytest.mark.usefixtures("waits")
def test_tokens_are_asked_for_once(fake: WritableRegistry, push: Callable[..., PushedImage]) -> None:
    fake.token = "t"
    assert counts(push(f"{fake.host}/me/app")) == (3, 0, 0)
    assert fake.scopes == [["repository:me/app:pull,push"]]
    assert fake.count("PUT", "/manifests/") == 1 and fake.asked[-1].path == "/v2/me/app/manifests/latest"


@pytest.mark.usefixtures("waits")
def test_blobs_that_a_registry_lost_are_sent_again(fake: WritableRegistry, push: Callable[..., PushedImage]) -> None:
    push(f"{fake.host}/me/app:1")
    lost = next(iter(fake.blobs["me/app"]))
    del fake.blobs["me/app"][lost]
    assert counts(push(f"{fake.host}/me/app:1")) == (1, 2, 0)
    assert lost in fake.blobs["me/app"]


@pytest.mark.usefixtures("waits")
def test_mounts_that_are_refused_are_sent(fake: WritableRegistry, push: Callable[..., PushedImage]) -> None:
    push(f"{fake.host}/me/app:1")
    fake.mounts = False
    assert counts(push(f"{fake.host}/me/other:1")) == (3, 0, 0)
    assert set(fake.blobs["me/other"]) == set(fake.blobs["me/app"])


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("number", range(12))
def test_cut_at_every_request(number: int, fake: WritableRegistry, push: Callable[..., PushedImage]) -> None:
    """The registry is gone from some request on: a clear error, no tag; when it is back the next push completes it."""
    seen: list[Asked] = []

    def gone(asked: Asked, _: bytes) -> Reply | None:
        seen.append(asked)
        return BREAK if len(seen) > number else None

    fake.overrides.append(gone)
    with pytest.raises(EnvgitError) as caught:
        push(f"{fake.host}/me/app:1")
    assert caught.value.hint and "1" not in fake.manifests.get("me/app", {})
    fake.overrides.clear()
    push(f"{fake.host}/me/app:1")
    manifest = json.loads(fake.manifests["me/app"]["1"][1])
    assert {layer["digest"] for layer in manifest["layers"]} <= fake.blobs["me/app"].keys()


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
@pytest.mark.parametrize("status", [302, 400, 403, 404, 405, 413, 429, 500])
def test_refusals_leave_no_tag_and_no_thread(
    method: str, status: int, fake: WritableRegistry, push: Callable[..., PushedImage]
) -> None:
    if (method, status) == ("HEAD", 404):
        return
    fake.overrides.append(lambda asked, _: Reply(status) if asked.method == method else None)
    with pytest.raises(SourceError) as caught:
        push(f"{fake.host}/me/app:1")
    assert caught.value.hint and not fake.manifests
    for thread in threading.enumerate():
        if thread.name.startswith("Thread-") and "_run" in thread.name:
            thread.join(5)
            assert not thread.is_alive()


@pytest.mark.parametrize(
    "reference", ["docker://", "UPPER", "a b", "x@sha256:" + "0" * 64, "docker://host:99999/x", "a:b:c"]
)
def test_references_that_make_no_sense(reference: str, push: Callable[..., PushedImage]) -> None:
    with pytest.raises(UsageError):
        push(reference)


SCRIPT = """
import os, sys
from envgit.monitor import NullMonitor
from envgit.push_image import push_image
from envgit.repo import Repository
push_image(Repository.open_(".", dict(os.environ), NullMonitor()), "HEAD", sys.argv[1])
"""


def test_nothing_is_left_of_a_push_that_was_killed(
    push: Callable[..., PushedImage], grown: Lab, fake: WritableRegistry
) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def hold(asked: Asked, _: bytes) -> Reply | None:
        if asked.method == "PUT":
            reached.set()
            go_on.wait(20)
        return None

    fake.overrides.append(hold)
    words = [sys.executable, "-P", "-c", SCRIPT, f"docker://{fake.host}/me/app:1"]
    running = subprocess.Popen(words, cwd=grown.path, env=command_environment({}))
    assert reached.wait(20)
    running.kill()
    running.wait()
    go_on.set()
    assert not fake.manifests
    assert {path.name for path in (grown.git_dir / "build").iterdir()} <= {
        "made-layers",
        "pushed-blobs",
        "pushed-images",
    }
    fake.overrides.clear()
    push(f"{fake.host}/me/app:1")
    assert "1" in fake.manifests["me/app"]
