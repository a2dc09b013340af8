"""A repository with one environment, and the way into it: whatever is refused must leave it as it was, to the last byte."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.exec.limited import Limits
from envgit.monitor import NullMonitor
from envgit.quarantine import Checked, Quarantine
from envgit.quarantine.errors import RefusedObjects
from envgit.store.repository import create_bare
from tests.quarantine.builder import Environment, Objects


def photograph(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below, with mode and content."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        if path.name != "incoming":
            seen[str(path)] = (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
    return seen


class Home:
    """Our repository. `base`: its one commit on main."""

    def __init__(self, git_dir: Path) -> None:
        self.git_dir = git_dir
        self.store = create_bare(str(git_dir))
        self.environment = Environment()
        self.base = self.environment.commit(self.environment.root())
        with self.store.objects.pack_session() as session:
            for type, data in self.environment.objects.known.values():
                session.put(type, data)
            session.finish()
        self.store.objects.refresh()
        self.store.refs.update("refs/heads/main", self.base, None)

    def quarantine(self, *packs: bytes) -> Quarantine:
        made = Quarantine.create(str(self.git_dir))
        for pack in packs:
            Path(made.git_dir, "objects/pack", f"pack-{pack[-20:].hex()}.pack").write_bytes(pack)
        return made

    def accept(self, pack: bytes, *tips: bytes, shallow: Iterable[bytes] = ()) -> Checked:
        with self.quarantine(pack) as arrived:
            checked = arrived.check(tips, NullMonitor(), shallow=shallow)
            arrived.admit()
        assert os.listdir(self.git_dir / "incoming") == []
        self.store.objects.refresh()
        return checked

    def refuse(
        self,
        pack: bytes | tuple[bytes, ...],
        *tips: bytes,
        kind: type[EnvgitError] = RefusedObjects,
        limits: Limits | None = None,
    ) -> str:
        """Return the message of the refusal."""
        before = photograph(self.git_dir)
        packs = pack if isinstance(pack, tuple) else (pack,)
        with pytest.raises(EnvgitError) as caught, self.quarantine(*packs) as arrived:
            arrived.check(tips, NullMonitor(), limits=limits)
        assert isinstance(caught.value, RefusedObjects) and type(caught.value) is kind, caught.value
        assert caught.value.hint
        assert "\n" not in caught.value.message and "Traceback" not in caught.value.message
        assert os.listdir(self.git_dir / "incoming") == []
        assert photograph(self.git_dir) == before
        return caught.value.message


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / ".envgit")


@pytest.fixture
def objects() -> Objects:
    return Objects()
