"""Who names the id of a commit does not have it: only a folder's history is taken from what the user has elsewhere."""

from __future__ import annotations

from hashlib import sha1
from pathlib import Path

import pytest

from tests.proof.child import envgit
from tests.sharing.conftest import User
from tests.transfer.hostile_server import RawServer, advertisement, answer, sends

EMPTY_PACK = b"PACK\0\0\0\2\0\0\0\0"


def _head(user: User, project: str) -> str:
    path = user.folder / project / ".envgit"
    return (path / "refs/heads/main").read_text().strip()


@pytest.mark.parametrize("by", ["server", "bundle"])
def test_a_commit_that_is_only_named_is_not_taken(by: str, user: User, base: Path, tmp_path: Path) -> None:
    user.init("secret", base)
    secret = _head(user, "secret")
    assert user.shared_names()
    listed = advertisement(f"{secret} refs/heads/main".encode())
    with RawServer(sends(answer(listed))) as server:
        bundle = tmp_path / "lie.bundle"
        head = f"# v2 git bundle\n{secret} refs/heads/main\n\n".encode()
        bundle.write_bytes(head + EMPTY_PACK + sha1(EMPTY_PACK, usedforsecurity=False).digest())
        source = server.url if by == "server" else str(bundle)
        envgit(user.folder, "init", "victim", environ=user.environ).good()
        user("victim", "remote", "add", "origin", source)
        done = envgit(user.folder / "victim", "fetch", "origin", environ=user.environ)
    assert done.status not in (0, None)
    victim = user.folder / "victim/.envgit"
    assert list((victim / "objects/pack").iterdir()) == []
    assert not (victim / "refs/remotes/origin/main").exists()
