"""Where files land: directories, names, links inside the environment, what is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.building.unit import CopyItem
from envgit.errors import EnvgitError, UnknownPath, UsageError
from envgit.model import Entry
from tests.building.copy_lab import NOW_NS, CopyLab


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    lab = CopyLab(tmp_path)
    for name in ("a.txt", "b.txt", "d/one", "d/sub/two"):
        lab.write(name, name)
    return lab


def test_nothing_else_changes(lab: CopyLab) -> None:
    base = lab.tree({"etc/passwd": b"x", "usr/bin/sh": b"y", "a": b"1"}, links=[("b", "a")])
    after = lab.copy(CopyItem("/srv/", ("a.txt",)), onto=base)
    assert lab.names(after) - lab.names(base) == {"srv", "srv/a.txt"}
    assert {path: entry for path, entry in lab.store.paths(after).items() if not path.startswith(b"srv")} == (
        lab.store.paths(base)
    )
    assert lab.store.read_links(after) == ((b"a", b"b"),)


def test_an_empty_copy_gives_the_same_tree(lab: CopyLab) -> None:
    base = lab.tree({"x/y": b"1"})
    assert lab.copy(CopyItem("/x", (), directory=True), onto=base) == base


@pytest.mark.parametrize(
    "target, place",
    [
        ("/new", "new"),
        ("/new/", "new/a.txt"),
        ("/new/.", "new/a.txt"),
        ("/dir", "dir/a.txt"),
        ("/dir/", "dir/a.txt"),
        ("/dir/..", "a.txt"),
        ("/", "a.txt"),
        ("//dir//x", "dir/x"),
        ("/../../x", "x"),
        ("/link", "dir/a.txt"),
        ("/link/x", "dir/x"),
        ("/link/../x", "x"),
        ("/absolute/x", "dir/x"),
        ("/up/x", "dir/x"),
        ("/chain/x", "dir/x"),
        ("/file", "file"),
        ("/filelink", "file"),
        ("/dangling", "made/later"),
        ("/dangling/", "made/later/a.txt"),
        ("/dangling/x", "made/later/x"),
    ],
)
def test_targets(lab: CopyLab, target: str, place: str) -> None:
    base = lab.tree(
        {
            "dir/kept": b"1",
            "file": b"old",
            "link": "-> dir",
            "absolute": "-> /dir",
            "up": "-> ../../../dir",
            "chain": "-> ./link/../absolute",
            "filelink": "-> file",
            "dangling": "-> /made/later",
        }
    )
    after = lab.copy(CopyItem(target, ("a.txt",)), onto=base)
    assert lab.listing(after)[place] == "644 0:0 a.txt"
    changed = {path for path, what in lab.listing(after).items() if lab.listing(base).get(path) != what}
    assert changed <= {place, "new", "made", "made/later"}


@pytest.mark.parametrize(
    "target, sources, what",
    [
        ("/file/x", ("a.txt",), "not a directory"),
        ("/file/", ("a.txt",), "not a directory"),
        ("/file", ("d",), "not a directory"),
        ("/loop/x", ("a.txt",), "too many symbolic links"),
        ("/", ("over",), "is a directory, and a file"),
        ("/x", ("a.txt", "b.txt"), "end it with a slash"),
        ("/x", ("*.txt",), "cannot all become"),
    ],
)
def test_what_is_in_the_way(lab: CopyLab, target: str, sources: tuple[str, ...], what: str) -> None:
    lab.write("over/dir", "a file where the environment has a directory")
    base = lab.tree({"file": b"1", "dir/x": b"1", "loop": "-> loop"})
    with pytest.raises(EnvgitError) as caught:
        lab.copy(CopyItem(target, sources), onto=base)
    assert what in f"{caught.value.message} {caught.value.hint}"


def test_patterns_with_several_matches_into_an_existing_directory(lab: CopyLab) -> None:
    after = lab.copy(CopyItem("/dir", ("*.txt",)), onto=lab.tree({"dir/x": b"1"}))
    assert lab.names(after) == {"dir", "dir/x", "dir/a.txt", "dir/b.txt"}


def test_directories_merge(lab: CopyLab) -> None:
    """Below the target, directories that exist take the source's mode; the target itself keeps its own (as docker does)."""
    lab.folder("d", 0o700)
    lab.folder("d/sub", 0o750)
    base = lab.tree(
        {
            "t": Entry(b"", "d", 0o711, 5, 6, 7),
            "t/sub": Entry(b"", "d", 0o1777, 5, 6, 7, xattrs=((b"user.a", b"1"),)),
            "t/sub/two": b"old",
            "t/sub/kept": b"k",
        }
    )
    after = lab.copy(CopyItem("/t", ("d",)), onto=base)
    assert lab.listing(after) == {
        "t": "711/ 5:6",
        "t/one": "644 0:0 d/one",
        "t/sub": "750/ 0:0",
        "t/sub/kept": "644 0:0 k",
        "t/sub/two": "644 0:0 d/sub/two",
    }
    assert lab.store.paths(after)[b"t/sub"].xattrs == ((b"user.a", b"1"),)


