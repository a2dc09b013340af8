"""Everything a user gets wrong, and everything a machine does: one clear error, the next command, a status, nothing lost."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import tarfile
import time
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
        done = run_envgit(*words, cwd=tmp_path, status=2)
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
    lab.fails("run", "--", "true", status=2, says="'time-travel'", hint="newer envgit")
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
    lab.fails("run", "main~7", "--", "true", status=2, says="main~7", hint="")
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
    lab.fails("run", "-v", "data:/x", "--", "true", status=2, says="named volume", hint="./data")
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


# damage


def test_a_corrupt_object_is_named(lab: Lab) -> None:
    (pack,) = (lab.git_dir / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    pack.unlink()  # shared with the original
    middle = len(data) // 2
    pack.write_bytes(data[:middle] + bytes(byte ^ 0xFF for byte in data[middle : middle + 64]) + data[middle + 64 :])
    lab.forget_layers()
    done = lab("fsck", status=1)
    assert "problem" in done.out + done.err or "corrupt" in done.out + done.err
    done = lab("run", "main", "--", "true", status=None)
    assert done.status in (0, 2, 125)
    if done.status:
        assert "hint: " in done.err
    pack.write_bytes(data)


def test_a_missing_pack_is_an_error_not_a_crash(lab: Lab) -> None:
    (pack,) = (lab.git_dir / "objects/pack").glob("*.pack")
    data = pack.read_bytes()
    pack.unlink()
    lab.forget_layers()
    for words in (["log"], ["diff", "HEAD"], ["run", "--", "true"], ["fsck"], ["commit", "-m", "x"], ["gc"]):
        done = lab(*words, status=None)
        assert done.status != 0, (words, done)
        assert "envgit: " in done.err or done.out, (words, done)
    pack.write_bytes(data)
    assert lab("status").status == 0


@pytest.mark.parametrize("text", [b"", b"garbage\n", b"ref: refs/heads/../../x\n", b"\x00" * 41, b"0" * 39 + b"\n"])
def test_a_damaged_head(lab: Lab, text: bytes) -> None:
    head = lab.git_dir / "HEAD"
    before = head.read_bytes()
    head.write_bytes(text)
    for words in (["status"], ["log"], ["run", "--", "true"], ["checkout", "main"], []):
        done = lab(*words, status=None)
        assert done.status in (1, 2, 125), (words, done)
        assert "envgit: " in done.err
    head.write_bytes(before)


@pytest.mark.parametrize("text", [b"", b"garbage\n", b"0" * 40 + b":-\n", b"../../x:../../y\n", b"\xff\xfe\n"])
def test_a_damaged_worktree_pointer(lab: Lab, text: bytes) -> None:
    lab.sh("echo 1 > /srv/one")
    (pointer,) = (lab.git_dir / "checkouts").glob("*/base")
    before = pointer.read_bytes()
    pointer.write_bytes(text)
    for words in (["status"], ["run", "--", "true"], ["commit", "-m", "x"], ["gc", "-n"], ["fsck"]):
        done = lab(*words, status=None)
        assert text == b"" or done.status in (1, 2, 125), (words, done)
        assert "internal error" not in done.err, (words, done)
    pointer.write_bytes(before)
    assert lab.changes() == ["A srv/one"]


def test_a_full_disk(lab: Lab) -> None:
    lab.sh("dd if=/dev/zero of=/srv/big bs=1000000 count=3 2>/dev/null; echo 1 > /srv/one")
    before = lab.head()
    done = lab("status", status=0)
    limited = Lab(lab.path, ("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))
    done = limited("commit", "-m", "x", status=None)
    assert done.status == 2, done
    assert "envgit: " in done.err
    assert lab.head() == before
    assert lab("commit", "-m", "x").status == 0
    assert lab("fsck").status == 0


@pytest.mark.user_only
@pytest.mark.parametrize(
    "closed", [".envgit", ".envgit/objects", ".envgit/refs", ".envgit/objects/pack", ".envgit/HEAD"]
)
def test_no_permission(lab: Lab, closed: str) -> None:
    path = lab.path / closed
    mode = path.stat().st_mode & 0o7777
    path.chmod(0)
    try:
        for words in (["log"], ["show", "-s"], ["branch", "new"]):
            done = lab(*words, status=None)
            assert done.status == 2, (words, done)
            assert "ermission" in done.err, (words, done)
            assert "hint: " in done.err, (words, done)
            assert "internal error" not in done.err
    finally:
        path.chmod(mode)
    assert lab("log").status == 0


@pytest.mark.root_only
def test_a_read_only_disk(lab: Lab, tmp_path: Path) -> None:
    lab.sh("echo 1 > /srv/one")
    script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && cd "$0" && exec "$@"'
    readonly = Lab(lab.path, ("unshare", "--mount", "sh", "-c", script, str(lab.path)))
    done = readonly("commit", "-m", "x", status=2)
    assert "ead-only" in done.err
    assert "hint: " in done.err
    for words in (["log"], ["diff", "HEAD", "--stat"], ["show", "-s"], ["ls", "HEAD:srv"], ["status"], ["branch"]):
        assert readonly(*words).status == 0, words
    assert lab.changes() == ["A srv/one"]


def test_a_busy_repository_says_who_holds_it(lab: Lab) -> None:
    lab.sh("echo 1 > /srv/one")
    holder = subprocess.Popen(
        ["flock", str(lab.git_dir / "lock"), "sleep", "60"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    try:
        time.sleep(0.2)
        started = time.monotonic()
        done = lab("commit", "-m", "x", status=2)
        assert time.monotonic() - started < 30
        assert "envgit: " in done.err
        assert lab("status").status == 0, "looking needs no lock"
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert lab("commit", "-m", "x").status == 0


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.2, 0.35])
def test_an_interrupt_at_any_point(lab: Lab, delay: float) -> None:
    lab.sh("dd if=/dev/urandom of=/srv/big bs=1000000 count=20 2>/dev/null")
    process = lab.start("commit", "-m", "x", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode in (130, 0, -signal.SIGINT), err
    if delay > 0.09:
        assert b"Traceback" not in err, err
    if process.returncode:
        assert lab.changes() == ["A srv/big"]
        lab("commit", "-m", "x")
    assert lab("fsck").status == 0
    assert lab.changes() == []


def test_broken_pipes_are_quiet(lab: Lab) -> None:
    for words in ("log", "ls -r HEAD", "diff HEAD", "export HEAD tar:-"):
        script = f'"$@" {words} | head -c 1 >/dev/null'
        command = ["sh", "-c", script, "sh", *(_words())]
        done = subprocess.run(command, cwd=lab.path, capture_output=True, env={**os.environ, **_path()}, check=False)
        assert done.stderr == b"", (words, done.stderr)


def _words() -> list[str]:
    from tests.lab import command_words

    return command_words()


def _path() -> dict[str, str]:
    from tests.lab import CHECKOUT

    return {"PYTHONPATH": str(CHECKOUT)}


def on_a_terminal(lab: Lab, *words: str) -> bytes:
    """Return what a command writes to a terminal that knows no colours."""
    ours, theirs = os.openpty()
    process = lab.start(
        "--no-pager", "--color", "never", *words, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:  # EIO: the other end is closed
        pass
    finally:
        os.close(ours)
    assert process.wait(30) == 0, said
    return said


def test_control_characters_do_not_reach_the_terminal(lab: Lab) -> None:
    lab.sh("printf x > \"$(printf '/srv/a\\033[31mb')\"; printf '\\033]0;title\\007\\n' > /srv/text")
    lab("commit", "-m", "a\x1b[31m message")
    for words in (
        ["log", "--stat"],
        ["show"],
        ["diff", "HEAD~1", "HEAD"],
        ["ls", "HEAD:srv"],
        ["status"],
        ["op", "log"],
    ):
        said = on_a_terminal(lab, *words)
        assert b"[31m" in said or words[0] in ("status", "op")
        assert b"\x1b[31m" not in said, (words, said)
        assert b"\x07" not in said, (words, said)
