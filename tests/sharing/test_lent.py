"""What nobody read yet is not shared: packs that a clone took from a folder wait until somebody fetches them by a protocol."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.sharing.conftest import User


def test_packs_of_a_folder_are_not_for_everybody(user: User, base: Path) -> None:
    first = user.init("first", base)
    shutil.rmtree(user.shared)
    user("", "clone", "-q", str(first), "second")
    pack = next((user.folder / "second/.envgit/objects/pack").glob("*.pack"))
    assert pack.stat().st_nlink == 2
    assert user.shared_names() == []
    user("", "clone", "-q", f"file://{first}/.envgit", "third")
    assert len(user.shared_names()) == 1
    user("", "clone", "-q", f"file://{first}/.envgit", "fourth")
    for name in ("second", "third", "fourth"):
        user(name, "fsck")
    taken = (user.folder / f"fourth/.envgit/objects/pack/{user.shared_names()[0]}.pack").stat()
    assert taken.st_nlink == 3