def test_a_directory_over_a_link_to_one_keeps_the_link(lab: CopyLab) -> None:
    """COPY rootfs/ / on a distribution whose /lib is a link must not cost it its libraries."""
    lab.write("rootfs/lib/new.so", "n")
    base = lab.tree({"lib": "-> usr/lib", "usr/lib/libc.so": b"c", "usr/lib": Entry(b"", "d", 0o711)})
    after = lab.copy(CopyItem("/", ("rootfs",)), onto=base)
    assert lab.listing(after) == {
        "lib": "-> usr/lib",
        "usr": "755/ 0:0",
        "usr/lib": "711/ 0:0",
        "usr/lib/libc.so": "644 0:0 c",
        "usr/lib/new.so": "644 0:0 n",
    }


def test_a_file_replaces_a_link_of_its_name_in_a_directory(lab: CopyLab) -> None:
    base = lab.tree({"t/one": "-> ../secret", "secret": b"s"})
    after = lab.copy(CopyItem("/t", ("d",)), onto=base)
    assert lab.listing(after)["t/one"] == "644 0:0 d/one"
    assert lab.listing(after)["secret"] == "644 0:0 s"


def test_a_replaced_name_leaves_its_hard_links_alone(lab: CopyLab) -> None:
    base = lab.tree({"x/1": b"old"}, links=[("x/2", "x/1"), ("x/3", "x/1")])
    after = lab.copy(CopyItem("/x/2", ("a.txt",)), onto=base)
    assert lab.store.read_links(after) == ((b"x/1", b"x/3"),)
    assert lab.listing(after)["x/1"] == "644 0:0 old"
    again = lab.copy(CopyItem("/x/3", ("a.txt",)), onto=after)
    assert lab.store.read_links(again) == ()


def test_items_see_what_earlier_ones_did(lab: CopyLab) -> None:
    after = lab.copy(
        CopyItem("/app", (), directory=True),
        CopyItem("/app", ("a.txt",)),
        CopyItem("/app/a.txt", ("b.txt",)),
    )
    assert lab.listing(after) == {"app": "755/ 0:0", "app/a.txt": "644 0:0 b.txt"}


def test_only_a_directory(lab: CopyLab) -> None:
    base = lab.tree({"there": Entry(b"", "d", 0o700, 3, 4, 9), "l": "-> there", "file": b"1"})
    after = lab.copy(
        CopyItem("/there", directory=True, owner="7:8"), CopyItem("/l/a/b/", directory=True, owner="7"), onto=base
    )
    assert lab.listing(after)["there"] == "700/ 3:4"
    assert lab.listing(after)["there/a"] == lab.listing(after)["there/a/b"] == "755/ 7:7"
    assert lab.store.paths(after)[b"there/a"].mtime_ns == NOW_NS
    with pytest.raises(UnknownPath):
        lab.copy(CopyItem("/file", directory=True), onto=base)


def test_content(lab: CopyLab) -> None:
    after = lab.copy(
        CopyItem("/etc/motd", content=b"hello"),
        CopyItem("/run.d/", ("start",), content=b"#!/bin/sh\n", mode="0755", owner="5:6"),
    )
    assert lab.listing(after)["etc/motd"] == "644 0:0 hello"
    assert lab.listing(after)["run.d/start"] == "755 5:6 #!/bin/sh\n"
    with pytest.raises(UsageError):
        lab.copy(CopyItem("/etc/", content=b"no name"))


def test_parents(lab: CopyLab) -> None:
    lab.folder("d/sub", 0o700)
    lab.write("e/f/g.txt", "g")
    after = lab.copy(CopyItem("/x/", ("d/sub/two", "e", "a.txt"), parents=True))
    assert lab.listing(after) == {
        "x": "755/ 0:0",
        "x/a.txt": "644 0:0 a.txt",
        "x/d": "755/ 0:0",
        "x/d/sub": "700/ 0:0",
        "x/d/sub/two": "644 0:0 d/sub/two",
        "x/e": "755/ 0:0",
        "x/e/f": "755/ 0:0",
        "x/e/f/g.txt": "644 0:0 g",
    }


