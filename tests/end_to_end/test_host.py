"""This machine's own distribution as an environment."""

from __future__ import annotations

import os
import stat

import pytest

from tests.lab import Lab


def test_dpkg_is_content_inside(host: Lab) -> None:
    done = host.sh("dpkg --audit; echo status $?; dpkg -l bash | tail -1; dpkg --verify bash coreutils libc6 dpkg")
    lines = done.lines()
    assert lines[0] == "status 0", done.out
    assert lines[1].startswith("ii  bash ")
    assert [line for line in lines[2:] if not line.startswith("missing")] == [], done.out


def test_apt_understands_the_environment(host: Lab) -> None:
    done = host.sh(
        "apt-get --version >/dev/null && apt-get check && apt-get -s remove bash-completion; apt-cache policy bash"
    )
    assert "Installed" in done.out


def test_programs_that_switch_users_work_with_a_full_map(host: Lab) -> None:
    assert host.sh("setpriv --reuid 33 --regid 33 --clear-groups id -u").out == "33\n"
    assert host("run", "-u", "www-data", "--", "id", "-un").out == "www-data\n"


def test_nothing_of_this_machine_comes_along(host: Lab) -> None:
    listing = host("ls", "-r", "HEAD").out
    names = {line.split("\t")[-1] for line in listing.splitlines()}
    for forbidden in ("etc/machine-id", "etc/fstab"):
        assert forbidden not in names
    for mount_point in ("etc/hostname", "etc/hosts", "etc/resolv.conf"):
        assert host("cat", f"HEAD:{mount_point}").out == ""
    assert not [
        name for name in names if name.startswith(("etc/ssh/", "etc/ssl/private/", "home/")) and not name.endswith("/")
    ]
    shadow = host("cat", "HEAD:etc/shadow").lines()
    assert all(line.split(":")[1] in ("*", "!", "!*") for line in shadow), shadow
    users = {line.split(":")[0] for line in host("cat", "HEAD:etc/passwd").lines()}
    assert "root" in users
    assert not {"envgit-test", "tester"} & users


def test_changes_of_a_big_environment(host: Lab) -> None:
    host.sh("rm -r /usr/share/doc/bash; echo x >> /etc/profile; mkdir /srv/app")
    paths = host.paths()
    assert "etc/profile" in paths
    assert "srv/app" in paths
    assert len(host("diff", "--name-status").lines()) > 3
    host("commit", "-m", "changed")
    host.forget_layers()
    assert host.look("HEAD", "test -e /usr/share/doc/bash || echo gone; tail -1 /etc/profile") == "gone\nx\n"
    assert host("fsck").status == 0


def test_two_imports_of_the_same_host_are_the_same_tree(host: Lab) -> None:
    tree = host.head("HEAD^{tree}")
    host("import", "host", "-m", "again", status=None)
    assert host.head("HEAD^{tree}") == tree


@pytest.mark.root_only
def test_owners_on_disk_are_ids_that_belong_to_nobody(host: Lab) -> None:
    host.sh("touch /srv/mine")
    (upper,) = (host.git_dir / "uppers").iterdir()
    status = (upper / "upper/srv/mine").stat()
    assert status.st_uid >= 65536
    assert stat.S_IMODE(os.stat(host.git_dir).st_mode) == 0o700
