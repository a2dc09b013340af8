"""podman loads, pulls and runs what we made."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from envgit.monitor import NullMonitor
from envgit.push_image import push_image
from envgit.repo import Repository
from tests.lab import CHECKOUT, Lab
from tests.publishing.test_images import commit
from tests.registry.test_real_registry import start

Podman = Callable[..., str]


@pytest.fixture
def podman() -> Iterator[Podman]:
    """A podman with storage of its own, on a short path."""
    assert shutil.which("podman"), "podman is missing: see tests/packages.sh"
    folder = Path(tempfile.mkdtemp(prefix="pm-", dir="/tmp"))
    (folder / "xdg").mkdir(mode=0o700)
    # crun and runc need cgroups as they like them; this runtime takes what there is.
    runtime = folder / "envgit-oci"
    words = f"{sys.executable} -P -m envgit.cli.oci --root {folder}/state"
    runtime.write_text(f'#!/bin/sh\nPYTHONPATH={CHECKOUT} exec {words} "$@"\n')
    runtime.chmod(0o755)
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder / "xdg")}
    places = [f"--{name}={folder}/{name}" for name in ("root", "runroot", "tmpdir")]
    fixed = ["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none", f"--runtime={runtime}"]

    def run(*words: str) -> str:
        done = subprocess.run(
            ["podman", *places, *fixed, *words],
            capture_output=True,
            text=True,
            timeout=60,
            env=environ,
            cwd=folder,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    yield run
    prefix = ["podman", "unshare"] if os.geteuid() else []
    subprocess.run([*prefix, "rm", "-rf", str(folder)], capture_output=True, timeout=60, check=False)
    shutil.rmtree(folder, ignore_errors=True)


LIMITS = ("--network=none", "--ulimit=nofile=512:1024", "--ulimit=nproc=2048:2048")
IDS = () if os.geteuid() else ("--uidmap=0:200000:65536",)
SCRIPT = "cat /srv/a /srv/b/x; test ! -e /usr/share; stat -c %a:%h:%u:%y /srv/a /etc/motd; stat -c %a:%y /srv/b"


@pytest.mark.parametrize("form", ["docker-archive", "docker"])
def test_podman_runs_it(form: str, podman: Podman, lab: Lab, environ: dict[str, str], tmp_path: Path) -> None:
    commit(lab, "echo a > srv/a; ln srv/a srv/c; mkdir srv/b; rm -r usr/share", "one")
    commit(lab, "echo x > srv/b/x; chmod 640 etc/motd", "two")
    if form == "docker":
        host, registry = start(tmp_path)
        try:
            repo = Repository.open_(str(lab.path), environ, NullMonitor())
            image = push_image(repo, "HEAD", f"{host}/me/app:1").pinned
            podman("pull", "--quiet", "--tls-verify=false", image)
        finally:
            registry.terminate()
            registry.wait()
    else:
        image = "localhost/me/app:1"
        lab("export", f"{form}:{tmp_path}/image.tar:{image}")
        podman("load", "--quiet", "--input", str(tmp_path / "image.tar"))
    ran = podman("run", "--rm", *LIMITS, *IDS, image, "sh", "-c", SCRIPT)
    assert ran.startswith("a\nx\n644:2:0:") and "\n640:1:" in ran
    assert ran == lab.look("HEAD", SCRIPT)
