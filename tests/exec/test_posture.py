"""What a program is and may do in a default sandbox, fact by fact, against golden files: no deviation.

Write them again, as root and as an ordinary user, with
    ENVGIT_TESTS_UPDATE_POSTURE=1 python -m pytest tests/exec/test_posture.py
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
from pathlib import Path

import pytest

from envgit.exec.spec import MASKED_PATHS, READONLY_PATHS
from tests.exec.escape import ways
from tests.exec.escape.host import VOLUME
from tests.exec.escape.program import parse_verdicts
from tests.exec.escape.stage import SANDBOXES, Stage

UPDATE = bool(os.environ.get("ENVGIT_TESTS_UPDATE_POSTURE"))
STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn", "SigCgt", "Uid", "Gid",
          "Groups", "Umask", "NSpid", "TracerPid")  # fmt: skip
KEPT_OPTIONS = re.compile(r"^(mode|ptmxmode|size|userxattr|redirect_dir|metacopy|index|hidepid|subset|nosuid|nodev)\b")
COVERED = tuple(os.fsdecode(path) for path in MASKED_PATHS + READONLY_PATHS)


@pytest.mark.parametrize("way", SANDBOXES)
def test_no_deviation(probe: Path, way: str) -> None:
    caller = "root" if os.geteuid() == 0 else "user"
    golden = Path(__file__).parent / f"posture-{way}-{caller}.txt"
    found = "".join(f"{line}\n" for line in look(probe, way))
    if UPDATE:
        golden.write_text(found)
    assert found == golden.read_text()


def test_a_weak_sandbox_deviates(probe: Path) -> None:
    """The facts tell a sandbox that protects from one that does not."""
    weak = look(probe, "weak")
    for fact in ("NoNewPrivs 0", "Seccomp 0", "namespace net the host's", "keyctl allowed"):
        assert fact in weak, weak
    assert any(line.startswith("masked /proc/keys: content") for line in weak)
    assert "CapEff 00000000800405fb" not in weak


def look(probe: Path, way: str) -> list[str]:
    """Return the facts of a way, without what differs between hosts."""
    paths = [path for path in COVERED if "*" not in path]
    with Stage(probe) as stage, stage.way(way) as started:
        prefix = [word for word in started.prefix if "=" not in word]
        leak = os.open("/", os.O_RDONLY)
        try:
            done = subprocess.run(
                [*prefix, "--posture", *paths], cwd=started.folder, env=ways.environment(stage.host), timeout=60,
                stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=(leak,),
            )  # fmt: skip
        finally:
            os.close(leak)
        assert done.returncode == 0, done.stderr
        return stable(done.stdout.decode(), stage)


def stable(text: str, stage: Stage) -> list[str]:
    """Return the facts that are the same on every host, mounts sorted and last; a masked path that is absent is as good."""
    lines: list[str] = []
    mounts: list[str] = []
    flags: dict[str, str] = {}
    ids = {"uid_map": 0, "gid_map": 0}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "status":
            name, _, value = rest.partition(":")
            if name in STATUS:
                lines.append(f"{name} {' '.join(value.split())}".rstrip())
        elif kind == "mount":
            mounts += mount_line(rest)
            flags[rest.split()[4]] = rest.split()[5]
        elif kind in ids:
            ids[kind] += int(rest.split()[2])
        elif kind == "limit":
            number, soft, hard = (int(word) for word in rest.split())
            if resource.getrlimit(number) != (soft, hard):
                lines.append(f"limit {number} {soft} {hard}")
        elif kind == "namespace":
            name, link = rest.split()
            same = os.readlink(f"/proc/self/ns/{name}") == link
            lines.append(f"namespace {name} " + ("the host's" if same else "its own"))
        elif kind == "oom_score_adj":
            same = int(rest) == max(0, int(Path("/proc/self/oom_score_adj").read_text()))
            lines.append("oom_score_adj " + ("as the caller, not below 0" if same else rest))
        elif kind == "interface":
            lines += [f"interface {rest.split(':')[0].strip()}"] if ":" in rest else []
        elif kind == "path":
            path, state = rest.split()
            if os.fsencode(path) in READONLY_PATHS:
                protected = state == "absent" or flags.get(path, "").startswith("ro,")
                lines.append(f"protected {path}: {'read-only' if protected else 'writable'}")
            else:
                lines.append(f"masked {path}: {'empty' if state == 'absent' else state}")
        else:
            lines.append(line)
    lines += [f"{kind} {count} ids" for kind, count in ids.items()]
    secret = [line for line in lines if stage.host.secret in line]
    assert secret == []
    return lines + sorted(mounts)


def mount_line(text: str) -> list[str]:
    """Return what a line of mountinfo promises; masks are looked at as paths, for not every kernel has all of them."""
    left, _, right = text.partition(" - ")
    fields = left.split()
    point, flags, optional = fields[4], fields[5], fields[6:]
    kind, _, options = right.split(" ", 2)
    if any(point == path or re.fullmatch(path.replace("*", "[0-9]*"), point) for path in COVERED):
        return []
    if point == VOLUME:
        return [f"mount {point} of the host {flags.removesuffix(',idmapped')}"]
    kept = [option for option in options.split(",") if KEPT_OPTIONS.match(option) and kind != "devtmpfs"]
    return [" ".join(("mount", point, kind, flags, *kept, *optional))]


def test_keys_of_the_caller_without_a_filter(probe: Path) -> None:
    """Where keyctl(2) is allowed, the session keyring is a new one, and a user namespace has user keyrings of its own."""
    with Stage(probe) as stage, stage.way("weak") as weak:
        found = parse_verdicts(weak.run(stage.host, ["key_by_name", "keyctl"]).text)
        assert found["keyctl"].kind == "REACHED" and found["key_by_name"].kind == "refused", found
