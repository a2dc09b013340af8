"""A small repository with every kind of state in it, copied in milliseconds, edited without a sandbox, and observed."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from envgit.capturing import Everything, capture_upper
from envgit.fsck import check_repository
from envgit.layers.compare import diff_trees
from envgit.layers.memory_tree import MemoryTree
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from envgit.status import empty_root
from envgit.uppers import open_upper, upper_paths
from envgit.worktree import branch_of_worktree, parse_pointer, worktree_name

from .child import ENVIRON, envgit, in_child
from .program import true_program

Tree = tuple[tuple[object, ...], ...]


class State(NamedTuple):
    """What a user could see: HEAD, refs (without envgit's own), and the content of every worktree that has a pointer."""

    head: str
    refs: tuple[tuple[str, str], ...]
    worktrees: tuple[tuple[str, Tree], ...]

    def without(self, *names: str) -> State:
        """The same without these refs."""
        return self._replace(refs=tuple(ref for ref in self.refs if ref[0] not in names))


class Observed(NamedTuple):
    state: State
    problems: tuple[str, ...]


def make_archive(source: Path) -> Path:
    """Return `source` as a tar file beside it, everything owned by root: so whoever copies a repository keeps its owners."""

    def belong_to_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        return member

    path = source.with_name(source.name + ".tar")
    with tarfile.open(path, "w") as archive:
        archive.add(source, ".", filter=belong_to_root)
    return path


def make_source(folder: Path) -> Path:
    """A root filesystem of a dozen entries, of every common kind."""
    for name in ("bin", "etc", "proc", "sys", "dev", "run", "tmp", "usr/share/doc", "var/empty"):
        (folder / name).mkdir(parents=True)
    (folder / "bin/true").write_bytes(true_program())
    (folder / "bin/true").chmod(0o755)
    (folder / "etc/motd").write_text("hello\n")
    (folder / "etc/hosts").write_text("")
    (folder / "etc/passwd").write_text("root:x:0:0::/:/bin/true\n")
    (folder / "etc/issue").symlink_to("motd")
    (folder / "usr/share/doc/README").write_text("read me\n" * 40)
    (folder / "usr/share/doc/random").write_bytes(os.urandom(30_000))
    os.link(folder / "usr/share/doc/README", folder / "usr/share/doc/LINK")
    os.mkfifo(folder / "run/pipe")
    return folder


def build(folder: Path) -> Path:
    """Return a project in `folder`: branches main (3 commits, uncommitted changes) and side (merged nowhere), a tag, packs.

    The upper directory of main holds a new, a changed and a removed file; side has uncommitted changes too.
    """
    archive = make_archive(make_source(folder / "source"))
    envgit(folder, "init", "lab", "--from", f"tar:{archive}").good()
    project = folder / "lab"
    envgit(project, "run", "--", "/bin/true").good()
    edit(project, {"etc/motd": b"two\n", "etc/new": b"new\n"})
    envgit(project, "commit", "-m", "two").good()
    envgit(project, "tag", "v1").good()
    envgit(project, "checkout", "-b", "side").good()
    envgit(project, "run", "--", "/bin/true").good()
    edit(project, {"usr/share/doc/side": b"side\n", "etc/passwd": None})
    envgit(project, "commit", "-m", "side").good()
    edit(project, {"etc/side-uncommitted": b"x"})
    envgit(project, "checkout", "main").good()
    envgit(project, "run", "--", "/bin/true").good()
    edit(project, {"etc/motd": b"three\n"})
    envgit(project, "commit", "-m", "three").good()
    edit(project, {"etc/motd": b"uncommitted\n", "var/empty/log": b"log\n" * 100, "etc/new": None})
    tidy_for_copy(project)
    return project


def tidy_for_copy(project: Path) -> None:
    """Remove overlayfs's scratch folders: only root could copy them."""
    for place in ("uppers", "sandboxes"):
        for found in (project / ".envgit" / place).glob("*/work/*"):
            found.chmod(0o700)
            shutil.rmtree(found)


def copy(project: Path, target: Path) -> Path:
    """Copy a project, whiteouts and times included."""
    subprocess.run(["cp", "-a", str(project), str(target)], check=True)
    return target


def remove(project: Path) -> None:
    """Remove a copy. Layers are made durable by a process beside, which may still put its marks there."""
    tidy_for_copy(project)
    for attempt in range(100):
        try:
            shutil.rmtree(project)
            return
        except OSError:
            if attempt == 99 or not project.exists():
                raise
            time.sleep(0.1)


def open_repo(project: Path) -> Repository:
    """Open a repository as the library does; call it in a child."""
    return Repository.open_(str(project), ENVIRON, NullMonitor())


def upper_folder(project: Path) -> Path:
    """The upper directory of the checked-out branch; the worktree must have one."""
    head = (project / ".envgit/HEAD").read_text().strip().removeprefix("ref: refs/heads/")
    pointer = parse_pointer((project / ".envgit/checkouts" / worktree_name(head) / "base").read_text())
    assert pointer.upper is not None
    return project / ".envgit/uppers" / pointer.upper / "upper"


def edit(project: Path, changes: Mapping[str, bytes | None]) -> None:
    """Change files of the current worktree as a sandbox would: contents, or None for removed (a whiteout)."""
    in_child(lambda: _edit(project, changes))


def _edit(project: Path, changes: Mapping[str, bytes | None]) -> None:
    repo = open_repo(project)
    repo.enter_tree_namespace()
    owner = repo.disk_ids.to_disk(0)
    upper = upper_folder(project)
    for name, data in changes.items():
        path = upper / name
        for folder in reversed(path.relative_to(upper).parents):
            if not (upper / folder).exists():
                (upper / folder).mkdir()
                os.chown(upper / folder, owner, owner)
        if path.exists() or path.is_symlink() or _is_whiteout(path):
            path.unlink()
        if data is None:
            os.mknod(path, stat.S_IFCHR, 0)
        else:
            path.write_bytes(data)
            os.chown(path, owner, owner)


def _is_whiteout(path: Path) -> bool:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def observe(project: Path, *, fsck: bool = True) -> Observed:
    """Return the state and what fsck finds, in a child."""
    return in_child(lambda: _observe(project, fsck))


def _observe(project: Path, fsck: bool) -> Observed:
    repo = open_repo(project)
    _ = repo.disk_ids
    head = repo.read_head()
    refs = tuple((name, oid.hex()) for name, oid in repo.refs.iter_refs("refs/") if not name.startswith("refs/envgit/"))
    repo.enter_tree_namespace()
    worktrees = []
    for name in sorted(os.listdir(repo.path("checkouts"))):
        word = repo.read_pointer_word(name)
        tip = (
            head.oid
            if branch_of_worktree(name) is None
            else repo.refs.resolve(f"refs/heads/{branch_of_worktree(name)}")
        )
        if word is None or tip is None:
            continue
        pointer = parse_pointer(word)
        tree = _tree(repo, pointer.base, pointer.upper)
        if tree != _tree(repo, tip, None):
            worktrees.append((name, tree))
    state = State(head.symbolic or (head.oid or b"").hex(), refs, tuple(worktrees))
    problems = tuple(f"{problem.where}: {problem.what}" for problem in check_repository(repo).problems) if fsck else ()
    return Observed(state, problems)


def _tree(repo: Repository, base: bytes, upper: str | None) -> Tree:
    root = read_snapshot(repo.objects, base).root
    reader = MemoryTree(repo.reader, -1)
    if upper is not None:
        fd = open_upper(upper_paths(repo, upper))
        reader = MemoryTree(repo.reader, fd, hash_files=True)
        root = capture_upper(repo, fd, root, reader, reader, Everything()).root
    entries = [change.new.entry for change in diff_trees(empty_root(repo), root, reader) if change.new is not None]
    paths = [change.path for change in diff_trees(empty_root(repo), root, reader) if change.new is not None]
    return tuple(
        (path, entry.type, entry.mode, entry.uid, entry.sha256, entry.target)
        for path, entry in zip(paths, entries, strict=True)
        if not path.startswith((b"proc/", b"sys/", b"dev/", b"run/", b"tmp/"))
    )


def worktree_tree(project: Path, *, branch: str | None = None) -> dict[str, bytes]:
    """Return path -> content of the regular files of the current worktree (or of a revision), read in a child."""

    def work() -> dict[str, bytes]:
        repo = open_repo(project)
        _ = repo.disk_ids
        head = repo.read_head()
        reader: MemoryTree
        if branch is not None:
            root, reader = read_snapshot(repo.objects, repo.resolve_bytes(branch)).root, MemoryTree(repo.reader, -1)
        else:
            pointer = repo.read_pointer(repo.branch_name(), head.oid)
            assert pointer is not None
            root, reader = read_snapshot(repo.objects, pointer.base).root, MemoryTree(repo.reader, -1)
            if pointer.upper is not None:
                repo.enter_tree_namespace()
                fd = open_upper(upper_paths(repo, pointer.upper))
                reader = MemoryTree(repo.reader, fd)
                root = capture_upper(repo, fd, root, reader, reader).root
        return {
            os.fsdecode(change.path): b"".join(reader.iter_content(change.new))
            for change in diff_trees(empty_root(repo), root, reader)
            if change.new is not None and change.new.entry.type == "f"
        }

    return in_child(work)


def git(project: Path, *words: str) -> str:
    """Run stock git on the repository; return its output, errors included."""
    environ = {**ENVIRON, "GIT_DIR": str(project / ".envgit")}
    done = subprocess.run(["git", *words], env=environ, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def git_fsck(project: Path) -> list[str]:
    """Return what `git fsck --strict --full` complains about."""
    said = git(project, "fsck", "--strict", "--full", "--no-dangling", "--no-progress")
    return [line for line in said.splitlines() if not line.startswith("notice: ")]


def lose_cache(project: Path) -> None:
    """Delete everything in layers/, which may be done at any time."""
    for found in (project / ".envgit/layers").iterdir():
        if found.is_dir():
            shutil.rmtree(found)
        else:
            found.unlink()
