"""Flipped and lost bytes in everything the repository consists of: seen before it is used, named by fsck, never believed."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.layers.plan_file import parse_plan

from . import lab
from .child import CAMPAIGN, Result, envgit
from .conftest import Fresh

FAULTS = 1500 if CAMPAIGN else 20 if os.geteuid() == 0 else 5
"""Per kind of file."""

READS = (
    ("log", "--all", "--format=%H %s"),
    ("cat", "main:usr/share/doc/random"),
    ("ls", "-r", "side"),
    ("export", "main", "tar:-"),
)


def _files(project: Path, pattern: str) -> list[Path]:
    return sorted(path for path in (project / ".envgit").glob(pattern) if path.is_file() and not path.is_symlink())


def _loosen(project: Path) -> None:
    """Make every object loose, as stock git could."""
    folder = project / ".envgit/objects/pack"
    packs = list(folder.glob("*.pack"))
    for pack in packs:
        outside = project / pack.name
        pack.rename(outside)
        pack.with_suffix(".idx").unlink()
        with open(outside, "rb") as stream:
            subprocess.run(["git", "--git-dir", project / ".envgit", "unpack-objects", "-q"], stdin=stream, check=True)
        outside.unlink()


def _pack_refs(project: Path) -> None:
    assert lab.git(project, "pack-refs", "--all") == ""


def _as_it_is(project: Path) -> None:
    """The small repository itself."""


def damage(path: Path, random_: random.Random) -> str:
    """Flip a bit, overwrite, cut or drop; return what was done. The file always differs afterwards."""
    data = bytearray(path.read_bytes())
    before = bytes(data)
    kind = random_.choice(("flip", "flip", "flip", "zeros", "cut"))
    at = random_.randrange(len(data))
    if kind == "flip":
        data[at] ^= 1 << random_.randrange(8)
    elif kind == "zeros":
        end = min(len(data), at + random_.choice((1, 16, 512)))
        data[at:end] = bytes(end - at)
    if kind == "cut" or bytes(data) == before:
        kind = "cut"
        del data[at:]
    mode = path.stat().st_mode
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode & 0o7777)
    return f"{kind} {path.name} at {at} of {len(before)}"


def _read_all(project: Path) -> list[Result]:
    return [envgit(project, *words) for words in READS]


def _is_fewer_refs(words: tuple[str, ...], good: Result, answer: Result) -> bool:
    """A list of what is there is not wrong when a ref is gone, provided that fsck says which."""
    return words[0] == "log" and set(answer.out.splitlines()) <= set(good.out.splitlines())


def _judge(where: str, right: list[Result], found: list[Result], fsck: Result) -> list[str]:
    """Every answer is the right one or a clear error; and what makes an error is named by fsck."""
    wrong = []
    for words, good, answer in zip(READS, right, found, strict=True):
        if answer.status == 0 and answer.out != good.out and not (fsck.status and _is_fewer_refs(words, good, answer)):
            wrong.append(f"{where}: {words[0]} believes it: {answer.out[:200]!r}")
        if answer.status and not answer.is_clear_error():
            wrong.append(f"{where}: {words[0]}: {answer.status} {answer.err}")
    if "Traceback" in fsck.err or "internal error" in fsck.err:
        wrong.append(f"{where}: fsck: {fsck}")
    if fsck.status == 0 and any(answer.status for answer in found):
        wrong.append(f"{where}: fsck is silent about what is unreadable: {found}")
    return wrong


KINDS: dict[str, tuple[str, Callable[[Path], None], bool]] = {
    "pack": ("objects/pack/*.pack", _as_it_is, True),
    "index": ("objects/pack/*.idx", _as_it_is, True),
    "loose object": ("objects/??/*", _loosen, True),
    "ref": ("refs/heads/*", _as_it_is, True),
    "packed refs": ("packed-refs", _pack_refs, True),
    "HEAD": ("HEAD", _as_it_is, True),
    "operation": ("operations/0*", _as_it_is, True),
    "worktree pointer": ("checkouts/*/base", _as_it_is, True),
    "requires": ("requires", _as_it_is, True),
    "plan": ("layers/plans/*", _as_it_is, False),
    "stack": ("layers/stacks/*", _as_it_is, False),
    "ids of the cache": ("layers/ids", _as_it_is, False),
}
"""Which files; what to do first; whether fsck must name it. Of the cache, anything damaged may be made again instead."""


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_seen(fresh: Fresh, kind: str) -> None:
    pattern, prepare, must_be_named = KINDS[kind]
    project = fresh()
    prepare(project)
    right, state = _read_all(project), lab.observe(project, fsck=False).state
    assert [answer.status for answer in right] == [0] * len(right)
    random_ = random.Random(kind)
    wrong: list[str] = []
    for number in range(FAULTS):
        copy = lab.copy(project, project.with_name(f"fault{number}"))
        where = f"{number}: {damage(random_.choice(_files(copy, pattern)), random_)}"
        found = _read_all(copy)
        fsck = envgit(copy, "fsck")
        wrong += _judge(where, right, found, fsck)
        if must_be_named and fsck.status == 0 and lab.observe(copy, fsck=False).state != state:
            wrong.append(f"{where}: fsck does not name it")
        if not must_be_named:
            ran = envgit(copy, "run", "--", "/bin/true")
            if ran.status:
                wrong.append(f"{where}: the cache is not made again: {ran}")
        lab.remove(copy)
    assert wrong == []


def test_damage_in_a_layer_is_named(fresh: Fresh) -> None:
    """Layers are mounted, not read: it is fsck that compares them with their revisions."""
    project = fresh()
    random_ = random.Random(0)
    silent: list[str] = []
    for number in range(FAULTS):
        copy = lab.copy(project, project.with_name(f"fault{number}"))
        files = [path for path in _files(copy, "layers/layer-*/fs/**/*") if path.stat().st_size]
        where = damage(random_.choice(files), random_)
        fsck = envgit(copy, "fsck")
        if fsck.status != 1 or "layer" not in fsck.out + fsck.err:
            silent.append(f"{where}: {fsck}")
        lab.remove(copy)
    assert silent == []


def test_a_damaged_plan_is_never_mounted(fresh: Fresh) -> None:
    """One flipped bit in a variable of the plan would run something else than what was committed."""
    project = fresh()
    plans = _files(project, "layers/plans/*")
    assert plans
    for path in plans:
        data = path.read_bytes()
        whole = parse_plan(data)
        assert whole is not None
        for at in range(len(data)):
            for bit in (0, 4):
                flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
                assert parse_plan(flipped) is None


def test_control_the_judge_sees_a_believed_fault() -> None:
    good, other = [Result(0, "a", "")] * len(READS), [Result(0, "b", "")] * len(READS)
    assert _judge("", good, good, Result(0, "", "")) == []
    assert len(_judge("", good, other, Result(0, "", ""))) == len(READS)
    assert _judge("", good, [Result(2, "", "Traceback")] * len(READS), Result(1, "", "")) != []
