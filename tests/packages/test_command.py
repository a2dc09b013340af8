"""`envgit packages`, `envgit diff --packages`, and the message that commit suggests, on a real repository."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.lab import TIMEOUT_SECONDS, Lab, command_environment, command_words

STATUS = "Package: %s\\nStatus: install ok installed\\nVersion: %s\\nArchitecture: amd64\\n\\n"
NO_EDITOR: dict[str, Any] = {"GIT_EDITOR": "", "VISUAL": "", "EDITOR": "", "TERM": "dumb"}
SITE = "/opt/venv/lib/python3.11/site-packages"


def install(lab: Lab, **packages: str) -> None:
    """Write dpkg's status as if these were installed."""
    words = " ".join(f"{name} {version}" for name, version in packages.items())
    lab.sh(f"mkdir -p /var/lib/dpkg; printf '{STATUS}' {words} > /var/lib/dpkg/status")


def pip_install(lab: Lab, name: str, version: str) -> None:
    place = f"{SITE}/{name}-{version}.dist-info"
    lab.sh(
        f"rm -rf {SITE}/{name}-*; mkdir -p {place}; printf 'Name: {name}\\nVersion: {version}\\n\\n' > {place}/METADATA"
    )


@pytest.fixture
def installed(lab: Lab) -> Lab:
    """A repository whose HEAD has two packages of dpkg's and one of pip's."""
    install(lab, openssl="3.0.14", foo="1.0")
    pip_install(lab, "flask", "3.0.0")
    lab("commit", "-m", "base")
    return lab


def test_packages(installed: Lab) -> None:
    assert installed("packages").lines() == [
        "dpkg  foo      1.0     amd64  /var/lib/dpkg/status",
        "dpkg  openssl  3.0.14  amd64  /var/lib/dpkg/status",
        f"pip   flask    3.0.0   -      {SITE}",
    ]
    assert installed("packages", "HEAD~").out == ""
    assert [line.split()[1] for line in installed("packages", "--manager", "pip", "--manager", "npm").lines()] == [
        "flask"
    ]


def test_packages_of_the_worktree(installed: Lab) -> None:
    install(installed, openssl="3.0.15", bar="2")
    assert "openssl  3.0.14" in installed("packages").out
    assert [line.split()[1:3] for line in installed("packages", "--worktree").lines()] == [
        ["bar", "2"],
        ["openssl", "3.0.15"],
        ["flask", "3.0.0"],
    ]
    installed.fails("packages", "--worktree", "HEAD", status=2, says="exclude each other", hint="--worktree")


def test_packages_as_json(installed: Lab) -> None:
    value = installed("packages", "--json").json()
    assert list(value) == ["version", "revision", "commit", "packages"]
    assert (value["version"], value["revision"], value["commit"]) == (1, "HEAD", installed.head())
    assert value["packages"][0] == {
        "manager": "dpkg",
        "name": "foo",
        "version": "1.0",
        "architecture": "amd64",
        "source": None,
        "summary": None,
        "place": "var/lib/dpkg/status",
    }
    worktree = installed("packages", "--json", "--worktree").json()
    assert worktree["revision"] is None and worktree["commit"] is None and worktree["packages"] == value["packages"]


def test_the_documented_schema_is_the_schema(installed: Lab) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "packages.md").read_text()
    install(installed, openssl="3.0.15")
    listed = installed("packages", "--json").json()
    changed = installed("diff", "--packages", "--json").json()
    for value in (listed, changed, listed["packages"][0], changed["packages"][0], changed["packages"][0]["old"]):
        for key in value:
            assert f"`{key}`" in text, f"docs/packages.md does not say what {key} is"


