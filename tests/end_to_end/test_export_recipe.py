"""A history written as a recipe, and built again."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.end_to_end.test_build import build, edit, make_project
from tests.lab import Lab


@pytest.fixture
def project(lab: Lab) -> Lab:
    return make_project(lab)


def test_export_recipe_and_build_it_again(project: Lab) -> None:
    (project.path / "Dockerfile").write_text(
        "FROM base\nRUN <<EOF\necho one > /srv/one\necho 'it''s' >> /srv/one\nEOF\nENV A=\"two words\"\n"
        "COPY --chown=1000:1000 conf/app.conf /etc/\nRUN [\"/bin/sh\", \"-c\", \"echo \\\"$A\\\" > /srv/a\"]\n"
        "WORKDIR /srv/app\nUSER ann\nENTRYPOINT [\"/bin/sh\"]\nCMD [\"-c\", \"id -u\"]\n"
    )  # fmt: skip
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    build(project, "-f", "Dockerfile", **epoch)
    written = project("export-recipe").out
    assert "\nFROM " + project.head("base") + "\n" in written
    (project.path / "Again").write_text(written)
    again = build(project, "-f", "Again", "--no-cache", "--branch", "again", **epoch)
    assert again["built"] >= 8
    names = ("rootfs", "config.json")
    assert [project.head(f"main:{name}") for name in names] == [project.head(f"again:{name}") for name in names]
    done = project("export-recipe", "-o", "again.toml", status=3)
    assert "envgit build -f again.toml" in done.err and "copied conf/app.conf" in done.err
    text = (project.path / "again.toml").read_text()
    assert 'entrypoint = ["/bin/sh"]' in text and "copied conf/app.conf to /etc/" in text
    project.fails("export-recipe", "-o", "again.toml", status=2, says="again.toml exists", hint="-f")
    project("export-recipe", "-f", "-o", "again.toml", status=3)


def test_export_recipe_of_a_declaration(project: Lab) -> None:
    epoch = {"SOURCE_DATE_EPOCH": "1700000000"}
    build(project, **epoch)
    edit(project, "echo two", "echo zwei")
    build(project, **epoch)  # a merge, which is followed
    for name, words in (("again.toml", ("--format", "toml")), ("Again", ())):
        (project.path / name).write_text(project("export-recipe", "main", *words).out)
        build(project, "-f", name, "--branch", f"of-{name}", **epoch)
        for part in ("rootfs", "config.json"):
            assert project.head(f"main:{part}") == project.head(f"of-{name}:{part}"), (name, part)


def test_export_recipe_of_what_was_done_by_hand(project: Lab) -> None:
    build(project)
    project.sh("echo by hand > /etc/motd; mkdir -p /opt/new/deep; echo x > /opt/new/deep/x")
    project("commit", "-m", "a fix\n\nRUN evil")
    for words in ((), ("--format", "toml")):
        done = project("export-recipe", *words, status=3)
        assert "#   A opt/new/\n" in done.out and "#   M etc/motd\n" in done.out
        assert '"a fix" was made by hand' in done.out and "RUN evil" not in done.out
        assert "only a comment" in done.err
    assert project("export-recipe", "base").out.splitlines()[-1] == f"FROM {project.head('base')}"


def test_damaged_and_foreign_records_are_commits_by_hand(project: Lab) -> None:
    head = project.head()
    for record in ("{", "[]", '{"action":{"is":"Run","argv":[1]}}', json.dumps({"x": 1}), "[" * 5000):
        message = project.git("log", "-1", "--format=%B", head).rstrip("\n") + f"\nEnvgit-Unit: {record}\n"
        tree = project.head(f"{head}^{{tree}}")
        command = ["git", "--git-dir", str(project.git_dir), "commit-tree", tree, "-p", head, "-F", "-"]
        made = subprocess.run(command, input=message.encode(), capture_output=True, check=True).stdout.decode().strip()
        done = project("export-recipe", made, status=3)
        assert "by hand" in done.out
