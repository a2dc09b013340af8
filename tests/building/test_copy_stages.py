"""Copies out of stored trees: stages, revisions, images."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.building.unit import CopyItem, StageBase
from envgit.errors import UnknownPath
from envgit.model import Child, Entry
from tests.building.copy_lab import CopyLab

FROM = StageBase(0)


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    lab = CopyLab(tmp_path)
    lab.stages.append(
        lab.tree(
            {
                "usr/bin/tool": Entry(b"", "f", 0o4755, 1, 2, 5, xattrs=((b"security.capability", b"c" * 20),)),
                "usr/bin": Entry(b"", "d", 0o750, 3, 4, 6),
                "usr/bin/sub/x": b"x",
                "bin": "-> usr/bin",
                "dev/null": Entry(b"", "c", 0o666, device=(1, 3)),
                "dev/pipe": Entry(b"", "p", 0o600),
            },
            links=[("usr/bin/sub/y", "usr/bin/sub/x"), ("usr/z", "usr/bin/sub/x")],
        )
    )
    return lab


def test_everything_is_kept(lab: CopyLab) -> None:
    paths = lab.store.paths(lab.copy(CopyItem("/o", ("usr",), source=FROM)))
    source = lab.store.paths(lab.stages[0])
    for path in (b"bin", b"bin/tool", b"bin/sub", b"bin/sub/x"):
        assert paths[b"o/" + path] == source[b"usr/" + path]
    assert lab.listing(lab.copy(CopyItem("/dev", ("dev",), source=FROM))) == {
        "dev": "755/ 0:0",
        "dev/null": "c 666 0:0",
        "dev/pipe": "p 600 0:0",
    }


def test_whole_directories_are_taken_over_unread(lab: CopyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    item = CopyItem("/", ("/",), source=FROM)
    lab.copy(item)
    base = lab.tree({"etc/x": b"1"})
    written: list[Entry] = []
    original = lab.store.put_directory

    def noted(own: Entry, children: list[Child], links: tuple[tuple[bytes, ...], ...] = ()) -> object:
        written.append(own)
        return original(own, children, links)

    monkeypatch.setattr(lab.store, "put_directory", noted)
    after = lab.copy(item, onto=base)
    assert len(written) == 1
    assert lab.names(after) == lab.names(lab.stages[0]) | {"etc", "etc/x"}
    assert lab.store.read_links(after) == lab.store.read_links(lab.stages[0])


@pytest.mark.parametrize("mode", ["", "u+r"])
def test_hard_links_survive(lab: CopyLab, mode: str) -> None:
    after = lab.copy(CopyItem("/o", ("usr",), source=FROM, mode=mode), onto=lab.tree({"o/bin/old": b"1"}))
    assert lab.store.read_links(after) == ((b"o/bin/sub/x", b"o/bin/sub/y", b"o/z"),)
    partly = lab.copy(CopyItem("/o", ("usr/bin/sub",), source=FROM, mode=mode))
    assert lab.store.read_links(partly) == ((b"o/x", b"o/y"),)
    single = lab.copy(CopyItem("/o", ("usr/z",), source=FROM, mode=mode))
    assert lab.store.read_links(single) == ()


def test_taking_over_equals_copying(lab: CopyLab) -> None:
    """A mode that changes nothing makes it walk: the result is the same tree."""
    for onto in ({}, {"o/bin/old": b"1"}, {"o/bin/tool": b"1"}):
        base = lab.tree(dict(onto))
        item = CopyItem("/o", ("usr",), source=FROM)
        assert lab.copy(item, onto=base) == lab.copy(item._replace(exclude=("nothing",)), onto=base)


def test_an_owner_replaces_the_owners(lab: CopyLab) -> None:
    listing = lab.listing(lab.copy(CopyItem("/o", ("usr",), source=FROM, owner="9:9")))
    assert all(" 9:9" in what for path, what in listing.items())


def test_links_in_a_path_are_followed(lab: CopyLab) -> None:
    assert lab.names(lab.copy(CopyItem("/o/", ("bin/tool",), source=FROM))) == {"o", "o/tool"}
    assert lab.names(lab.copy(CopyItem("/o/", ("bin",), source=FROM))) >= {"o/tool", "o/sub/x"}


def test_missing(lab: CopyLab) -> None:
    with pytest.raises(UnknownPath) as caught:
        lab.copy(CopyItem("/o", ("usr/bn/tool",), source=FROM))
    assert "stage 0" in caught.value.message and caught.value.hint == "did you mean usr/bin/tool"


def test_a_stage_onto_itself(lab: CopyLab) -> None:
    base = lab.stages[0]
    assert lab.copy(CopyItem("/", ("/",), source=FROM), onto=base) == base
    again = lab.copy(CopyItem("/usr", ("usr",), source=FROM), onto=base)
    assert lab.listing(again) == lab.listing(base)
