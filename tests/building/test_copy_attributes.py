"""Owners, modes and times of copies."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.building.files.attributes import parse_mode, resolve_owner
from envgit.building.unit import CopyItem, StageBase
from envgit.errors import UsageError
from envgit.model import Entry
from tests.building.copy_lab import GROUP, NOW_NS, PASSWD, CopyLab

SECOND = 1_000_000_000


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    return CopyLab(tmp_path)


@pytest.mark.parametrize(
    "text, mode, is_directory, result",
    [
        ("644", 0o777, False, 0o644),
        ("0", 0o777, True, 0),
        ("07777", 0, False, 0o7777),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
        ("u=rwX,go=rX", 0o600, True, 0o755),
        ("+x", 0o640, False, 0o751),
        ("a-w", 0o666, False, 0o444),
        ("go=", 0o4755, False, 0o4700),
        ("g=u,o-rwx", 0o750, False, 0o770),
        ("u+s,g+s,+t", 0o755, True, 0o7755),
        ("u-s", 0o4755, False, 0o755),
        ("=r", 0o7777, False, 0o444),
        ("u+r-w", 0o200, False, 0o400),
    ],
)
def test_modes(text: str, mode: int, is_directory: bool, result: int) -> None:
    assert parse_mode(text)(mode, is_directory) == result


@pytest.mark.parametrize("text", ["", "9", "77777", "-1", "rwx", "u=q", "u=r,", "0o644", "u=rg", "+X7"])
def test_modes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_mode(text)


@given(
    clauses=st.lists(
        st.tuples(st.sampled_from(["u", "g", "o", "a", "ug", "go"]), st.sampled_from("+-="),
                  st.sampled_from(["", "r", "rw", "rwX", "x", "X", "wx", "u", "g", "o"])),
        min_size=1, max_size=3,
    ),
    mode=st.integers(0, 0o777),
)  # fmt: skip
def test_symbolic_modes_as_chmod_does(
    tmp_path_factory: pytest.TempPathFactory, clauses: list[tuple[str, str, str]], mode: int
) -> None:
    """The oracle is chmod(1)."""
    text = ",".join("".join(clause) for clause in clauses)
    place = tmp_path_factory.getbasetemp() / "mode-of"
    place.touch()
    place.chmod(mode)
    subprocess.run(["chmod", text, str(place)], check=True)
    assert parse_mode(text)(mode, False) == place.stat().st_mode & 0o7777


@pytest.mark.parametrize(
    "text, owner",
    [
        ("web", (33, 44)),
        ("root", (0, 0)),
        ("web:www", (33, 55)),
        ("web:7", (33, 7)),
        ("33:www", (33, 55)),
        ("33", (33, 33)),
        ("99", (99, 99)),
        ("1:2", (1, 2)),
    ],
)
def test_owners(lab: CopyLab, text: str, owner: tuple[int, int]) -> None:
    root = lab.tree({"etc/passwd": "-> ../usr/passwd", "usr/passwd": PASSWD, "etc/group": GROUP})
    assert resolve_owner(text, root, lab.store) == owner


@pytest.mark.parametrize("text", ["nobody", "web:", ":www", "web:nogroup", "4294967295", "1:4294967295", "-1"])
def test_owners_that_are_none(lab: CopyLab, text: str) -> None:
    root = lab.tree({"etc/passwd": PASSWD, "etc/group": GROUP})
    with pytest.raises(UsageError) as caught:
        resolve_owner(text, root, lab.store)
    assert caught.value.exit_code == 2
    for other in (lab.tree({}), lab.tree({"etc/passwd": Entry(b"", "p"), "etc/group": "-> group"})):
        with pytest.raises(UsageError):
            resolve_owner(text, other, lab.store)


def test_an_owner_is_looked_up_in_the_environment_as_it_was(lab: CopyLab) -> None:
    lab.write("etc/passwd", PASSWD.replace(b"33", b"77"))
    lab.write("a")
    base = lab.tree({"etc/passwd": PASSWD})
    after = lab.copy(CopyItem("/etc", ("etc",)), CopyItem("/b", ("a",), owner="web"), onto=base)
    assert lab.listing(after)["b"] == "644 33:44 x"


def test_links_have_owners_and_no_mode(lab: CopyLab) -> None:
    lab.write("d/a")
    (lab.context / "d/l").symlink_to("a")
    after = lab.copy(CopyItem("/x", ("d",), owner="5:6", mode="600"))
    assert lab.listing(after) == {"x": "755/ 5:6", "x/a": "600 5:6 x", "x/l": "-> a 5:6"}


def test_special_bits_are_kept(lab: CopyLab) -> None:
    lab.write("d/a", mode=0o4711)
    lab.folder("d/s", 0o1777)
    assert lab.listing(lab.copy(CopyItem("/x", ("d",)))) == {"x": "755/ 0:0", "x/a": "4711 0:0 x", "x/s": "1777/ 0:0"}


def test_times_without_an_epoch_are_those_of_the_source(lab: CopyLab) -> None:
    os.utime(lab.write("d/a"), ns=(1, 123456789))
    os.utime(lab.folder("d/s"), ns=(1, 5))
    paths = lab.store.paths(lab.copy(CopyItem("/x", ("d",)), CopyItem("/c", content=b"1")))
    assert {name: entry.mtime_ns for name, entry in paths.items() if name} == {
        b"x": NOW_NS,
        b"x/a": 123456789,
        b"x/s": 5,
        b"c": NOW_NS,
    }


def test_an_epoch_makes_two_clones_equal(tmp_path: Path) -> None:
    """Times of a context are those of whoever cloned it: with an epoch they do not show, whether before or after it."""
    trees = []
    for number, mtime in enumerate((5, 2000)):
        folder = tmp_path / str(number)
        folder.mkdir()
        lab = CopyLab(folder)
        os.utime(lab.write("d/a"), (mtime, mtime))
        os.utime(lab.folder("d"), (mtime, mtime))
        trees.append(lab.copy(CopyItem("/x", ("d",)), CopyItem("/y", ("d/a",)), epoch=1000))
        assert {entry.mtime_ns for path, entry in lab.store.paths(trees[-1]).items() if path} == {1000 * SECOND}
    assert trees[0] == trees[1]


def test_an_epoch_only_clamps_what_is_in_trees(lab: CopyLab) -> None:
    lab.stages.append(
        lab.tree({"d/old": Entry(b"", "f", 0o644, mtime_ns=5), "d/new": Entry(b"", "f", 0o644, mtime_ns=5000 * SECOND)})
    )
    item = CopyItem("/x", ("d",), source=StageBase(0))
    with lab.open_() as context:
        from envgit.building.files.copying import apply_copy
        from envgit.building.unit import RevisionBase

        sources = lab.sources(context)._replace(tree_of=lambda source: lab.stages[0])
        other = item._replace(source=RevisionBase("main"))
        after = lab.store.paths(apply_copy(sources, [other], lab.tree({}), lab.store, lab.store, 1000))
    assert (after[b"x/old"].mtime_ns, after[b"x/new"].mtime_ns) == (5, 1000 * SECOND)