@pytest.mark.parametrize(
    "source, names",
    [
        ("e/./f/g.txt", {"x/f", "x/f/g.txt"}),
        ("./e/f/g.txt", {"x/e", "x/e/f", "x/e/f/g.txt"}),
        ("e/f/./g.txt", {"x/g.txt"}),
        ("e/./f", {"x/f", "x/f/g.txt"}),
        ("./e/./", {"x/f", "x/f/g.txt", "x/top.txt"}),
        ("e/**/*.txt", {"x/e", "x/e/f", "x/e/f/g.txt", "x/e/top.txt"}),
        ("e/./**/*.txt", {"x/f", "x/f/g.txt", "x/top.txt"}),
        ("**/g.txt", {"x/e", "x/e/f", "x/e/f/g.txt"}),
        ("e/**", {"x/e", "x/e/f", "x/e/f/g.txt", "x/e/top.txt"}),
    ],
)
def test_parents_from_a_pivot_and_at_any_depth(lab: CopyLab, source: str, names: set[str]) -> None:
    lab.write("e/f/g.txt", "g")
    lab.write("e/top.txt", "t")
    assert lab.names(lab.copy(CopyItem("/x/", (source,), parents=True))) == {"x", *names}


def test_exclude(lab: CopyLab) -> None:
    lab.write("d/sub/deep/three.md", "3")
    lab.write("d/four.md", "4")
    copied = lab.names(lab.copy(CopyItem("/x", ("d",), exclude=("*.md", "**/two"))))
    assert copied == {"x", "x/one", "x/sub", "x/sub/deep", "x/sub/deep/three.md"}
    assert lab.names(lab.copy(CopyItem("/x/", ("*.txt",), exclude=("b*",)))) == {"x", "x/a.txt"}
    kept = lab.names(lab.copy(CopyItem("/x", ("d",), exclude=("**", "!**/*.md"))))
    assert kept == {"x", "x/four.md", "x/sub", "x/sub/deep", "x/sub/deep/three.md"}


def test_deep_trees(lab: CopyLab) -> None:
    """Nothing recurses: a tree may be deeper than Python's stack."""
    path = "/".join("d" * 1500)
    after = lab.copy(CopyItem(f"/{path}/x", ("a.txt",)))
    lab.stages.append(after)
    from envgit.building.unit import StageBase

    again = lab.copy(CopyItem("/", ("/",), source=StageBase(0), mode="0755"))
    directory = lab.store.read_directory(again)
    for _ in range(1500):
        ref = directory.children[b"d"].content
        directory = lab.store.read_directory(ref)  # type: ignore[arg-type]
    assert set(directory.children) == {b"x"}
    with pytest.raises(EnvgitError):
        lab.copy(CopyItem(f"/{path}/{path}/x", ("a.txt",)))


def test_a_hard_link_whose_first_name_was_replaced(lab: CopyLab) -> None:
    """t/a is a link to t/b: what h/a put there is replaced by h/b/x, and h/c must not become a name of that."""
    lab.write("h/a/x", "one")
    lab.write("h/b/x", "two")
    (lab.context / "h/c").hardlink_to(lab.context / "h/a/x")
    (lab.context / "h/d").hardlink_to(lab.context / "h/a/x")
    after = lab.copy(CopyItem("/t", ("h",)), onto=lab.tree({"t/a": "-> b", "t/b": Entry(b"", "d", 0o755)}))
    assert lab.listing(after)["t/b/x"] == "644 0:0 two"
    assert lab.listing(after)["t/c"] == "644 0:0 one"
    assert lab.store.read_links(after) == ((b"t/c", b"t/d"),)


@pytest.mark.parametrize("item", [
    CopyItem("/x\0y", ("a.txt",)),
    CopyItem("/x", ("a\0b",)),
    CopyItem("/x/", ("..",), content=b"1"),
    CopyItem("/" + "x" * 300, ("a.txt",)),
    CopyItem("/x", ("y" * 300,)),
    CopyItem("/x", ("a.txt",), owner="\u00b2"),
    CopyItem("/x", ("a.txt",), mode="\u0667"),
    CopyItem("/x", ("[a",)),
    CopyItem("/x", (".",), exclude=("[",)),
    CopyItem("/x", (".",), exclude=("a\nb",)),
    CopyItem("/x", ("http://[::1/x",), unpack=True),
    CopyItem("/x", ("http://a b/x",), unpack=True),
    CopyItem("/x", ("http://\x1b[2J/x",), unpack=True),
])  # fmt: skip
def test_nonsense_is_an_error_of_ours(lab: CopyLab, item: CopyItem) -> None:
    with pytest.raises(EnvgitError):
        lab.copy(item)


def test_patterns_are_no_comments(lab: CopyLab) -> None:
    lab.write("d/#one")
    assert "x/#one" not in lab.names(lab.copy(CopyItem("/x", ("d",), exclude=("#one",))))
