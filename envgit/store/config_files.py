"""Which of git's configuration files apply to a repository, by git's rules for scopes (git-config(1), "FILES")."""

from __future__ import annotations

from collections.abc import Mapping

from envgit.light_typing import NamedTuple


class ConfigFile(NamedTuple):
    """`level` as libgit2 numbers scopes: 2 system, 3 XDG, 4 user, 5 repository; where two files say something the higher wins."""

    path: str
    level: int


def config_files(git_dir: str, environ: Mapping[str, str]) -> list[ConfigFile]:
    """Return the files that apply, weakest first, whether they exist or not.

    GIT_CONFIG_NOSYSTEM, GIT_CONFIG_SYSTEM and GIT_CONFIG_GLOBAL are heeded; the last stands for both of the user's files.
    """
    home = environ.get("HOME", "")
    files: list[ConfigFile] = []
    if not environ.get("GIT_CONFIG_NOSYSTEM"):
        files.append(ConfigFile(environ.get("GIT_CONFIG_SYSTEM") or "/etc/gitconfig", 2))
    if "GIT_CONFIG_GLOBAL" in environ:
        files.append(ConfigFile(environ["GIT_CONFIG_GLOBAL"], 4))
    else:
        files.append(ConfigFile((environ.get("XDG_CONFIG_HOME") or home + "/.config") + "/git/config", 3))
        files.append(ConfigFile(home + "/.gitconfig", 4))
    files.append(ConfigFile(git_dir + "/config", 5))
    return files
