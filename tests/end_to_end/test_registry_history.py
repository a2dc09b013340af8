"""A registry alone carries the whole history of an environment, and gives it back."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envgit.errors import Conflict
from envgit.monitor import NullMonitor
from envgit.push_history import push_history
from envgit.push_image import PushedImage, PushImageOptions, push_image
from envgit.registry.uploading import INDEX_TYPE, MANIFEST_TYPE
from envgit.repo import Repository
from tests.lab import Lab, assert_stock_git_is_content, run_envgit
from tests.registry.test_real_registry import start


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("registry")
    host, running = start(folder)
    yield host
    running.terminate()
    running.wait(timeout=20)


def commit(lab: Lab, text: str) -> str:
    lab.sh(f"echo {text} > /srv/note")
    lab("commit", "-m", text)
    return lab.head()


def test_everything_comes_back(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/lab:1"
    commit(lab, "one")
    lab("tag", "-a", "v1", "-m", "one")
    lab("branch", "unrelated", "HEAD~1")
    pushed = lab("push", "--history", "main", place)
    assert "new commits" in pushed.out and f"docker://{registry}/team/lab@sha256:" in pushed.out
    run_envgit("clone", place, str(tmp_path / "copy"), cwd=tmp_path, **lab.variables)
    copy = lab.at(tmp_path / "copy")
    assert copy.head() == lab.head() and copy.head("v1") == lab.head("v1")
    assert copy.look("main~1", "cat /etc/motd") == "welcome\n" and copy.look("main", "cat /srv/note") == "one\n"
    assert copy("branch", "-r").out.split() == ["origin/main"]
    assert_stock_git_is_content(copy.git_dir, tmp_path)
    made = commit(lab, "two")
    said = lab("push", "--history", "main", place, "--json").json()["history"]
    assert (said["commits"], said["packs_sent"], said["bundles"]) == (1, 1, 2)
    assert said["bytes_sent"] < 20_000
    again = lab("push", "--history", "main", place, "--json").json()["history"]
    assert (again["commits"], again["packs_sent"], again["bytes_sent"]) == (0, 0, 0)
    assert "1 commit of origin/main" in copy("pull").out
    assert copy.head() == made and copy.sh("cat /srv/note").out == "two\n"
    fresh = tmp_path / "fresh"
    run_envgit("clone", place, str(fresh), cwd=tmp_path, **lab.variables)
    assert lab.at(fresh).head() == made


def test_a_new_tag_sends_only_what_is_new(lab: Lab, registry: str, tmp_path: Path) -> None:
    commit(lab, "one")
    lab("push", "--history", "main", f"docker://{registry}/team/tags:1")
    commit(lab, "two")
    said = lab("push", "--history", "main", f"docker://{registry}/team/tags:2", "--json").json()["history"]
    assert (said["commits"], said["bundles"]) == (1, 2)
    for tag, subject in (("1", "one"), ("2", "two")):
        run_envgit("clone", f"docker://{registry}/team/tags:{tag}", str(tmp_path / tag), cwd=tmp_path, **lab.variables)
        assert lab.at(tmp_path / tag).git("log", "-1", "--format=%s").strip() == subject


def test_teammates_do_not_overwrite_each_other(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/both:1"
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "other"), cwd=tmp_path, **lab.variables)
    other = lab.at(tmp_path / "other")
    theirs = commit(other, "theirs")
    other("push", "--history", "main", place)
    commit(lab, "ours")
    lab.fails("push", "--history", "main", place, status=1, says="has commits that are not here", hint="envgit fetch")
    lab("fetch", place, "main:refs/remotes/registry/main")
    assert lab.head("registry/main") == theirs
    lab.fails("push", "--history", "main", place, status=1, says="has commits that are not here", hint="--force")
    lab("push", "--history", "--force", "main", place)
    run_envgit("clone", place, str(tmp_path / "after"), cwd=tmp_path, **lab.variables)
    assert lab.at(tmp_path / "after").head() == lab.head()


def test_branches_of_others_are_not_dropped(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/branches:1"
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "other"), cwd=tmp_path, **lab.variables)
    other = lab.at(tmp_path / "other")
    other("checkout", "-b", "theirs")
    theirs = commit(other, "theirs")
    other("push", "--history", "--all", "theirs", place)
    ours = commit(lab, "ours")
    done = lab.fails("push", "--history", "main", place, status=1, says="would be lost: theirs", hint="envgit fetch")
    lab("fetch", *shlex.split(done.err.partition("envgit fetch ")[2].partition(";")[0]))
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "after"), cwd=tmp_path, **lab.variables)
    after = lab.at(tmp_path / "after")
    assert (after.head("origin/main"), after.head("origin/theirs")) == (ours, theirs)


def test_a_plain_push_over_it_does_not_lift_the_protection(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/plainly:1"
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "other"), cwd=tmp_path, **lab.variables)
    other = lab.at(tmp_path / "other")
    theirs = commit(other, "theirs")
    other("push", "--history", "main", place)
    ours = commit(lab, "ours")
    lab("push", "main", place)
    lab.fails("push", "--history", "main", place, status=1, says="has commits that are not here", hint="envgit fetch")
    done = run_envgit("clone", place, str(tmp_path / "after"), cwd=tmp_path, status=None, **lab.variables)
    assert done.status in (0, 3) and "pushed without its history" in done.err
    assert lab.at(tmp_path / "after").head() == theirs
    lab("push", "--history", "--force", "main", place)
    assert ours in lab("fetch", place, "main:refs/remotes/registry/main", "--json").out


def open_repository(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for name, value in lab.variables.items():
        monkeypatch.setenv(name, value)
    return Repository.open_(str(lab.path), dict(os.environ), NullMonitor())


def test_a_push_that_ends_between_image_and_history_loses_nothing(
    lab: Lab, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"docker://{registry}/team/killed:1"
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "other"), cwd=tmp_path, **lab.variables)
    other = lab.at(tmp_path / "other")
    commit(lab, "ours")
    lab("push", "--history", "main", place)
    commit(other, "theirs")
    with monkeypatch.context() as patch:
        patch.setattr("envgit.push_history.store_history", lambda *words, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            push_history(open_repository(other, monkeypatch), "main", place, PushImageOptions(), force=True)
    other.fails("push", "--history", "main", place, status=1, says="has commits that are not here", hint="envgit fetch")
    commit(lab, "more")
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "after"), cwd=tmp_path, **lab.variables)
    assert lab.at(tmp_path / "after").head() == lab.head()


def test_a_push_during_which_another_ended_says_so(
    lab: Lab, registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"docker://{registry}/team/race:1"
    lab("push", "--history", "main", place)
    run_envgit("clone", place, str(tmp_path / "other"), cwd=tmp_path, **lab.variables)
    other = lab.at(tmp_path / "other")
    theirs = commit(other, "theirs")
    commit(lab, "ours")

    def slowly(*words: Any, **options: Any) -> PushedImage:
        other("push", "--history", "main", place)
        return push_image(*words, **options)

    monkeypatch.setattr("envgit.push_history.push_image", slowly)
    with pytest.raises(Conflict, match="meanwhile"):
        push_history(open_repository(lab, monkeypatch), "main", place, PushImageOptions())
    lab.fails("push", "--history", "main", place, status=1, says="has commits that are not here", hint="envgit fetch")
    lab("fetch", place, "main:refs/remotes/registry/main")
    assert lab.head("registry/main") == theirs


def test_a_digest_pins_the_history_too(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/pinned"
    one = commit(lab, "one")
    said = lab("push", "--history", "main", place + ":1", "--json").json()
    commit(lab, "two")
    lab("push", "--history", "main", place + ":1")
    run_envgit("clone", f"{place}@{said['digest']}", str(tmp_path / "copy"), cwd=tmp_path, **lab.variables)
    assert lab.at(tmp_path / "copy").head() == one
    lab.fails("push", "--history", "main", f"{place}@{said['digest']}", status=2, says="to a tag", hint=place[9:])
    lab.fails(
        "push", "--history", "main", place + ":envgit-history-1", status=2, says="names a history", hint="another"
    )


def test_all_branches(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/all:1"
    lab("checkout", "-b", "side")
    commit(lab, "side")
    lab("push", "--history", "--all", "main", place)
    run_envgit("clone", place, str(tmp_path / "copy"), "-b", "side", cwd=tmp_path, **lab.variables)
    copy = lab.at(tmp_path / "copy")
    assert copy.head() == lab.head("side") and copy.head("origin/main") == lab.head("main")


def test_many_pushes_are_made_few_bundles(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/many:1"
    counts = []
    for number in range(26):
        lab("commit", "--allow-empty", "-m", f"{number}")
        counts.append(lab("push", "--history", "main", place, "--json").json()["history"]["bundles"])
    assert counts[:24] == list(range(1, 25)) and counts[24:] == [2, 3]
    run_envgit("clone", place, str(tmp_path / "copy"), cwd=tmp_path, **lab.variables)
    assert lab.at(tmp_path / "copy").head() == lab.head()


def test_what_has_no_history_says_what_to_do(lab: Lab, registry: str, tmp_path: Path) -> None:
    place = f"docker://{registry}/team/plain:1"
    lab("push", "main", place)
    lab.fails(
        "clone", place, str(tmp_path / "x"), status=2, says="has no history beside it", hint="envgit init DIR --from"
    )
    lab.fails("clone", place + "x", str(tmp_path / "x"), status=2, says="there is no", hint="check the name")
    assert not (tmp_path / "x").exists()
    lab.fails("push", "--history", "HEAD~0", place, status=2, says="is no branch", hint="envgit branch NAME")
    lab("remote", "add", "origin", place)
    lab.fails("push", "origin", "main", status=2, says="has no history beside it", hint="--from")


def test_stock_git_reads_the_bundles(lab: Lab, registry: str, tmp_path: Path) -> None:
    """Should envgit ever be missing."""
    place = f"{registry}/team/stock:1"
    made = commit(lab, "one")
    lab("push", "--history", "main", f"docker://{place}")
    digest = lab("push", "main", f"docker://{place}", "--json").json()["digest"]

    def curl(path: str) -> bytes:
        command = [
            "curl",
            "-sSf",
            "-H",
            f"Accept: {INDEX_TYPE}, {MANIFEST_TYPE}",
            f"http://{registry}/v2/team/stock/{path}",
        ]
        return subprocess.run(command, capture_output=True, check=True).stdout

    index = json.loads(curl("manifests/" + digest.replace(":", "-")))
    artifact = json.loads(curl("manifests/" + index["manifests"][-1]["digest"]))
    (tmp_path / "history.bundle").write_bytes(curl("blobs/" + artifact["layers"][0]["digest"]))
    subprocess.run(
        ["git", "clone", "-q", "--bare", str(tmp_path / "history.bundle"), str(tmp_path / "stock")], check=True
    )
    found = subprocess.run(
        ["git", "-C", str(tmp_path / "stock"), "rev-parse", "main"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == made
