"""Everything a user gets wrong, and everything a machine does: one clear error, the next command, a status, nothing lost."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import Lab, run_envgit


def test_not_a_repository(tmp_path: Path) -> None:
    for words in (
        ["status"],
        ["run", "--", "true"],
        ["log"],
        ["commit", "-m", "x"],
        ["checkout", "x"],
        ["undo"],
        ["gc"],
    ):
        done = run_envgit(*words, cwd=tmp_path, status=125 if words[0] == "run" else 2)
        assert "is not in an envgit repository" in done.err
        assert "envgit init lab --from host" in done.err
        assert done.out == ""


def test_a_plain_git_repository_is_not_ours(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", "--bare", ".envgit"], cwd=tmp_path, check=True)
    done = run_envgit("status", cwd=tmp_path, status=2)
    assert "is not an envgit repository" in done.err


def test_a_newer_format_is_refused_by_name(lab: Lab) -> None:
    requires = lab.git_dir / "requires"
    before = requires.read_text()
    requires.write_text(before + "time-travel\n")
    lab.fails("status", status=2, says="'time-travel'", hint="newer envgit")
    lab.fails("run", "--", "true", status=125, says="'time-travel'", hint="newer envgit")
    requires.write_text(before)


@pytest.mark.root_only
def test_a_repository_of_somebody_else_is_refused(lab: Lab) -> None:
    os.chown(lab.git_dir, 12345, 12345)
    lab.fails("status", status=2, says="belongs to user 12345", hint="chown")
    os.chown(lab.git_dir, 0, 0)


@pytest.mark.parametrize(
    "words",
    [("log",), ("diff",), ("show",), ("checkout",), ("reset", "--hard"), ("branch", "new"), ("tag", "new"), ("ls",)],
    ids=lambda words: words[0],
)
def test_unknown_revision(lab: Lab, words: tuple[str, ...]) -> None:
    lab.sh("echo 1 > /srv/one")
    before = lab.changes(), lab.git("for-each-ref")
    lab.fails(*words, "mian", status=2, says="mian", hint="main")
    assert (lab.changes(), lab.git("for-each-ref")) == before


def test_unknown_revision_of_a_run(lab: Lab) -> None:
    done = lab("run", "mian", "--", "true", status=None)
    assert done.status in (2, 125)
    assert "mian" in done.err
    assert "main" in done.err


def test_more_generations_than_there_are(lab: Lab) -> None:
    lab.fails("log", "main~7", status=2, says="main~7", hint="")
    lab.fails("run", "main~7", "--", "true", status=125, says="main~7", hint="")
    lab.fails("show", "main@{17}", status=2, says="17", hint="")


def test_ambiguous_id(lab: Lab) -> None:
    tip = lab.head()
    text = lab.git("cat-file", "commit", tip).encode()
    texts = (text + b"%d\n" % number for number in range(1_000_000))
    twin = next(text for text in texts if hashlib.sha1(b"commit %d\0" % len(text) + text).hexdigest()[:4] == tip[:4])
    command = ["git", "--git-dir", str(lab.git_dir), "hash-object", "-t", "commit", "-w", "--stdin"]
    other = subprocess.run(command, input=twin, check=True, capture_output=True).stdout.decode().strip()
    for words in (["show"], ["log"], ["checkout"], ["branch", "x"], ["reset"], ["diff"]):
        done = lab.fails(*words, tip[:4], status=2, says="ambiguous", hint="it may be")
        assert tip[:7] in done.err and other[:7] in done.err, done.err
    assert lab.head() == tip


def test_unknown_verb_and_option(lab: Lab) -> None:
    lab.fails("comit", status=2, says="comit", hint="commit")
    lab.fails("status", "--colour", status=2, says="--colour", hint="--help")
    lab.fails("commit", "-m", "x", "surplus", status=2, says="surplus", hint="--help")


def test_unknown_paths(lab: Lab) -> None:
    lab.fails("cat", "HEAD:etc/nothing", status=2, says="etc/nothing", hint=None)
    lab.fails("cat", "HEAD:etc", status=2, says="etc", hint=None)
    lab.fails("ls", "HEAD:nowhere", status=2, says="nowhere", hint=None)
    lab.fails("restore", "nowhere", status=2, says="nowhere", hint=None)


def test_nothing_to_commit(lab: Lab) -> None:
    lab.fails("commit", "-m", "x", status=1, says="nothing to commit", hint="envgit run")


def test_commit_without_a_message_or_editor(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    done = lab("commit", status=None)
    assert done.status in (1, 2)
    assert "hint: " in done.err
    assert lab.changes() == ["A srv/one"]


def test_an_empty_repository(tmp_path: Path) -> None:
    run_envgit("init", "lab", cwd=tmp_path)
    lab = Lab(tmp_path / "lab")
    assert "main" in lab("status").out
    for words in (
        ["log"],
        ["run", "--", "true"],
        ["commit", "-m", "x"],
        ["reset", "--hard"],
        ["show"],
        ["restore", "x"],
    ):
        done = lab(*words, status=None)
        assert done.status in (1, 2, 125), (words, done)
        assert "hint: " in done.err, (words, done)
    assert lab("undo", status=None).status in (0, 1)


def test_names_that_no_branch_may_have(lab: Lab) -> None:
    for name in ("a..b", "-x", "a b", "x.lock", "@{", "a~1", "", "/", "HEAD"):
        done = lab("branch", "--", name, status=None)
        assert done.status == 2, (name, done)
        assert "envgit: " in done.err
    lab("branch", "dir/leaf")
    lab.fails("branch", "dir", status=1, says="dir", hint=None)
    lab.fails("checkout", "-b", "main", status=2, says="exists already", hint="-B")
    lab.fails("branch", "-d", "main", status=1, says="main", hint=None)
    assert lab.git("for-each-ref", "--format=%(refname)", "refs/heads").split() == [
        "refs/heads/dir/leaf",
        "refs/heads/main",
    ]


def test_unmerged_branches_are_not_deleted_quietly(lab: Lab) -> None:
    lab("checkout", "-b", "side")
    lab.sh("echo 1 > /srv/one")
    lab("commit", "-m", "one")
    tip = lab.head()
    lab("checkout", "main")
    lab.fails("branch", "-d", "side", status=1, says="side", hint="-D")
    lab("branch", "-D", "side")
    lab("undo")
    assert lab.head("side") == tip


def test_programs_that_are_not_there(lab: Lab) -> None:
    lab.fails("run", "--", "nonesuch", status=127, says="nonesuch", hint=None)
    lab.fails("run", "--", "/etc/motd", status=126, says="/etc/motd", hint=None)
    lab.fails("run", "--", "/nowhere/x", status=127, says="/nowhere/x", hint=None)
    assert lab("run", "--", "sh", "-c", "exit 42", status=42).err == ""
    assert lab("run", "--", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", status=137).out == ""
    lab.fails("run", "-u", "nobody-here", "--", "true", status=125, says="nobody-here", hint=None)
    lab.fails("run", "-v", "/nonexistent:/x", "--", "true", status=125, says="/nonexistent", hint=None)
    lab.fails("run", "-v", "da/ta:/x", "--", "true", status=125, says="da/ta", hint="")
    lab.fails("run", "-v", f"{lab.git_dir}:/x", "--", "true", status=125, says=".envgit", hint=None)


# sources


def _tar(path: Path, members: list[tarfile.TarInfo], content: bytes = b"x") -> Path:
    with tarfile.open(path, "w") as archive:
        for member in members:
            member.size = len(content) if member.isreg() else 0
            archive.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = kind
    member.linkname = target
    return member


HOSTILE: dict[str, Callable[[], list[tarfile.TarInfo]]] = {
    "dotdot": lambda: [_member("../evil")],
    "dotdot-inside": lambda: [_member("a/../../evil")],
    "hard-link-outside": lambda: [_member("l", tarfile.LNKTYPE, "../../etc/shadow")],
    "hard-link-missing": lambda: [_member("l", tarfile.LNKTYPE, "nowhere")],
    "through-a-link": lambda: [_member("d", tarfile.SYMTYPE, "/etc"), _member("d/evil")],
    "through-a-file": lambda: [_member("d"), _member("d/evil")],
}


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE)
def test_hostile_tars_are_refused_whole(tmp_path: Path, make: Callable[[], list[tarfile.TarInfo]]) -> None:
    archive = _tar(tmp_path / "evil.tar", [_member("etc/fine"), *make()])
    done = run_envgit("init", "lab", "--from", f"tar:{archive}", cwd=tmp_path, status=2)
    assert done.err.count("envgit: ") == 1, done.err
    assert not (tmp_path / "lab").exists()
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path.parent / "evil").exists()


def test_absolute_names_stay_inside(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "absolute.tar", [_member("/envgit-evil-absolute")])
    done = run_envgit("init", "lab", "--from", f"tar:{archive}", cwd=tmp_path, status=None)
    assert done.status in (0, 2, 3)
    assert not Path("/envgit-evil-absolute").exists()


def test_duplicates_and_case_are_what_linux_makes_of_them(tmp_path: Path) -> None:
    archive = _tar(tmp_path / "twice.tar", [_member("etc/a"), _member("etc/A"), _member("etc/a")])
    run_envgit("init", "lab", "--from", f"tar:{archive}", cwd=tmp_path, status=None)
    assert Lab(tmp_path / "lab")("ls", "HEAD:etc").lines() == ["A", "a"]


@pytest.mark.parametrize("suffix", ["tar", "tar.gz", "tar.xz", "tar.zst"])
def test_truncated_archives(tmp_path: Path, suffix: str, small_origin: Path) -> None:
    whole = tmp_path / f"whole.{suffix}"
    run_envgit("export", "HEAD", f"tar:{whole}", cwd=small_origin)
    data = whole.read_bytes()
    (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) * 2 // 3])
    done = run_envgit("init", "lab", "--from", f"tar:cut.{suffix}", cwd=tmp_path, status=2)
    assert done.err.count("envgit: ") == 1, done.err
    assert not (tmp_path / "lab").exists()


def test_sources_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is not an archive\n" * 100)
    (tmp_path / "empty").write_bytes(b"")
    for source in (
        "tar:text",
        "tar:empty",
        "tar:missing",
        "dir:missing",
        "dir:text",
        "docker:debian",
        "nonsense",
        "tar:",
        "dir:",
    ):
        done = run_envgit("init", "lab", "--from", source, cwd=tmp_path, status=2)
        assert done.err.count("envgit: ") == 1, (source, done.err)
        assert not (tmp_path / "lab").exists(), source


def test_an_import_that_fails_changes_nothing(lab: Lab, tmp_path: Path) -> None:
    before = lab.head(), lab.changes()
    archive = _tar(tmp_path / "evil.tar", [_member("etc/fine"), _member("../evil")])
    lab("import", f"tar:{archive}", status=2)
    assert (lab.head(), lab.changes()) == before


def test_import_does_not_swallow_uncommitted_changes(lab: Lab, small_root: Path) -> None:
    lab.sh("echo 1 > /srv/one")
    done = lab("import", f"dir:{small_root}", "-m", "again", status=None)
    if done.status:
        assert done.status == 1
        assert "hint: " in done.err
    else:
        lab("undo")
    assert lab.changes() == ["A srv/one"]


def test_export_overwrites_nothing(lab: Lab, tmp_path: Path) -> None:
    target = tmp_path / "out.tar"
    target.write_text("mine")
    lab.fails("export", "HEAD", f"tar:{target}", status=1, says="exists already", hint="")
    assert target.read_text() == "mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    done = lab("export", "HEAD", f"dir:{tmp_path}/full", status=None)
    assert done.status in (1, 2)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    lab.fails("export", "HEAD", "zip:x", status=2, says="zip:x", hint="tar:")
