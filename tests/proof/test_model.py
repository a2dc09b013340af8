"""Random walks through everything one user does, beside a model: after each step both show the same."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from . import lab
from .child import CAMPAIGN, ENVIRON, envgit
from .model import Model, Refused

STEPS = 400 if CAMPAIGN else 70
WALKS = 40 if CAMPAIGN else 3
PATHS = ("etc/motd", "etc/new", "usr/share/doc/side", "var/empty/log", "made/deep/file", "made/other", "bin/true")
NOW = {name: text for name, text in ENVIRON.items() if not name.endswith("_DATE")}
NAMES = ("main", "one", "two", "three/four")


class Walk:
    def __init__(self, project: Path, seed: int) -> None:
        self.project = project
        self.random = random.Random(seed)
        self.model = Model(lab.worktree_tree(project))
        self.count = 0
        self.story: list[str] = []

    def step(self) -> None:
        """Take one random step on both sides and compare them."""
        model, choose = self.model, self.random.choice
        name, path = choose(NAMES), choose(PATHS)
        verbs = {
            "edit": 6,
            "commit": 4,
            "checkout": 4,
            "undo": 3,
            "restore": 2,
            "checkout -b": 2,
            "reset --hard": 2,
            "reset --soft": 1,
            "branch": 1,
            "branch -D": 1,
            "gc": 1,
            "lose the cache": 1,
        }
        verb = self.random.choices(list(verbs), list(verbs.values()))[0]
        match verb:
            case "edit":
                self._edit()
            case "commit":
                self.count += 1
                self._both(model.commit, "commit", "-m", f"{self.count}")
            case "checkout":
                self._both(lambda: model.checkout(name), "checkout", name)
            case "undo" if model.operations:  # else it would take the import back
                self._both(model.undo, "undo")
            case "restore":
                self._both(lambda: model.restore(path), "restore", path)
            case "checkout -b":
                self._both(lambda: model.checkout_new(name), "checkout", "-b", name)
            case "reset --hard" | "reset --soft":
                self._both(lambda: model.reset(verb == "reset --hard"), "reset", verb.split()[1], "HEAD~1")
            case "branch":
                self._both(lambda: model.branch(name), "branch", name)
            case "branch -D":
                self._both(lambda: model.delete(name), "branch", "-D", name)
            case "gc":
                self._both(lambda: None, "gc")
            case "lose the cache":
                lab.lose_cache(self.project)
        self._compare()

    def _edit(self) -> None:
        data: dict[str, bytes | None] = {}
        for path in self.random.sample(PATHS, self.random.randint(1, 3)):
            self.count += 1
            remove = path in self.model.tree and self.random.random() < 0.3
            if path != "bin/true":  # which every run needs
                data[path] = None if remove else b"content %d\n" % self.count
        self.story.append(f"edit {data}")
        envgit(self.project, "run", "--", "/bin/true").good()
        lab.edit(self.project, data)
        self.model.edit(data)

    def _both(self, modelled: object, *words: str) -> None:
        assert callable(modelled)
        self.story.append(" ".join(words))
        try:
            modelled()
            refused = False
        except Refused:
            refused = True
        result = envgit(self.project, *words, environ=NOW)
        assert (result.status != 0) == refused, (self.story, result)
        assert not refused or result.is_clear_error(), (self.story, result)

    def _compare(self) -> None:
        head = (self.project / ".envgit/HEAD").read_text().strip()
        assert head == f"ref: refs/heads/{self.model.head}", self.story
        branches = lab.git(self.project, "for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()
        assert branches == sorted(self.model.branches), self.story
        assert lab.worktree_tree(self.project) == self.model.tree, self.story
        clean = envgit(self.project, "status").good().out.endswith("environment clean\n")
        assert clean == (not self.model.is_dirty), self.story


@pytest.mark.parametrize("seed", range(WALKS))
def test_walk(original: Path, tmp_path: Path, seed: int) -> None:
    envgit(tmp_path, "init", "lab", "--from", f"tar:{original.parent / 'source.tar'}").good()
    walk = Walk(tmp_path / "lab", seed)
    for _ in range(STEPS):
        walk.step()
    for name, commit in walk.model.branches.items():
        assert lab.worktree_tree(walk.project, branch=name) == commit.tree, walk.story
    observed = lab.observe(walk.project)
    assert observed.problems == (), walk.story
    assert lab.git_fsck(walk.project) == []
