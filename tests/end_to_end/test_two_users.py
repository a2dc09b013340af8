"""Two users with different ids on disk share an environment in every way that there is: inside, all is the same for both."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.lab import Lab, command_environment, command_words
from tests.transfer.http_server import HttpServer
from tests.transfer.ssh_server import SshServer
from tests.two_users import Person, share_bare, special_tar, subordinate_start, two_users

pytestmark = pytest.mark.root_only

LOOK = """
cd /srv/special; stat -c '%n %u:%g %a %s %Y %F' * .; cat of-33 of-65534; readlink symbolic
id -u; [ of-1000 -ef linked ] && echo linked
"""


class World:
    """Ann and Ben, a bare repository between them, and the addresses it has."""

    def __init__(self, ann: Person, ben: Person, top: Path, archive: Path, stack: ExitStack) -> None:
        self.ann, self.ben, self.top, self.archive = ann, ben, top, archive
        self._stack = stack
        self.bare = share_bare(top / "env.git", ann)

    def ways(self, kind: str) -> tuple[str, dict[str, str], str, dict[str, str]]:
        """Return Ann's address and variables, then Ben's."""
        if kind == "path":
            self.ann.trust(self.bare)
            self.ben.trust(self.bare)
            return str(self.bare), {}, str(self.bare), {}
        if kind == "ssh":
            server = self._stack.enter_context(SshServer(self.top / "ssh"))
            mine, theirs = (server.client_key_for(who.home / ".keys", who.uid, who.gid) for who in (self.ann, self.ben))
            return server.url(self.bare, self.ann.name), mine, server.url(self.bare, self.ben.name), theirs
        http = self._stack.enter_context(HttpServer(self.top))
        return http.url("env.git"), {}, http.url("env.git"), {}


@pytest.fixture
def world(tmp_path: Path, small_root: Path) -> Iterator[World]:
    with two_users() as (ann, ben, top), ExitStack() as stack:
        assert subordinate_start(ann.name) != subordinate_start(ben.name)
        archive = special_tar(tmp_path, small_root)
        shutil.copy(archive, top / "special.tar")
        yield World(ann, ben, top, top / "special.tar", stack)


def contents(lab: Lab, revision: str = "HEAD") -> str:
    """Return the SHA-256 of the revision as an archive: every byte, id, mode, time, capability and attribute of it."""
    command = [*lab.launcher, *command_words(), "export", revision, "tar:-"]
    done = subprocess.run(
        command, cwd=lab.path, env=command_environment(lab.variables), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"SCHILY.xattr.security.capability" in done.stdout
    return hashlib.sha256(done.stdout).hexdigest()


def begin(world: World, **variables: str) -> Lab:
    """Ann makes the environment."""
    ann = world.ann.lab("lab", **variables)
    world.ann.lab(".")("init", "lab", "--from", f"tar:{world.archive}", "-m", "special")
    return ann


def clone(person: Person, address: str, name: str, **variables: str) -> Lab:
    person.lab(".", **variables)("clone", address, name)
    return person.lab(name, **variables)


def assert_same(one: Lab, other: Lab) -> None:
    assert one("log", "--format=%H").out == other("log", "--format=%H").out
    assert one.look("HEAD", LOOK) == other.look("HEAD", LOOK)
    assert contents(one) == contents(other)


def owner_on_disk(lab: Lab, name: str) -> set[int]:
    return {path.lstat().st_uid for path in (lab.git_dir / "layers").rglob(name)}


@pytest.mark.parametrize("program", ["git", "dulwich"])
@pytest.mark.parametrize("kind", ["path", "ssh", "http"])
def test_there_and_back(world: World, kind: str, program: str) -> None:
    here, mine, there, theirs = world.ways(kind)
    ann = begin(world, ENVGIT_GIT=program, **mine)
    ann("remote", "add", "origin", here)
    ann("push", "-u", "origin", "main")
    assert world.ann.git("-C", world.bare, "fsck", "--strict", "--full") == ""

    ben = clone(world.ben, there, "theirs", ENVGIT_GIT=program, **theirs)
    assert_same(ann, ben)
    assert "33:33" in ben.look("HEAD", LOOK) and "4755" in ben.look("HEAD", LOOK)
    assert owner_on_disk(ann, "of-33") == {subordinate_start(world.ann.name) + 32}
    assert owner_on_disk(ben, "of-33") == {subordinate_start(world.ben.name) + 32}

    ben.sh(
        "cd /srv/special; echo by ben > new; chown 1000:33 new; chmod 6711 new; chown 7:7 of-1; rm mode-0600; ln new new2"
    )
    ben("commit", "-m", "ben's change")
    ben("push")
    ann.sh("echo ann was here > /srv/uncommitted")
    ann("pull")
    assert_same(ann, ben)
    assert ann.sh("stat -c '%u:%g %a' /srv/special/new; cat /srv/uncommitted").out == "1000:33 6711\nann was here\n"
    ann("commit", "-m", "ann's change")
    ann("push")
    ben("pull")
    assert_same(ann, ben)
    for lab in (ann, ben):
        assert "no problems" in lab("fsck").err
    assert world.ann.git("-C", world.bare, "fsck", "--strict", "--full") == ""
    stock = world.top / "stock.git"
    world.ann.trust(world.bare)
    world.ann.git("clone", "-q", "--bare", world.bare, world.ann.home / stock.name)
    assert world.ann.git("-C", world.ann.home / stock.name, "fsck", "--strict", "--full") == ""
    names = world.ann.git("-C", world.bare, "for-each-ref", "--format=%(refname)")
    assert names == "refs/heads/main\n"


@pytest.mark.parametrize("program", ["git", "dulwich"])
def test_each_serves_the_other(world: World, program: str) -> None:
    """Nobody has a server: both serve, and fetch from each other."""
    ann = begin(world, ENVGIT_GIT=program)
    with serving(ann) as url:
        ben = clone(world.ben, url, "theirs", ENVGIT_GIT=program)
    assert_same(ann, ben)
    ben.sh("echo by ben > /srv/new; chown 33:33 /srv/new")
    ben("commit", "-m", "ben's change")
    with serving(ben) as url:
        ann("pull", url, "main")
    assert_same(ann, ben)


@pytest.mark.parametrize("program", ["git", "dulwich"])
def test_a_bundle_in_an_envelope(world: World, program: str) -> None:
    ann = begin(world, ENVGIT_GIT=program)
    ann("bundle", "-o", str(world.ann.home / "all.bundle"))
    ben = clone(world.ben, str(world.ann.home / "all.bundle"), "theirs", ENVGIT_GIT=program)
    assert_same(ann, ben)


@contextmanager
def serving(lab: Lab) -> Iterator[str]:
    """Yield the address at which a user serves a project."""
    process = lab.start("serve", "--port", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    assert line.startswith("envgit clone "), (line, process.communicate()[1])
    yield line.split()[-1]
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 0, said
