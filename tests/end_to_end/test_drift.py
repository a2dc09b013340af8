"""Drift: what was changed by hand in a built environment, and the change of the declaration that says it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.lab import Lab

DECLARATION = """\
# The application.
[env]
name = "app"
from = "base"

[files]
"/etc/app.conf" = { content = "a = 1\\n" }  # kept small

[config]
env = { GREETING = "hello" }
"""
STATUS = "Package: {}\nStatus: install ok installed\nVersion: {}\nArchitecture: all\nDescription: x\n\n"


@pytest.fixture
def project(lab: Lab) -> Lab:
    """A built environment with nothing changed."""
    lab.sh(f"mkdir -p /var/lib/dpkg/info /etc /srv; printf '{_status(base='1')}' > /var/lib/dpkg/status")
    lab("commit", "-m", "base")
    lab("tag", "base")
    (lab.path / "envgit.toml").write_text(DECLARATION)
    lab("build", SOURCE_DATE_EPOCH="1700000000")
    return lab


def _status(**packages: str) -> str:
    return "".join(STATUS.format(name, version) for name, version in packages.items()).replace("\n", "\\n")


def lines(lab: Lab, status: int = 1) -> list[str]:
    """Return the differences that drift prints, without what keeps an edit from helping."""
    return [
        line.split("  (")[0].strip()
        for line in lab("drift", status=status).lines()
        if not line.startswith("not listed")
    ]


def patched(lab: Lab, tmp_path: Path) -> str:
    """Return the declaration after the change that drift --diff prints, made by patch(1)'s twin in git."""
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "envgit.toml").write_text((lab.path / "envgit.toml").read_text())
    diff = lab("drift", "--diff", status=1).out
    subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=copy, check=True)
    return (copy / "envgit.toml").read_text()


def test_what_was_just_built_has_no_drift(project: Lab) -> None:
    assert project("drift").out.startswith("no drift since ")
    assert project("drift", "--json").json()["drift"] == []
    assert project("drift", "--diff").out == ""
    project.sh("mkdir -p /var/log /var/cache/x; echo x > /var/log/x; echo x > /var/cache/x/y; echo x > /tmp/x")
    done = project("drift")
    assert "no drift" in done.out and "log" in done.out


def test_files_become_entries_and_steps_and_a_build_then_has_them(project: Lab, tmp_path: Path) -> None:
    project.sh(
        """
        echo 'a = 2' > /etc/app.conf; chmod 600 /etc/app.conf
        echo new > /etc/new.conf; chown 7:7 /etc/new.conf
        printf '\\033[31m' > /srv/binary; head -c 5000 /dev/zero > /srv/large; chmod 755 /srv/large
        mkdir -p /srv/tree/below /srv/empty; echo x > /srv/tree/below/file; chmod 711 /srv/empty
        ln -s tree /srv/link; ln -s "it's" /srv/quoted; rmdir /media; chmod 700 /home
        """
    )
    assert lines(project) == [
        "file    M /etc/app.conf",
        "file    A /etc/new.conf",
        "file    P /home/",
        "file    D /media/",
        "file    A /srv/binary",
        "file    A /srv/empty/",
        "file    A /srv/large",
        "file    A /srv/link",
        "file    A /srv/quoted",
        "file    A /srv/tree/",
    ]
    text = patched(project, tmp_path)
    assert text.startswith("# The application.\n") and "# kept small" in text
    assert '"/etc/app.conf" = { content = "a = 2\\n", mode = "0600" }' in text
    assert '"/etc/new.conf" = { content = "new\\n", owner = "7:7" }' in text
    assert '"/srv/large" = { source = "files/srv/large", mode = "0755" }' in text
    assert '"/srv/tree/" = { source = "files/srv/tree/" }' in text
    assert '''run = "ln -sfn 'it'\\"'\\"'s' /srv/quoted"''' in text
    # The hints make what the entries name; then a build has what was changed by hand.
    hints = [
        line.partition("first: ")[2]
        for line in project("drift", "--diff", status=1).err.splitlines()
        if "first: " in line
    ]
    assert len(hints) == 3
    for name in ("binary", "large"):
        (project.path / "files/srv").mkdir(parents=True, exist_ok=True)
        (project.path / "files/srv" / name).write_bytes(_cat(project, f"/srv/{name}"))
    (project.path / "files/srv/tree/below").mkdir(parents=True)
    (project.path / "files/srv/tree/below/file").write_text("x\n")
    wanted = project.sh("find /etc /srv /home | sort").out
    project("commit", "-m", "by hand")
    by_hand = project.head()
    (project.path / "envgit.toml").write_text(text.replace("rm -rf /media", "rmdir /media"))
    project("build", "--branch", "rebuilt")
    assert project.look("rebuilt", "find /etc /srv /home | sort") == wanted
    kept = project("diff", "--name-status", by_hand, "rebuilt").lines()
    assert [line for line in kept if "srv/tree" not in line and "srv/" in line] == []


