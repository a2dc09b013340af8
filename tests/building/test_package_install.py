"""Package units carried out by apt and pip in an environment made of this Debian machine, with archives that the tests make."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building.archives import make_deb, make_wheel, write_index
from tests.lab import Done, Lab, remove, run_envgit

RANDOM = """
head -c 8 /dev/urandom | od -An -tx1 > /etc/ssh/ssh_host_ed25519_key
date +%N >> /var/log/alternatives.log
head -c 8 /dev/urandom > /etc/machine-id
echo more > /var/lib/dpkg/more-old
ls -i / > /var/cache/ldconfig/aux-cache
sh /usr/sbin/policy-rc.d || [ $? = 101 ]
grep -q off /etc/postgresql-common/createcluster.d/zz-envgit.conf
"""
DECLARATION = """\
[env]
name = "app"
from = "base"

[packages]
apt = ["app"]
pip = ["web"]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A project with a tag `base`: this machine's Debian, with an archive in /srv/debs, pip, and wheels in /srv/wheels."""
    folder = tmp_path_factory.mktemp("packages")
    run_envgit("init", "lab", "--from", "host", cwd=folder, status=None)
    lab = Lab(folder / "lab")
    debs, wheels = folder / "debs", folder / "wheels"
    debs.mkdir()
    wheels.mkdir()
    for version in ("1.0", "2.0"):
        make_deb(
            debs,
            "app",
            version,
            depends=f"lib (>= {version})",
            script=f"mkdir -p /etc/ssh /var/cache/ldconfig\n{RANDOM}",
        )
        make_deb(debs, "lib", version)
    make_deb(debs, "old", "7.1")
    make_deb(debs, "old", "8.0")
    make_deb(debs, "postgresql-15", "15.1")
    for version in ("1.0", "2.0"):
        make_wheel(wheels, "web", version, requires="core")
        make_wheel(wheels, "core", version)
    write_index(debs)
    (wheels / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")
    import pip

    source = os.path.dirname(pip.__file__)
    lab(
        *("run", "-v", f"{folder}:/given:ro", "-v", f"{source}:/pip:ro", "--", "sh", "-ec"),
        """
        cp -r /given/debs /given/wheels /srv/
        echo 'deb [trusted=yes] file:/srv/debs ./' > /etc/apt/sources.list
        rm -f /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/*
        for folder in /usr/lib/python3 /usr/local/lib/python3.*/dist-packages; do site=$folder; done
        site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        mkdir -p $site /etc && cp -r /pip $site/pip && cp /srv/wheels/pip.conf /etc/pip.conf
        rm -rf /var/log/alternatives.log /etc/machine-id /tmp/*
        """,
    )
    lab("commit", "-m", "base")
    lab("tag", "base")
    yield lab
    remove(folder)


class Project:
    """A folder with a declaration and its lock, built on a branch of its own."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.file = folder / "envgit.toml"
        self.lock = folder / "envgit.lock"
        self.branch = folder.name

    def __call__(self, verb: str, *words: str, status: int | None = 0) -> Done:
        # As a file of another folder: its lock lies beside it.
        words = (verb, "-f", str(self.file), "--branch", self.branch, *words)
        return self.lab(*words, status=status, SOURCE_DATE_EPOCH="1700000000")

    def fails(self, verb: str, *words: str, says: str, hint: str, status: int = 2) -> None:
        self.lab.fails(verb, "-f", str(self.file), "--branch", self.branch, *words, status=status, says=says, hint=hint)

    def look(self, script: str) -> str:
        return self.lab.look(self.branch, script)

    def tree(self) -> str:
        return self.lab.git("rev-parse", f"{self.branch}:rootfs")

    def locked(self) -> dict[str, str]:
        """Return the versions that the lock has, by name."""
        return dict(re.findall(r'name = "([^"]+)", version = "([^"]+)"', self.lock.read_text()))

    def keep(self, **versions: str) -> None:
        """Write other versions into the lock, without hashes."""
        text = self.lock.read_text()
        for name, version in versions.items():
            text = re.sub(rf'(name = "{name}", version = )"[^"]+"(.*?), hash = "[^"]+"', rf'\1"{version}"\2', text)
        self.lock.write_text(text)


@pytest.fixture
def project(world: Lab, tmp_path: Path) -> Project:
    """A folder with the declaration."""
    found = Project(world, tmp_path)
    found.file.write_text(DECLARATION)
    world("branch", found.branch, "base")
    return found


def test_packages_are_installed_locked_and_nothing_of_the_installing_stays(project: Project) -> None:
    project("build")
    assert project.locked() == {"app": "2.0", "lib": "2.0", "core": "2.0", "web": "2.0"}
    first = project.lock.read_text()
    assert project.look("python3 -c 'import web; print(web.VERSION)'; cat /usr/share/app/version") == "2.0\n2.0"
    left = "/usr/sbin/policy-rc.d /etc/postgresql-common /etc/ssh/ssh_host_ed25519_key /var/cache/ldconfig/aux-cache"
    gone = "/var/log/alternatives.log /var/lib/dpkg/more-old /var/lib/dpkg/status-old"
    assert project.look(f"for path in {left} {gone}; do [ ! -e $path ] || echo $path; done") == ""
    assert project.look("wc -c < /etc/machine-id; find / -xdev -name '*envgit*' -not -path '/proc/*' | sort") == "0\n"
    assert "nothing to build" in project("build").out
    # Somebody else, with the lock alone: the same files, whatever was random; and the lock does not change.
    tree = project.tree()
    for words in (["--locked", "--network", "none"], []):
        project("build", "--no-cache", *words)
        assert project.tree() == tree
        assert project.lock.read_text() == first


def test_a_build_keeps_the_versions_of_the_lock_and_update_moves_them(project: Project) -> None:
    project("build")
    newest = project.tree()
    project.keep(app="1.0", lib="1.0", core="1.0")
    project("build")
    assert project.locked() == {"app": "1.0", "lib": "1.0", "core": "1.0", "web": "2.0"}
    assert "1.0" in project.look("cat /usr/share/app/version")
    project.fails("update", "appp", says="no package 'appp'", hint="did you mean 'app'?")
    done = project("update", "--json", "Core").json()
    assert [(each["name"], each["old"], each["new"]) for each in done["packages"]] == [("core", "1.0", "2.0")]
    # app 2.0 needs a newer lib: that moves, too.
    done = project("update", "app")
    assert "~ app 1.0 -> 2.0 (apt)" in done.lines() and "~ lib 1.0 -> 2.0 (apt)" in done.lines()
    assert project.tree() == newest
    assert "nothing newer" in project("update").out


def test_a_locked_build_fails_rather_than_differ(project: Project) -> None:
    project.fails("build", "--locked", says="envgit.lock has no environment 'app'", hint="envgit build")
    project("build")
    head = project.tree()
    lock = project.lock.read_text()
    project.keep(app="1.5")
    done = project("build", "--locked", status=1)
    assert "app 1.5 is locked; the archive has 2.0" in done.err and project.tree() == head
    project.lock.write_text(re.sub(r'(name = "lib".*sha256:)....', r"\g<1>0000", lock))
    assert "lib 2.0 is another file" in project("build", "--locked", status=1).err
    project.lock.write_text(re.sub(r'(name = "core".*sha256:)....', r"\g<1>0000", lock))
    assert "pip install failed" in project("build", "--locked", status=1).err
    project.lock.write_text(re.sub(r'root = "sha256:....', 'root = "sha256:0000', lock))
    assert "the files of 'app' are not those that are locked" in project("build", "--locked", status=1).err
    project.lock.write_text(re.sub(r'base = "sha256:....', 'base = "sha256:0000', lock))
    assert "the base of 'app' is not the one that is locked" in project("build", "--locked", status=1).err
    assert project.tree() == head


def test_patterns_of_versions_and_what_cannot_be_had(project: Project) -> None:
    path = project.file
    path.write_text(DECLARATION.replace('["app"]', '["old=7.*"]').replace('pip = ["web"]\n', ""))
    project("build")
    assert project.locked() == {"old": "7.1"}
    # The declaration goes before the lock.
    path.write_text(path.read_text().replace("7.*", "8.*"))
    project("build")
    assert project.locked() == {"old": "8.0"}
    path.write_text(path.read_text().replace("old=8.*", "missing"))
    head = project.tree()
    done = project("build", status=1)
    assert "Unable to locate package missing" in done.err and "packages: apt missing" in done.err
    assert project.tree() == head


def test_a_cluster_that_was_not_made_is_said(project: Project) -> None:
    project.file.write_text(DECLARATION.replace('["app"]', '["postgresql-15"]').replace('pip = ["web"]\n', ""))
    said = [line for line in project("build").err.splitlines() if "PostgreSQL" in line]
    assert said == ["envgit: no PostgreSQL cluster was made; where it runs: pg_createcluster 15 main"]


def test_a_manager_without_a_script_is_named_with_its_line(project: Project) -> None:
    project.file.write_text('[env]\nfrom = "base"\n[packages]\napk = ["curl", "git"]\n')
    says = "envgit.toml:4:8: packages.apk cannot be installed by this version"
    project.fails("build", says=says, hint='run = "apk add --no-cache curl git"')
