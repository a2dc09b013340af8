"""Drift of files: what was changed by hand, and not by a package manager or by mere use."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from envgit.building.drifting.values import AddStep, DriftItem, Edit, RemoveFile, SetFile
from envgit.declaration.values import FileEntry
from envgit.layers.noise import classify_noise
from envgit.model import Change, Child, DirectoryRef, Entry, TreeReader
from envgit.packages.comparing import PackageChange
from envgit.packages.view import TreeView

SAVED_FOLDER = "files"
"""Where in the project the contents go that are too much for the declaration."""
_CONTENT_MAX_BYTES = 512
_LIST_MAX_BYTES = 64 << 20
_PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f]*\Z")
_USRMERGED = re.compile(rb"(?:bin|sbin|lib|lib32|lib64|libx32)/")
_Sort: TypeAlias = tuple[tuple[bytes, ...], str]
_STATE: Final[_Sort] = (
    (
        b"var/lib/dpkg/",
        b"var/lib/apt/",
        b"var/lib/ucf/",
        b"var/lib/pam/",
        b"lib/apk/",
        b"var/lib/rpm/",
        b"usr/lib/sysimage/rpm/",
    ),
    "package databases",
)
_TEMPORARY: Final[_Sort] = ((b"tmp/", b"var/tmp/", b"run/"), "temporary files")
_BY_PRODUCTS: Final[_Sort] = (
    (b"etc/alternatives/", b"etc/ssl/certs/", b"etc/ld.so.cache", b"etc/passwd", b"etc/group", b"etc/shadow", b"etc/gshadow",
     b"etc/subuid", b"etc/subgid", b"etc/rc", b"etc/systemd/", b"var/lib/systemd/", b"usr/share/mime/", b"usr/share/info/dir",
     b"usr/share/glib-2.0/schemas/", b"usr/share/applications/mimeinfo.cache", b"etc/apt/", b"usr/local/lib/python3"),
    "by-products of packages",
)  # fmt: skip


class FileDrift(NamedTuple):
    """`folded`: how many changes of which sort are no item."""

    items: tuple[DriftItem, ...]
    folded: Mapping[str, int]


def file_items(
    changes: Iterable[Change],
    packages: Iterable[PackageChange],
    declared: Iterable[FileEntry],
    reader: TreeReader,
    old: TreeView,
    new: TreeView,
) -> FileDrift:
    """Return an item per path that was changed by hand; added and removed folders are one each."""
    changed = list(packages)
    owned = _Owned(changed, old, new)
    targets = {posixpath.normpath(entry.target): entry for entry in declared}
    names = _Names(new)
    folded: Counter[str] = Counter()
    items: list[DriftItem] = []
    pending = deque(changes)
    while pending:
        change = pending.popleft()
        label = classify_noise(change.path) or owned.label(change.path)
        if label is not None:
            folded[label] += 1
            continue
        if _is_directory(change) and change.kind in "AD":
            inside = list(_take_below(pending, change.path + b"/"))
            labels = [classify_noise(each.path) or owned.label(each.path) for each in inside if not _is_directory(each)]
            if owned.is_above(change.path) or (labels and None not in labels):
                pending.extendleft(reversed(inside))  # what is in it is looked at by itself
                continue
        items.append(_item(change, targets, reader, names))
    return FileDrift(tuple(items), dict(folded))


def _take_below(pending: deque[Change], prefix: bytes) -> Iterator[Change]:
    """Take the changes below a folder, which follow its own."""
    while pending and pending[0].path.startswith(prefix):
        yield pending.popleft()


class _Owned:
    """Which paths packages brought or took."""

    def __init__(self, changes: list[PackageChange], old: TreeView, new: TreeView) -> None:
        self._paths: set[bytes] = set()
        self._above: set[bytes] = set()
        self._folders: list[bytes] = []
        self._any = bool(changes)
        for change in changes:
            for package, view in ((change.old, old), (change.new, new)):
                if package is not None:
                    self._add(package.manager, package.name, package.architecture or "", package.place, view)

    def _add(self, manager: str, name: str, architecture: str, place: bytes, view: TreeView) -> None:
        if manager == "dpkg":
            for file in (f"{name}.list", f"{name}:{architecture}.list"):
                listed = view.read_file(b"var/lib/dpkg/info/" + file.encode(), _LIST_MAX_BYTES) or b""
                for line in listed.split(b"\n"):
                    self._own(line.strip(b"/"))
        elif manager == "pip":
            self._folders.append(place + b"/")
            for entry in view.list_directory(place):
                if entry.endswith(b".dist-info"):
                    record = view.read_file(place + b"/" + entry + b"/RECORD", _LIST_MAX_BYTES) or b""
                    for line in record.split(b"\n"):
                        if line.startswith(b"../"):
                            path = posixpath.normpath(place + b"/" + line.rsplit(b",", 2)[0])
                            self._own(path)
        elif manager in ("npm", "conda"):
            self._folders.append(place + b"/")

    def _own(self, path: bytes) -> None:
        if path:
            path = b"usr/" + path if _USRMERGED.match(path) else path
            self._paths.add(path)
            while b"/" in path:
                path = path.rpartition(b"/")[0]
                self._above.add(path)

    def label(self, path: bytes) -> str | None:
        """Return why a path is no item; None when it is one."""
        plain = b"usr/" + path if _USRMERGED.match(path) else path
        if plain in self._paths or any(plain.startswith(folder) or plain + b"/" == folder for folder in self._folders):
            return "files of packages"
        sorts = [_STATE, _TEMPORARY, _BY_PRODUCTS] if self._any else [_STATE, _TEMPORARY]
        return next((label for prefixes, label in sorts if path.startswith(prefixes)), None)

    def is_above(self, path: bytes) -> bool:
        """Say whether something below `path` belongs to packages."""
        plain = b"usr/" + path if _USRMERGED.match(path) else path
        return plain in self._above or any(folder.startswith(plain + b"/") for folder in self._folders)


class _Names:
    """Names of the environment's users and groups, for [files]."""

    def __init__(self, view: TreeView) -> None:
        self._users = _read_names(view, b"etc/passwd")
        self._groups = _read_names(view, b"etc/group")

    def owner(self, entry: Entry) -> str:
        """Return USER:GROUP; "" for root's."""
        if not entry.uid and not entry.gid:
            return ""
        user = self._users.get(entry.uid, str(entry.uid))
        return f"{user}:{self._groups.get(entry.gid, str(entry.gid))}"


