from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.sharing.place import find_place, open_place
from envgit.store import storage

NOWHERE = "/nonexistent"


def environ_of(home: Path, setting: str | None = None, **more: str) -> dict[str, str]:
    if setting is not None:
        (home / ".gitconfig").write_text(f"[envgit]\n\tcache = {setting}\n")
    return {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", **more}


def test_by_default_it_is_in_the_cache_of_the_user(tmp_path: Path) -> None:
    environ = environ_of(tmp_path)
    assert find_place(NOWHERE, environ) == (str(tmp_path / ".cache/envgit"), "")
    assert not (tmp_path / ".cache").exists()  # to look changes nothing
    folder = open_place(NOWHERE, environ)
    assert folder == str(tmp_path / ".cache/envgit")
    for path in (tmp_path / ".cache/envgit").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
    assert Path(folder, "CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
    assert open_place(NOWHERE, environ) == folder


def test_xdg_cache_home_is_heeded_and_a_relative_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert find_place(NOWHERE, environ_of(tmp_path, XDG_CACHE_HOME=f"{tmp_path}/x")).path == f"{tmp_path}/x/envgit"
    assert find_place(NOWHERE, environ_of(tmp_path, XDG_CACHE_HOME="x")).path == f"{tmp_path}/.cache/envgit"


@pytest.mark.parametrize("value", ["off", "OFF", "false", "no", "0", "none"])
def test_off_is_off(tmp_path: Path, value: str) -> None:
    assert find_place(NOWHERE, environ_of(tmp_path, value)) == ("", "envgit.cache is off")
    assert open_place(NOWHERE, environ_of(tmp_path, value)) is None


def test_a_path_of_the_users_choice(tmp_path: Path) -> None:
    assert open_place(NOWHERE, environ_of(tmp_path, f"{tmp_path}/mine")) == f"{tmp_path}/mine"
    assert open_place(NOWHERE, environ_of(tmp_path, "~/other")) == f"{tmp_path}/other"
    assert find_place(NOWHERE, environ_of(tmp_path, "on")).path == f"{tmp_path}/.cache/envgit"


def test_a_relative_path_is_refused(tmp_path: Path) -> None:
    place = find_place(NOWHERE, environ_of(tmp_path, "some/where"))
    assert place.problem == "envgit.cache=some/where is not an absolute path"


def test_a_project_says_more_than_the_user(tmp_path: Path) -> None:
    environ = environ_of(tmp_path)
    (tmp_path / "config").write_text("[envgit]\n\tcache = off\n")
    assert find_place(str(tmp_path), environ).problem


def test_without_home_there_is_none() -> None:
    assert find_place(NOWHERE, {"GIT_CONFIG_NOSYSTEM": "1"}).problem == "HOME is not set"
    assert open_place(NOWHERE, {"HOME": NOWHERE, "GIT_CONFIG_NOSYSTEM": "1"}) is None
    assert not os.path.exists(NOWHERE)


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777, 0o757])
@pytest.mark.parametrize("which", ["home", "cache", "folder"])
def test_where_others_may_write_nothing_is_shared(tmp_path: Path, which: str, mode: int) -> None:
    home = tmp_path / "home"
    path = {"home": home, "cache": home / ".cache", "folder": home / ".cache/envgit"}[which]
    path.mkdir(parents=True)
    path.chmod(mode)
    environ = environ_of(home)
    assert "others may write it" in find_place(NOWHERE, environ).problem
    assert open_place(NOWHERE, environ) is None
    assert list(path.iterdir()) == []


@pytest.mark.root_only
@pytest.mark.parametrize("which", ["home", "cache", "folder"])
def test_nothing_is_made_in_the_home_of_somebody_else(tmp_path: Path, which: str) -> None:
    """As with `sudo` that keeps HOME."""
    home = tmp_path / "home"
    path = {"home": home, "cache": home / ".cache", "folder": home / ".cache/envgit"}[which]
    path.mkdir(parents=True)
    os.chown(path, 12345, 12345)
    assert "belongs to user 12345" in find_place(NOWHERE, environ_of(home)).problem
    assert open_place(NOWHERE, environ_of(home)) is None
    assert list(path.iterdir()) == []


def test_a_cache_on_a_bigger_disk_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / ".cache").symlink_to("big")
    assert open_place(NOWHERE, environ_of(tmp_path)) is not None
    assert (tmp_path / "big/envgit/objects/pack").is_dir()


def test_a_file_in_its_place_is_no_place(tmp_path: Path) -> None:
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/envgit").write_text("")
    assert "is not a folder" in find_place(NOWHERE, environ_of(tmp_path)).problem


def test_a_disk_that_fails_means_that_nothing_is_shared(tmp_path: Path) -> None:
    def fail(step: str) -> None:
        raise OSError(28, "No space left on device")

    storage.set_fault_hook(fail)
    try:
        assert open_place(NOWHERE, environ_of(tmp_path)) is None
    finally:
        storage.set_fault_hook(None)
    assert open_place(NOWHERE, environ_of(tmp_path)) is not None
