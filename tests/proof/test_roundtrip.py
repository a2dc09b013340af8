"""Import, clone with stock git, export: nothing differs, says rsync; nothing differs, says GNU tar.

A clone becomes a repository of envgit's in the supported way: `git clone --bare OLD/.envgit NEW/.envgit`, then the file `requires`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.lab import Lab, assert_stock_git_is_content, remove, run_envgit

from .roundtrip_trees import IS_ROOT, Node, trees, write_special, write_tree

BATCHES = 6
EXAMPLES = 3
TREES = 3
"""Generated trees in all: 6 * 3 * 3 = 54."""


def clone(lab: Lab, path: Path) -> Lab:
    """Return a repository that knows nothing but what stock git copied."""
    path.mkdir()
    subprocess.run(["git", "clone", "-q", "--bare", lab.git_dir, path / ".envgit"], check=True)
    (path / ".envgit/requires").write_text("envgit-format-1\n")
    return Lab(path)


def rsync_differences(left: Path, right: Path) -> str:
    """Return what rsync would change in `right`, times compared to the nanosecond."""
    words = ["rsync", "-naHAXS", "--checksum", "--delete", "-i", "--modify-window=-1"]
    done = subprocess.run([*words, f"{left}/", f"{right}/"], capture_output=True, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


def tar_differences(archive: Path, folder: Path) -> str:
    """Return what GNU tar finds different between an archive and a folder."""
    command = [
        "tar",
        "--compare",
        "--warning=no-unknown-keyword",
        "--numeric-owner",
        "-f",
        str(archive),
        "-C",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode("utf-8", "surrogateescape")


def shape(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Return, for each path, what rsync does not look at: link sets and holes."""
    found: dict[bytes, tuple[object, ...]] = {}
    inodes: dict[int, bytes] = {}
    for parent, folders, files in os.walk(os.fsencode(folder)):
        for name in sorted((*folders, *files)):
            path = parent + b"/" + name
            status = os.lstat(path)
            relative = path[len(os.fsencode(folder)) + 1 :]
            first = inodes.setdefault(status.st_ino, relative)
            holes = status.st_blocks * 512 < status.st_size and status.st_size > 8192
            found[relative] = (first, status.st_nlink if not os.path.isdir(path) else 0, holes)
    return found


def check_exports(lab: Lab, revision: str, source: Path, scratch: Path) -> None:
    """Export a revision both ways and compare with what was imported."""
    exported = scratch / "exported"
    lab("export", revision, f"dir:{exported}")
    assert rsync_differences(source, exported) == ""
    links, again = shape(source), shape(exported)
    assert {path: item[:2] for path, item in links.items()} == {path: item[:2] for path, item in again.items()}
    assert [path for path, item in links.items() if item[2] and not again[path][2]] == [], "holes were filled"
    archive = scratch / "exported.tar"
    lab("export", revision, f"tar:{archive}")
    assert tar_differences(archive, source) == ""
    archive.unlink()
    remove(exported)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_generated_trees(tmp_path: Path, batch: int) -> None:
    count = 0

    @seed(batch)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(trees, min_size=TREES, max_size=TREES))
    def check(generated: Sequence[Node]) -> None:
        nonlocal count
        count += len(generated)
        scratch = tmp_path / f"batch{count}"
        scratch.mkdir()
        run_envgit("init", "lab", cwd=scratch)
        lab = Lab(scratch / "lab")
        revisions = []
        for number, tree in enumerate(generated):
            source = scratch / f"source{number}"
            write_tree(tree, source)
            lab("import", f"dir:{source}", "-m", f"tree {number}")
            revisions.append((lab.head(), source))
        copy = clone(lab, scratch / "clone")
        remove(lab.git_dir)
        for revision, source in revisions:
            check_exports(copy, revision, source, scratch)
        assert_stock_git_is_content(copy.git_dir, scratch)
        remove(scratch)

    check()
    assert count >= EXAMPLES * TREES


