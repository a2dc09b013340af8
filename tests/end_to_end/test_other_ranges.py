"""An environment made by root, cloned by an ordinary user with other ids on disk: inside, every owner is the same."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.lab import Lab

USER = "envgit-test"
LOOK = "stat -c '%u:%g %a %n' /srv/* && id -u"


@pytest.fixture
def lab(labs: Callable[[Path], Lab], small_origin: Path) -> Lab:
    return labs(small_origin)


@pytest.mark.root_only
def test_owners_are_the_same_for_another_user_of_a_clone(lab: Lab) -> None:
    user = pwd.getpwnam(USER)  # made by the test runner, with subordinate ids
    lab.sh("cd /srv; for id in 0 1 33 1000 65534; do touch $id; chown $id:$id $id; done; chmod 4755 33")
    lab("commit", "-m", "owners")
    seen = lab.look("HEAD", LOOK)
    assert "33:33 4755 /srv/33" in seen and "65534:65534" in seen

    home = Path(user.pw_dir) / "clone-of-root"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    try:
        subprocess.run(["git", "clone", "-q", "--bare", lab.git_dir, home / ".envgit"], check=True, timeout=60)
        for folder, names, files in os.walk(home):
            for name in (".", *names, *files):
                os.chown(os.path.join(folder, name), user.pw_uid, user.pw_gid)
        groups = ("--init-groups", "--inh-caps=-all")
        launcher = (
            "setpriv",
            "--reuid",
            str(user.pw_uid),
            "--regid",
            str(user.pw_gid),
            *groups,
            "--",
            "env",
            f"HOME={home}",
            f"USER={USER}",
        )
        theirs = replace(Lab(home), launcher=launcher)
        theirs("init")
        assert theirs.look("HEAD", LOOK) == seen
        theirs.sh("touch /srv/more; chown 33:33 /srv/more")
        theirs("commit", "-m", "by another user")
        on_disk = {path.stat().st_uid for path in (home / ".envgit/layers").rglob("srv/33")}
        assert on_disk and on_disk.isdisjoint({33, 1879048192 + 33})

        trusting = home / "gitconfig"
        trusting.write_text("[safe]\n\tdirectory = *\n")
        fetch = ["git", "--git-dir", lab.git_dir, "fetch", "-q", home / ".envgit", "main:theirs"]
        subprocess.run(fetch, check=True, timeout=60, env={**os.environ, "GIT_CONFIG_GLOBAL": str(trusting)})
        assert "33:33 644 /srv/more" in lab.look("theirs", LOOK)
    finally:
        subprocess.run(["rm", "-rf", home], check=False)
