"""A registry alone carries the whole history of an environment, and gives it back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.registry.uploading import INDEX_TYPE, MANIFEST_TYPE
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
    lab.fails("clone", place + "x", str(tmp_path / "x"), status=2, says="has no history", hint="--from")
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
