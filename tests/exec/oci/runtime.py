"""A bundle and the envgit-oci command, for tests: as root with a range of ids, as an ordinary user with what it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envgit.exec.identity import Identity
from envgit.exec.idmap import choose_idmap
from envgit.exec.oci.to_oci import Extras, to_oci
from envgit.exec.seccomp.filter import default_profile
from envgit.exec.spec import DirectoryRoot, SandboxSpec

CHECKOUT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 30


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Oci:
    """Calling it runs `envgit-oci WORDS` and fails unless it ends with `status`; it never ends with a traceback."""

    root: Path
    bundle: Path

    def __call__(self, *words: str, status: int | None = 0, **options: Any) -> Done:
        done = subprocess.run(self.words(*words), capture_output=True, timeout=TIMEOUT_SECONDS, **self._with(options))
        out, err = (text.decode("utf-8", "surrogateescape") for text in (done.stdout, done.stderr))
        assert "Traceback" not in err, err
        assert status is None or done.returncode == status, f"{words}: {done.returncode}\n{out}\n{err}"
        return Done(done.returncode, out, err)

    def quietly(self, *words: str, status: int | None = 0, output: Path | None = None) -> int:
        """Run what leaves a process behind: its streams must not be ours, or we would wait for it."""
        with open(output or os.devnull, "ab") as file:
            code = subprocess.run(
                self.words(*words), stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=TIMEOUT_SECONDS, **self._with({})
            ).returncode  # fmt: skip
        said = output.read_text() if output else ""
        assert status is None or code == status, f"{words}: {code}\n{said}"
        return code

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-P", "-m", "envgit.cli.oci", "--root", str(self.root), *words]

    def _with(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"env": {**os.environ, "PYTHONPATH": str(CHECKOUT)}, "cwd": self.bundle, **options}

    def configure(self, *args: str, change: Callable[[dict[str, Any]], None] | None = None, **process: Any) -> None:
        config = example(*args)
        config["process"].update(process)
        if change is not None:
            change(config)
        (self.bundle / "config.json").write_text(json.dumps(config))

    def state(self, id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self("state", id).out)
        return state

    def wait_for(self, id: str, status: str) -> None:
        deadline = time.monotonic() + 10
        while self.state(id)["status"] != status:
            assert time.monotonic() < deadline, f"{id} is {self.state(id)['status']}, not {status}"
            time.sleep(0.02)


def example(*args: str) -> dict[str, Any]:
    """Return a config.json with the built-in defaults."""
    spec = SandboxSpec(
        argv=tuple(map(os.fsencode, args)),
        root=DirectoryRoot(b"rootfs"),
        idmap=choose_idmap(),
        env=((b"PATH", b"/bin"),),
    )
    return to_oci(spec, Identity(0, 0, (), b"/root"), b"rootfs", Extras(seccomp=default_profile(spec.capabilities)))
