"""How `--from` is understood, and what happens when it cannot be read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from envgit.errors import SourceError, UsageError
from envgit.layers.sources import DirectorySource, HostSource, TarSource, parse_source, read_source
from envgit.layers.sources.host import import_host
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore
from tests.sources.tar_builder import END, file


def test_forms() -> None:
    assert parse_source("host") == HostSource()
    assert parse_source("dir:a:b") == DirectorySource("a:b")
    assert parse_source("tar:-") == TarSource("-")
    assert str(parse_source("tar:x.tar")) == "tar:x.tar"


@pytest.mark.parametrize("text", ["", "Host", "dir:", "tar:", "docker:debian", "host:x", "tar:a\0b"])
def test_bad_forms_name_the_good_ones(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert caught.value.hint


def test_a_bare_path_gets_the_form_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    for path, kind in ((tmp_path, "dir"), (tmp_path / "f", "tar")):
        with pytest.raises(UsageError) as caught:
            parse_source(str(path))
        assert caught.value.hint == f"use {kind}:{path}"


def read(text: str, data: bytes = b"") -> object:
    return read_source(parse_source(text), MemoryStore(), NullMonitor(), stdin=io.BytesIO(data), is_root=True)


def test_standard_input_and_files(tmp_path: Path) -> None:
    archive = file(b"f") + END
    (tmp_path / "a.tar").write_bytes(archive)
    assert read("tar:-", archive) == read(f"tar:{tmp_path}/a.tar")


@pytest.mark.parametrize("text", ["tar:{}/none", "tar:{}", "dir:{}/none", "dir:{}/file", "tar:{}/file"])
def test_what_cannot_be_read_gives_the_next_step(text: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SourceError) as caught:
        read(text.format(tmp_path))
    assert caught.value.hint


def test_another_distribution_gives_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        import_host(MemoryStore(), NullMonitor(), root=os.fspath(tmp_path))
    assert "tar:" in (caught.value.hint or "")
