"""Every verb's name, module and one line of help, so that the listing imports no verb."""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    module: str
    """Below `envgit.cli.verbs`; the command is its attribute NAME_command."""
    section: str
    help: str


_START, _WORK, _HISTORY, _BRANCH, _CARE = (
    "Start an environment",
    "Work in it",
    "Look at history",
    "Branch, move, undo",
    "Care for the repository",
)

VERBS: Final[dict[str, Verb]] = {
    "init": Verb("init", _START, "Create a repository, with an environment in it if asked."),
    "import": Verb("import_", _START, "Record a root filesystem as a new commit."),
    "export": Verb("export", _START, "Write a revision out as a directory or a tar archive."),
    "run": Verb("run", _WORK, "Run a command in the environment, or in any revision."),
    "shell": Verb("run", _WORK, "Open a shell in the environment, or in any revision."),
    "status": Verb("status", _WORK, "Show what changed since the last commit."),
    "diff": Verb("diff", _WORK, "Show changes between revisions, or since the last commit."),
    "commit": Verb("commit", _WORK, "Record the changes of the environment."),
    "restore": Verb("restore", _WORK, "Take paths back from a revision."),
    "ls": Verb("ls", _WORK, "List a directory of a revision."),
    "cat": Verb("cat", _WORK, "Print a file of a revision."),
    "log": Verb("log", _HISTORY, "Show commits."),
    "show": Verb("show", _HISTORY, "Show a commit, a tag or a path of a revision."),
    "branch": Verb("branch", _BRANCH, "List, create, rename or delete branches."),
    "checkout": Verb("checkout", _BRANCH, "Switch to a branch or revision, or take paths back."),
    "switch": Verb("checkout", _BRANCH, "Switch branches."),
    "reset": Verb("reset", _BRANCH, "Move the current branch to a revision."),
    "tag": Verb("tag", _BRANCH, "List, create or delete tags."),
    "undo": Verb("undo", _BRANCH, "Take back the last operation, or a given one."),
    "op": Verb("op", _BRANCH, "Look at the log of operations."),
    "fsck": Verb("fsck", _CARE, "Check objects, metadata and cache for damage."),
    "gc": Verb("gc", _CARE, "Pack objects and drop what nothing needs any more."),
    "doctor": Verb("doctor", _CARE, "Try what this machine can do; print the fix for what it cannot."),
    "config": Verb("config", _CARE, "Get and set options of the repository."),
    "completion": Verb("completion", _CARE, "Print the completion script of a shell."),
    "version": Verb("version", _CARE, "Print the version."),
}

ABSENT: Final[dict[str, str | None]] = {
    "add": "every change is recorded: envgit commit -m MESSAGE",
    "stash": "uncommitted changes stay with their branch: just envgit checkout BRANCH",
    "worktree": "every branch keeps its own uncommitted changes: envgit checkout BRANCH",
    "clone": "stock git can: git clone --bare PROJECT/.envgit",
    "push": "stock git can: git --git-dir=.envgit push REMOTE BRANCH",
    "fetch": "stock git can: git --git-dir=.envgit fetch REMOTE",
    "pull": "stock git can: git --git-dir=.envgit fetch REMOTE",
    "remote": "stock git can: git --git-dir=.envgit remote",
    "reflog": "envgit op log shows every operation",
    "revert": "to take a commit back: envgit undo, or envgit restore --source REV PATH",
    "exec": "a second envgit run joins the running environment: envgit run -it -- sh",
    "save": "use: envgit export REV tar:FILE",
    "load": "use: envgit import tar:FILE",
    "cp": "use: envgit cat REV:PATH, or envgit run -v",
    "images": "use: envgit branch, envgit tag",
    "history": "use: envgit log",
    "inspect": "use: envgit show REV:PATH, envgit config",
    "rmi": "use: envgit branch -d BRANCH",
    "create": "use: envgit checkout -b BRANCH",
    "start": "use: envgit run",
    "merge": None,
    "rebase": None,
    "cherry-pick": None,
    "bisect": None,
    "build": None,
    "ps": None,
    "logs": None,
    "stop": None,
    "kill": None,
    "login": None,
    "compose": None,
    "up": None,
    "down": None,
}
"""What users of git, docker and podman type and this version does not have, with the way that there is, if any."""
