"""What buildah makes of COPY and ADD, beside what is made here: names, types, modes, owners, contents, hard links."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.building.unit import Context, CopyItem, StageBase
from envgit.errors import EnvgitError
from envgit.model import DirectoryRef
from tests.building.copy_lab import GROUP, PASSWD, CopyLab

Row = tuple[str, str, str]

CASES: dict[str, list[tuple[str, CopyItem]]] = {
    "a file to a name": [("COPY a.txt /b", CopyItem("/b", ("a.txt",)))],
    "a file below new directories": [("COPY a.txt /x/y/z", CopyItem("/x/y/z", ("a.txt",)))],
    "a file into a new directory": [("COPY a.txt /x/y/", CopyItem("/x/y/", ("a.txt",)))],
    "several files": [("COPY a.txt b.txt /x/", CopyItem("/x/", ("a.txt", "b.txt")))],
    "a file into the root": [("COPY a.txt /", CopyItem("/", ("a.txt",)))],
    "the content of a directory": [("COPY d /x", CopyItem("/x", ("d",)))],
    "slashes at both ends": [("COPY d/ /x/", CopyItem("/x/", ("d/",)))],
    "directories and files mixed": [("COPY d a.txt /x/", CopyItem("/x/", ("d", "a.txt")))],
    "the whole context": [("COPY . /x", CopyItem("/x", (".",)))],
    "paths that lead out": [("COPY /a.txt ../../b.txt /x/", CopyItem("/x/", ("/a.txt", "../../b.txt")))],
    "patterns": [("COPY *.txt d*/s* /x/", CopyItem("/x/", ("*.txt", "d*/s*")))],
    "classes": [("COPY [ac].txt ?.md /x/", CopyItem("/x/", ("[ac].txt", "?.md")))],
    "links that are named": [("COPY link dlink /x/", CopyItem("/x/", ("link", "dlink")))],
    "a link out of the context": [("COPY out /x/", CopyItem("/x/", ("out",)))],
    "hard links": [("COPY hard /x", CopyItem("/x", ("hard",)))],
    "an owner by name": [
        ("COPY etc /etc", CopyItem("/etc", ("etc",))),
        ("COPY --chown=web d /x/y", CopyItem("/x/y", ("d",), owner="web")),
    ],
    "an owner and a group": [
        ("COPY etc /etc", CopyItem("/etc", ("etc",))),
        ("COPY --chown=web:www a.txt d /x/", CopyItem("/x/", ("a.txt", "d"), owner="web:www")),
    ],
    "a number": [("COPY --chown=1234 a.txt /x/a", CopyItem("/x/a", ("a.txt",), owner="1234"))],
    "two numbers": [("COPY --chown=12:34 d /x", CopyItem("/x", ("d",), owner="12:34"))],
    "a mode": [("COPY --chmod=640 d /x", CopyItem("/x", ("d",), mode="640"))],
    "mode and owner": [
        ("COPY --chmod=0751 --chown=7:8 a.txt /x/", CopyItem("/x/", ("a.txt",), mode="0751", owner="7:8"))
    ],
    "onto a directory": [
        ("COPY base /", CopyItem("/", ("base",))),
        ("COPY over /", CopyItem("/", ("over",))),
    ],
    "a file over a file": [
        ("COPY a.txt /real/keep", CopyItem("/real/keep", ("a.txt",))),
        ("COPY script /real/keep", CopyItem("/real/keep", ("script",))),
    ],
    "a file over a link in a directory": [
        ("COPY base /", CopyItem("/", ("base",))),
        ("COPY flink /real/", CopyItem("/real/", ("flink",))),
    ],
    "through a link to a directory": [
        ("COPY base /", CopyItem("/", ("base",))),
        ("COPY a.txt /ln", CopyItem("/ln", ("a.txt",))),
        ("COPY d /ln/below", CopyItem("/ln/below", ("d",))),
    ],
    "dots in a target": [
        ("COPY base /", CopyItem("/", ("base",))),
        ("COPY a.txt /ln/../x/./y", CopyItem("/ln/../x/./y", ("a.txt",))),
    ],
    "an archive": [("ADD t.tar /x", CopyItem("/x", ("t.tar",), unpack=True))],
    "compressed archives": [
        ("ADD t.tgz t.txz t.tbz /x/", CopyItem("/x/", ("t.tgz", "t.txz", "t.tbz"), unpack=True)),
    ],
    "ADD of what is no archive": [("ADD a.txt d /x/", CopyItem("/x/", ("a.txt", "d"), unpack=True))],
    "COPY of an archive": [("COPY t.tgz /x/", CopyItem("/x/", ("t.tgz",)))],
    "an archive over files": [
        ("COPY base /", CopyItem("/", ("base",))),
        ("ADD t.tgz /real", CopyItem("/real", ("t.tgz",), unpack=True)),
    ],
}
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "tar": bytes,
    "tgz": gzip.compress,
    "txz": lzma.compress,
    "tbz": bz2.compress,
}
FROM_STAGE: dict[str, tuple[str, CopyItem]] = {
    "a directory of a stage": ("COPY --from=x /d /y", CopyItem("/y", ("/d",), source=StageBase(0))),
    "a file of a stage": ("COPY --from=x /d/s.txt /y/z", CopyItem("/y/z", ("/d/s.txt",), source=StageBase(0))),
    "a whole stage": ("COPY --from=x / /all", CopyItem("/all", ("/",), source=StageBase(0))),
    "a stage's files with an owner": (
        "COPY --from=x --chown=9 /d /y",
        CopyItem("/y", ("/d",), source=StageBase(0), owner="9"),
    ),
    "a pattern in a stage": ("COPY --from=x /d/s* /y/", CopyItem("/y/", ("/d/s*",), source=StageBase(0))),
}


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    """A context with everything that the cases name."""
    lab = CopyLab(tmp_path)
    for name in ("a.txt", "b.txt", "c.txt", "n.md", "flink", "d/s.txt", "d/sub/x", "hard/one", "over/real/sub/n"):
        lab.write(name, name)
    lab.write("script", "#!/bin/sh\n", 0o750)
    lab.write("etc/passwd", PASSWD)
    lab.write("etc/group", GROUP)
    lab.write("base/real/keep", "keep", 0o600)
    lab.folder("base/real/sub", 0o711)
    lab.folder("base/real", 0o711)
    lab.folder("over/real/sub", 0o700)
    lab.folder("d/sub", 0o700)
    lab.folder("d/empty")
    (lab.context / "d/sub/l").symlink_to("x")
    (lab.context / "d/sub/broken").symlink_to("/nowhere")
    (lab.context / "link").symlink_to("a.txt")
    (lab.context / "dlink").symlink_to("d")
    (lab.context / "out").symlink_to("../../../../../etc/passwd")
    (lab.context / "base/ln").symlink_to("real")
    (lab.context / "base/real/flink").symlink_to("keep")
    (lab.context / "hard/two").hardlink_to(lab.context / "hard/one")
    for suffix, compress in COMPRESSIONS.items():
        (lab.context / f"t.{suffix}").write_bytes(compress(_archive(suffix)))
    return lab


def _archive(suffix: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, kind, mode, owner in (
            ("sub", tarfile.DIRTYPE, 0o750, 0),
            (f"sub/{suffix}", tarfile.REGTYPE, 0o640, 7),
            (f"sub/{suffix}.link", tarfile.SYMTYPE, 0o777, 0),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.gid, member.mtime = kind, mode, owner, owner, 1000
            member.linkname = suffix if kind == tarfile.SYMTYPE else ""
            archive.addfile(member)
    return file.getvalue()


@pytest.mark.parametrize("name", CASES)
def test_the_same_as_buildah(lab: CopyLab, tmp_path: Path, name: str) -> None:
    steps = CASES[name]
    theirs = _build(tmp_path, lab.context, "FROM scratch\n" + "\n".join(line for line, _ in steps) + "\n")
    root = lab.tree({})
    for _, item in steps:
        root = lab.copy(item, onto=root)
    assert _ours(lab, root) == theirs


@pytest.mark.parametrize("name", FROM_STAGE)
def test_stages_the_same_as_buildah(lab: CopyLab, tmp_path: Path, name: str) -> None:
    line, item = FROM_STAGE[name]
    theirs = _build(tmp_path, lab.context, f"FROM scratch AS x\nCOPY --chown=3:4 d hard /d/\nFROM scratch\n{line}\n")
    lab.stages.append(lab.copy(CopyItem("/d/", ("d", "hard"), owner="3:4", source=Context())))
    assert _ours(lab, lab.copy(item)) == theirs


@pytest.mark.parametrize(
    "ignore",
    ["d/sub\n*.t?z\n**/f*\n", "*\n!d\n!a.txt\n", "# no\n\n/a.txt\nd/**\n!d/s.txt\nbase/../over\n"],
)
def test_ignored_the_same_as_buildah(lab: CopyLab, tmp_path: Path, ignore: str) -> None:
    lab.write(".dockerignore", ignore)
    lab.ignore = ignore.encode()
    theirs = _build(tmp_path, lab.context, "FROM scratch\nCOPY . /x\n")
    assert _ours(lab, lab.copy(CopyItem("/x", (".",)))) == theirs


@pytest.mark.parametrize(
    "line, item",
    [
        ("COPY nothing /x", CopyItem("/x", ("nothing",))),
        ("COPY --chown=nobody a.txt /x", CopyItem("/x", ("a.txt",), owner="nobody")),
        ("COPY --chmod=9 a.txt /x", CopyItem("/x", ("a.txt",), mode="9")),
    ],
)
def test_refused_as_by_buildah(lab: CopyLab, tmp_path: Path, line: str, item: CopyItem) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _build(tmp_path, lab.context, f"FROM scratch\n{line}\n")
    with pytest.raises(EnvgitError):
        lab.copy(item)


def _ours(lab: CopyLab, root: DirectoryRef) -> dict[str, Row]:
    links = {path: paths[0] for paths in lab.store.read_links(root) for path in paths}
    rows = {}
    for path, entry in lab.store.paths(root).items():
        if path:
            same = os.fsdecode(links.get(path, b""))
            shown = lab.store.content(root, path).hex() if entry.type == "f" else os.fsdecode(entry.target)
            rows[os.fsdecode(path)] = (f"{entry.type} {entry.mode:o} {entry.uid}:{entry.gid}", shown, same)
    return rows


def _build(folder: Path, context: Path, dockerfile: str) -> dict[str, Row]:
    """Build with buildah and return what the archive of the result holds."""
    program = shutil.which("buildah")
    assert program is not None, "buildah is missing: apt-get install buildah"
    (folder / "Dockerfile").write_text(dockerfile)
    storage = ["--storage-driver", "vfs", "--root", str(folder / "storage"), "--runroot", str(folder / "run")]
    subprocess.run(
        [program, *storage, "bud", "--isolation", "chroot", "-q", "--layers=false", "-f", str(folder / "Dockerfile"),
         "--output", f"type=tar,dest={folder / 'out.tar'}", str(context)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    rows: dict[str, Row] = {}
    names: dict[str, list[str]] = {}
    with tarfile.open(folder / "out.tar") as archive:
        for member in archive:
            path = member.name.strip("/").removeprefix("./")
            if path in ("", "."):
                continue
            if member.islnk():
                first = member.linkname.strip("/").removeprefix("./")
                names.setdefault(first, [first]).append(path)
                rows[path] = rows[first]
                continue
            kind = "d" if member.isdir() else "l" if member.issym() else "f"
            mode = 0 if kind == "l" else member.mode
            file = archive.extractfile(member) if kind == "f" else None
            shown = file.read().hex() if file is not None else member.linkname
            rows[path] = (f"{kind} {mode:o} {member.uid}:{member.gid}", shown, "")
    for paths in names.values():
        for path in paths:
            rows[path] = (*rows[path][:2], min(paths))
    return rows
