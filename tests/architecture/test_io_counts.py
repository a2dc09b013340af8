"""What a commit writes and reads depends on the change, never on the size of the environment."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.proof import faults, lab
from tests.proof.child import envgit


def _count_reads(project: Path, words: tuple[str, ...]) -> int:
    """How many objects a command reads."""
    memory = os.memfd_create("reads")

    def count() -> None:
        from envgit.store.object_store import ObjectStore

        read: Callable[[ObjectStore, bytes], tuple[str, bytes]] = ObjectStore.read

        def counted(self: ObjectStore, oid: bytes) -> tuple[str, bytes]:
            os.write(memory, b".")
            return read(self, oid)

        ObjectStore.read = counted  # type: ignore[method-assign]

    envgit(project, *words, prepare=count).good()
    size = os.fstat(memory).st_size
    os.close(memory)
    return size


def _make(folder: Path, directories: int) -> Path:
    source = lab.make_source(folder / "source")
    for number in range(directories):
        (source / f"usr/many{number}").mkdir()
        for name in range(4):
            (source / f"usr/many{number}/file{name}").write_text(f"{number} {name}\n")
    envgit(folder, "init", "lab", "--from", f"tar:{lab.make_archive(source)}").good()
    envgit(folder / "lab", "run", "--", "/bin/true").good()
    return folder / "lab"


@pytest.fixture(scope="module")
def small_and_large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _make(tmp_path_factory.mktemp("small"), 2), _make(tmp_path_factory.mktemp("large"), 300)


def test_a_commit_of_one_file_writes_one_pack_and_reads_the_same_everywhere(small_and_large: tuple[Path, Path]) -> None:
    reads = []
    for project in small_and_large:
        packs = project / ".envgit/objects/pack"
        lab.edit(project, {"etc/motd": b"changed\n"})
        before = set(os.listdir(packs))
        reads.append(_count_reads(project, ("commit", "-m", "one file")))
        new = set(os.listdir(packs)) - before
        assert sorted(os.path.splitext(name)[1] for name in new) == [".idx", ".pack"]
    assert reads[0] == reads[1] <= 60


def test_status_and_diff_read_the_same_everywhere(small_and_large: tuple[Path, Path]) -> None:
    for words in (("status",), ("diff",), ("diff", "--stat")):
        reads = []
        for project in small_and_large:
            lab.edit(project, {"etc/motd": b"changed again\n", "usr/many1/file1": None})
            reads.append(_count_reads(project, words))
        assert reads[0] == reads[1] <= 40, (words, reads)


def test_steps_of_a_commit_and_a_checkout_are_the_same_everywhere(small_and_large: tuple[Path, Path]) -> None:
    for words in (("commit", "-m", "again"), ("checkout", "-b", "x"), ("checkout", "main")):
        steps = []
        for project in small_and_large:
            if words[0] == "commit":
                lab.edit(project, {"etc/motd": b"once more\n"})
            result, reached = faults.record(project, words)
            assert result.status == 0, result
            steps.append(reached)
        assert steps[0] == steps[1]


def test_no_reader_is_called_behind_the_counters_back() -> None:
    """ObjectStore.read is the only way to an object: nothing else of the package calls a pack's own read."""
    root = Path(__file__).resolve().parents[2] / "envgit"
    callers = [
        path.name
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) == ("pack", "read")
    ]
    not_in_a_store_yet = {"arrived.py", "own_pack.py"}  # the quarantine's, in a process of its own
    assert set(callers) <= {"object_store.py", "verify.py"} | not_in_a_store_yet
