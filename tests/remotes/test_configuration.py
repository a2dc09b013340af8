"""Remotes in git's configuration: what git writes is read, what is written git reads; passwords are not shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.monitor import NullMonitor
from envgit.remotes.configuration import (
    add_remote,
    find_remote,
    forget_remote,
    list_remotes,
    read_upstream,
    rename_in_configuration,
    set_remote_url,
    set_upstream,
    unset_upstream,
)
from envgit.repo import Repository


@pytest.fixture
def repo(tmp_path: Path) -> Repository:
    return Repository.create_(str(tmp_path), "main", {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}, NullMonitor())


def git(repo: Repository, *words: str) -> str:
    done = subprocess.run(["git", "--git-dir", repo.git_dir, *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_git_reads_what_is_written(repo: Repository) -> None:
    add_remote(repo, "origin", "/srv/x.git")
    assert git(repo, "remote", "get-url", "origin") == "/srv/x.git"
    assert git(repo, "config", "remote.origin.fetch") == "+refs/heads/*:refs/remotes/origin/*"
    set_upstream(repo, "main", "origin", "refs/heads/main")
    assert git(repo, "config", "branch.main.merge") == "refs/heads/main"
    set_remote_url(repo, "origin", "/srv/y.git", push=True)
    assert git(repo, "remote", "get-url", "--push", "origin") == "/srv/y.git"
    rename_in_configuration(repo, "origin", "hub")
    assert git(repo, "remote") == "hub" and git(repo, "config", "branch.main.remote") == "hub"
    assert git(repo, "config", "remote.hub.fetch") == "+refs/heads/*:refs/remotes/hub/*"
    forget_remote(repo, "hub")
    assert git(repo, "remote") == "" and list_remotes(repo) == () and read_upstream(repo, "main") is None


def test_what_git_writes_is_read(repo: Repository) -> None:
    git(
        repo,
        "remote",
        "add",
        "-t",
        "main",
        "-t",
        "a/b",
        "--no-tags",
        "Origin.2",
        "https://ann:secret@example.org/x.git",
    )
    git(repo, "config", "branch.Feature/x.remote", "Origin.2")
    git(repo, "config", "branch.Feature/x.merge", "refs/heads/a/b")
    remote = find_remote(repo, "Origin.2")
    assert remote is not None and remote.tags == "none" and len(remote.fetch) == 2
    assert remote.shown == "https://ann@example.org/x.git" and "secret" in remote.url
    upstream = read_upstream(repo, "Feature/x")
    assert upstream is not None and upstream.tracking == "refs/remotes/Origin.2/a/b"
    git(repo, "config", "branch.Feature/x.merge", "refs/heads/main")
    upstream = read_upstream(repo, "Feature/x")
    assert upstream is not None and upstream.tracking == "refs/remotes/Origin.2/main"
    unset_upstream(repo, "Feature/x")
    assert read_upstream(repo, "Feature/x") is None
    unset_upstream(repo, "Feature/x")


@pytest.mark.parametrize("name", ["", "-x", "a/b", 'a"b', "a\nb", "a b", "..", "a..b", "x.lock", "\x1b[31m", "é"])
def test_names_that_no_remote_has(repo: Repository, name: str) -> None:
    with pytest.raises(EnvgitError) as caught:
        add_remote(repo, name, "/x")
    assert caught.value.hint and list_remotes(repo) == ()


@pytest.mark.parametrize(
    "text", ["[remote", '[remote "x"]\n\turl = "unclosed\n', "\x00\x01", '[remote "x"]\n\tfetch = a:b:c\n\turl = y\n']
)
def test_a_damaged_configuration_is_a_clear_error(repo: Repository, text: str) -> None:
    with open(repo.path("config"), "a") as file:
        file.write(text)
    try:
        found = list_remotes(repo)
    except EnvgitError as error:
        assert error.hint
    else:
        assert all(remote.name == "x" for remote in found)
