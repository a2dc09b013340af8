"""What programs that build images write into their history becomes what one would write oneself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab import BUSYBOX, Lab, run_envgit

DOCKERFILE = """\
FROM scratch
ARG VERSION=3
COPY busybox /bin/
ENV GREETING="hello there"
RUN ["/bin/busybox", "ln", "/bin/busybox", "/bin/sh"]
RUN echo $VERSION \\
    > /version
WORKDIR /srv
CMD ["sh"]
"""


@pytest.mark.root_only
def test_buildah(tmp_path: Path) -> None:
    assert shutil.which("buildah") and BUSYBOX.exists()
    shutil.copy(BUSYBOX, tmp_path / "busybox")
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    stores = ["--root", str(tmp_path / "storage"), "--runroot", str(tmp_path / "run"), "--storage-driver", "vfs"]
    build = ["bud", "-q", "--layers", "--isolation", "chroot", "-t", "made", str(tmp_path)]
    policy = tmp_path / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    for words in (build, ["push", "-q", "--signature-policy", str(policy), "made", f"oci:{tmp_path}/layout:made"]):
        done = subprocess.run(["buildah", *stores, *words], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
    run_envgit("init", "lab", "--from", f"oci:{tmp_path}/layout:made", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    top, middle, bottom = lab.git("log", "--format=%s").splitlines()
    assert top == "RUN echo $VERSION > /version"
    assert middle == 'RUN ["/bin/busybox", "ln", "/bin/busybox", "/bin/sh"]'
    assert bottom.startswith("COPY file:") and bottom.endswith(" in /bin/")
    body = lab.git("log", "-1", "--format=%b")
    assert body.startswith("    |1 VERSION=3 /bin/sh -c echo $VERSION")
    assert '\n\nAfter it, without files:\n    WORKDIR /srv\n    CMD ["sh"]\n\nEnvgit-Layer: ' in body
    assert lab.git("log", "-1", "--format=%ct").strip() != "0"
    assert lab("run", "-w", "/", "--", "/bin/busybox", "cat", "/version").out == "3\n"
    assert lab("run", "-w", "/", "main~2", "--", "/bin/busybox", "ls", "/").lines().count("version") == 0