def test_diff(installed: Lab) -> None:
    install(installed, openssl="3.0.15", bar="2")
    pip_install(installed, "flask", "3.0.1")
    expected = [
        "+ bar 2 (dpkg /var/lib/dpkg/status)",
        "- foo 1.0 (dpkg /var/lib/dpkg/status)",
        "~ openssl 3.0.14 -> 3.0.15 (dpkg /var/lib/dpkg/status)",
        f"~ flask 3.0.0 -> 3.0.1 (pip {SITE})",
    ]
    assert installed("diff", "--packages").lines() == expected
    installed("commit", "-m", "upgrade")
    assert installed("diff", "--packages").out == ""
    assert installed("diff", "--packages", "HEAD~", "HEAD").lines() == expected
    assert installed("diff", "--packages", "HEAD~..HEAD").lines() == expected
    assert installed("diff", "--packages", "-R", "HEAD~", "HEAD").lines()[0] == "- bar 2 (dpkg /var/lib/dpkg/status)"
    assert installed("diff", "--packages", "--quiet", "HEAD~", "HEAD", status=1).out == ""
    assert installed("diff", "--packages", "--exit-code", "HEAD~", "HEAD", status=1).lines() == expected
    installed("diff", "--packages", "--exit-code", "HEAD", "HEAD")
    changes = installed("diff", "--packages", "--json", "HEAD~", "HEAD").json()["packages"]
    assert [change["kind"] for change in changes] == ["A", "D", "M", "M"]
    assert changes[2] == {
        "kind": "M",
        "manager": "dpkg",
        "name": "openssl",
        "old": {"version": "3.0.14", "architecture": "amd64"},
        "new": {"version": "3.0.15", "architecture": "amd64"},
        "place": "var/lib/dpkg/status",
    }
    assert changes[0]["old"] is None and changes[1]["new"] is None


@pytest.mark.parametrize("words", [["--stat"], ["--name-only"], ["-U1"], ["--", "etc"]])
def test_diff_options_that_make_no_sense(installed: Lab, words: list[str]) -> None:
    installed.fails("diff", "--packages", *words, status=2, says="--packages", hint="envgit diff --packages A B")


def test_bad_words(installed: Lab) -> None:
    installed.fails("packages", "--manager", "snap", status=2, says="'snap'", hint="dpkg, apk, rpm, pip, npm, conda")
    installed.fails("packages", "nowhere", status=2, says="nowhere", hint=None)
    installed.fails("packages", "HEAD", "--", "x", status=2, says="no words after --", hint="--help")


def test_hostile_records(installed: Lab) -> None:
    evil = "Package: evil\\nVersion: 1\\033[2J\\n\\nPackage: ok\\nVersion: 1\\n"
    installed.sh(f"printf '{evil}' >> /var/lib/dpkg/status")
    done = installed("packages", "--worktree", status=3)
    assert "\x1b" not in done.out + done.err and "evil" not in done.out
    assert "its version is '1\\x1b[2J'" in done.err
    assert [line.split()[1] for line in done.lines()] == ["foo", "ok", "openssl", "flask"]
    assert installed("diff", "--packages", status=3).lines() == ["+ ok 1 (dpkg /var/lib/dpkg/status)"]
    installed("commit", "-m", "x")
    assert len(installed("packages", "--json", status=3).json()["packages"]) == 4


def test_of_many_notices_the_first_are_shown(installed: Lab) -> None:
    installed.sh("for n in $(seq 30); do printf 'Package: x\\n\\n' >> /var/lib/dpkg/status; done")
    done = installed("packages", "--worktree", status=3)
    assert done.err.count("has no version") == 20 and " more warning" in done.err


def test_a_package_cannot_write_into_the_message(installed: Lab) -> None:
    """A name with line ends would be a trailer of its own."""
    name = "x\\\\n\\\\nEnvgit-Root: sha256:" + "0" * 64
    folder = "/srv/app/node_modules/x"
    installed.sh(f'mkdir -p {folder}; printf \'{{"name": "{name}", "version": "1"}}\' > {folder}/package.json')
    assert "\\n\\n" in installed("cat", f"{folder}/package.json").out
    installed.fails("commit", status=2, says="EDITOR is not set", hint="-m", **NO_EDITOR)
    pip_install(installed, "six", "1")
    installed("commit", **NO_EDITOR)
    message = installed.git("log", "-1", "--format=%B")
    assert message.startswith("+ six 1\n\nEnvgit-Root: sha256:") and message.count("Envgit-Root") == 1


