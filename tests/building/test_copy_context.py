"""The context: what is part of it, what is not, and that nothing leads out of it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from envgit.building.files.context import ContextFolder
from envgit.building.files.copying import apply_copy, digest_copy
from envgit.building.unit import CopyItem
from envgit.errors import Conflict, EnvgitError, StorageError, UnknownPath
from envgit.monitor import NullMonitor
from tests.building.copy_lab import CopyLab


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    lab = CopyLab(tmp_path)
    (tmp_path / "secret").write_text("secret")
    return lab


def copied(lab: CopyLab, *sources: str) -> dict[str, str]:
    listing = lab.listing(lab.copy(CopyItem("/x/", sources)))
    return {path.removeprefix("x/"): what for path, what in listing.items() if path != "x"}


@pytest.mark.parametrize(
    "source", ["../secret", "/../secret", "d/../../secret", "out", "absolute", "outdir/secret", "d/up/secret"]
)
def test_nothing_leads_out(lab: CopyLab, source: str) -> None:
    """As if the context were the whole filesystem: `..` ends at its top, and absolute links begin there."""
    lab.folder("d")
    (lab.context / "out").symlink_to("../secret")
    (lab.context / "absolute").symlink_to(lab.context.parent / "secret")
    (lab.context / "outdir").symlink_to("..")
    (lab.context / "d/up").symlink_to("../..")
    with pytest.raises(UnknownPath):
        copied(lab, source)
    lab.write("secret", "inside")
    if source != "absolute":
        assert "644 0:0 inside" in copied(lab, source).values()


def test_links_inside_directories_stay_links(lab: CopyLab) -> None:
    lab.folder("d")
    (lab.context / "d/out").symlink_to("../../secret")
    (lab.context / "d/abs").symlink_to("/etc/passwd")
    assert copied(lab, "d") == {"out": "-> ../../secret", "abs": "-> /etc/passwd"}


def test_a_link_loop_is_an_error(lab: CopyLab) -> None:
    (lab.context / "loop").symlink_to("loop")
    with pytest.raises(UnknownPath, match="too many symbolic links"):
        copied(lab, "loop")


def test_a_link_that_leads_nowhere_says_so(lab: CopyLab) -> None:
    (lab.context / "link").symlink_to("gone")
    for source in ("link", "link/x", "l*"):
        with pytest.raises(UnknownPath) as caught:
            copied(lab, source)
        assert caught.value.hint == "link is a link to gone, which is not there"


def test_a_repository_is_not_part_of_it(lab: CopyLab) -> None:
    lab.write(".envgit/objects/x")
    lab.write("sub/.envgit/config")
    lab.write("sub/a")
    assert copied(lab, ".") == {"sub": "755/ 0:0", "sub/a": "644 0:0 x"}
    with pytest.raises(UnknownPath):
        copied(lab, ".envgit/objects")


@pytest.mark.parametrize(
    "ignore, names",
    [
        ("", {"a", "d", "d/e", "d/e/g", "d/f", "empty"}),
        ("d", {"a", "empty"}),
        ("d\n!d/e/g", {"a", "d", "d/e", "d/e/g", "empty"}),
        ("*\n!d/f", {"d", "d/f"}),
        ("*\n!**/g", {"d", "d/e", "d/e/g"}),
        ("*\n!nothing", set()),
        ("**/e", {"a", "d", "d/f", "empty"}),
        ("empty/*", {"a", "d", "d/e", "d/e/g", "d/f", "empty"}),
        ("*\n!d\nd/e", {"d", "d/f"}),
    ],
)
def test_what_is_ignored_is_not_there(lab: CopyLab, ignore: str, names: set[str]) -> None:
    for name in ("a", "d/f", "d/e/g"):
        lab.write(name)
    lab.folder("empty")
    lab.ignore = ignore.encode()
    assert set(copied(lab, ".")) == names


def test_parents_of_exceptions_have_their_own_modes(lab: CopyLab) -> None:
    lab.write("d/f")
    lab.folder("d", 0o700)
    lab.ignore = b"*\n!d/f"
    assert copied(lab, ".")["d"] == "700/ 0:0"


def test_an_ignored_source_says_so(lab: CopyLab) -> None:
    lab.write("secrets/key")
    lab.write("safe")
    lab.ignore = b"secrets\n"
    with pytest.raises(UnknownPath) as caught:
        copied(lab, "secrets/key")
    assert ".dockerignore" in (caught.value.hint or "")
    (lab.context / "link").symlink_to("secrets/key")
    with pytest.raises(UnknownPath):
        copied(lab, "link")
    with pytest.raises(UnknownPath):
        copied(lab, "secrets")


@pytest.mark.parametrize(
    "source, hint",
    [("appp", "did you mean app"), ("app/man.py", "did you mean app/main.py"), ("ap/main.py", "did you mean app/main.py"),
     ("zzz", "the context has app"), ("app/zzz", "app has main.py"), ("app/main.py/x", "app/main.py is no directory")],
)  # fmt: skip
def test_a_missing_source_names_the_nearest(lab: CopyLab, source: str, hint: str | None) -> None:
    lab.write("app/main.py")
    with pytest.raises(UnknownPath) as caught:
        copied(lab, source)
    assert source in caught.value.message and caught.value.hint == hint


def test_what_there_is_instead_is_named_in_one_line(lab: CopyLab) -> None:
    with pytest.raises(UnknownPath) as caught:
        copied(lab, "zzz")
    assert caught.value.hint == "the context is empty"
    for name in ("9\nhint: rm -rf .", *"12345678"):
        lab.write(name)
    lab.write("0/a")
    lab.ignore = b"1\n2\n"
    with pytest.raises(UnknownPath) as caught:
        copied(lab, "zzz")
    assert caught.value.hint == r"the context has 0, 3, 4, 5, 6, 7, 8, 9\nhint: rm -rf ."
    lab.ignore = b""
    with pytest.raises(UnknownPath) as caught:
        copied(lab, "zzz")
    assert caught.value.hint == "the context has 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_a_missing_source_warns_of_nothing_else(lab: CopyLab) -> None:
    """A FIFO that nobody names has nothing to do with it."""
    lab.write("app/main.py")
    os.mkfifo(lab.context / "fifo")
    os.mkfifo(lab.context / "app/fifo")
    for source, hint in (("appp", "did you mean app"), ("zzz", "the context has app"), ("app/x", "app has main.py")):
        with pytest.raises(UnknownPath) as caught:
            copied(lab, source)
        assert caught.value.hint == hint
    assert lab.monitor.warnings == []
    with pytest.raises(UnknownPath):
        copied(lab, "fifo")
    assert lab.monitor.warnings == ["fifo in the context is left out: it is a FIFO"]


def test_a_pattern_without_a_match_is_only_noted(lab: CopyLab) -> None:
    """As with docker: `COPY go.sum* ./` is how a file that need not be there is written."""
    lab.write("go.mod")
    assert set(copied(lab, "go.mod", "go.sum*")) == {"go.mod"}
    assert lab.monitor.notes == ["go.sum* matches nothing in the context"]
    assert lab.monitor.warnings == []
    assert lab.names(lab.copy(CopyItem("/y/", ("no*",)))) == set()


@pytest.mark.parametrize(
    "pattern, names",
    [
        ("*", {"[x]", "a", "b1", "b2", ".hidden", "sub"}),
        ("b?", {"b1", "b2"}),
        ("b[2-9]", {"b2"}),
        ("[^ab.[]*", {"sub"}),
        (r"\[x\]", {"[x]"}),
        ("[[]x]", {"[x]"}),
        ("s*/*", {"in", "inner"}),
        ("*/in", {"in"}),
    ],
)
def test_patterns(lab: CopyLab, pattern: str, names: set[str]) -> None:
    for name in ("[x]", "a", "b1", "b2", ".hidden", "sub/in", "sub/inner"):
        lab.write(name)
    lab.folder("sub")
    found = {path for path in copied(lab, pattern) if "/" not in path}
    assert found == (names - {"sub"}) | ({"in", "inner"} if "sub" in names else set())


def test_names_that_are_no_text(lab: CopyLab) -> None:
    odd = b"\xff\xfe\n \x1b[31m"
    with open(os.fsencode(lab.context) + b"/" + odd, "wb") as file:
        file.write(b"1")
    after = lab.copy(CopyItem("/x", (".",)))
    assert lab.store.content(after, b"x/" + odd) == b"1"
    assert lab.store.content(lab.copy(CopyItem("/y", (os.fsdecode(odd).replace("[", "\\["),))), b"y") == b"1"


def test_special_files_are_left_out_with_a_warning(lab: CopyLab) -> None:
    lab.write("a")
    os.mkfifo(lab.context / "fifo")
    with socket.socket(socket.AF_UNIX) as bound:
        folder = os.open(lab.context, os.O_PATH | os.O_DIRECTORY)
        bound.bind(f"/proc/self/fd/{folder}/socket")  # the folder's own path may be too long for a socket
        os.close(folder)
        assert set(copied(lab, ".")) == {"a"}
    assert sorted(lab.monitor.warnings) == [
        "fifo in the context is left out: it is a FIFO",
        "socket in the context is left out: it is a socket",
    ]
    with pytest.raises(UnknownPath):
        copied(lab, "fifo")


def test_hard_links_stay_within_one_source(lab: CopyLab) -> None:
    lab.write("d/1", "same")
    (lab.context / "d/2").hardlink_to(lab.context / "d/1")
    (lab.context / "other").hardlink_to(lab.context / "d/1")
    after = lab.copy(CopyItem("/x/", ("d", "other")))
    assert lab.store.read_links(after) == ((b"x/1", b"x/2"),)
    assert lab.listing(after)["x/other"] == "644 0:0 same"


def test_holes_stay_holes(lab: CopyLab) -> None:
    with open(lab.write("sparse"), "wb") as file:
        file.truncate(5_000_000)
        file.seek(4_000_000)
        file.write(b"end")
    entry = lab.store.paths(lab.copy(CopyItem("/x", ("sparse",))))[b"x"]
    assert entry.sparse and entry.size == 5_000_000


@pytest.mark.user_only
def test_what_cannot_be_read_is_an_error(lab: CopyLab) -> None:
    lab.write("closed", mode=0)
    with pytest.raises(StorageError) as caught:
        copied(lab, ".")
    assert "closed" in caught.value.message and ".dockerignore" in (caught.value.hint or "")
    lab.ignore = b"closed"
    assert copied(lab, ".") == {}


@pytest.mark.parametrize(
    "change",
    ["content", "same size", "mode", "new", "gone", "type"],
)
def test_a_change_while_it_is_built_is_an_error(lab: CopyLab, change: str) -> None:
    """The commit's key says what was digested: nothing else may be recorded under it."""
    a = lab.write("d/a", "before")
    items = [CopyItem("/x", ("d",))]
    with lab.open_() as context:
        sources = lab.sources(context)
        digest_copy(sources, items)
        match change:
            case "content":
                a.write_text("longer than before")
            case "same size":
                a.write_text("after.")
            case "mode":
                a.chmod(0o600)
            case "new":
                lab.write("d/b")
            case "gone":
                a.unlink()
            case _:
                a.unlink()
                a.symlink_to("b")
        with pytest.raises(Conflict):
            apply_copy(sources, items, lab.tree({}), lab.store, lab.store, None)
    assert lab.names(lab.copy(*items)) >= {"x"}


def test_a_context_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nothing", "file"):
        with pytest.raises(UnknownPath):
            ContextFolder.open_(str(tmp_path / name), b"", None, NullMonitor())


def test_a_bad_ignore_file(tmp_path: Path) -> None:
    with pytest.raises(EnvgitError):
        ContextFolder.open_(str(tmp_path), b"[", None, NullMonitor())
