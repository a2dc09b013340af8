"""Drift: what the checked-out environment has that the last build of its declaration does not, and the edits that would say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from envgit.building.drifting.config import config_items
from envgit.building.drifting.files import file_items
from envgit.building.drifting.packages import package_items
from envgit.building.drifting.values import DriftItem, apply_edits
from envgit.building.loading import BuildRequest, Loaded, load_recipe
from envgit.building.reasons import builds_ref
from envgit.environment_config import parse_config
from envgit.environment_view import EnvironmentView
from envgit.errors import EnvgitError, UnknownRevision, UsageError
from envgit.layers.compare import diff_trees
from envgit.model import EnvironmentConfig
from envgit.package_diff import diff_package_trees
from envgit.repo import Repository
from envgit.snapshot import Snapshot, read_config_bytes, read_snapshot
from envgit.status import open_worktree_tree


class Drift(NamedTuple):
    """`since`: the build that is compared with. `before`, `after`: text of the declaration's file without and with the edits.

    `folded`: how many changed paths of which sort are no item: caches, files of packages. `notices`: what else to know.
    """

    name: str
    file: str
    since: str
    items: tuple[DriftItem, ...]
    folded: Mapping[str, int]
    before: bytes
    after: bytes
    notices: tuple[str, ...]


def find_drift(repo: Repository, request: BuildRequest) -> Drift:
    """Compare the worktree, with its uncommitted changes and HEAD's configuration, with the last build of a declaration.

    Raises UsageError for a Dockerfile, UnknownRevision when it was not built here, and as load_recipe() does. May enter the tree
    namespace.
    """
    loaded = load_recipe(repo, request)
    if loaded.environment is None or loaded.declaration is None:
        raise UsageError(
            "drift needs an envgit.toml, and this is a Dockerfile", hint="envgit diff REV shows what changed since"
        )
    environment, declaration = loaded.environment, loaded.declaration
    build = _last_build(repo, loaded)
    notices = []
    built_from = next((oid for _, name, oid in build.tree_entries if name == b"envgit.toml"), None)
    if built_from is not None and repo.objects.read(built_from)[1] != declaration.text:
        notices.append(f"{declaration.file} changed since it was built: envgit plan shows what build would do")
    new_root, reader = open_worktree_tree(repo)
    old, new = EnvironmentView(reader, build.root), EnvironmentView(reader, new_root)
    packages = diff_package_trees(build.root, new_root, reader)
    notices += packages.notices
    changes = diff_trees(build.root, new_root, reader)
    files = file_items(changes, packages.changes, environment.files, reader, old, new)
    items = (
        *package_items(packages.changes, environment.packages, new),
        *files.items,
        *config_items(_config(repo, build), _head_config(repo, build)),
    )
    kept, text = _edit(items, declaration.text, declaration.file, environment.name)
    return Drift(
        environment.name,
        declaration.file,
        build.oid.hex(),
        kept,
        files.folded,
        declaration.text,
        text,
        tuple(notices),
    )


def _last_build(repo: Repository, loaded: Loaded) -> Snapshot:
    assert loaded.environment is not None
    name = loaded.environment.name
    oid = repo.refs.resolve(builds_ref(name))
    if oid is None and loaded.locked is not None:
        locked = bytes.fromhex(loaded.locked.commit)
        oid = locked if repo.objects.contains(locked) else None
    if oid is None:
        raise UnknownRevision(f"{name!r} was not built in this repository yet", hint="envgit build")
    return read_snapshot(repo.objects, oid)


def _config(repo: Repository, snapshot: Snapshot) -> EnvironmentConfig:
    return parse_config(read_config_bytes(repo.objects, snapshot))


def _head_config(repo: Repository, build: Snapshot) -> EnvironmentConfig:
    head = repo.read_head().oid
    return _config(repo, read_snapshot(repo.objects, head) if head is not None else build)


def _edit(items: tuple[DriftItem, ...], text: bytes, file: str, name: str) -> tuple[tuple[DriftItem, ...], bytes]:
    """Return the items, those whose edits cannot be made without them, and the text with all others made."""
    kept = []
    for item in items:
        try:
            edited = apply_edits(text, file, name, item.edits)
        except EnvgitError as error:
            kept.append(item._replace(edits=(), note=error.message))
            continue
        if item.edits and edited == text:
            item = item._replace(edits=(), note=item.note or f"not said in {file}: in what it extends, or in its base")
        kept.append(item)
        text = edited
    return tuple(kept), text
