"""Inputs of steps, and folders that steps see mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.building.files.context import digest_inputs, make_input_tree
from envgit.building.files.copying import digest_mount, make_mount_tree, mounted_file
from envgit.building.unit import Context, FileSource, StageBase, TreeMount
from envgit.errors import Conflict, UnknownPath
from tests.building.copy_lab import CopyLab

SECOND = 1_000_000_000


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    lab = CopyLab(tmp_path)
    for name in ("src/a.c", "src/sub/b.c", "src/sub/b.h", "Makefile", "docs/x"):
        lab.write(name, name)
    (lab.context / "src/l").symlink_to("a.c")
    return lab


@pytest.mark.parametrize(
    "patterns, names",
    [
        (["src"], {"src", "src/a.c", "src/l", "src/sub", "src/sub/b.c", "src/sub/b.h"}),
        (["src/**"], {"src", "src/a.c", "src/l", "src/sub", "src/sub/b.c", "src/sub/b.h"}),
        (["**/*.h"], {"src", "src/sub", "src/sub/b.h"}),
        (["*.c", "Makefile"], None),
        (["Makefile"], {"Makefile"}),
        (["./Makefile", "/docs/"], {"Makefile", "docs", "docs/x"}),
        (["src", "!**/*.h"], {"src", "src/a.c", "src/l", "src/sub", "src/sub/b.c"}),
        (["src", "!src/sub"], {"src", "src/a.c", "src/l"}),
        (["."], {"Makefile", "docs", "docs/x", "src", "src/a.c", "src/l", "src/sub", "src/sub/b.c", "src/sub/b.h"}),
        (["**"], {"Makefile", "docs", "docs/x", "src", "src/a.c", "src/l", "src/sub", "src/sub/b.c", "src/sub/b.h"}),
    ],
)
def test_patterns(lab: CopyLab, patterns: list[str], names: set[str] | None) -> None:
    with lab.open_() as context:
        if names is None:
            with pytest.raises(UnknownPath):
                digest_inputs(context, patterns)
            return
        digest_inputs(context, patterns)
        assert lab.names(make_input_tree(context, patterns, lab.store, None)) == names


def test_everything_may_be_nothing(tmp_path: Path) -> None:
    lab = CopyLab(tmp_path)
    with lab.open_() as context:
        for pattern in ("**", ".", "/"):
            digest_inputs(context, [pattern])
            assert lab.names(make_input_tree(context, [pattern], lab.store, None)) == set()


def test_a_missing_input_names_the_nearest(lab: CopyLab) -> None:
    with lab.open_() as context:
        for pattern in ("scr", "scr/**", "Makefil"):
            with pytest.raises(UnknownPath) as caught:
                digest_inputs(context, [pattern])
            assert pattern.partition("/")[0] in caught.value.message and "did you mean" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "pattern, hint",
    [
        ("nothing/**", "the context has Makefile, "),
        ("**/*.zzz", "the context has Makefile, "),
        ("src/*.zzz", "src has a.c"),
        ("Makefile/*", "Makefile is no directory"),
        ("hidden/*", "it is there, but .dockerignore leaves it out"),
    ],
)
def test_a_pattern_that_chooses_nothing_says_what_there_is(lab: CopyLab, pattern: str, hint: str) -> None:
    lab.write("hidden/x")
    lab.ignore = b"hidden"
    with lab.open_() as context, pytest.raises(UnknownPath) as caught:
        digest_inputs(context, [pattern])
    assert caught.value.message == f"{pattern} matches nothing in the context"
    assert (caught.value.hint or "").startswith(hint)


def test_inputs_obey_the_ignore_file(lab: CopyLab) -> None:
    lab.ignore = b"**/*.h"
    with lab.open_() as context:
        digest_inputs(context, ["src"])
        assert "src/sub/b.h" not in lab.names(make_input_tree(context, ["src"], lab.store, None))


def test_digests_of_inputs(lab: CopyLab) -> None:
    def digest() -> bytes:
        with lab.open_() as context:
            return digest_inputs(context, ["src/**/*.c"])

    first = digest()
    lab.write("src/sub/b.h", "changed")
    lab.write("Makefile", "changed")
    assert digest() == first
    lab.write("src/sub/new.c")
    assert digest() != first


def test_a_change_between_is_an_error(lab: CopyLab) -> None:
    with lab.open_() as context:
        digest_inputs(context, ["src"])
        lab.write("src/a.c", "changed")
        with pytest.raises(Conflict):
            make_input_tree(context, ["src"], lab.store, None)


def test_input_trees_with_an_epoch(lab: CopyLab) -> None:
    with lab.open_() as context:
        root = make_input_tree(context, ["src"], lab.store, 1000)
    assert {entry.mtime_ns for entry in lab.store.paths(root).values()} == {1000 * SECOND}


def mount(lab: CopyLab, path: str, source: FileSource = Context()) -> tuple[set[str], bytes, bytes]:  # noqa: B008
    """Return the names of the mounted tree, the name of the one file, and the digest."""
    wanted = TreeMount(source, path, "/mnt")
    with lab.open_() as context:
        sources = lab.sources(context)
        digest = digest_mount(sources, wanted)
        root = make_mount_tree(sources, wanted, lab.store, None)
        return lab.names(root), mounted_file(sources, wanted), digest


def test_mounts_of_the_context(lab: CopyLab) -> None:
    assert mount(lab, "src/sub")[:2] == ({"b.c", "b.h"}, b"")
    assert mount(lab, ".")[0] >= {"src", "src/a.c", "Makefile"}
    assert mount(lab, "/Makefile")[:2] == ({"Makefile"}, b"Makefile")
    assert mount(lab, "src/l")[:2] == ({"a.c"}, b"a.c")
    with pytest.raises(UnknownPath):
        mount(lab, "scr")
    before = mount(lab, "src")[2]
    lab.write("docs/x", "changed")
    assert mount(lab, "src")[2] == before
    lab.write("src/a.c", "changed")
    assert mount(lab, "src")[2] != before


def test_mounts_of_stages(lab: CopyLab) -> None:
    lab.stages.append(lab.tree({"out/bin/tool": b"1", "link": "-> out/bin"}))
    assert mount(lab, "/out", StageBase(0))[:2] == ({"bin", "bin/tool"}, b"")
    assert mount(lab, "/link/tool", StageBase(0))[:2] == ({"tool"}, b"tool")
    assert mount(lab, "/", StageBase(0))[0] == {"out", "out/bin", "out/bin/tool", "link"}
    digest = mount(lab, "/out", StageBase(0))[2]
    lab.stages[0] = lab.tree({"out/bin/tool": b"2"})
    assert mount(lab, "/out", StageBase(0))[2] != digest
