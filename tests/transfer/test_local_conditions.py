"""When git itself must do the work: each condition alone makes the short way impossible."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.transfer.address import Address
from envgit.transfer.local_conditions import why_not_fetch, why_not_push
from tests.transfer.made_history import MadeHistory, git, make_bare
from tests.transfer.short_way import way

ENVIRON = {"HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}


@pytest.fixture
def bare(tmp_path: Path) -> str:
    return make_bare(tmp_path / "bare.git")


def _config(key: str, value: str) -> Callable[[str], None]:
    return lambda bare: (git("config", key, value, cwd=bare), None)[1]


def _file(name: str, mode: int = 0o644, text: str = "x\n") -> Callable[[str], None]:
    def make(bare: str) -> None:
        path = Path(bare, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    return make


def _writable(name: str) -> Callable[[str], None]:
    return lambda bare: os.chmod(f"{bare}/{name}", 0o775)


SENDING_TOO = {
    "alternates": _file("objects/info/alternates", text="/nonexistent\n"),
    "shallow": _file("shallow", text="1" * 40 + "\n"),
    "grafts": _file("info/grafts"),
    "replace": _file("refs/replace/" + "1" * 40, text="2" * 40 + "\n"),
    "packed replace": _file("packed-refs", text=f"{'2' * 40} refs/replace/{'1' * 40}\n"),
    "promisor": _file("objects/pack/pack-" + "1" * 40 + ".promisor"),
    "extension": _config("extensions.partialClone", "origin"),
    "sha256": _config("extensions.objectFormat", "sha256"),
    "group may write": _writable("."),
    "group may write objects": _writable("objects"),
    "group may write packs": _writable("objects/pack"),
    "group may write refs": _writable("refs"),
    "hidden refs": _config("transfer.hideRefs", "refs/secret"),
    "hidden refs beside our own": lambda bare: (
        git("config", "transfer.hideRefs", "refs/secret", cwd=bare),
        git("config", "--add", "transfer.hideRefs", "refs/envgit", cwd=bare),
        None,
    )[-1],
    "conditional include": _config("includeIf.gitdir:/x.path", "/nonexistent"),
}
RECEIVING = {
    **{
        f"hook {name}": _file(f"hooks/{name}", 0o755)
        for name in ("pre-receive", "update", "post-receive", "post-update")
    },
    "reference-transaction": _file("hooks/reference-transaction", 0o755),
    "hooks elsewhere": _config("core.hooksPath", "other"),
    "fsck": _config("receive.fsckObjects", "true"),
    "fsck of transfers": _config("transfer.fsckObjects", "true"),
    "no rewinds": _config("receive.denyNonFastForwards", "true"),
    "no deletions": _config("receive.denyDeletes", "true"),
    "push options": _config("receive.advertisePushOptions", "true"),
    "shared": _config("core.sharedRepository", "group"),
    "reflogs": _config("core.logAllRefUpdates", "true"),
    "not bare": _config("core.bare", "false"),
    "work tree": _config("core.worktree", "/tmp"),
    "work trees": _file("worktrees/x/HEAD"),
}


def _prepare(bare: str, change: Callable[[str], None]) -> None:
    if change is RECEIVING["hooks elsewhere"]:
        _file("other/update", 0o755)(bare)
    change(bare)


@pytest.mark.parametrize("case", [*SENDING_TOO, *RECEIVING])
def test_git_must_receive(bare: str, case: str) -> None:
    assert why_not_push(bare, ENVIRON) == ""
    _prepare(bare, {**SENDING_TOO, **RECEIVING}[case])
    assert why_not_push(bare, ENVIRON) != ""


@pytest.mark.parametrize("case", SENDING_TOO)
def test_git_must_send(bare: str, case: str) -> None:
    assert why_not_fetch(bare, ENVIRON) == ""
    _prepare(bare, SENDING_TOO[case])
    assert why_not_fetch(bare, ENVIRON) != ""


@pytest.mark.parametrize("case", RECEIVING)
def test_what_concerns_receiving_does_not_stop_a_fetch(bare: str, case: str) -> None:
    _prepare(bare, RECEIVING[case])
    assert why_not_fetch(bare, ENVIRON) == ""


def test_what_hides_refs_from_fetches_stops_only_those(bare: str) -> None:
    git("config", "uploadpack.hideRefs", "refs/secret", cwd=bare)
    assert why_not_fetch(bare, ENVIRON) != "" and why_not_push(bare, ENVIRON) == ""


def test_hidden_refs_of_our_own_do_not_matter(bare: str) -> None:
    git("config", "transfer.hideRefs", "refs/envgit", cwd=bare)
    assert why_not_fetch(bare, ENVIRON) == "" and why_not_push(bare, ENVIRON) == ""


def test_sample_hooks_and_hooks_that_are_switched_off_do_not_matter(bare: str) -> None:
    _file("hooks/update.sample", 0o755)(bare)
    _file("hooks/post-update", 0o644)(bare)
    assert why_not_push(bare, ENVIRON) == ""
    _file("hooks/post-update", 0o755)(bare)
    git("config", "core.hooksPath", "/dev/null", cwd=bare)
    assert why_not_push(bare, ENVIRON) == ""


def test_the_users_own_settings_count(bare: str, tmp_path: Path) -> None:
    settings = tmp_path / "gitconfig"
    settings.write_text("[receive]\n\tfsckObjects = true\n")
    assert "receive.fsckobjects" in why_not_push(bare, {**ENVIRON, "GIT_CONFIG_GLOBAL": str(settings)})


@pytest.mark.root_only
def test_a_repository_of_somebody_else_is_left_to_git(bare: str) -> None:
    for name in (".", "objects", "objects/pack", "refs"):
        before = os.stat(f"{bare}/{name}")
        os.chown(f"{bare}/{name}", 12345, 12345)
        assert why_not_push(bare, ENVIRON) != "" and why_not_fetch(bare, ENVIRON) != ""
        os.chown(f"{bare}/{name}", before.st_uid, before.st_gid)


def test_only_plain_paths_are_taken_the_short_way(bare: str, tmp_path: Path) -> None:
    made = MadeHistory(tmp_path / "source")
    assert way(made, bare) is not None
    assert way(made, str(tmp_path / "nothing")) is None
    assert way(made, made.git_dir) is None
    assert way(made, str(tmp_path)) is None
    assert Address("file", "file://" + bare, bare, "").kind != "path"


def test_a_project_with_the_settings_that_it_is_made_with_is_no_obstacle(tmp_path: Path) -> None:
    theirs = MadeHistory(tmp_path / "theirs")
    assert why_not_push(theirs.git_dir, ENVIRON) == "" and why_not_fetch(theirs.git_dir, ENVIRON) == ""
    (Path(theirs.git_dir) / "requires").write_text("envgit-format-1\nsomething-new\n")
    assert "something-new" in why_not_push(theirs.git_dir, ENVIRON)


def test_a_source_that_is_cut_short_is_pushed_by_git(bare: str, tmp_path: Path) -> None:
    made = MadeHistory(tmp_path / "source")
    Path(made.git_dir, "shallow").write_text("1" * 40 + "\n")
    assert way(made, bare) is None
