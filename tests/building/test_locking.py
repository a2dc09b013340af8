"""The lock: what moved between two, and when its file is written."""

from __future__ import annotations

from pathlib import Path

from envgit.building.loading import Loaded
from envgit.building.locking import compare_packages, write_lock
from envgit.building.unit import Recipe
from envgit.declaration.lock_file import LockedEnvironment, LockedPackage, parse_lock


def made(**changes: object) -> LockedEnvironment:
    environment = LockedEnvironment("app", "debian:bookworm", "0" * 64, 1_700_000_000, "1" * 40, "2" * 40, "3" * 64)
    return environment._replace(packages=(LockedPackage("apt", "curl", "7.88", "amd64"),), **changes)  # type: ignore[arg-type]


def loaded(folder: Path) -> Loaded:
    return Loaded(Recipe((), 0, str(folder)), str(folder / "envgit.toml"), lock_path=str(folder / "envgit.lock"))


def test_moves_are_said_as_summaries_of_commits_say_them() -> None:
    old = [
        LockedPackage("apt", "curl", "7.88", "amd64", "sha256:1"),
        LockedPackage("apt", "libc6", "2.36", "amd64"),
        LockedPackage("apt", "libc6", "2.36", "i386"),
        LockedPackage("pip", "flask", "3.0", "", "sha256:1"),
        LockedPackage("npm", "is-odd", "1.0"),
    ]
    new = [
        LockedPackage("apt", "curl", "8.0", "amd64", "sha256:2"),
        LockedPackage("apt", "libc6", "2.36", "amd64"),
        LockedPackage("apt", "libc6", "2.37", "i386"),
        LockedPackage("pip", "flask", "3.0", "", "sha256:2"),
        LockedPackage("pip", "click", "8.0"),
    ]
    assert [str(move) for move in compare_packages(old, new)] == [
        "~ curl 7.88 -> 8.0 (apt)",
        "~ libc6 2.36 -> 2.37 (apt)",
        "- is-odd 1.0 (npm)",
        "+ click 8.0 (pip)",
        "~ flask 3.0 (pip: another file)",
    ]
    assert compare_packages(old, list(reversed(old))) == ()


def test_the_file_is_written_only_when_more_than_the_commit_changed(tmp_path: Path) -> None:
    path = tmp_path / "envgit.lock"
    assert write_lock(loaded(tmp_path), made())
    first = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o644
    assert not write_lock(loaded(tmp_path), made())
    assert not write_lock(loaded(tmp_path), made(commit="4" * 40))
    assert path.read_bytes() == first
    assert write_lock(loaded(tmp_path), made(root="5" * 64, commit="4" * 40))
    assert parse_lock(path.read_bytes(), "envgit.lock").environments == (made(root="5" * 64, commit="4" * 40),)


def test_what_another_build_wrote_meanwhile_stays(tmp_path: Path) -> None:
    early = loaded(tmp_path)
    assert write_lock(loaded(tmp_path), made(name="other"))
    assert write_lock(early, made())
    found = parse_lock((tmp_path / "envgit.lock").read_bytes(), "envgit.lock")
    assert [each.name for each in found.environments] == ["app", "other"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["envgit.lock"]
