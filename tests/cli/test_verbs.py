"""The verbs on a real repository: what they print, in text and in JSON."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from .environment import envgit


def _json(*words: str, cwd: Path, status: int = 0) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(envgit(*words, "--json", cwd=cwd, status=status).stdout)
    assert list(value)[0] == "version" and value["version"] == 1
    return value


def test_status(history: Path) -> None:
    long = envgit("status", cwd=history).stdout
    assert long.startswith("On branch experiment\nChanges to be committed:\n")
    assert "        A srv/evil\n" in long and "        A srv/with space\n" in long
    assert envgit("status", "-s", cwd=history).stdout == 'A srv/evil\nA "srv/with space"\n'
    assert envgit("status", "--porcelain", "-z", cwd=history).stdout == "A srv/evil\0A srv/with space\0"
    assert envgit("status", "-sb", "/etc", cwd=history).stdout == "## experiment\n"
    value = _json("status", cwd=history)
    assert [change["path"] for change in value["changes"]] == ["srv/evil", "srv/with space"]
    assert value["branch"] == "experiment" and not value["clean"] and value["changes"][0]["new"]["mode"] == "0644"
    overview = envgit(cwd=history).stdout
    assert overview.startswith(long) and "envgit commit -m MESSAGE" in overview


def test_diff(history: Path) -> None:
    text = envgit("diff", "main~1", "main", cwd=history).stdout
    assert "--- a/etc/motd\n+++ b/etc/motd\n@@ -1 +1 @@\n-hello\n+hi\n" in text
    assert "diff --git a/bin/cat b/bin/cat\nold mode 100755\nnew mode 104755\n" in text
    assert (
        envgit("diff", "main~1", "main", "--name-status", cwd=history).stdout
        == "M\tbin/cat\nM\tetc/motd\nD\tsrv/notes\n"
    )
    assert envgit("diff", "main~1..main", "--name-only", "--", "/etc", cwd=history).stdout == "etc/motd\n"
    assert envgit("diff", "main~1", "main", "/etc", "-z", "--name-status", cwd=history).stdout == "M\0etc/motd\0"
    assert envgit("diff", "-R", "main~1", "main", "--numstat", cwd=history).stdout.endswith("20\t0\tsrv/notes\n")
    assert (
        " 1 file changed, 1 insertion(+), 1 deletion(-)\n"
        in envgit("diff", "--stat", "main~1", "main", "--", "etc", cwd=history).stdout
    )
    envgit("diff", "--quiet", cwd=history, status=1)
    envgit("diff", "--exit-code", "main", "main", cwd=history)
    kinds = {change["path"]: change["kind"] for change in _json("diff", "main", "experiment", cwd=history)["changes"]}
    assert kinds == {"srv/app": "A", "srv/app/x.py": "A", "srv/app/y": "A"}
    assert "paths go after --" in envgit("diff", "a", "b", "c", cwd=history, status=2).stderr


def test_log(history: Path) -> None:
    subjects = ["add an application", "greet", "import dir:"]
    lines = envgit("log", "--oneline", cwd=history).stdout.splitlines()
    assert len(lines) == 3 and all(subject in line for subject, line in zip(subjects, lines, strict=True))
    assert "(HEAD -> experiment, tag: v1)" in lines[0]
    ours = envgit("log", "--format=%H|%h|%s|%an|%ae|%ad|%P|%T|%cn|%n", "--date=iso", cwd=history).stdout
    command = ["git", "--git-dir=.envgit", "log", "--format=%H|%h|%s|%an|%ae|%ad|%P|%T|%cn|%n", "--date=iso"]
    assert ours == subprocess.run(command, cwd=history, check=True, capture_output=True, text=True).stdout
    medium = envgit("log", "-1", "main", cwd=history).stdout
    assert "\nAuthor: A U Thor <author@example.com>\n" in medium and medium.endswith("\n    greet\n    \n    A body.\n")
    assert "Envgit-Root" not in medium
    assert envgit("log", "--format=%s", "-n1", "--skip=1", cwd=history).stdout == "greet\n"
    assert envgit("log", "--format=format:%s", "-2", cwd=history).stdout == "add an application\ngreet"
    assert envgit("log", "--format=%s", "--", "etc/motd", cwd=history).stdout.startswith("greet\n")
    graph = envgit("log", "--graph", "--stat", "-2", cwd=history).stdout
    assert graph.startswith("* commit ") and "|  srv/app/x.py | 1 +" in graph
    ours = envgit("log", "--graph", "--all", "--format=%an%n%s%n", cwd=history).stdout
    command = ["git", "--git-dir=.envgit", "log", "--graph", "--all", "--format=%an%n%s%n"]
    assert ours == subprocess.run(command, cwd=history, check=True, capture_output=True, text=True).stdout
    commits = _json("log", cwd=history)["commits"]
    assert [commit["subject"][:5] for commit in commits] == ["add a", "greet", "impor"]
    assert commits[1]["message"] == "greet\n\nA body.\n" and commits[0]["parents"] == [commits[1]["oid"]]
    assert "unknown date format" in envgit("log", "--date=someday", cwd=history, status=2).stderr
    assert "invalid --format" in envgit("log", "--format=nope", cwd=history, status=2).stderr


def test_show(history: Path) -> None:
    shown = envgit("show", "main", cwd=history).stdout
    assert "    greet\n" in shown and "+hi\n" in shown
    assert envgit("show", "-s", "--format=%s", "main", cwd=history).stdout == "greet\n"
    assert envgit("show", "main:etc/motd", cwd=history).stdout == "hi\n"
    assert " motd\n" in envgit("show", "main:etc", cwd=history).stdout
    tag = envgit("show", "v1-annotated", cwd=history).stdout
    assert tag.startswith("tag v1-annotated\nTagger: A U Thor <author@example.com>\n") and "\na note\n\ncommit " in tag
    types = [
        item["type"]
        for item in _json("show", "main", "v1-annotated", "main:etc", "main:etc/motd", cwd=history)["objects"]
    ]
    assert types == ["commit", "tag", "directory", "file"]
    assert " files changed, " in envgit("show", "main~1", cwd=history).stdout


def test_ls_and_cat(history: Path) -> None:
    assert "etc/\n" in envgit("ls", cwd=history).stdout
    assert envgit("ls", "main:etc", cwd=history).stdout == "hostname\nhosts\nmotd\npasswd\nresolv.conf\n"
    assert envgit("ls", "main", "etc", cwd=history).stdout == "hostname\nhosts\nmotd\npasswd\nresolv.conf\n"
    assert envgit("ls", "-l", "/bin", cwd=history).stdout.splitlines()[0].startswith("-rwsr-xr-x ")
    assert "x.py -> " not in envgit("ls", "-r", "/srv", cwd=history).stdout
    assert envgit("ls", "-l", "/srv/app", cwd=history).stdout.endswith(" y -> x.py\n")
    entries = {entry["path"]: entry for entry in _json("ls", "/srv/app", cwd=history)["entries"]}
    assert entries["srv/app/y"]["target"] == "x.py"
    assert envgit("cat", "main~1:etc/motd", "HEAD:/srv/app/x.py", cwd=history).stdout == "hello\n1\n"
    assert envgit("cat", "srv/evil", cwd=history).stdout == "a\x1b[31m\n"
    assert "hint" in envgit("cat", cwd=history, status=2).stderr


def test_listings(history: Path) -> None:
    assert envgit("branch", cwd=history).stdout == "* experiment\n  main\n"
    assert envgit("branch", "--show-current", cwd=history).stdout == "experiment\n"
    assert [branch["current"] for branch in _json("branch", cwd=history)["branches"]] == [True, False]
    assert envgit("branch", "-v", "--contains", "experiment", cwd=history).stdout.startswith("* experiment ")
    assert envgit("tag", cwd=history).stdout == "v1\nv1-annotated\n"
    assert [tag["name"] for tag in _json("tag", "-l", "v1-*", cwd=history)["tags"]] == ["v1-annotated"]
    operations = _json("op", "log", cwd=history)["operations"]
    assert operations[0]["number"] == len(operations) and operations[0]["current"]
    text = envgit("op", "log", "-n", "1", cwd=history).stdout
    assert text.startswith(f"@ {len(operations)} ") and "v1-annotated created at" in text
    assert _json("fsck", cwd=history)["ok"]
    assert "no problems" in envgit("fsck", cwd=history).stderr
    options = {option["key"]: option["value"] for option in _json("config", "--list", cwd=history)["options"]}
    assert options["core.bare"] == "true"


def test_config(lab: Path) -> None:
    envgit("config", "user.name", "Somebody", cwd=lab)
    assert envgit("config", "user.name", cwd=lab).stdout == "Somebody\n"
    envgit("config", "--unset", "user.name", cwd=lab)
    envgit("config", "user.name", cwd=lab, status=1)
    envgit("config", "nokey", cwd=lab, status=2)


def test_commit_with_the_editor(lab: Path) -> None:
    assert "nothing to commit" in envgit("commit", cwd=lab, status=1).stderr
    assert "nothing to commit" in envgit("commit", "-m", "x", cwd=lab, status=1).stderr
    envgit("run", "--", "sh", "-c", "echo x > /etc/new", cwd=lab)
    envgit("commit", cwd=lab, status=1, GIT_EDITOR="true")
    script = 'cp "$1" ../seen; echo edited > "$1"; :'
    (lab.parent / "editor").write_text(f"#!/bin/sh\n{script}\n")
    (lab.parent / "editor").chmod(0o755)
    done = envgit("commit", cwd=lab, GIT_EDITOR=str(lab.parent / "editor"))
    assert "] edited\n" in done.stdout and "1 path added" in done.stdout
    assert done.stderr == "hint: to take this back: envgit undo\n"
    assert "#         A etc/new\n" in (lab.parent / "seen").read_text()
    (lab.parent / "message").write_text("from a file\n\nbody\n")
    envgit("commit", "--amend", "-F", "../message", cwd=lab)
    assert envgit("log", "-1", "--format=%B", cwd=lab).stdout.startswith("from a file\n\nbody\n")
    envgit("commit", "--amend", "--no-edit", "--author", "B <b@example.com>", cwd=lab)
    assert envgit("log", "-1", "--format=%s %ae", cwd=lab).stdout == "from a file b@example.com\n"


def test_checkout_switch_restore_reset_undo(lab: Path) -> None:
    envgit("run", "--", "sh", "-c", "echo x > /etc/motd", cwd=lab)
    done = envgit("checkout", "-b", "b1", cwd=lab)
    assert done.stdout.startswith("Switched to a new branch 'b1' at ") and "came along" in done.stdout
    assert envgit("checkout", "-", cwd=lab).stdout.startswith("Switched to branch 'main' at ")
    assert envgit("checkout", "main", cwd=lab).stdout == "Already on 'main'\n"
    assert "uncommitted changes from before" in envgit("switch", "b1", cwd=lab).stdout
    assert "is not a branch" in envgit("switch", "HEAD~0", cwd=lab, status=2).stderr
    assert "+" not in envgit("branch", cwd=lab).stdout
    dry = envgit("reset", "--hard", "-n", cwd=lab)
    assert "would move b1" in dry.stdout and "1 uncommitted change would be dropped" in dry.stdout
    assert envgit("restore", "etc/motd", cwd=lab).stdout == "Restored 1 path from HEAD\n    etc/motd\n"
    assert envgit("status", "-s", cwd=lab).stdout == ""
    assert envgit("undo", cwd=lab).stdout.startswith("Undid operation ")
    assert envgit("status", "-s", cwd=lab).stdout == "M etc/motd\n"
    assert "1 uncommitted change dropped" in envgit("reset", "--hard", cwd=lab).stdout
    envgit("undo", "-q", cwd=lab)
    assert envgit("status", "-s", cwd=lab).stdout == "M etc/motd\n"
    assert envgit("checkout", "--", "/etc/motd", cwd=lab).stdout.startswith("Restored 1 path")
    assert "paths" in envgit("checkout", "main", "etc/motd", cwd=lab, status=2).stderr
    assert "(detached)" in envgit("checkout", "--detach", cwd=lab).stdout
    assert "HEAD detached at" in envgit("status", cwd=lab).stdout
    envgit("checkout", "-q", "main", cwd=lab)
    envgit("branch", "x", cwd=lab)
    assert "Renamed branch x to y" in envgit("branch", "-m", "x", "y", cwd=lab).stdout
    assert "Deleted branch y" in envgit("branch", "-d", "y", cwd=lab).stdout
    envgit("undo", cwd=lab)
    assert "y" in envgit("branch", cwd=lab).stdout


def test_export_import(lab: Path) -> None:
    done = envgit("export", "tar:../out.tar", cwd=lab)
    assert done.stdout.startswith("Exported HEAD to tar:../out.tar: ")
    stream = subprocess.run(["tar", "-tf", lab.parent / "out.tar"], check=True, capture_output=True).stdout
    assert b"etc/motd" in stream
    dry = envgit("import", "-n", "tar:-", cwd=lab, stdin=(lab.parent / "out.tar").read_bytes())
    assert dry.stdout.startswith("would import ") and envgit("log", "--oneline", cwd=lab).stdout.count("\n") == 1
    done = envgit("import", "tar:../out.tar", "-m", "again", cwd=lab)
    assert "] again\n" in done.stdout and "envgit undo" in done.stderr
    assert "name one source" in envgit("import", cwd=lab, status=2).stderr
    assert "use tar:" in envgit("import", "../out.tar", cwd=lab, status=2).stderr


def test_gc(lab: Path) -> None:
    value = _json("gc", "-n", cwd=lab)
    assert value["dry_run"] and value["packs_before"] >= 1
    assert "freed" in envgit("gc", "--prune=now", cwd=lab).stdout
    assert "neither" in envgit("gc", "--prune=someday", cwd=lab, status=2).stderr


def test_paths_that_are_not_utf8(lab: Path) -> None:
    envgit("run", "--", "sh", "-c", "echo x > \"/srv/$(printf '\\377')\"", cwd=lab)
    assert envgit("status", "-s", cwd=lab).stdout == 'A "srv/\\377"\n'
    change = _json("status", cwd=lab)["changes"][0]
    assert base64.b64decode(change["path_bytes"]) == b"srv/\xff"
    envgit("run", "--", "sh", "-c", "rm /srv/?; echo x > /srv/\u00e9", cwd=lab)
    assert envgit("status", "-s", cwd=lab).stdout == 'A "srv/\\303\\251"\n'
    envgit("config", "core.quotePath", "false", cwd=lab)
    assert envgit("status", "-s", cwd=lab).stdout == "A srv/\u00e9\n"


def test_run_and_shell(lab: Path) -> None:
    assert envgit("run", "main", "--", "cat", "/etc/motd", cwd=lab).stdout == "hello\n"
    envgit("run", "--", "sh", "-c", "exit 7", cwd=lab, status=7)
    envgit("run", "--", "no-such-program", cwd=lab, status=127)
    assert "Put -- before the command" in envgit("run", "ls", cwd=lab, status=125).stderr
    assert "-t needs a terminal" in envgit("run", "-it", "--", "sh", cwd=lab, status=125).stderr
    assert envgit("run", "-e", "A=1", "--", "sh", "-c", "echo $A", cwd=lab).stdout == "1\n"
    assert envgit("shell", cwd=lab, stdin=b"echo from $0\n").stdout.startswith("from ")


def test_completion_of_branches_and_tags(history: Path) -> None:
    def complete(words: str) -> list[str]:
        count = str(len(words.split(" ")) - 1)
        done = envgit(cwd=history, _ENVGIT_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=count)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert complete("envgit checkout m") == ["main"]
    assert complete("envgit diff main v") == ["v1", "v1-annotated"]
    assert complete("envgit branch -d e") == ["experiment"]
    assert complete("envgit tag v1-") == ["v1-annotated"]


@pytest.mark.parametrize("words", [["-C", "lab", "status"], ["-C", "/", "-C", "{}", "-C", "lab", "status"]])
def test_working_elsewhere(lab: Path, words: list[str]) -> None:
    assert "On branch main" in envgit(*(word.format(lab.parent) for word in words), cwd=lab.parent).stdout
