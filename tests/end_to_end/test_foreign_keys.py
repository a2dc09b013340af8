"""What a fetched commit says of itself: a key is believed only of history that somebody here has made a branch of."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.lab import Lab

DECLARATION = '[env]\nfrom = "base"\n\n[[step]]\nrun = "echo ours > /srv/file"\n'


def evil_repository(lab: Lab, folder: Path) -> Path:
    """Return a copy of the repository whose history says that the declaration's step wrote something else."""
    copy = folder / "evil"
    subprocess.run(["cp", "-a", str(lab.path), str(copy)], check=True)
    (copy / "envgit.toml").write_text(DECLARATION.replace("echo ours", "echo theirs"))
    theirs = Lab(copy)
    theirs("build")
    honest = lab.git("log", "-1", "--format=%B", "built")
    key = next(line for line in honest.splitlines() if line.startswith("Envgit-Build: "))
    message = theirs.git("log", "-1", "--format=%B").splitlines()
    forged = "\n".join(key if line.startswith("Envgit-Build: ") else line for line in message)
    tree, parent = theirs.head("HEAD^{tree}"), theirs.head("HEAD~1")
    oid = theirs.git("commit-tree", tree, "-p", parent, "-m", forged).strip()
    theirs.git("update-ref", "refs/heads/forged", oid)
    return copy


def test_a_forged_key_below_refs_remotes_is_not_believed(lab: Lab, tmp_path: Path) -> None:
    lab("branch", "base")
    (lab.path / "envgit.toml").write_text(DECLARATION)
    lab("build", "--branch", "built")
    evil = evil_repository(lab, tmp_path)
    lab("branch", "-D", "built")
    shutil.rmtree(lab.git_dir / "build")
    for ref in ("refs/envgit/builds/default", "refs/envgit/kept"):
        for name in lab.git("for-each-ref", "--format=%(refname)", ref).split():
            lab.git("update-ref", "-d", name)
    lab.git("fetch", "-q", str(evil / ".envgit"), "forged:refs/remotes/evil/main", "forged:refs/tags/v9")
    lab("build", "--branch", "new")
    assert lab.look("new", "cat /srv/file") == "ours\n"
    # The control: who makes a branch of it says that it is to be believed.
    lab("branch", "-D", "new")
    shutil.rmtree(lab.git_dir / "build")
    for ref in ("refs/envgit/builds/default", "refs/envgit/kept"):
        for name in lab.git("for-each-ref", "--format=%(refname)", ref).split():
            lab.git("update-ref", "-d", name)
    lab.git("update-ref", "refs/heads/believed", "refs/remotes/evil/main")
    lab("build", "--branch", "new")
    assert lab.look("new", "cat /srv/file") == "theirs\n"
