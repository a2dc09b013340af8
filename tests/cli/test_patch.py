"""Patches: what git prints for the same contents; stock git applies them."""

from __future__ import annotations

import io
import random
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.cli.patch import patch_lines
from envgit.cli.screen import Screen
from envgit.model import Change, Child, Entry

from .memory import READER, directory, file, modified, symlink

SECTION = b"[Section]\n" + b"\n".join(b"  k%d" % n for n in range(20))


def render(change: Change, *, terminal: bool = False, color: bool = False, context: int = 3) -> str:
    screen = Screen(io.BytesIO(), terminal=terminal, color=color)
    return "".join(line + "\n" for line in patch_lines(change, READER, screen, context=context))


def _git_diff(folder: Path, old: bytes, new: bytes) -> str:
    for side, content in (("a", old), ("b", new)):
        (folder / side).mkdir(exist_ok=True)
        (folder / side / "file").write_bytes(content)
    command = ["git", "diff", "--no-index", "--no-prefix", "--no-indent-heuristic", "a/file", "b/file"]
    output = subprocess.run(command, cwd=folder, capture_output=True).stdout.decode()
    return re.sub(r"^index .*\n", "", output, flags=re.M)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a\nb\nc\n", b"a\nx\nc\n"),
        (b"a\nb\nc", b"a\nb\nc\n"),
        (b"a\n", b"a\nb"),
        (b"".join(b"%d\n" % n for n in range(50)), b"".join(b"%d\n" % n for n in range(50) if n not in (3, 40))),
        (b"int main()\n{\n" + b"\tx;\n" * 9 + b"}\n", b"int main()\n{\n" + b"\tx;\n" * 9 + b"\ty;\n}\n"),
        (SECTION, SECTION.removesuffix(b"\n  k19")),
    ],
)  # fmt: skip
def test_the_same_patch_as_git(tmp_path: Path, old: bytes, new: bytes) -> None:
    assert render(modified(b"file", old, new)) == _git_diff(tmp_path, old, new)


def test_stock_git_applies_random_patches(tmp_path: Path) -> None:
    choice = random.Random(7)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for number in range(12):
        old = [b"line %d\n" % choice.randrange(12) for _ in range(choice.randrange(1, 80))]
        new = [line for line in old if choice.random() > 0.2]
        new.insert(choice.randrange(len(new) + 1), b"added %d" % number + (b"\n" if number % 3 else b"\nand\n"))
        target = tmp_path / "etc dir" / "na\u00efve name"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(b"".join(old))
        text = render(modified("etc dir/na\u00efve name".encode(), b"".join(old), b"".join(new)))
        subprocess.run(["git", "-C", tmp_path, "apply", "-"], input=text.encode(), check=True)
        assert target.read_bytes() == b"".join(new)


def test_stock_git_applies_additions_and_deletions(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    for change in (
        Change(b"new", "A", None, file(b"x\ny", 0o755)),
        Change(b"new", "D", file(b"x\ny", 0o755), None),
        Change(b"link", "A", None, symlink(b"new")),
    ):
        subprocess.run(["git", "-C", tmp_path, "apply", "-"], input=render(change).encode(), check=True)
    assert (tmp_path / "link").is_symlink() and not (tmp_path / "new").exists()


def test_properties_are_extended_headers() -> None:
    old = file(b"x", 0o644, uid=0, gid=0, xattrs=((b"user.a", b"1"),))
    new = file(b"x", 0o4755, uid=33, gid=33, xattrs=((b"user.a", b"2\n"), (b"user.b", b"")))
    assert render(Change(b"f", "P", old, new)).splitlines() == [
        "diff --git a/f b/f",
        "old mode 100644",
        "new mode 104755",
        "old owner 0:0",
        "new owner 33:33",
        'old xattr user.a="1"',
        'new xattr user.a="2\\n"',
        'new xattr user.b=""',
    ]


def test_binary_and_large_files_are_sizes_only() -> None:
    assert render(modified(b"f", b"a\0" * 600_000, b"b\0" * 650_000)).splitlines()[1:] == [
        "Binary files a/f and b/f differ (1.2 MB -> 1.3 MB)"
    ]
    big = b"text\n" * 1_000_000
    assert "Binary files" in render(modified(b"f", big, big + b"more\n"))


def test_a_change_of_type_is_a_deletion_and_an_addition() -> None:
    text = render(Change(b"f", "T", file(b"old\n"), symlink(b"target")))
    assert text.count("diff --git a/f b/f") == 2
    assert "deleted file mode 100644" in text and "new file mode 120000" in text


def test_directories_and_devices_have_a_header_only() -> None:
    assert render(Change(b"d", "A", None, directory(0o1777))).splitlines() == [
        "diff --git a/d b/d",
        "new file mode 041777",
    ]
    node = Child(Entry(b"n", "c", 0o666, device=(1, 3)), None)
    assert render(Change(b"dev/null", "A", None, node)).splitlines()[1:] == [
        "new file mode 020666",
        "new device 1:3",
    ]


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=60, deadline=None)
def test_a_terminal_gets_no_control_characters(old: bytes, new: bytes) -> None:
    text = render(Change(b"evil\x1b[2J", "M", file(old), file(new)), terminal=True)
    assert not any(character < " " and character not in "\t\n" or "\x7f" <= character <= "\x9f" for character in text)


def test_a_pipe_gets_the_bytes_as_they_are() -> None:
    assert "\x1b[31m\udcff" in render(modified(b"f", b"a\n", b"\x1b[31m\xff\n"))
