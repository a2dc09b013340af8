"""What an environment asks for is given only after it was granted, once for each text of a request."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from envgit.environment_config import format_config, parse_config
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.snapshot import read_config_bytes, read_snapshot, write_snapshot
from tests.lab import Lab, command_environment, command_words


def ask(lab: Lab, text: str | None = None, **fields: object) -> None:
    """Give main a commit whose configuration asks for something, as a build or a fetched commit would."""
    repo = Repository.open_(str(lab.path), os.environ, NullMonitor())
    with repo.operation(["test"]) as transaction:
        tip = read_snapshot(repo.objects, repo.resolve_bytes("main"))
        config = parse_config(read_config_bytes(repo.objects, tip))
        labels = {"envgit.sandbox": json.dumps(fields) if text is None else text}
        config = config._replace(extra={**config.extra, "Labels": labels})
        with repo.objects.pack_session() as session:
            data, author, committer = format_config(config), repo.author(), repo.committer()
            oid = write_snapshot(
                session, tip.root, data, b"asks", parents=(tip.oid,), author=author, committer=committer
            )
            session.finish()
        transaction.set_ref("refs/heads/main", oid)
        transaction.set_worktree("main", None)
        transaction.finish("asks")


WORDS = ("run", "--network", "none")


@pytest.fixture
def asking(lab: Lab) -> Lab:
    """The environment asks for a folder of the project and for a limit."""
    (lab.path / "data").mkdir()
    (lab.path / "data/file").write_text("in the project\n")
    ask(lab, volume=["./data:/data"], pids_limit=50)
    return lab


def _sees_data(lab: Lab, *words: str) -> bool:
    return lab(*WORDS, *words, "--", "cat", "/data/file", status=None).out == "in the project\n"


def test_a_request_is_asked_about_once(asking: Lab) -> None:
    done = asking(*WORDS, "main", "--", "true")
    assert "asks for --volume ./data:/data, which was not granted" in done.err and "See: envgit trust main" in done.err
    assert not _sees_data(asking, "main") and not _sees_data(asking)
    shown = asking("trust", status=1)
    assert f"* --volume ./data:/data   ({asking.path}/data)" in shown.out and "    --pids-limit 50\n" in shown.out
    assert "not granted" in shown.out and "trust --yes" in shown.err and not _sees_data(asking)
    granted = asking("trust", "--yes")
    assert "granted; to take it back: envgit trust --revoke" in granted.out
    for words in (("main",), (), ("HEAD",)):
        done = asking(*WORDS, *words, "--", "cat", "/data/file")
        assert done.out == "in the project\n" and "asks" not in done.err
    assert asking("trust").out.rstrip().rpartition("\n")[2].startswith("granted: sha256:")
    asking("trust", "--revoke")
    assert not _sees_data(asking, "main")
    assert "was not granted" in asking("trust", "--revoke").out


def test_what_narrows_needs_no_grant(lab: Lab) -> None:
    ask(lab, network="none", memory="64m", read_only=True, cap_drop=["CHOWN"], tmpfs=["/scratch"], hostname="box")
    done = lab("run", "main", "--", "sh", "-c", "cat /proc/net/dev; hostname; touch /srv/x", status=1)
    assert done.out.count(":") == 1 and done.out.endswith("box\n") and "asks" not in done.err
    assert "needs no grant" in lab("trust").out
    plan = lab("run", "--dry-run", "main", "--", "true").out
    assert "limit: memory 64m" in plan and "tmpfs on /scratch" in plan
    assert "limit: memory 32m" in lab("run", "--dry-run", "-m", "32m", "main", "--", "true").out


def test_another_text_is_another_request(asking: Lab) -> None:
    asking("trust", "--yes")
    asking("run", "--network", "none", "--", "sh", "-c", "echo x > /srv/x")
    asking("commit", "-m", "the same request")
    assert _sees_data(asking, "HEAD")
    ask(asking, volume=["./data:/data", "/etc:/host-etc"], pids_limit=50)
    assert not _sees_data(asking, "main"), "nothing of a request that grew"
    asking("trust", "--yes")
    assert _sees_data(asking, "main") and _sees_data(asking, "main~1")
    assert asking("trust", "--revoke-all").out == "every grant is taken back\n"
    assert not _sees_data(asking, "main~1") and "no grants" in asking("trust", "--revoke-all").out


def test_the_words_of_the_command_line_win(asking: Lab, tmp_path: Path) -> None:
    asking("trust", "--yes")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("mine\n")
    done = asking(*WORDS, "-v", f"{tmp_path}/mine:/data", "main", "--", "cat", "/data/file")
    assert done.out == "mine\n"


def test_every_kind_of_run(asking: Lab) -> None:
    asking("trust", "--yes")
    words = ("--network", "none", "main", "--", "cat", "/data/file")
    assert asking("run", "-n", "3", *words).out == "in the project\n" * 3
    asking("run", "--save", "kept", "--network", "none", "main", "--", "cp", "/data/file", "/srv/kept")
    assert asking("cat", "kept:/srv/kept").out == "in the project\n"
    assert asking("shell", "--network", "none", "main", stdin=b"cat /data/file\n").out == "in the project\n"
    id = asking("run", "-d", "--name", "one", *words).out.strip()
    asking("wait", id)
    assert asking("logs", "one").out == "in the project\n"
    mounts = asking("inspect", "one").json()
    assert f"{asking.path}/data" in json.dumps(mounts)
    asking("trust", "--revoke")
    asking("start", "one")
    asking("wait", "one")
    assert asking("logs", "one").out == "in the project\n" * 2, "a recorded sandbox is what it was made as"
    asking("rm", "one")
    assert f"{asking.path}/data" not in asking("spec", "main", "--", "true").out
    asking("trust", "--yes")
    assert f"{asking.path}/data" in asking("spec", "main", "--", "true").out


def test_a_background_run_without_a_grant_says_so(asking: Lab) -> None:
    done = asking("run", "-d", "--name", "one", "--network", "none", "main", "--", "cat", "/data/file")
    assert done.err.count("not granted") == 1
    asking("wait", "one")
    assert "in the project" not in asking("logs", "one").out
    assert asking("run", "-n", "3", "--network", "none", "main", "--", "true").err.count("not granted") == 1
    asking("rm", "one")


def test_ports_are_published_when_granted(lab: Lab) -> None:
    ask(lab, publish=["127.0.0.1::80"])
    assert lab("trust", "--yes").status == 0
    done = lab("run", "main", "--", "true")
    assert "published 127.0.0.1:" in done.err
    assert "published" not in lab("run", "--network", "none", "main", "--", "true").err
    assert "published" not in lab("run", "-n", "2", "main", "--", "true").err


@pytest.mark.parametrize(
    "text",
    ["nonsense", '{"privileged": true}', '{"volume": ["/etc:/x\\u001b[2J"]}', '{"volume": ["/etc:/x"], "volume": []}'],
)
def test_what_is_not_understood_is_never_given(lab: Lab, text: str) -> None:
    ask(lab, text)
    done = lab(*WORDS, "main", "--", "ls", "/x", status=1)
    assert "cannot be understood" in done.err and "it runs without" in done.err and "\x1b" not in done.err
    lab.fails("trust", "--yes", status=2, says="cannot be understood", hint="config.json")
    assert not (lab.git_dir / "trusted").exists()


def test_a_folder_that_is_missing_is_named(asking: Lab) -> None:
    asking("trust", "--yes")
    shutil.rmtree(asking.path / "data")
    asking.fails(
        *WORDS, "main", "--", "true", status=125, says="data, the source of a mount, does not exist", hint="mkdir"
    )


def test_a_link_out_of_the_project_is_refused_even_after_the_grant(asking: Lab, tmp_path: Path) -> None:
    asking("trust", "--yes")
    shutil.rmtree(asking.path / "data")
    (tmp_path / "secret").mkdir()
    (asking.path / "data").symlink_to(tmp_path / "secret")
    asking.fails(*WORDS, "main", "--", "true", status=125, says="leads out of the project", hint="-v")
    assert f"({tmp_path}/secret)" in asking("trust").out


def test_grants_do_not_travel(asking: Lab, tmp_path: Path) -> None:
    """A .envgit that came with somebody's code may hold anything, also this file."""
    asking("trust", "--yes")
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", asking.path, copy], check=True)
    assert not _sees_data(asking.at(copy), "main") and _sees_data(asking, "main")
    asking.at(copy)("trust", "--yes")
    assert _sees_data(asking.at(copy), "main")
    asking.path.rename(tmp_path / "moved")
    assert _sees_data(asking.at(tmp_path / "moved"), "main"), "a folder that is only moved keeps them"
    (tmp_path / "moved").rename(asking.path)


