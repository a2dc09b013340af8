"""What the tests of pulling have in common."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from envgit.errors import EnvgitError, HostileInput, SourceError
from tests.images.reading import read
from tests.registry.fake_registry import Asked

RESULT = {"etc/motd": "top\n", "srv/b": "b"}
"""What the files of the fixture `app` hold."""


def refused(reference: str, environ: dict[str, str], *, hostile: bool = False) -> EnvgitError:
    with pytest.raises(HostileInput if hostile else SourceError) as caught:
        read(reference, environ)
    assert caught.value.hint and "\n" not in caught.value.message
    return caught.value


def blobs(asked: Asked) -> bool:
    return "/blobs/" in asked.path


def manifests(asked: Asked) -> bool:
    return "/manifests/" in asked.path


def log_in(tmp_path: Path, host: str, user: str) -> None:
    folder = tmp_path / "home/.docker"
    folder.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(user.encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))
