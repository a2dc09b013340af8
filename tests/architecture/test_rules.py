"""The rules that no import linter sees, read off the syntax trees of all modules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "envgit"
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))
MOST_LINES = 400
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc", "base", "core", "tools"}

MUTATING = {
    "rename",
    "replace",
    "unlink",
    "remove",
    "rmdir",
    "mkdir",
    "makedirs",
    "link",
    "symlink",
    "truncate",
    "ftruncate",
}
CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.today", "datetime.utcnow", "date.today"}

ALLOWED: dict[str, tuple[str, ...]] = {
    "os.environ": ("envgit/cli/session.py",),
    "print": ("envgit/cli/",),
    "input": (),
    "sys.exit": ("envgit/cli/reference.py",),
    "os._exit": ("envgit/cli/start.py", "envgit/cli/status_text.py", "envgit/exec/"),
    "import subprocess": ("envgit/gc.py",),
    "import ctypes": ("envgit/exec/linux.py",),
    "import tomli": ("envgit/declaration/toml_text.py", "envgit/registry/endpoints.py"),
    "import tomlkit": ("envgit/declaration/edit.py",),
    "import urllib3": ("envgit/registry/transport.py", "envgit/transfer/dulwich_wire.py"),
    "import pygit2": (
        "envgit/config.py",
        "envgit/remotes/configuration.py",
        "envgit/store/object_store.py",
        "envgit/store/revisions.py",
    ),
    "import pathspec": ("envgit/layers/ignore.py",),
    "import pyfastcdc": ("envgit/store/chunks.py",),
    "import isal": (
        "envgit/publishing/compression.py",
        "envgit/store/deflate.py",
        "envgit/layers/sources/decompress.py",
    ),
    "import zstandard": (
        "envgit/layers/export_tar.py",
        "envgit/layers/sources/decompress.py",
        "envgit/publishing/compression.py",
    ),
    "import rich": (),
    "import click": ("envgit/cli/",),
    "clock": (
        "envgit/repo.py",
        "envgit/gc.py",
        "envgit/transaction.py",
        "envgit/store/revisions.py",
        "envgit/sandbox/",
        "envgit/sharing/keeping.py",
        "envgit/cli/",
    ),
    "mutation": (
        "envgit/store/storage.py",  # the repository
        "envgit/store/lock.py",  # the content of the lock, which only serves a message
        "envgit/layers/",  # the cache, and folders that users name
        "envgit/exec/",  # inside a sandbox's own mounts
        "envgit/sandbox/",  # folders of sandboxes and volumes: no part of the history
        "envgit/registry/kept_blob.py",  # downloads that may go on, no part of the history
        "envgit/registry/credential_file.py",  # podman's and docker's files of credentials
        "envgit/repo.py",  # the project's folder, before there is a repository
        "envgit/init.py",  # the same, taken back
        "envgit/clone.py",  # the same
        "envgit/forwarding.py",  # copies in an upper directory that are equal to what is below
        "envgit/publishing/layer_blob.py",  # blobs on their way, no part of the history
        "envgit/sharing/linking.py",  # names of packs that are complete
        "envgit/export.py",  # a file that the user names
        "envgit/cli/reference.py",  # the pages of the documentation
    ),
}
"""What only some modules may do; a name that ends in `/` stands for everything below."""


def things_done(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every use of what ALLOWED speaks of, with its line."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                top = name.partition(".")[0].lstrip("_")
                if getattr(node, "level", 0) == 0 and f"import {top}" in ALLOWED:
                    yield f"import {top}", line
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            dotted = f"{node.value.id}.{node.attr}"
            if dotted in ("os.environ", "os.getenv", "os.environb"):
                yield "os.environ", line
            elif dotted in CLOCKS:
                yield "clock", line
            elif node.value.id == "os" and node.attr in MUTATING:
                yield "mutation", line
            elif dotted in ("sys.exit", "os._exit"):
                yield dotted, line
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("print", "input", "exit", "quit")
        ):
            yield {"exit": "sys.exit", "quit": "sys.exit"}.get(node.func.id, node.func.id), line


def trespasses(path: str, source: str) -> list[str]:
    """Return what a module does and may not."""
    return [
        f"{path}:{line}: {thing}"
        for thing, line in things_done(ast.parse(source))
        if not any(path == place or (place.endswith("/") and path.startswith(place)) for place in ALLOWED[thing])
    ]


def test_each_module_does_only_what_its_room_may() -> None:
    found = [each for path in MODULES for each in trespasses(path, (ROOT / path).read_text())]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['HOME']",
        "print('x')",
        "import sys\nsys.exit(1)",
        "def f():\n    import subprocess",
        "from ctypes import CDLL",
        "import _ctypes",
        "import pygit2.enums",
        "import time\ntime.time()",
        "import os\nos.rename('a', 'b')",
    ],
)
def test_control_a_trespass_is_seen(source: str) -> None:
    assert len(trespasses("envgit/status.py", source)) == 1


def test_no_permission_is_left_over() -> None:
    done = {(thing, path) for path in MODULES for thing, _ in things_done(ast.parse((ROOT / path).read_text()))}
    unused = [
        (thing, place)
        for thing, places in ALLOWED.items()
        for place in places
        if not any(thing == other and path.startswith(place) for other, path in done)
    ]
    assert unused == []


def test_no_file_is_long() -> None:
    paths = [*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    long = [
        f"{path.relative_to(ROOT)}: {count}"
        for path in paths
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    ]
    assert long == []


def test_every_name_is_a_noun_that_says_something() -> None:
    assert [path for path in MODULES if Path(path).stem.strip("_") in VAGUE_NAMES] == []


def _public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in MODULES if not ast.get_docstring(ast.parse((ROOT / path).read_text()))]
    assert silent == []


def _modules(name: str) -> list[str]:
    return [path for path in MODULES if path.startswith(f"envgit/{name}/")]


@pytest.mark.parametrize("room", ["store", "layers", "exec", "packages"])
def test_rooms_do_not_print_and_know_no_terminal(room: str) -> None:
    forbidden: Callable[[ast.AST], bool] = lambda node: (  # noqa: E731
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "sys"
        and node.attr in ("stdout", "stderr", "argv")
    )
    found = [
        path for path in _modules(room) for node in ast.walk(ast.parse((ROOT / path).read_text())) if forbidden(node)
    ]
    assert found == []