@pytest.mark.parametrize("damage", ["empty", "nonsense", "folder", "link", "torn"])
def test_a_damaged_file_grants_nothing_it_does_not_say(asking: Lab, damage: str) -> None:
    asking("trust", "--yes")
    path = asking.git_dir / "trusted"
    text = path.read_text()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        path.symlink_to("/dev/zero")
    else:
        path.write_text({"empty": "", "nonsense": "\0\xff\n" * 9, "torn": text[:-10]}[damage])
    assert not _sees_data(asking, "main")
    if damage == "folder":
        path.rmdir()
    asking("trust", "--yes")
    assert _sees_data(asking, "main") and path.stat().st_mode & 0o777 == 0o600


def test_json_and_dry_run(asking: Lab) -> None:
    value = asking("trust", "--json", status=1).json()
    assert value["needs_grant"] and not value["granted"] and len(value["digest"]) == 64
    assert value["items"][0] == {"option": "--volume", "value": "./data:/data", "widens": True}
    asking("trust", "-n", status=1)
    asking("trust", "--yes")
    assert asking("trust", "--json").json()["granted"]
    assert asking("trust", "main~1").out.endswith("asks for nothing\n")
    asking.fails("trust", "--yes", "--revoke", status=2, says="exclude", hint="--help")
    asking.fails("trust", "nothing", status=2, says="nothing", hint=None)


@pytest.mark.parametrize(("answer", "status"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 130)])
def test_a_person_is_asked(asking: Lab, answer: bytes, status: int) -> None:
    master, slave = pty.openpty()
    words = [*command_words(), "trust"]
    process = subprocess.Popen(
        words,
        cwd=asking.path,
        env=command_environment({}),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    said = b""
    while b"Grant it?" not in said:
        said += os.read(master, 4096)
    time.sleep(0.05)
    os.write(master, answer)
    assert process.wait(20) == status
    os.close(master)
    assert _sees_data(asking, "main") == (status == 0)
