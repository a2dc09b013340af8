"""An image as the base of a build: the chain of its layers, then the commit that the build's key names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.image_commits.test_chain import HISTORY
from tests.images.image_builder import BASE, TOP, Builder, tar
from tests.lab import Lab, remove, run_envgit
from tests.sources.tar_builder import file


@pytest.fixture
def project(tmp_path: Path) -> Lab:
    builder = Builder()
    builder.write(tmp_path / "lab/layout", builder.image(BASE, TOP, config={"Env": ["A=1"]}, history=HISTORY))
    (tmp_path / "lab/Dockerfile").write_text("FROM oci:layout\nENV B=2\nCOPY Dockerfile /srv/\n")
    run_envgit("init", "lab", cwd=tmp_path)
    return Lab(tmp_path / "lab")


def subjects(lab: Lab, revision: str = "main") -> list[str]:
    return lab.git("log", "--format=%s", revision).splitlines()


def test_the_base_lies_on_the_layers(project: Lab) -> None:
    project("build")
    found = subjects(project)
    assert found == ["COPY Dockerfile /srv/", "ENV B=2", "FROM oci:layout", "RUN change", "ADD file:1 in /"]
    assert project.head("main~2^{tree}:rootfs") == project.head("main~3^{tree}:rootfs")
    tip = project.head()
    assert project("build").status == 0 and project.head() == tip
    assert "import" not in project("op", "log").out
    project("build", "--no-cache")
    assert subjects(project) == found
    assert project("fsck").status == 0


def test_an_import_and_a_build_share_the_layers(project: Lab, tmp_path: Path) -> None:
    project("import", "oci:layout")
    chain = project.head()
    for blob in (project.path / "layout/blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(bytes(blob.stat().st_size))
    project("build")
    assert project.head("main~3") == chain
    recipe = project("export-recipe").out
    assert "made by hand" not in recipe and "RUN change" not in recipe
    assert recipe.splitlines()[1:3] != [] and "ENV B=2" in recipe


def test_a_build_after_another_image_says_that_it_replaces_it_once(project: Lab) -> None:
    builder = Builder()
    builder.write(project.path / "other", builder.image(tar(file(b"a")), tar(file(b"b")), tar(file(b"c"))))
    project("import", "oci:other")
    done = project("build")
    said = done.out + done.err
    assert "layer 3" in said and "layer 2" not in said


def test_an_epoch_clamps_the_base_and_not_the_layers(project: Lab, tmp_path: Path) -> None:
    late = tar(file(b"d/late", b"x", mtime=2_000_000_000), file(b"d/early", b"x", mtime=5))
    builder = Builder()
    remove(project.path / "layout")
    builder.write(project.path / "layout", builder.image(late))
    project("build", SOURCE_DATE_EPOCH="1000000000")
    text = project.git("show", "main~2:rootfs/d/%meta")
    assert " 1000000000000000000 " in text and " 5000000000 " in text
    assert " 2000000000000000000 " in project.git("show", "main~3:rootfs/d/%meta")
    assert project("fsck").status == 0
    run_envgit("init", "other", "--from", f"oci:{project.path}/layout", cwd=tmp_path)
    assert Lab(tmp_path / "other").head() == project.head("main~3")


def test_an_exported_recipe_begins_with_the_image(project: Lab) -> None:
    project("import", "oci:layout")
    lines = project("export-recipe").lines()
    assert lines[-1] == f"FROM {project.head()}"


def test_what_changed_is_said_as_before(project: Lab) -> None:
    project("build")
    (project.path / "Dockerfile").write_text("FROM oci:layout\nENV B=3\nCOPY Dockerfile /srv/\n")
    plan = project("plan").out
    assert "changed, was: ENV B=2" in plan
    builder = Builder()
    builder.write(project.path / "layout", builder.image(BASE, config={"Env": ["A=1"]}))
    assert "the base is another one" in project("plan").out
    done = project("build")
    assert "the base is another one" in done.out + done.err
    assert subjects(project, "main^2")[-2:] == ["FROM oci:layout", "layer 1"]
