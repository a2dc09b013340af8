"""A commit that claims to be a layer, in a repository that was cloned: the image is read all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.images import open_image
from envgit.monitor import NullMonitor
from tests.images.image_builder import BASE, Builder, tar
from tests.lab import Lab, run_envgit
from tests.sources.tar_builder import file

GOOD = tar(file(b"usr/bin/tool", b"good"))
EVIL = tar(file(b"usr/bin/tool", b"evil"))


def _chain_ids(layout: Path) -> tuple[str, ...]:
    with open_image(f"oci:{layout}", environ={}, monitor=NullMonitor(), platform="linux/amd64") as image:
        return image.chain_ids


@pytest.mark.parametrize("poisoned", [False, True])
def test_a_cloned_commit_gives_an_image_no_files(poisoned: bool, tmp_path: Path) -> None:
    """Also not with the index of an earlier version, which believed trailers."""
    layouts = {}
    for name, top in (("good", GOOD), ("evil", EVIL)):
        builder = Builder()
        layouts[name] = builder.write(tmp_path / name, builder.image(BASE, top))
    run_envgit("init", "stranger", "--from", f"oci:{layouts['evil']}", cwd=tmp_path)
    stranger = Lab(tmp_path / "stranger")
    text = stranger.git("cat-file", "commit", "main")
    evil, good = _chain_ids(layouts["evil"])[-1], _chain_ids(layouts["good"])[-1]
    assert evil in text and evil != good
    written = tmp_path / "commit"
    written.write_text(text.replace(evil, good))
    forged = stranger.git("hash-object", "-t", "commit", "-w", str(written)).strip()
    stranger.git("update-ref", "refs/heads/main", forged)
    run_envgit("clone", "stranger", "victim", cwd=tmp_path)
    victim = Lab(tmp_path / "victim")
    assert victim.head() == forged
    if poisoned:
        (victim.git_dir / "build").mkdir(exist_ok=True)
        (victim.git_dir / "build/images").write_text(f"{good} {forged}\n")
    victim("import", f"oci:{layouts['good']}")
    assert victim.git("show", "main:rootfs/usr/bin/tool") == "good"
