"""Code in a partial clone: a look at it fetches nothing, and so starts no program of its configuration."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from envgit.errors import UsageError
from envgit.linking.code_repository import open_code_repository
from tests.lab import Lab
from tests.linking.code import LINK, Code, make_code


@pytest.fixture
def code(lab: Lab, tmp_path: Path) -> Code:
    return make_code(lab, lab.path, tmp_path)


def test_no_program_of_the_configuration_is_run(code: Code, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    linked = code.linked("linked")
    blob = code.git("rev-parse", f"HEAD:{LINK}").strip()
    (code.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    for name, value in (
        ("core.repositoryFormatVersion", "1"), ("extensions.partialClone", "origin"), ("remote.origin.promisor", "true"),
        ("remote.origin.url", f"ext::touch {marker}"), ("protocol.ext.allow", "always"), ("protocol.allow", "always"),
    ):  # fmt: skip
        code.git("config", name, value)
    code.lab.fails("run", "--at", linked, "--", "true", status=125, says="is not here", hint="git -C ")
    code.lab.fails("link", "--status", status=2, says="is not here", hint=f"show {linked[:7]}:{LINK}")
    code.lab("link", status=None)
    assert not marker.exists()
    code.git("cat-file", "-e", blob, status=1)
    assert marker.exists(), "the control: git itself would have run it"


def test_content_that_is_not_here_can_be_fetched_by_the_user(code: Code, tmp_path: Path) -> None:
    linked = code.linked("linked")
    code.git("config", "uploadpack.allowFilter", "true")
    code.git("config", "uploadpack.allowAnySHA1InWant", "true")
    clone = tmp_path / "clone"
    code.git("clone", "-q", "--no-checkout", "--filter=blob:none", f"file://{code.path}", str(clone))
    found = open_code_repository(str(clone), str(clone), {**os.environ, **code.lab.variables})
    with pytest.raises(UsageError, match="is not here") as caught:
        found.read_link_at(linked)
    words = shlex.split((caught.value.hint or "").partition("with: ")[2])
    code.git(*words[1:])
    link = found.read_link_at(linked)
    assert link is not None and link.commit == code.values()["commit"]
