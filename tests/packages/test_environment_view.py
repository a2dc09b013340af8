"""The view of a stored environment: links are followed inside, chunked files are read, what is damaged is an error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.environment_view import EnvironmentView
from envgit.monitor import NullMonitor
from envgit.package_diff import diff_package_trees
from envgit.packages.package import MalformedRecord
from envgit.packages.summary import change_text
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from tests.lab import Lab, run_envgit

BIG = os.urandom(1 << 20) * 9


@pytest.fixture(scope="module")
def view(tmp_path_factory: pytest.TempPathFactory) -> EnvironmentView:
    folder = tmp_path_factory.mktemp("view")
    root = folder / "root"
    (root / "usr/lib/apk/db").mkdir(parents=True)
    (root / "usr/lib/apk/db/installed").write_bytes(b"P:a\nV:1\n")
    (root / "usr/big").write_bytes(BIG)
    (root / "lib").symlink_to("usr/lib")
    (root / "out").symlink_to("../../../../../etc")
    (root / "up").symlink_to("/usr/lib/../../lib/apk")
    (root / "loop").symlink_to("loop")
    (root / "gone").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    run_envgit("init", "lab", "--from", f"dir:{root}", cwd=folder)
    repo = Repository.open_(str(folder / "lab"), dict(os.environ), NullMonitor())
    return EnvironmentView(repo.reader, read_snapshot(repo.objects, repo.resolve_bytes("HEAD")).root)


def test_links_are_followed_inside(view: EnvironmentView) -> None:
    assert view.read_file(b"lib/apk/db/installed", 100) == b"P:a\nV:1\n"
    assert view.read_file(b"up/db/installed", 100) == b"P:a\nV:1\n"
    assert list(view.list_directory(b"lib")) == [b"apk"]
    assert view.find_node(b"lib") == view.find_node(b"usr/lib") != view.find_node(b"usr")
    for path in (
        b"out/passwd",
        b"loop",
        b"loop/x",
        b"gone",
        b"gone/x",
        b"fifo",
        b"usr",
        b"lib/apk/db/installed/x",
        b"none/x",
    ):
        assert view.read_file(path, 1 << 20) is None
        assert view.list_directory(path) == {} or path == b"usr"
    assert view.find_node(b"out") is None and view.find_node(b"loop") is None
    assert {name: node.type for name, node in view.list_directory(b"").items()}[b"lib"] == "l"


def test_files_of_several_chunks(view: EnvironmentView) -> None:
    assert view.read_file(b"usr/big", len(BIG)) == BIG
    with pytest.raises(MalformedRecord, match="9,437,184 bytes"):
        view.read_file(b"usr/big", len(BIG) - 1)


def test_an_empty_tree(view: EnvironmentView) -> None:
    empty = EnvironmentView(view._reader, None)
    assert empty.find_node(b"") is None and empty.list_directory(b"") == {} and empty.read_file(b"x", 1) is None


def test_a_difference_reads_what_changed(tmp_path: Path) -> None:
    """Counts of objects read: of 500 directories and 300 packages those above the one that changed."""
    root = tmp_path / "root"
    site = root / "opt/venv/lib/python3.11/site-packages"
    for number in range(300):
        (site / f"p{number}-1.dist-info").mkdir(parents=True)
        (site / f"p{number}-1.dist-info/METADATA").write_text(f"Name: p{number}\nVersion: 1\n")
    for number in range(200):
        (root / f"usr/share/doc/p{number}").mkdir(parents=True)
        (root / f"srv/data/d{number}").mkdir(parents=True)
    run_envgit("init", "lab", "--from", f"dir:{root}", cwd=tmp_path)
    (site / "p7-1.dist-info/METADATA").write_text("Name: p7\nVersion: 2\n")
    run_envgit("import", f"dir:{root}", "-m", "second", cwd=tmp_path / "lab")

    def count_of_reads(*revisions: str) -> tuple[list[str], int]:
        repo = Repository.open_(str(tmp_path / "lab"), dict(os.environ), NullMonitor())
        roots = [read_snapshot(repo.objects, repo.resolve_bytes(revision)).root for revision in revisions]
        reads: list[bytes] = []
        read = repo.objects.read
        repo.objects.read = lambda oid: reads.append(oid) or read(oid)  # type: ignore[method-assign,func-returns-value]
        diff = diff_package_trees(roots[0] if len(roots) > 1 else None, roots[-1], repo.reader)
        return [change_text(change) for change in diff.changes], len(reads)

    changes, reads = count_of_reads("HEAD~", "HEAD")
    assert changes == ["~ p7 1 -> 2"] and reads <= 60
    assert count_of_reads("HEAD", "HEAD") == ([], 0)
    changes, reads = count_of_reads("HEAD")
    assert len(changes) == 300 and 900 <= reads < 1500, "the control: without something beside it everything is read"


def test_damage_is_not_passed_over(tmp_path: Path, lab: Lab) -> None:
    lab.sh("mkdir -p /var/lib/dpkg; printf 'Package: a\\nVersion: 1\\n' > /var/lib/dpkg/status")
    lab("commit", "-m", "x")
    for pack in sorted((lab.git_dir / "objects/pack").glob("*.pack"), key=lambda path: path.stat().st_size)[:1]:
        data = bytearray(pack.read_bytes())
        data[12:-20] = bytes(len(data) - 32)
        pack.chmod(0o644)
        pack.unlink()
        pack.write_bytes(data)
    done = lab("packages", status=2)
    assert "envgit fsck" in done.err and done.out == ""
    lab.git_dir.rename(tmp_path / "damaged")
