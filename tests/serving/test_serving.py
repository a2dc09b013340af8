"""Clients and what they get: all that is public, whole, and nothing else."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from envgit.store.shallow import write_shallow
from tests.lab import Lab
from tests.serving.conftest import Serve, git

pytestmark = pytest.mark.any_ids


@pytest.fixture
def history(lab: Lab) -> Lab:
    """Three commits, an annotated tag, a side branch, and a commit that was undone."""
    for number in (1, 2):
        lab.sh(f"echo {number} > /srv/n{number}")
        lab("commit", "-m", f"change {number}")
    lab("tag", "-a", "-m", "first", "v1", "HEAD~1")
    lab("branch", "side", "HEAD~1")
    lab.sh("echo secret > /srv/secret")
    lab("commit", "-m", "undone")
    lab("undo")
    lab("reset", "--hard")
    return lab


def hidden(lab: Lab) -> str:
    """The commit that was undone: kept under refs/envgit, reached by no branch."""
    return lab.git("for-each-ref", "--format=%(objectname)", "refs/envgit/kept").split()[0]


def test_stock_git_clones_it(history: Lab, serve: Serve, tmp_path: Path) -> None:
    server = serve(history, "--export-name", "work")
    assert server.name == "work"
    said = git("clone", "-q", "--mirror", server.url, tmp_path / "c.git")
    assert said == ""
    assert git("-C", tmp_path / "c.git", "fsck", "--strict", "--full") == ""
    names = git("-C", tmp_path / "c.git", "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    ours = history.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    assert names == [line for line in ours if not line.startswith("refs/envgit/")] and len(names) == 3
    assert git("-C", tmp_path / "c.git", "symbolic-ref", "HEAD") == "refs/heads/main\n"
    status, said = server.stop()
    assert status == 0 and "stopped: 1 pack" in said and "to this machine only" in said


def test_fetches_bring_what_is_new(history: Lab, serve: Serve, tmp_path: Path) -> None:
    server = serve(history)
    clone = tmp_path / "c.git"
    git("clone", "-q", "--bare", server.url, clone)
    history.sh("echo 3 > /srv/n3")
    history("commit", "-m", "change 3")
    git("-C", clone, "fetch", "-q", server.url, "main:main")
    assert git("-C", clone, "rev-parse", "main").strip() == history.head()
    git("-C", clone, "fetch", "-q", server.url, "main:main")
    assert git("-C", clone, "fsck", "--strict", "--full") == ""
    _, said = server.stop(signal.SIGTERM)
    packs = [line for line in said.splitlines() if "sent" in line]
    assert len(packs) == 2 and "MB" in packs[0] and "MB" not in packs[1], said


@pytest.mark.parametrize("depth", [1, 2])
def test_shallow_clones_grow(history: Lab, serve: Serve, tmp_path: Path, depth: int) -> None:
    server = serve(history)
    clone = tmp_path / "c.git"
    git("clone", "-q", "--bare", f"--depth={depth}", server.url, clone)
    assert len(git("-C", clone, "rev-list", "HEAD").split()) == depth
    assert git("-C", clone, "fsck", "--strict", "--full") == ""
    history.sh("echo 3 > /srv/n3")
    history("commit", "-m", "change 3")
    git("-C", clone, "fetch", "-q", server.url, "main:main")
    assert len(git("-C", clone, "rev-list", "main").split()) == depth + 1
    git("-C", clone, "fetch", "-q", "--deepen=1", server.url, "main:main")
    assert len(git("-C", clone, "rev-list", "main").split()) == depth + 2
    git("-C", clone, "fetch", "-q", "--unshallow", server.url, "main:main", status=None)
    assert len(git("-C", clone, "rev-list", "main").split()) == 4
    assert git("-C", clone, "fsck", "--strict", "--full") == ""


def test_a_repository_that_is_cut_itself(history: Lab, serve: Serve, tmp_path: Path) -> None:
    write_shallow(str(history.git_dir), [bytes.fromhex(history.head("HEAD~1"))])
    server = serve(history)
    git("clone", "-q", "--bare", server.url, tmp_path / "c.git")
    assert len(git("-C", tmp_path / "c.git", "rev-list", "main").split()) == 2
    assert git("-C", tmp_path / "c.git", "fsck", "--strict", "--full") == ""


def test_what_is_not_public_is_not_served(history: Lab, serve: Serve, tmp_path: Path) -> None:
    secret = hidden(history)
    blob = history.git("rev-parse", f"{secret}:rootfs/srv/secret").strip()
    public_blob = history.git("rev-parse", "main:rootfs/srv/n1").strip()
    server = serve(history)
    clone, empty = tmp_path / "c.git", tmp_path / "empty.git"
    git("init", "-q", "--bare", empty)
    git("clone", "-q", "--bare", server.url, clone)
    assert "refs/envgit" not in git("ls-remote", server.url)
    for version in ("2", "0"):
        for oid in (secret, blob, public_blob, "1" * 40):
            said = git("-C", empty, "-c", f"protocol.version={version}", "fetch", server.url, oid, status=None)
            assert "not our ref" in said or "unadvertised object" in said or "only version 2" in said, said
    assert secret not in git("-C", clone, "cat-file", "--batch-all-objects", "--batch-check")
    git(
        "-C", empty, "-c", "protocol.version=2", "fetch", "-q", server.url, history.head("main~1")
    )  # reached by a branch


def test_a_client_with_other_history(history: Lab, serve: Serve, tmp_path: Path) -> None:
    """It has commits that nobody here knows, and some that are here and not public: nothing is in common."""
    server = serve(history)
    mine = tmp_path / "mine"
    git("init", "-q", mine)
    for number in range(40):
        git("-C", mine, "commit", "-q", "--allow-empty", "-m", f"mine {number}")
    git("-C", mine, "fetch", "-q", str(history.git_dir), hidden(history) + ":refs/heads/known")
    git("-C", mine, "fetch", "-q", server.url, "main:refs/heads/theirs")
    git("-C", mine, "-c", "protocol.version=2", "fetch", "-q", server.url, "side:refs/heads/side")
    assert git("-C", mine, "rev-parse", "theirs").strip() == history.head()
    assert git("-C", mine, "fsck", "--strict", "--full") == ""


def test_what_a_client_says_it_has_tells_it_nothing(history: Lab, serve: Serve) -> None:
    """A `have` of a hidden commit is neither acknowledged nor built on."""
    secret, tip = hidden(history), history.head("main")
    server = serve(history)

    def line(text: str) -> bytes:
        return b"%04x%b" % (len(text) + 4, text.encode())

    def fetch(have: str) -> bytes:
        body = line("command=fetch") + b"0001" + line(f"want {tip}\n") + line(f"have {have}\n") + b"0000"
        return server.ask(
            f"POST /{server.name}/git-upload-pack HTTP/1.1\r\nHost: x\r\nGit-Protocol: version=2\r\nConnection: close\r\n"
            f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    assert b"ACK " + history.head("main~1").encode() in fetch(history.head("main~1"))
    said = fetch(secret)
    assert b"NAK" in said and b"ACK" not in said.replace(b"NAK", b"") and secret.encode() not in said


def test_a_detached_head_is_not_public(history: Lab, serve: Serve) -> None:
    secret = hidden(history)
    history("checkout", "--detach", secret)
    server = serve(history)
    listed = git("ls-remote", server.url)
    assert "HEAD" not in listed and secret not in listed
    history("checkout", "main")
    assert "HEAD" in git("ls-remote", server.url)


def test_nothing_can_be_written(history: Lab, serve: Serve) -> None:
    server = serve(history)
    before = history.git("for-each-ref")
    said = git("--git-dir", history.git_dir, "push", server.url, "main:refs/heads/new", status=128)
    assert "read-only" in said
    assert history.git("for-each-ref") == before


def test_configuration_cannot_show_more(history: Lab, serve: Serve, tmp_path: Path) -> None:
    history.git("config", "uploadpack.allowAnySHA1InWant", "true")
    history.git("config", "transfer.hideRefs", "!refs/envgit")
    history.git("config", "uploadpack.allowFilter", "true")
    server = serve(history)
    assert "refs/envgit" not in git("ls-remote", server.url)
    git("init", "-q", "--bare", tmp_path / "empty.git")
    assert "not our ref" in git("-C", tmp_path / "empty.git", "fetch", server.url, hidden(history), status=128)


def test_many_clients_at_once(history: Lab, serve: Serve, tmp_path: Path) -> None:
    server = serve(history)
    said: list[str] = []

    def clone(number: int) -> None:
        said.append(git("clone", "-q", "--bare", server.url, tmp_path / f"c{number}.git", status=None))

    threads = [threading.Thread(target=clone, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == [""] * 12
    for number in (0, 11):
        assert git("-C", tmp_path / f"c{number}.git", "rev-parse", "main").strip() == history.head()
    assert server.stop()[0] == 0


def test_an_empty_repository(tmp_path: Path, serve: Serve) -> None:
    lab = Lab(tmp_path / "empty")
    lab.path.mkdir()
    lab("init")
    server = serve(lab)
    assert git("ls-remote", server.url) == ""
    git("clone", "-q", "--bare", server.url, tmp_path / "c.git", status=None)
    assert git("-C", tmp_path / "c.git", "for-each-ref") == ""


def test_without_git_in_path(history: Lab, tmp_path: Path) -> None:
    """Nobody has to say that there is none."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("newuidmap", "newgidmap"):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    started = Lab(history.path, variables={"PATH": str(tools)}).start(
        "serve", "--port", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert started.stdout is not None
    url = started.stdout.readline().decode().split()[-1]
    git("clone", "-q", "--bare", url, tmp_path / "c.git")
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=20)
    assert started.returncode == 0
    assert git("-C", tmp_path / "c.git", "fsck", "--strict", "--full") == ""


def test_wrong_options(history: Lab, serve: Serve) -> None:
    server = serve(history)
    port = str(server.port)
    history.fails("serve", "--port", port, status=2, says="in use", hint="--port 0")
    history.fails("serve", "--bind", "192.0.2.77", "--port", "0", status=2, says="cannot listen at", hint="ip address")
    history.fails("serve", "--bind", "no such host", "--port", "0", status=2, says="cannot listen at", hint=None)
    history.fails(
        "serve", "--export-name", "../etc", status=2, says="cannot be part of an address", hint="--export-name"
    )
    history.fails("serve", "--", "x", status=2, says="no words after --", hint=None)


def test_over_ipv6(history: Lab, serve: Serve, tmp_path: Path) -> None:
    if not Path("/proc/net/if_inet6").exists() or "00000001 01" not in Path("/proc/net/if_inet6").read_text():
        history.fails("serve", "--bind", "::1", "--port", "0", status=2, says="cannot listen", hint=None)
        return
    server = serve(history, "--bind", "::1")
    assert "[::1]" in server.url
    git("clone", "-q", "--bare", server.url, tmp_path / "c.git")
