"""envgit spec prints what run would start; a bundle of it is one that runc takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, remove


def test_it_is_the_revision_below_the_options(lab: Lab) -> None:
    oid = lab.head("HEAD")
    words = ("--network", "none", "-e", "A=b", "-w", "/srv", "-u", "ann", "-m", "64m", "--read-only", "--tmpfs", "/x")
    config = lab("spec", *words, "main", "--", "sh", "-c", "true").json()
    assert config["process"]["args"] == ["sh", "-c", "true"] and config["process"]["cwd"] == "/srv"
    assert "A=b" in config["process"]["env"] and "HOME=/home/ann" in config["process"]["env"]
    assert (config["process"]["user"]["uid"], config["process"]["user"]["gid"]) == (1000, 1000)
    assert config["process"]["capabilities"]["effective"] == []
    assert config["root"] == {"path": "rootfs", "readonly": True}
    assert config["linux"]["resources"]["memory"]["limit"] == 64 << 20
    assert config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert config["annotations"]["org.envgit.revision"] == oid
    assert config["annotations"]["org.envgit.root"]
    assert {"/x", "/tmp", "/etc/hosts"} <= {mount["destination"] for mount in config["mounts"]}


def test_it_is_the_same_each_time_and_changes_with_the_revision(lab: Lab) -> None:
    first = lab("spec", "main", "--", "true").out
    assert lab("spec", "main", "--", "true").out == first == lab("spec", "--", "true").out
    lab.sh("echo more >> /etc/motd")
    lab("commit", "-m", "more")
    second = lab("spec", "main", "--", "true").json()
    assert second["annotations"] != json.loads(first)["annotations"]
    assert lab("spec", "main~1", "--", "true").out == first


def test_it_starts_nothing_and_leaves_nothing(lab: Lab) -> None:
    lab("spec", "main")
    assert list((lab.git_dir / "sandboxes").iterdir()) == []
    assert lab.changes() == []


def test_what_cannot_be_said_is_refused(lab: Lab) -> None:
    lab.fails("spec", "nonesuch", status=2, says="nonesuch", hint=None)
    lab.fails("spec", "-u", "bob", "main", status=125, says="no user 'bob'", hint="use a number")
    lab.fails("spec", "main", "true", status=2, says="Put -- before", hint=None)
    lab("spec", "main", "--", "true", "--nonesuch")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that runc reaches with the ids of the sandbox: every folder above it can be passed."""
    folder = Path(tempfile.mkdtemp(prefix="spec-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    remove(folder)


@pytest.mark.parametrize("options", [(), ("--security-opt", "seccomp=unconfined"), ("--cap-add", "SYS_PTRACE")])
def test_a_bundle_runs_under_runc(lab: Lab, small_root: Path, open_folder: Path, options: tuple[str, ...]) -> None:
    """The root is given to the ids of the map; as an ordinary user it belongs to the caller, who is root inside."""
    bundle = open_folder / "bundle"
    lab("spec", "--bundle", str(bundle), *options, "main", "--", "sh", "-c", "id -u; cat /etc/hostname")
    config = json.loads((bundle / "config.json").read_text())
    shutil.copytree(small_root, bundle / "rootfs", symlinks=True, dirs_exist_ok=True)
    first = config["linux"]["uidMappings"][0]["hostID"]
    for folder, names, files in os.walk(bundle):
        for name in (".", *names, *files):
            os.chown(
                os.path.join(folder, name),
                first,
                os.stat(bundle).st_gid if os.geteuid() else first,
                follow_symlinks=False,
            )
    if config["ociVersion"] == "1.2.0":  # older ones of distributions know 1.0.2 only, and nothing newer is used
        config["ociVersion"] = "1.0.2"
        (bundle / "config.json").write_text(json.dumps(config))
    state = open_folder / "runc"
    done = subprocess.run(
        ["runc", "--root", str(state), "run", "--bundle", str(bundle), f"spec-{os.getpid()}"],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={**os.environ, "XDG_RUNTIME_DIR": str(open_folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0\nenvgit\n"
    lab.fails("spec", "--bundle", str(bundle), "main", status=2, says="not empty", hint="new one")
