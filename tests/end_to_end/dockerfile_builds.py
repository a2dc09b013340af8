"""The same Dockerfile built by envgit and by buildah, and what both made of it in one form."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from tests.lab import Lab, remove, run_envgit

CASES = Path(__file__).parent / "dockerfiles"
LEFT_BY_BUILDAH = ("dev", "etc/hosts", "etc/resolv.conf", "etc/hostname", "proc", "run", "sys")
"""Places that a builder mounts over while commands run, and may leave empty files or directories in."""

FOR_BUILDAH: Mapping[str, tuple[tuple[str, str], ...]] = {
    "settings": (("8000-8002", "8000 8001 8002"), ("CMD echo shell form", 'CMD ["/bin/sh", "-ec", "echo shell form"]')),
    "stages": (("AS Compiler", "AS compiler"),),
    "variables": (("${OTHER%% *}", "two"),),
}
"""What buildah 1.28 does not do as the reference says: SHELL for CMD, ranges of ports, names of stages, patterns."""


class File(NamedTuple):
    """An entry of a root filesystem, without its time. `links`: all names of its inode."""

    type: bytes
    mode: str
    owner: tuple[int, int]
    content: str
    links: tuple[str, ...]


class Built(NamedTuple):
    files: dict[str, File]
    config: dict[str, Any]


def prepare_context(case: str, root: Path, folder: Path) -> Path:
    """Copy the context of a case, and add the archives that it unpacks."""
    context = folder / "context"
    shutil.copytree(CASES / case, context)
    write_archive(context / "base.tar", root)
    if case == "archives":
        things = folder / "things"
        (things / "sub").mkdir(parents=True)
        (things / "sub/file").write_text("in an archive\n")
        (things / "link").symlink_to("sub/file")
        (things / "sub").chmod(0o750)
        for name in ("plain.tar", "zipped.tar.gz", "squeezed.tar.xz", "bunched.tar.bz2"):
            write_archive(context / name, things, owner=7)
    return context


def write_archive(path: Path, folder: Path, owner: int = 0) -> None:
    """Write a folder's content as an archive whose files are all `owner`'s.

    The folder itself is no member: buildah gives its attributes to the target, docker and envgit do not.
    """

    def own(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = owner
        member.uname = member.gname = ""
        return member

    mode: Any = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for each in sorted(folder.iterdir()):
            archive.add(each, each.name, filter=own)


def build_arguments(context: Path) -> dict[str, str]:
    """Return the --build-arg of a case: lines NAME=VALUE of its file build-args."""
    file = context / "build-args"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("=", 1) for line in lines)


def new_lab(folder: Path) -> Lab:
    """Make an empty repository."""
    run_envgit("init", "lab", "-q", cwd=folder)
    return Lab(folder / "lab")


def build_with_envgit(lab: Lab, context: Path, *options: str) -> Built:
    """Build `context`/Dockerfile and return what the branch has then."""
    words = [f"--build-arg={name}={value}" for name, value in build_arguments(context).items()]
    lab("build", "-f", str(context / "Dockerfile"), *words, *options)
    return look_at(lab, "HEAD")


def look_at(lab: Lab, revision: str) -> Built:
    """Return the files and the configuration of a revision."""
    archive = lab.path.parent / "envgit.tar"
    lab("export", "-q", revision, f"tar:{archive}")
    config = json.loads(lab.git("show", f"{revision}:config.json"))
    files = read_archive(archive)
    archive.unlink()
    return Built(files, config)


def build_with_buildah(case: str, context: Path, folder: Path, *options: str) -> Built:
    """Build the same; Dockerfile.buildah, or FOR_BUILDAH, say the same in words that version 1.28 knows, too."""
    storage = folder / "storage"
    start = ["buildah", "--root", f"{storage}/s", "--runroot", f"{storage}/r", "--storage-driver", "vfs"]
    dockerfile = folder / "Dockerfile.buildah"
    dockerfile.write_text(_text_for_buildah(context, case))
    words = [f"--build-arg={name}={value}" for name, value in build_arguments(context).items()]
    words += ["--isolation=chroot", "--format=docker", "-q", f"--iidfile={folder}/image", "-f", str(dockerfile)]
    words += [f"--output=type=tar,dest={folder}/buildah.tar", *options, str(context)]
    try:
        _run([*start, "bud", *words])
        image = (folder / "image").read_text()
        inspected = json.loads(_run([*start, "inspect", "--type", "image", image]))
        files = read_archive(folder / "buildah.tar")
    finally:
        if storage.exists():
            remove(storage)
    return Built(files, {**inspected["Docker"]["config"], "Author": inspected["Docker"].get("author", "")})


def _text_for_buildah(context: Path, case: str) -> str:
    own = context / "Dockerfile.buildah"
    text = (own if own.exists() else context / "Dockerfile").read_text()
    for mine, theirs in FOR_BUILDAH.get(case, ()):
        assert mine in text, mine
        text = text.replace(mine, theirs)
    return text


def _run(words: list[str]) -> str:
    environ = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    done = subprocess.run(words, capture_output=True, env=environ, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode()


def read_archive(path: Path) -> dict[str, File]:
    """Return the files of an archive by name; hard links are equal names of one file."""
    members: dict[str, tarfile.TarInfo] = {}
    contents: dict[str, str] = {}
    first: dict[str, str] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = _plain(member.name)
            if member.islnk():
                first[name] = first.get(_plain(member.linkname), _plain(member.linkname))
                continue
            members[name] = member
            file = archive.extractfile(member) if member.isreg() else None
            contents[name] = sha256(file.read()).hexdigest() if file else member.linkname
    groups: dict[str, list[str]] = {name: [name] for name in members}
    for name, target in first.items():
        groups[target].append(name)
    found = {}
    for group in groups.values():
        member = members[group[0]]
        mode = "" if member.issym() else f"{member.mode & 0o7777:04o}"
        owner = (member.uid, member.gid)
        links = tuple(sorted(group)) if len(group) > 1 else ()
        for name in group:
            kind = tarfile.REGTYPE if member.isreg() else member.type
            found[name] = File(kind, mode, owner, contents[group[0]], links)
    return found


def _plain(name: str) -> str:
    return name.removeprefix("./").strip("/") or "."


def differences(mine: Mapping[str, File], theirs: Mapping[str, File]) -> dict[str, tuple[File | None, File | None]]:
    """Return what is not the same by name: envgit's, buildah's. As an ordinary user buildah loses setuid and setgid bits."""
    if os.geteuid():
        mine, theirs = _without_set_ids(mine), _without_set_ids(theirs)
    names = {name for name in {*mine, *theirs} if not name.startswith(LEFT_BY_BUILDAH)} - {"."}
    pairs = {name: (mine.get(name), theirs.get(name)) for name in sorted(names)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _without_set_ids(files: Mapping[str, File]) -> dict[str, File]:
    modes = {name: file.mode and f"{int(file.mode, 8) & 0o1777:04o}" for name, file in files.items()}
    return {name: file._replace(mode=modes[name]) for name, file in files.items()}
