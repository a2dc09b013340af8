"""The mark of a new volume and its content, in the order in which they become durable."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from envgit.exec import linux
from envgit.exec.mount import copy_up


def test_the_content_is_durable_before_the_mark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, marker = tmp_path / "source", tmp_path / "target", tmp_path / "marker"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("content\n")
    marker.write_text("new\n")
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    fds.append(os.open(marker, os.O_RDWR))
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
    source, target, marker = tmp_path / "source", tmp_path / "target", tmp_path / "marker"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("content\n")
    marker.write_text("new\n")
    fds = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    fds.append(os.open(marker, os.O_RDWR))

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