def _read_names(view: TreeView, path: bytes) -> dict[int, str]:
    names: dict[int, str] = {}
    for line in (view.read_file(path, _LIST_MAX_BYTES) or b"").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal():
            names.setdefault(int(fields[2]), fields[0])
    return names


def _item(change: Change, targets: Mapping[str, FileEntry], reader: TreeReader, names: _Names) -> DriftItem:
    path = "/" + change.path.decode("utf-8", "surrogateescape")
    shown = path + "/" if _is_directory(change) and path != "/" else path
    item = DriftItem("file", change.kind, shown)
    if not _is_text(path):
        return item._replace(note="its name is not UTF-8: a [[step]] can do it")
    entry = targets.get(path)
    word = shlex.quote(path)
    if change.kind == "D":
        edits: Edit = RemoveFile(entry.target) if entry is not None else AddStep(f"rm -rf {word}")
        return item._replace(edits=(edits,))
    new = change.new
    assert new is not None
    if new.entry.type == "l":
        target = shlex.quote(new.entry.target.decode("utf-8", "replace"))
        return item._replace(edits=(AddStep(f"ln -sfn {target} {word}"),))
    if change.kind == "P" or (new.entry.type == "d" and change.kind != "A"):
        return item._replace(edits=_attributes(change, new.entry, word, entry, names))
    if new.entry.type == "d":
        return item._replace(edits=(_set_folder(path, new, reader, names),))
    if new.entry.type != "f":
        return item._replace(note="no file: a [[step]] can make it")
    return item._replace(edits=(_set_file(path, new, reader, names),))


def _attributes(change: Change, new: Entry, word: str, entry: FileEntry | None, names: _Names) -> tuple[Edit, ...]:
    old = change.old.entry if change.old is not None else new
    lines = []
    if (old.uid, old.gid) != (new.uid, new.gid):
        lines.append(f"chown -h {names.owner(new) or '0:0'} {word}")
    if old.mode != new.mode:
        lines.append(f"chmod {new.mode:04o} {word}")
    if entry is not None and lines and not entry.target.endswith("/"):
        fields = _fields(new, names)
        if entry.content is not None:
            return (SetFile(entry.target, {"content": entry.content, **fields}),)
        source: object = entry.sources[0] if len(entry.sources) == 1 else list(entry.sources)
        return (SetFile(entry.target, {"source": source, **fields}),)
    return (AddStep(" && ".join(lines)),) if lines else ()


def _fields(entry: Entry, names: _Names) -> dict[str, object]:
    fields: dict[str, object] = {}
    if entry.mode != 0o644:
        fields["mode"] = f"{entry.mode:04o}"
    if owner := names.owner(entry):
        fields["owner"] = owner
    return fields


def _set_file(path: str, child: Child, reader: TreeReader, names: _Names) -> SetFile:
    fields = _fields(child.entry, names)
    if child.entry.size <= _CONTENT_MAX_BYTES:
        data = b"".join(reader.iter_content(child))
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if _PLAIN.match(text):
            return SetFile(path, {"content": text, **fields})
    saved = SAVED_FOLDER + path
    # A source brings its mode along; what the project's copy has depends on who makes it.
    return SetFile(path, {"source": saved, "mode": f"{child.entry.mode:04o}", **fields}, saved)


def _set_folder(path: str, child: Child, reader: TreeReader, names: _Names) -> Edit:
    own = child.entry
    empty = isinstance(child.content, DirectoryRef) and not reader.read_directory(child.content).children
    if empty:
        word = shlex.quote(path)
        owner = f" && chown {names.owner(own)} {word}" if names.owner(own) else ""
        return AddStep(f"mkdir -p {word} && chmod {own.mode:04o} {word}{owner}")
    fields: dict[str, object] = {"owner": names.owner(own)} if names.owner(own) else {}
    return SetFile(path + "/", {"source": SAVED_FOLDER + path + "/", **fields}, SAVED_FOLDER + path + "/")


def _is_directory(change: Change) -> bool:
    side = change.new if change.new is not None else change.old
    return side is not None and side.entry.type == "d"


def _is_text(path: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in path) and _PLAIN.match(path) is not None


def iter_saved(items: Iterable[DriftItem]) -> Iterator[SetFile]:
    """Yield the edits whose content has to be put into the project."""
    for item in items:
        for each in item.edits:
            if isinstance(each, SetFile) and each.saved:
                yield each
