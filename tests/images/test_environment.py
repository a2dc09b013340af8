"""An image as an environment that runs: its programs, its variables, its command."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.images.image_builder import Builder, named, tar
from tests.lab import Lab, remove, run_envgit
from tests.sources.tar_builder import file


@pytest.fixture
def layout(tmp_path: Path, small_root: Path) -> Path:
    """A layout with a small root filesystem below a layer that changes it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(small_root, "./", filter=_of_root)
    top = tar(file(b"etc/motd", b"from the image\n"), file(b"srv/.wh.lines"))
    config = {
        "Env": ["GREETING=hello"], "Cmd": ["sh", "-c", "echo $GREETING; pwd; cat /etc/motd; ls /srv"], "WorkingDir": "/usr/share",
        "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}},
    }  # fmt: skip
    builder = Builder()
    return builder.write(tmp_path / "layout", named(builder.image(stream.getvalue(), top, config=config), "t"))


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    return member


def test_an_image_runs_as_it_says(layout: Path, tmp_path: Path) -> None:
    done = run_envgit("init", "lab", "--from", f"oci:{layout}:t", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert "import oci:" in done.out
    assert lab("run").lines() == ["hello", "/usr/share", "from the image"]
    assert lab("status", "--porcelain").out == ""
    config = json.loads(lab.git("show", "main:config.json"))
    assert (config["Labels"], config["ExposedPorts"]) == ({"a": "b"}, {"80/tcp": {}})
    remove(lab.git_dir)


def test_the_same_image_is_there_already(layout: Path, tmp_path: Path) -> None:
    run_envgit("init", "lab", "--from", f"oci:{layout}:t", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    tip = lab.head()
    done = lab("import", f"oci:{layout}")
    assert "2 layers, all here already" in done.out and "nothing had to be recorded" in done.out
    assert "undo" not in done.err and lab.head() == tip


def test_a_failed_import_leaves_nothing(layout: Path, tmp_path: Path) -> None:
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(bytes(blob.stat().st_size))
    done = run_envgit("init", "lab", "--from", f"oci:{layout}:t", cwd=tmp_path, status=2)
    assert "envgit: layer 1 of oci:" in done.err and "hint: " in done.err
    assert not (tmp_path / "lab").exists()


@pytest.mark.parametrize(
    ("words", "says", "hint"),
    [
        (("oci:no",), "there is no layout no", "oci:DIR"),
        (("docker:debian",), "has no // after docker:", "docker://debian"),
        (("docker://Debian",), "no name of an image", "debian"),
        (("layout",), "does not say its kind", "oci:layout"),
        (("oci:layout", "--platform", "arm64"), "is for linux/amd64, not for linux/arm64", "--platform linux/amd64"),
        (("oci:layout:\x1b[31m",), "is no tag", "oci:PATH"),
    ],
)
def test_what_was_typed_wrong(words: tuple[str, ...], says: str, hint: str, layout: Path, tmp_path: Path) -> None:
    done = run_envgit("init", "lab", "--from", *words, cwd=tmp_path, status=2)
    error, *hints = done.err.splitlines()
    assert error.startswith("envgit: ") and says in error and "\x1b" not in done.err
    assert hint in " ".join(hints)
    assert not (tmp_path / "lab").exists()
