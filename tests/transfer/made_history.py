"""Repositories whose commits are written straight into packs: no sandbox, no root, milliseconds."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from envgit.store.object_store import ObjectStore
from envgit.store.objects import MODE_TREE, Commit, Signature, TreeEntry, encode_commit, encode_tree
from envgit.store.pack_writer import PackSession
from envgit.store.refs import RefStore
from envgit.store.repository import create_bare

_FIRST_SECONDS = 1_700_000_000


class MadeHistory:
    """A project's repository. `commit()` writes one pack, as every command of envgit does."""

    def __init__(self, project: Path) -> None:
        project.mkdir(parents=True, exist_ok=True)
        self.git_dir = str(project / ".envgit")
        create_bare(self.git_dir, "main")
        self.objects = ObjectStore(self.git_dir)
        self.refs = RefStore(self.git_dir)
        self._count = 0

    def commit(
        self, files: Mapping[str, bytes], parents: Sequence[bytes] = (), *, branch: str | None = "main", text: str = ""
    ) -> bytes:
        """Write a commit whose tree is exactly `files` (path to content), and point a branch at it."""
        self._count += 1
        who = Signature(b"A", b"a@example.com", _FIRST_SECONDS + 60 * self._count)
        with self.objects.pack_session() as session:
            tree = write_tree(session, files)
            message = (text or f"commit {self._count}").encode() + b"\n"
            oid = session.put("commit", encode_commit(Commit(tree, tuple(parents), who, who, message)))
            session.finish()
        self.objects.refresh()
        if branch is not None:
            name = f"refs/heads/{branch}"
            self.refs.update(name, oid, self.refs.resolve(name))
        return oid


def write_tree(session: PackSession, files: Mapping[str, bytes]) -> bytes:
    """Put the tree of `files` into a session and return its id."""
    entries: list[TreeEntry] = []
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        first, _, rest = path.partition("/")
        if rest:
            folders.setdefault(first, {})[rest] = content
        else:
            entries.append((0o100644, first.encode(), session.put("blob", content)))
    entries += [(MODE_TREE, name.encode(), write_tree(session, below)) for name, below in folders.items()]
    return session.put("tree", encode_tree(entries))


def make_bare(path: Path, *options: str) -> str:
    """Make a bare repository with stock git; returns its folder."""
    git("init", "-q", "--bare", "-b", "main", *options, str(path))
    return str(path)


def git(*words: str, cwd: str | Path | None = None) -> str:
    """Run stock git, which must succeed; returns what it said."""
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode(errors="surrogateescape").strip()


def all_objects(git_dir: str) -> set[str]:
    """Return the ids of everything a repository has, reachable or not."""
    words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(git(*words, cwd=git_dir).split())


def reachable(git_dir: str, *tips: str) -> set[str]:
    """Return the ids of everything that refs (or `tips`) reach, as stock git sees it."""
    return {line.split()[0] for line in git("rev-list", "--objects", *(tips or ("--all",)), cwd=git_dir).splitlines()}
