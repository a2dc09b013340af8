"""Run `tty` in a sandbox with a terminal; started by test_run.test_terminal on a terminal of its own."""

import os
import tempfile
from pathlib import Path

from envgit.exec import idmap, runner
from envgit.exec.spec import OverlayRoot, SandboxSpec
from tests.exec.conftest import make_root, own

with tempfile.TemporaryDirectory() as name:
    base = Path(name)
    make_root(base / "lower")
    for folder in ("upper", "work"):
        (base / folder).mkdir()
    for folder in ("lower", "upper", "work"):
        own(base / folder)
    root = OverlayRoot((os.fsencode(base / "lower"),), os.fsencode(base / "upper"), os.fsencode(base / "work"))
    spec = SandboxSpec((b"tty",), root, idmap.choose_idmap(), terminal=True, env=((b"PATH", b"/bin"),))
    status = runner.run(spec)
os._exit(status)
