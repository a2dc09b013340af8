"""Export-recipe: a history of recorded commands as a Dockerfile or an envgit.toml."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal, NamedTuple

from envgit.building.exporting.recorded_step import RecordedStep, WrittenRecipe
from envgit.building.record import Recorded, parse_record
from envgit.building.unit import Copy, StageBase
from envgit.environment_config import parse_config
from envgit.errors import CorruptObject
from envgit.layers.compare import diff_trees, same_ref
from envgit.model import Change, EnvironmentConfig
from envgit.package_diff import diff_package_trees
from envgit.packages.summary import change_text
from envgit.repo import Repository
from envgit.snapshot import LAYER_TRAILER, UNIT_TRAILER, Snapshot, read_config_bytes, read_snapshot, read_trailer
from envgit.store.shallow import visible_parents

RecipeFormat = Literal["dockerfile", "toml"]
CHANGES_SHOWN = 20
"""Paths of a commit that was made by hand."""


class ExportedRecipe(NamedTuple):
    """`losses`: a line for everything that the text only tells in a comment."""

    oid: str
    text: str
    losses: tuple[str, ...]


def export_recipe(repo: Repository, revision: str, format: RecipeFormat) -> ExportedRecipe:
    """Return what the commits below `revision` did, as a text that `envgit build -f` understands.

    The history is the first parents; a merge with the environment of one of its parents is followed there. Nothing of the
    environment is run. Raises UnknownRevision, CorruptObject.
    """
    oid = repo.resolve_bytes(revision)
    steps = [_read_step(repo, *pair) for pair in _chain(repo, oid)]
    written = _write(steps, format)
    return ExportedRecipe(oid.hex(), written.text, written.losses)


def _write(steps: list[RecordedStep], format: RecipeFormat) -> WrittenRecipe:
    if format == "toml":
        from envgit.building.exporting.to_declaration import write_declaration

        return write_declaration(steps)
    from envgit.building.exporting.to_dockerfile import write_dockerfile

    return write_dockerfile(steps)


def _chain(repo: Repository, oid: bytes) -> list[tuple[Snapshot, Snapshot | None]]:
    """Return the commits with what they lie on, the base first."""
    found: list[tuple[Snapshot, Snapshot | None]] = []
    snapshot: Snapshot | None = read_snapshot(repo.objects, oid)
    while snapshot is not None:
        visible = visible_parents(repo.objects, snapshot.oid, snapshot.commit.parents)
        parents = [read_snapshot(repo.objects, parent) for parent in visible]
        same = next((parent for parent in parents if _same_environment(parent, snapshot)), None)
        if len(parents) > 1 and same is not None:
            snapshot = same
            continue
        parent = parents[0] if parents and not _is_base(snapshot) else None
        found.append((snapshot, parent))
        snapshot = parent
    return found[::-1]


def _is_base(snapshot: Snapshot) -> bool:
    """Say whether what is below a commit is no step of a recipe: the layers of an image."""
    recorded = _read_recorded(snapshot)
    is_layer = read_trailer(snapshot.commit.message, LAYER_TRAILER) is not None
    return is_layer or (recorded is not None and recorded.base is not None)


def _same_environment(one: Snapshot, other: Snapshot) -> bool:
    return same_ref(one.root, other.root) and one.config_sha256 == other.config_sha256


def _read_step(repo: Repository, snapshot: Snapshot, parent: Snapshot | None) -> RecordedStep:
    recorded = _read_recorded(snapshot)
    before = EnvironmentConfig() if parent is None else parse_config(read_config_bytes(repo.objects, parent))
    changes: tuple[str, ...] = ()
    copied: tuple[str, ...] = ()
    if parent is not None and recorded is None:
        changes = tuple(_describe_changes(repo, parent, snapshot))
    elif parent is not None and recorded is not None and _copies_from_stage(recorded):
        copied = tuple(
            "/" + change.path.decode("utf-8", "surrogateescape") for change in _top_changes(repo, parent, snapshot)
        )
    return RecordedStep(
        oid=snapshot.oid.hex(),
        subject=snapshot.commit.message.partition(b"\n")[0].decode("utf-8", "replace"),
        before=before,
        after=parse_config(read_config_bytes(repo.objects, snapshot)),
        is_base=parent is None,
        recorded=recorded,
        changes=changes,
        copied=copied,
    )


def _read_recorded(snapshot: Snapshot) -> Recorded | None:
    """Return what the commit says of itself; None when it says nothing, or nothing that this version understands."""
    text = read_trailer(snapshot.commit.message, UNIT_TRAILER)
    if text is None:
        return None
    try:
        return parse_record(json.loads(text))
    except (ValueError, RecursionError, CorruptObject):
        return None


def _copies_from_stage(recorded: Recorded) -> bool:
    action = recorded.action
    return isinstance(action, Copy) and any(isinstance(item.source, StageBase) for item in action.items)


def _top_changes(repo: Repository, old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Yield the paths that differ, of a directory that came or went only itself, and directories of which only the time differs not
    at all."""
    inside = b"\0"
    for change in diff_trees(old.root, new.root, repo.reader):
        if change.path.startswith(inside):
            continue
        if change.kind in "AD" and (change.new or change.old) and _is_directory(change):
            inside = change.path + b"/"
        yield change


def _is_directory(change: Change) -> bool:
    child = change.new or change.old
    return child is not None and child.entry.type == "d"


def _describe_changes(repo: Repository, old: Snapshot, new: Snapshot) -> Iterator[str]:
    changes = list(_top_changes(repo, old, new))
    for change in changes[:CHANGES_SHOWN]:
        slash = "/" if _is_directory(change) else ""
        yield f"{change.kind} {change.path.decode('utf-8', 'backslashreplace')}{slash}"
    if len(changes) > CHANGES_SHOWN:
        yield f"and {len(changes) - CHANGES_SHOWN:,} more paths"
    packages = diff_package_trees(old.root, new.root, repo.reader).changes
    texts = list(dict.fromkeys(change_text(each) for each in packages))
    yield from texts[:CHANGES_SHOWN]
    if len(texts) > CHANGES_SHOWN:
        yield f"and {len(texts) - CHANGES_SHOWN:,} more packages"