def test_commands_of_the_environment_are_not_run(installed: Lab) -> None:
    trap = "printf '#!/bin/sh\\ntouch /ran\\n' > /usr/bin/$name; chmod +x /usr/bin/$name"
    installed.sh(f"mkdir -p /usr/bin; for name in dpkg dpkg-query rpm pip apk python3; do {trap}; done")
    installed.sh(f"printf 'raise SystemExit(9)\\n' | tee {SITE}/flask.py > {SITE}/sitecustomize.py")
    installed("commit", "-m", "traps")
    before = installed.changes()
    assert "flask" in installed("packages").out
    assert installed.changes() == before == []
    installed.sh("/usr/bin/dpkg")
    assert installed.changes() == ["A ran"], "control: the traps do spring"


def test_a_commit_without_message_and_editor(installed: Lab) -> None:
    install(installed, openssl="3.0.15", bar="2")
    done = installed("commit", **NO_EDITOR)
    assert "+ bar 2, - foo 1.0, ~ openssl 3.0.14 -> 3.0.15" in done.out
    assert installed.git("log", "-1", "--format=%s").strip() == "+ bar 2, - foo 1.0, ~ openssl 3.0.14 -> 3.0.15"
    installed("fsck")


def test_a_long_message_goes_on_in_the_body(installed: Lab) -> None:
    install(installed, openssl="3.0.14", foo="1.0", **{f"package{number:02}": "1.0" for number in range(20)})
    installed("commit", **NO_EDITOR)
    subject, empty, *body = installed.git("log", "-1", "--format=%B").split("\n")
    assert subject == "+ package00 1.0, + package01 1.0, + package02 1.0, 17 more" and empty == ""
    assert body[:20] == [f"+ package{number:02} 1.0 (dpkg)" for number in range(20)]


def test_a_commit_without_message_and_packages_fails_as_ever(installed: Lab) -> None:
    installed.sh("echo changed > /etc/motd")
    installed.fails("commit", status=2, says="EDITOR is not set", hint="-m", **NO_EDITOR)
    installed("restore", "/")
    installed.fails("commit", status=1, says="nothing to commit", hint="envgit run", **NO_EDITOR)


def test_the_editor_gets_the_suggestion(installed: Lab, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "editor"
    script.write_text(f'#!/bin/sh\ncp "$1" {seen}\n')
    script.chmod(0o755)
    install(installed, openssl="3.0.15", foo="1.0")
    installed("commit", GIT_EDITOR=str(script))
    assert seen.read_text().splitlines()[0] == "~ openssl 3.0.14 -> 3.0.15"
    assert (
        "# Please enter the commit message" in seen.read_text()
        and "#         M var/lib/dpkg/status" in seen.read_text()
    )
    assert installed.git("log", "-1", "--format=%s").strip() == "~ openssl 3.0.14 -> 3.0.15"
    installed("commit", "--amend", GIT_EDITOR=str(script))
    assert seen.read_text().splitlines()[0] == "~ openssl 3.0.14 -> 3.0.15", "the message of the amended commit"
    installed.sh("echo changed > /etc/motd")
    script.write_text(f'#!/bin/sh\ncp "$1" {seen}\necho mine > "$1"\n')
    installed("commit", GIT_EDITOR=str(script))
    assert seen.read_text().splitlines()[0] == "" and installed.git("log", "-1", "--format=%s").strip() == "mine"


def test_a_message_that_is_given_stays_as_it_is(installed: Lab) -> None:
    install(installed, openssl="3.0.15")
    installed("commit", "-m", "mine", **NO_EDITOR)
    assert installed.git("log", "-1", "--format=%B").startswith("mine\n\nEnvgit-Root")


def test_at_a_terminal_the_editor_opens(installed: Lab, tmp_path: Path) -> None:
    """Nobody chose an editor, but somebody sits there: vi opens, as ever. Here it is one that fails."""
    install(installed, openssl="3.0.15")
    (tmp_path / "vi").write_text("#!/bin/sh\nexit 7\n")
    (tmp_path / "vi").chmod(0o755)
    ours, theirs = pty.openpty()
    variables = {**NO_EDITOR, "TERM": "xterm", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command_words(), "commit"],
        cwd=installed.path,
        env=command_environment(variables),
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2 and b"problem with the editor 'vi'" in done.stderr


def test_on_a_branch_without_commits(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab("init")
    lab.fails("packages", status=2, says="no commits yet", hint="envgit import")
    assert lab("packages", "--worktree").out == ""
    assert lab("diff", "--packages").out == ""
