"""The mark of a new volume and its content, in the order in which they become durable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.exec import linux
from envgit.exec.mount import copy_up


def open_volume(folder: Path) -> tuple[Path, Path, Path, list[int]]:
    """Return a source with a file, an empty target and a marker, by path, and descriptors of the three."""
    source, target, marker = folder / "source", folder / "target", folder / "marker"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("content\n")
    marker.write_text("new\n")
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    return source, target, marker, [*fds, os.open(marker, os.O_RDWR)]


def test_the_content_is_durable_before_the_mark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, marker, fds = open_volume(tmp_path)
    seen: list[tuple[str, str, list[str]]] = []

    def looking(what: str, real: Callable[[int], None]) -> Callable[[int], None]:
        def look(fd: int) -> None:
            real(fd)
            seen.append((what, marker.read_text(), os.listdir(target)))

        return look

    monkeypatch.setattr(linux, "sync_filesystem", looking("syncfs", linux.sync_filesystem))
    monkeypatch.setattr(os, "fsync", looking("fsync", os.fsync))
    copy_up.fill_volume(fds[0], fds[1], fds[2])
    assert [(what, mark.split("\n")[0], names) for what, mark, names in seen] == [
        ("fsync", "copying", []),
        ("syncfs", "copying", ["file"]),
        ("fsync", "used", ["file"]),
    ]
    for fd in fds:
        os.close(fd)


def test_content_that_cannot_be_made_durable_is_copied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, marker, fds = open_volume(tmp_path)

    def refuse(fd: int) -> None:
        raise OSError(5, "Input/output error", "syncfs")

    with monkeypatch.context() as patch:
        patch.setattr(linux, "sync_filesystem", refuse)
        with pytest.raises(OSError, match="Input/output"):
            copy_up.fill_volume(fds[0], fds[1], fds[2])
    assert marker.read_text().startswith("copying")
    (target / "file").write_text("cut sho")
    copy_up.fill_volume(fds[0], fds[1], fds[2])
    assert (target / "file").read_text() == "content\n" and marker.read_text().startswith("used")
    for fd in fds:
        os.close(fd)
