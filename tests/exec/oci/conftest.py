"""A bundle over the small root of tests/exec, with a state directory of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .runtime import Oci


@pytest.fixture
def oci(lower: Path, tmp_path: Path) -> Iterator[Oci]:
    """Every container is deleted after the test, and nothing of them may be left."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "rootfs").symlink_to(lower)
    oci = Oci(tmp_path / "state", bundle)
    yield oci
    for id in oci("list", "-q").out.split():
        oci("delete", "--force", id)
    assert json.loads(oci("list", "-f", "json").out) == []
    assert not oci.root.exists() or os.listdir(oci.root) == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
