"""`python -m tests.exec.escape.weak_sandbox ROOT FOLDER PROGRAM...`: a sandbox that gives away what it can."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from envgit.exec import idmap, runner
from envgit.exec.spec import CAPABILITY_NUMBERS, OverlayRoot, SandboxSpec
from tests.exec.conftest import own


def main(root: str, folder: str, *program: str) -> int:
    base = Path(tempfile.mkdtemp(dir=folder))
    for name in ("upper", "work"):
        (base / name).mkdir()
        own(base / name)
    spec = SandboxSpec(
        argv=tuple(map(os.fsencode, program)),
        root=OverlayRoot((os.fsencode(root),), os.fsencode(base / "upper"), os.fsencode(base / "work"), True),
        idmap=idmap.choose_idmap(),
        capabilities=tuple(CAPABILITY_NUMBERS),
        masked=(),
        readonly=(),
        nested_namespaces=True,
        no_new_privileges=False,
        network="host",
    )
    return runner.run(spec)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
