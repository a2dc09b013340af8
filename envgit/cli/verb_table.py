"""Every verb's name, module and one line of help, so that the listing imports no verb."""

from __future__ import annotations

from typing import Final, NamedTuple


class Verb(NamedTuple):
    module: str
    """Below `envgit.cli.verbs`; the command is its attribute NAME_command."""
    section: str
    help: str


_START, _WORK, _LIVE, _HISTORY, _BRANCH, _SHARE, _CARE = (
    "Start an environment",
    "Work in it",
    "Long-lived sandboxes",
    "Look at history",
    "Branch, move, undo",
    "Share it",
    "Care for the repository",
)

VERBS: Final[dict[str, Verb]] = {
    "init": Verb("init", _START, "Create a repository, with an environment in it if asked."),
    "import": Verb("import_", _START, "Record a root filesystem as a new commit."),
    "export": Verb("export", _START, "Write a revision out as a directory, a tar archive or an image."),
    "kube": Verb("kube", _START, "Print a manifest for Kubernetes that runs a pushed image."),
    "build": Verb("build", _START, "Build an environment from an envgit.toml or a Dockerfile."),
    "plan": Verb("plan", _START, "Say what build would do and why; change nothing."),
    "update": Verb("update", _START, "Build with newer packages than envgit.lock has."),
    "drift": Verb("drift", _START, "Show what the environment has that its declaration does not say."),
    "export-recipe": Verb("export_recipe", _START, "Write a history as a Dockerfile or an envgit.toml."),
    "run": Verb("run", _WORK, "Run a command in the environment, or in any revision."),
    "shell": Verb("run", _WORK, "Open a shell in the environment, or in any revision."),
    "volume": Verb("volume", _WORK, "Keep data in named folders outside of every environment."),
    "trust": Verb("trust", _WORK, "Show what an environment asks for, and grant it."),
    "link": Verb("link", _WORK, "Tie the environment to the code of a git repository."),
    "spec": Verb("spec", _WORK, "Print what run would start, as an OCI runtime spec."),
    "status": Verb("status", _WORK, "Show what changed since the last commit."),
    "diff": Verb("diff", _WORK, "Show changes between revisions, or since the last commit."),
    "commit": Verb("commit", _WORK, "Record the changes of the environment."),
    "restore": Verb("restore", _WORK, "Take paths back from a revision."),
    "ls": Verb("ls", _WORK, "List a directory of a revision."),
    "cat": Verb("cat", _WORK, "Print a file of a revision."),
    "packages": Verb("packages", _WORK, "List the packages of a revision."),
    "ps": Verb("ps", _LIVE, "List recorded sandboxes."),
    "logs": Verb("logs", _LIVE, "Print what a sandbox wrote."),
    "exec": Verb("exec_", _LIVE, "Run another program in a running sandbox."),
    "attach": Verb("attach", _LIVE, "Attach to the streams of a running sandbox."),
    "start": Verb("start", _LIVE, "Run sandboxes again."),
    "stop": Verb("stop", _LIVE, "End sandboxes."),
    "restart": Verb("start", _LIVE, "Stop sandboxes and start them again."),
    "kill": Verb("stop", _LIVE, "Send a signal to sandboxes."),
    "wait": Verb("stop", _LIVE, "Wait until sandboxes have ended."),
    "rm": Verb("rm", _LIVE, "Remove sandboxes."),
    "prune": Verb("rm", _LIVE, "Remove all sandboxes that do not run."),
    "rename": Verb("rm", _LIVE, "Give a sandbox another name."),
    "inspect": Verb("inspect", _LIVE, "Print everything that is known of sandboxes."),
    "port": Verb("inspect", _LIVE, "Print where ports are published."),
    "top": Verb("top", _LIVE, "List the processes of a sandbox."),
    "stats": Verb("top", _LIVE, "Show what sandboxes use."),
    "cp": Verb("cp", _LIVE, "Copy files out of a sandbox or into it."),
    "log": Verb("log", _HISTORY, "Show commits."),
    "show": Verb("show", _HISTORY, "Show a commit, a tag or a path of a revision."),
    "verify": Verb("verify", _HISTORY, "Check who signed revisions, and that their files are those."),
    "branch": Verb("branch", _BRANCH, "List, create, rename or delete branches."),
    "checkout": Verb("checkout", _BRANCH, "Switch to a branch or revision, or take paths back."),
    "switch": Verb("checkout", _BRANCH, "Switch branches."),
    "reset": Verb("reset", _BRANCH, "Move the current branch to a revision."),
    "tag": Verb("tag", _BRANCH, "List, create or delete tags."),
    "undo": Verb("undo", _BRANCH, "Take back the last operation, or a given one."),
    "op": Verb("op", _BRANCH, "Look at the log of operations."),
    "clone": Verb("clone", _SHARE, "Make a repository with the history of another one."),
    "remote": Verb("remote", _SHARE, "List, add, change or ask other repositories."),
    "fetch": Verb("fetch", _SHARE, "Bring history from another repository."),
    "pull": Verb("fetch", _SHARE, "Fetch, and move the current branch ahead."),
    "push": Verb("push", _SHARE, "Send history to another repository, or an image to a registry."),
    "login": Verb("login", _SHARE, "Log in to a registry of container images."),
    "logout": Verb("login", _SHARE, "Forget the credentials for a registry."),
    "bundle": Verb("bundle", _SHARE, "Write history to one file."),
    "serve": Verb("serve", _SHARE, "Offer branches and tags to others over HTTP, read-only."),
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
    "reflog": "envgit op log shows every operation",
    "revert": "to take a commit back: envgit undo, or envgit restore --source REV PATH",
    "save": "use: envgit export REV tar:FILE",
    "load": "use: envgit import tar:FILE",
    "images": "use: envgit branch, envgit tag",
    "history": "use: envgit log",
    "rmi": "use: envgit branch -d BRANCH",
    "pause": "use: envgit kill -s STOP NAME; it stops the first program alone",
    "unpause": "use: envgit kill -s CONT NAME",
    "container": "the word is left out: envgit ps, envgit rm ...",
    "create": "use: envgit checkout -b BRANCH",
    "merge": "branches move ahead (envgit pull); of others take paths: envgit restore --source BRANCH PATH",
    "rebase": "take paths of a branch that went another way: envgit restore --source BRANCH PATH",
    "cherry-pick": "take paths of a commit: envgit restore --source REV PATH",
    "bisect": None,
    "compose": None,
    "up": None,
    "down": None,
}
"""What users of git, docker and podman type and this version does not have, with the way that there is, if any."""