def test_everything_that_is_big_deep_linked_or_a_git_repository(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_special(source)
    run_envgit("init", "lab", "--from", f"dir:{source}", cwd=tmp_path)
    copy = clone(Lab(tmp_path / "lab"), tmp_path / "clone")
    check_exports(copy, "HEAD", source, tmp_path)
    for sparse in ("big-and-sparse", "hole-only"):  # an archive has their zeros, not their holes
        (source / sparse).unlink()
    copy("import", f"dir:{source}")
    tree = copy.head("HEAD^{tree}")
    for suffix in ("tar", "tar.gz", "tar.zst", "tar.xz"):
        archive = tmp_path / f"out.{suffix}"
        copy("export", "HEAD", f"tar:{archive}")
        run_envgit("init", f"from-{suffix}", "--from", f"tar:{archive}", cwd=tmp_path)
        assert Lab(tmp_path / f"from-{suffix}").head("HEAD^{tree}") == tree, suffix
        archive.unlink()
    assert_stock_git_is_content(copy.git_dir, tmp_path)
    assert copy("fsck").status == 0


def test_paths_longer_than_a_system_call_takes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    here = os.getcwd()
    try:
        os.chdir(source)
        for number in range(40):
            os.mkdir(b"d" * 200)
            os.chdir(b"d" * 200)
            Path(f"file{number}").write_text(f"{number}\n")
    finally:
        os.chdir(here)
    run_envgit("init", "lab", "--from", f"dir:{source}", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    tree = lab.head("HEAD^{tree}")
    lab("export", "HEAD", f"dir:{tmp_path}/exported")
    run_envgit("init", "again", "--from", f"dir:{tmp_path}/exported", cwd=tmp_path)
    assert Lab(tmp_path / "again").head("HEAD^{tree}") == tree
    lab("export", "HEAD", f"tar:{tmp_path}/exported.tar")
    done = run_envgit("init", "from-tar", "--from", f"tar:{tmp_path}/exported.tar", cwd=tmp_path, status=None)
    if done.status == 0:
        assert Lab(tmp_path / "from-tar").head("HEAD^{tree}") == tree
    else:
        assert done.status == 2
        assert "is longer than" in done.err, "archives are limited to 4096 bytes of path"
    assert lab("fsck").status == 0
    for path in (source, tmp_path / "exported"):
        subprocess.run(["rm", "-rf", path], check=True)


def test_the_host(labs: Callable[[Path], Lab], host_origin: Path, tmp_path: Path) -> None:
    """An environment made from packages, exported, imported from the export, cloned and exported again."""
    first = tmp_path / "first"
    kept_owners = 0 if IS_ROOT else 3  # a user's export says that a dozen owners are theirs now
    Lab(host_origin)("export", "HEAD", f"dir:{first}", status=kept_owners)
    run_envgit("init", "lab", "--from", f"dir:{first}", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    if IS_ROOT:
        assert lab.head("HEAD:rootfs") == Lab(host_origin).head("HEAD:rootfs")
    copy = clone(lab, tmp_path / "clone")
    shutil.rmtree(lab.git_dir)
    check_exports(copy, "HEAD", first, tmp_path)
    remove(first)


def test_sockets_are_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("x")
    with socket.socket(socket.AF_UNIX) as bound:
        with monkeypatch.context() as here:
            here.chdir(source)  # a socket's path has 107 bytes at most
            bound.bind("socket")
        done = run_envgit("init", "lab", "--from", f"dir:{source}", cwd=tmp_path, status=None)
    assert done.status in (0, 3)
    assert "socket" in done.err
    assert Lab(tmp_path / "lab")("ls", "HEAD").lines() == ["file"]


# a clone is a whole repository


def test_a_bare_clone_is_a_repository(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    lab("branch", "side", "HEAD~1")
    lab("tag", "-m", "first", "v1", "HEAD~1")
    copy = clone(lab, tmp_path / "clone")
    _use(copy)


def test_a_fetch_into_a_new_repository_is_a_clone(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    lab("branch", "side", "HEAD~1")
    lab("tag", "-m", "first", "v1", "HEAD~1")
    run_envgit("init", "clone", cwd=tmp_path)
    copy = Lab(tmp_path / "clone")
    copy.git("fetch", "-q", str(lab.git_dir), "refs/heads/*:refs/heads/*", "refs/tags/*:refs/tags/*")
    _use(copy)
    lab.sh("echo 2 > /srv/two")
    lab("commit", "-m", "two")
    copy.git("fetch", "-q", str(lab.git_dir), "refs/heads/main:refs/heads/theirs")
    assert copy.look("theirs", "ls /srv") == "lines\none\ntwo\n"


def _use(copy: Lab) -> None:
    assert copy.look("main", "ls /srv") == "lines\none\n"
    assert copy.look("side", "ls /srv") == "lines\n"
    assert copy.look("v1", "ls /srv") == "lines\n"
    assert copy.changes() == []
    tip = copy.head()
    copy.sh("echo 3 > /srv/three")
    copy("commit", "-m", "three")
    copy("checkout", "side")
    copy("checkout", "main")
    copy("reset", "--hard", "HEAD~1")
    copy("undo")
    copy("undo")
    assert copy.head() == tip
    assert copy("fsck").status == 0
    assert_stock_git_is_content(copy.git_dir, copy.path)
