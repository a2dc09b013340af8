"""Revisions as images: what layers, histories and configurations say, and that nothing but the revision decides it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import UsageError
from envgit.publishing.destination import ImageDestination, compression_for, parse_destination
from tests.lab import Lab, run_envgit

ROOTLESS = ("--rootless",) if os.geteuid() else ()


def document(layout: Path, digest: str) -> Any:
    return json.loads((layout / "blobs/sha256" / digest.removeprefix("sha256:")).read_bytes())


def image(layout: Path, tag: str = "1") -> tuple[Any, Any]:
    """Return the manifest and the configuration that a layout has under a tag."""
    index = json.loads((layout / "index.json").read_bytes())
    name = "org.opencontainers.image.ref.name"
    entry = next(one for one in index["manifests"] if one.get("annotations", {}).get(name, "") == tag)
    manifest = document(layout, entry["digest"])
    return manifest, document(layout, manifest["config"]["digest"])


def root_of(lab: Lab, revision: str = "HEAD") -> str:
    lines = lab.git("log", "-1", "--format=%B", revision).splitlines()
    return next(line for line in lines if line.startswith("Envgit-Root"))


def commit(lab: Lab, script: str, message: str) -> None:
    lab.sh(script)
    lab("commit", "-qm", message)


@pytest.fixture
def grown(lab: Lab) -> Lab:
    """Three commits with changes."""
    commit(lab, "echo a > srv/a; ln srv/a srv/b; rm -r usr/share", "one\n\nBody.")
    commit(lab, "rm srv/b; mkdir srv/b; echo x > srv/b/x; chmod 4755 srv/a", "two")
    return lab


def test_one_layer_for_each_commit(grown: Lab, tmp_path: Path) -> None:
    done = grown("export", f"oci:{tmp_path}/layout:1")
    manifest, config = image(tmp_path / "layout")
    assert len(manifest["layers"]) == len(config["rootfs"]["diff_ids"]) == 3
    assert [entry["created_by"] for entry in config["history"]] == ["small", "one", "two"]
    assert {entry["author"] for entry in config["history"]} == {"A U Thor <author@example.com>"}
    date = grown.git("log", "-1", "--format=%cd", "--date=format-local:%Y-%m-%dT%H:%M:%SZ").strip()
    assert config["created"] == config["history"][-1]["created"] == date
    assert (config["os"], config["config"]) == ("linux", json.loads(grown.git("show", "HEAD:config.json")))
    assert manifest["annotations"]["org.opencontainers.image.revision"] == grown.head()
    assert "3 layers" in done.out and f"linux/{config['architecture']}" in done.out


def test_commits_without_changes_are_history_and_no_layers(grown: Lab, tmp_path: Path) -> None:
    grown("commit", "--allow-empty", "-qm", "nothing")
    commit(grown, "echo 3 > srv/three", "three")
    grown("commit", "--allow-empty", "-qm", "nothing again")
    grown("export", f"oci:{tmp_path}/layout:1")
    manifest, config = image(tmp_path / "layout")
    empty = [entry["created_by"] for entry in config["history"] if entry.get("empty_layer")]
    assert (len(manifest["layers"]), empty) == (4, ["nothing", "nothing again"])
    assert [entry["created_by"] for entry in config["history"]][3:] == ["nothing", "three", "nothing again"]


def test_squash(grown: Lab, tmp_path: Path) -> None:
    grown("export", "--squash", f"oci:{tmp_path}/layout:1")
    manifest, config = image(tmp_path / "layout")
    assert (len(manifest["layers"]), len(config["history"])) == (1, 1)


DESTINATIONS = ["oci:{}/layout:1", "oci-archive:{}/a.tar:1", "oci-archive:{}/a.tar", "docker-archive:{}/d.tar:me/app:1"]


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("options", [(), ("--squash",), ("--compression", "none"), ("--compression", "zstd")])
def test_importing_what_we_wrote_gives_the_same_files(
    destination: str, options: tuple[str, ...], grown: Lab, tmp_path: Path
) -> None:
    if "zstd" in options and destination.startswith("docker-archive"):
        grown.fails("export", *options, destination.format(tmp_path), status=2, says="plain", hint="oci-archive")
        return
    destination = destination.format(tmp_path)
    grown("export", *options, destination)
    run_envgit("init", "again", "--from", destination, cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(grown)


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_the_same_revision_gives_the_same_bytes(
    destination: str, grown: Lab, labs: Callable[[Path], Lab], tmp_path: Path
) -> None:
    found = []
    for number, each in enumerate((grown, labs(grown.path), grown)):
        folder = tmp_path / str(number)
        folder.mkdir()
        if each is not grown:
            shutil.rmtree(each.git_dir / "build", ignore_errors=True)
        each("export", "HEAD", destination.format(folder), TZ="Asia/Tokyo" if number else "UTC")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found.append({path.relative_to(folder): path.read_bytes() for path in files})
    assert found[0] == found[1] == found[2]


def test_a_build_that_landed_as_a_merge_is_its_steps(lab: Lab, tmp_path: Path) -> None:
    """The merge has the very files of its second parent: the line goes on there, and what was before is no part of it."""
    first = lab.head()
    commit(lab, "echo old > srv/old", "old")
    old = lab.head()
    lab("checkout", "-qb", "side", first)
    commit(lab, "echo step > srv/step", "step")
    merge = lab.git("commit-tree", "-p", old, "-p", "side", "-m", _message(lab, "merge"), "side^{tree}").strip()
    lab.git("update-ref", "refs/heads/landed", merge)
    lab("export", "landed", f"oci:{tmp_path}/layout:1")
    manifest, config = image(tmp_path / "layout")
    history = [(entry["created_by"], entry.get("empty_layer", False)) for entry in config["history"]]
    assert history == [("small", False), ("step", False), ("merge", True)] and len(manifest["layers"]) == 2


def _message(lab: Lab, subject: str) -> str:
    body = lab.git("log", "-1", "--format=%B").strip().rpartition("\n\n")[2]
    return f"{subject}\n\n{body}\n"


def test_a_long_history_shares_layers(lab: Lab, tmp_path: Path) -> None:
    """A hundred and thirty commits; after the next, the lower layers are the same."""
    first, trees = lab.head(), []
    for number in range(2):
        commit(lab, f"echo {number} > srv/n", f"n{number}")
        trees.append((lab.git("rev-parse", "HEAD^{tree}").strip(), _message(lab, "turn")))
    tip = first
    for number in range(130):
        tree, message = trees[number % 2]
        tip = lab.git("commit-tree", "-p", tip, "-m", message, tree).strip()
    lab.git("update-ref", "refs/heads/long", tip)
    lab("export", "long", f"oci:{tmp_path}/layout:1")
    lab.git("update-ref", "refs/heads/long", lab.git("commit-tree", "-p", tip, "-m", trees[0][1], trees[0][0]).strip())
    lab("export", "long", f"oci:{tmp_path}/layout:2")
    (before, config), (after, _) = image(tmp_path / "layout"), image(tmp_path / "layout", "2")
    layers = [layer["digest"] for layer in before["layers"]]
    assert len(layers) == len(config["history"]) == len(config["rootfs"]["diff_ids"]) < 50
    assert [layer["digest"] for layer in after["layers"]][:20] == layers[:20]
    assert " commits, " in config["history"][1]["created_by"]
    run_envgit("init", "again", "--from", f"oci:{tmp_path}/layout:2", cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(lab, "long")


def test_a_layout_holds_several_images(grown: Lab, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for revision, destination in (("HEAD", ":1"), ("HEAD~1", ":2"), ("HEAD~2", ""), ("HEAD~1", ":1")):
        grown("export", revision, f"oci:{layout}{destination}")
    assert len(json.loads((layout / "index.json").read_bytes())["manifests"]) == 3
    assert image(layout, "1") == image(layout, "2")
    skopeo = ["skopeo", "--insecure-policy", "inspect", "--raw", f"oci:{layout}:2"]
    assert json.loads(subprocess.run(skopeo, capture_output=True, check=True).stdout) == image(layout, "2")[0]


def test_what_is_in_the_way(grown: Lab, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/x").write_text("mine")
    grown.fails("export", f"oci:{tmp_path}/full:1", status=1, says="something else", hint="empty")
    grown.fails("export", f"oci:{tmp_path}/full/x:1", status=1, says="no folder", hint="another name")
    grown.fails("export", f"oci-archive:{tmp_path}/full/x", status=1, says="exists", hint="another name")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "oci-layout").write_text("{}")
    for text in ("", "[]", "[" * 100_000, '{"manifests": [3]}', '{"manifests": {}}'):
        (broken / "index.json").write_text(text)
        grown.fails("export", f"oci:{broken}:1", status=2, says="index.json", hint="repair")
        assert (broken / "index.json").read_text() == text
    assert (tmp_path / "full/x").read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("oci:",), "destination"),
        (("oci:{}/l:",), "destination"),
        (("oci:{}/l:a b",), "no tag"),
        (("oci:{}/l:-x",), "no tag"),
        (("docker-archive:{}/d:UPPER",), "name"),
        (("docker-archive:{}/d:a@sha256:" + "0" * 64,), "digest"),
        (("--compression", "xz", "oci:{}/l:1"), "xz"),
        (("--squash", "tar:{}/t"), "images"),
        (("--platform", "windows/amd64", "oci:{}/l:1"), "Linux"),
        (("nothing", "oci:{}/l:1"), "nothing"),
        (("docker://localhost/x",), "go into a registry by push"),
    ],
)
def test_words_that_make_no_sense(words: tuple[str, ...], says: str, lab: Lab, tmp_path: Path) -> None:
    lab.fails("export", *(word.format(tmp_path) for word in words), status=2, says=says, hint=None)
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("lab",)] == []


def test_destinations() -> None:
    assert parse_destination("oci:a/b:1.0") == ImageDestination("oci", "a/b", "1.0")
    assert parse_destination("docker-archive:f.tar:app") == ImageDestination(
        "docker-archive", "f.tar", "docker.io/library/app:latest"
    )
    assert parse_destination("tar:x") is None is parse_destination("dir:oci:x")
    assert compression_for(ImageDestination("oci", "x", ""), None) == "gzip"
    assert compression_for(ImageDestination("docker-archive", "x", ""), None) == "none"
    with pytest.raises(UsageError):
        compression_for(ImageDestination("docker-archive", "x", ""), "gzip")


@pytest.mark.parametrize(("word", "architecture"), [("arm64", "arm64"), ("linux/arm/v7", "arm")])
def test_platforms(word: str, architecture: str, lab: Lab, tmp_path: Path) -> None:
    lab("export", "--platform", word, f"oci:{tmp_path}/layout:1")
    config = image(tmp_path / "layout")[1]
    assert config["architecture"] == architecture and config.get("variant", "") == (
        "v7" if architecture == "arm" else ""
    )


def test_the_platform_is_that_of_the_programs(lab: Lab, tmp_path: Path) -> None:
    """An environment of another machine: nothing else in it says for which."""
    foreign = tmp_path / "foreign"
    (foreign / "bin").mkdir(parents=True)
    (foreign / "bin/sh").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(100))
    lab("import", f"dir:{foreign}")
    lab("export", f"oci:{tmp_path}/layout:1")
    assert image(tmp_path / "layout")[1]["architecture"] == "arm64"


def test_names_that_images_cannot_have_are_said(lab: Lab, tmp_path: Path) -> None:
    commit(lab, "echo x > srv/.wh.x", "whiteout")
    for number in range(2):  # also what is remembered would say so
        done = lab("export", f"oci:{tmp_path}/layout{number}:1", status=3)
        assert "srv/.wh.x" in done.err


def test_memory_that_is_damaged_or_gone(grown: Lab, tmp_path: Path) -> None:
    grown("export", f"oci:{tmp_path}/layout:1")
    wanted = image(tmp_path / "layout")
    memory = grown.git_dir / "build/made-layers"
    for text in (b"\xff\0nonsense\n" * 10, memory.read_bytes()[:-30], b""):
        memory.write_bytes(text)
        shutil.rmtree(tmp_path / "layout")
        grown("export", f"oci:{tmp_path}/layout:1")
        assert image(tmp_path / "layout") == wanted


def test_a_second_export_makes_only_what_is_missing(grown: Lab, tmp_path: Path) -> None:
    grown("export", f"oci:{tmp_path}/layout:1")
    blobs = tmp_path / "layout/blobs/sha256"
    before = {path.name: path.stat().st_ino for path in blobs.iterdir()}
    commit(grown, "echo more > srv/more", "more")
    grown("export", f"oci:{tmp_path}/layout:1")
    after = {path.name: path.stat().st_ino for path in blobs.iterdir()}
    assert len(after.keys() - before.keys()) == 3  # a layer, a configuration, a manifest
    layers = [layer["digest"][7:] for layer in image(tmp_path / "layout")[0]["layers"]]
    assert all(before[name] == after[name] for name in layers[:-1])


def test_umoci_and_skopeo(grown: Lab, tmp_path: Path) -> None:
    grown("export", f"oci:{tmp_path}/layout:1")
    for words in (
        ("umoci", "unpack", *ROOTLESS, "--image", f"{tmp_path}/layout:1", f"{tmp_path}/bundle"),
        (
            "skopeo",
            "--insecure-policy",
            "copy",
            "-q",
            f"oci:{tmp_path}/layout:1",
            f"docker-archive:{tmp_path}/s.tar:x:1",
        ),
    ):
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "bundle/rootfs/srv/b/x").read_text() == "x\n"
    assert not (tmp_path / "bundle/rootfs/usr/share").exists()
    run_envgit("init", "again", "--from", f"docker-archive:{tmp_path}/s.tar", cwd=tmp_path)
    assert root_of(Lab(tmp_path / "again")) == root_of(grown)
