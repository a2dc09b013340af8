"""Dockerfiles built by envgit and by buildah: the same files, owners, modes, contents and configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from envgit.environment_config import DEFAULT_PATH
from tests.end_to_end.dockerfile_builds import (
    CASES,
    build_with_buildah,
    build_with_envgit,
    differences,
    new_lab,
    prepare_context,
)

FIELDS = ("Cmd", "Entrypoint", "ExposedPorts", "Volumes", "User", "StopSignal", "Healthcheck", "OnBuild", "Shell")
OPTIONS = {"mounts": "--secret=id=token,src={}/token"}


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_both_build_the_same(case: str, tmp_path: Path, small_root: Path) -> None:
    context = prepare_context(case, small_root, tmp_path)
    (tmp_path / "token").write_text("a token\n")
    options = [OPTIONS[case].format(tmp_path)] if case in OPTIONS else []
    mine = build_with_envgit(new_lab(tmp_path), context, *options)
    theirs = build_with_buildah(case, context, tmp_path, *options)
    assert differences(mine.files, theirs.files) == {}
    assert _comparable(mine.config) == _comparable(theirs.config)
    assert len(mine.files) > 50


def _comparable(config: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that both write; a label with their version is buildah's, MAINTAINER is a label of envgit's."""
    found = {name: config[name] for name in FIELDS if config.get(name)}
    labels = {**(config.get("Labels") or {})}
    author = labels.pop("org.opencontainers.image.authors", None) or config.get("Author", "")
    labels.pop("io.buildah.version", None)
    variables = [f"PATH={DEFAULT_PATH}", *config.get("Env", ())]
    environment = dict(line.split("=", 1) for line in variables)
    found |= {"Labels": labels, "Author": author, "Env": environment}
    return found | {"WorkingDir": config.get("WorkingDir") or "/"}