def _cat(lab: Lab, path: str) -> bytes:
    return lab("cat", path).out.encode("utf-8", "surrogateescape")


def test_packages_and_what_others_need(project: Lab, tmp_path: Path) -> None:
    states = "Package: dep\\nArchitecture: all\\nAuto-Installed: 1\\n"
    project.sh(
        f"""
        printf '{_status(base="1", tool="2", dep="3")}' > /var/lib/dpkg/status
        mkdir -p /var/lib/apt /usr/share/tool; printf '{states}' > /var/lib/apt/extended_states
        printf '/.\\n/usr\\n/usr/share/tool\\n/usr/share/tool/data\\n' > /var/lib/dpkg/info/tool.list
        echo data > /usr/share/tool/data; echo mine > /usr/share/tool/mine
        d=/usr/local/lib/python3.11/dist-packages; mkdir -p $d/Web-1.0.dist-info $d/core-1.0.dist-info
        for p in Web core; do printf "Metadata-Version: 2.1\\nName: $p\\nVersion: 1.0\\n" > $d/$p-1.0.dist-info/METADATA
        echo pip > $d/$p-1.0.dist-info/INSTALLER; done; touch $d/Web-1.0.dist-info/REQUESTED
        """
    )
    done = project("drift", status=1)
    assert done.lines()[:5] == [
        "package + dep 3 (apt)  (others need it)",
        "package + tool 2 (apt)",
        "package + Web 1.0 (pip)",
        "package + core 1.0 (pip)  (others need it)",
        "file    A /usr/share/tool/mine",
    ]
    text = patched(project, tmp_path)
    assert 'apt = ["tool"]' in text and 'pip = ["web"]' in text and "dep" not in text


def test_configuration(project: Lab, tmp_path: Path) -> None:
    path = project.path / "again" / "envgit.toml"
    path.parent.mkdir()
    path.write_text(
        DECLARATION.replace('GREETING = "hello"', 'GREETING = "bye", MORE = "1"')
        + 'workdir = "/srv"\ncommand = ["true"]\nports = ["80/tcp"]\nlabels = { a = "b" }\n'
    )
    built = project.head("refs/envgit/builds/app")
    project("build", "-f", str(path))
    project.git("update-ref", "refs/envgit/builds/app", built)
    assert lines(project) == [
        "config  ~ env.GREETING = bye",
        "config  + env.MORE = 1",
        "config  + workdir = /srv",
        "config  ~ command = true",
        "config  + ports = 80/tcp",
        "config  + labels.a = b",
    ]
    text = patched(project, tmp_path)
    for line in (
        'workdir = "/srv"',
        'command = ["true"]',
        'ports = ["80/tcp"]',
        'GREETING = "bye"',
        'MORE = "1"',
        'a = "b"',
    ):
        assert line in text


def test_bad_questions(project: Lab, tmp_path: Path) -> None:
    project.fails("drift", "--diff", "--json", status=2, says="exclude each other", hint="envgit drift --json")
    project.fails("drift", "other", status=2, says="other", hint="app")
    other = tmp_path / "envgit.toml"
    other.write_text(DECLARATION.replace('"app"', '"never"'))
    project.fails("drift", "-f", str(other), status=2, says="'never' was not built", hint="envgit build")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM base\n")
    project.fails("drift", "-f", str(dockerfile), status=2, says="Dockerfile", hint="envgit diff")
    (project.path / "envgit.toml").write_text(DECLARATION + "\n# more\n")
    done = project("drift", status=3)
    assert "changed since it was built" in done.err
