"""Revision syntax (gitrevisions(7)) on the store itself: no git library, so resolving costs microseconds."""

from __future__ import annotations

import re
import time

from envgit.errors import AmbiguousRevision, CorruptObject, UnknownRevision, UsageError
from envgit.store.dates import parse_date
from envgit.store.history import iter_commits, merge_bases
from envgit.store.object_store import MissingObject, ObjectStore
from envgit.store.objects import ZERO_OID, parse_commit, parse_tag_target
from envgit.store.ref_names import is_ref_name
from envgit.store.reflog import previous_branch, read_reflog
from envgit.store.refs import RefStore
from envgit.store.shallow import GET_MORE, visible_parents

_RULES = ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")
_FULL = re.compile(r"[0-9a-fA-F]{40}\Z")
_SHORT = re.compile(r"[0-9a-fA-F]{4,39}\Z")
_DESCRIBED = re.compile(r".+-g([0-9a-f]{4,40})\Z")
_TOKEN = re.compile(r"\^\{([^}]*)\}|\^([0-9]{0,9})|~([0-9]{0,9})|@\{([^}]*)\}")
_BASE = re.compile(r"(?:(?!@\{)[^~^:])*")
_TYPES = ("commit", "tree", "blob", "tag")


def split_revision_path(spec: str) -> tuple[str, bytes | None]:
    """Split `REV:PATH`; the path is None without a colon. Colons inside `{...}` and `:/text` belong to the revision."""
    if spec.startswith(":/"):
        return spec, None
    depth = 0
    for position, character in enumerate(spec):
        depth += (character == "{") - (character == "}")
        if character == ":" and depth <= 0:
            return spec[:position] or "HEAD", spec[position + 1 :].encode("utf-8", "surrogateescape")
    return spec, None


def resolve_commit(objects: ObjectStore, refs: RefStore, spec: str) -> bytes:
    """Return the commit that a revision names, tags peeled. Raises UnknownRevision, AmbiguousRevision."""
    return _peel(objects, _Resolver(objects, refs).resolve(spec, "commit"), "commit", spec)


def resolve_object(objects: ObjectStore, refs: RefStore, spec: str) -> bytes:
    """Return the object that a revision names, a tag not peeled (git rev-parse --verify)."""
    return _Resolver(objects, refs).resolve(spec, None)


def resolve_range(objects: ObjectStore, refs: RefStore, spec: str) -> tuple[list[bytes], list[bytes]]:
    """Return (included, excluded) commits of `A..B`, `A...B`, `^A`, `A^@`, `A^!`, `A^-N` or a single revision."""

    def commit(revision: str) -> bytes:
        return resolve_commit(objects, refs, revision or "HEAD")

    depth = 0
    for position, character in enumerate(spec):
        depth += (character == "{") - (character == "}")
        if depth or spec.startswith(":/") or not spec.startswith("..", position):
            continue
        if spec.startswith("...", position):
            one, other = commit(spec[:position]), commit(spec[position + 3 :])
            return [one, other], merge_bases(objects, one, other)
        return [commit(spec[position + 2 :])], [commit(spec[:position])]
    if spec.startswith("^"):
        return [], [commit(spec[1:])]
    if match := re.fullmatch(r"(.+)\^(@|!|-(\d*))", spec):
        start = commit(match[1])
        parents = list(visible_parents(objects, start, parse_commit(objects.read(start)[1]).parents))
        if match[2] == "@":
            return parents, []
        if match[2] == "!":
            return [start], parents
        number = int(match[3] or 1)
        if not 1 <= number <= len(parents):
            raise _no_parent(objects, start, f"{match[1]} has no parent {number}")
        return [start], [parents[number - 1]]
    return [commit(spec)], []


def _no_parent(objects: ObjectStore, oid: bytes, message: str) -> UnknownRevision:
    if oid in objects.shallow():
        short = objects.abbreviate(oid.hex())
        return UnknownRevision(f"{message} here: history is cut short at {short}", hint=GET_MORE)
    return UnknownRevision(message)


def _read(objects: ObjectStore, oid: bytes, spec: str) -> tuple[str, bytes]:
    try:
        return objects.read(oid)
    except MissingObject:
        if _FULL.match(spec):
            raise UnknownRevision(f"there is no object {spec}") from None
        raise


def _peel(objects: ObjectStore, oid: bytes, wanted: str, spec: str) -> bytes:
    """Follow tags (and commit to tree) until an object of the wanted type; "" means anything but a tag."""
    type, data = _read(objects, oid, spec)
    while type != wanted:
        if type == "tag":
            oid = parse_tag_target(data)[0]
        elif type == "commit" and wanted == "tree":
            return parse_commit(data).tree
        elif wanted == "":
            return oid
        else:
            raise UnknownRevision(f"{spec} is a {type}, not a {wanted}")
        type, data = objects.read(oid)
    return oid


class _Resolver:
    def __init__(self, objects: ObjectStore, refs: RefStore) -> None:
        self._objects = objects
        self._refs = refs

    def resolve(self, spec: str, wanted: str | None) -> bytes:
        if not spec or spec.startswith("-"):
            raise UnknownRevision(f"{spec!r} is not a revision")
        if spec.startswith(":/"):
            return self._search(spec[2:], self._tips(), spec)
        match = _BASE.match(spec)
        position = match.end() if match else 0
        base = spec[:position]
        oid: bytes | None = None
        while position < len(spec):
            token = _TOKEN.match(spec, position)
            if token is None:
                raise UnknownRevision(f"{spec!r} is not a revision: {spec[position:]!r} is not understood")
            if token[4] is not None:
                if oid is not None:
                    raise UnknownRevision(f"{spec!r} is not a revision: {token[0]} may only follow a ref")
                base, oid = self._reflog(base, token[4], spec)
            else:
                if oid is None:
                    oid = self._name(base, "commit", spec)
                oid = self._step(oid, token, spec)
            position = token.end()
        return oid if oid is not None else self._name(base, wanted, spec)

    def _name(self, name: str, wanted: str | None, spec: str) -> bytes:
        """Resolve a name without suffix: id, ref by git's rules, git-describe's output, abbreviated id."""
        if _FULL.match(name):
            return bytes.fromhex(name)
        found = self._refs.resolve("HEAD") if name == "@" else self._dwim(name)[1]
        if found is not None:
            return found
        if name in ("@", "HEAD"):
            raise UnknownRevision("HEAD has no commits yet")
        described = _DESCRIBED.match(name)
        short = described[1] if described else name
        if _SHORT.match(short):
            return self._abbreviated(short.lower(), wanted)
        raise self._unknown(name, spec)

    def _dwim(self, name: str) -> tuple[str, bytes | None]:
        """Return (full name, oid) by the rules of gitrevisions(7)."""
        found = [
            (full, oid)
            for full in (rule.format(name) for rule in _RULES)
            if is_ref_name(full) and (oid := self._refs.resolve(full)) is not None
        ]
        if not found:
            return "", None
        first, oid = found[0]
        other = next((full for full, value in found[1:] if value != oid), None)
        if other is None and _SHORT.match(name):
            others = (each.hex() for each in self._objects.candidates(name.lower()) if each != oid)
            other = next(others, None)
        if other is not None:
            self._refs.warn_once(f"{name} is ambiguous: {first} is taken, but it may stand for {other} as well")
        return first, oid

    def _unknown(self, name: str, spec: str) -> UnknownRevision:
        from envgit.suggestion import nearest_few  # only what is wrong needs it

        known = [
            full.split("/", 2)[2]
            for full, _ in self._refs.iter_refs()
            if full.startswith(("refs/heads/", "refs/tags/"))
        ]
        near = nearest_few(name, known)
        what = f"there is no revision {name}" + (f" (in {spec})" if name != spec else "")
        if near:
            return UnknownRevision(what, hint="did you mean " + " or ".join(near) + "?")
        return UnknownRevision(what, hint="envgit branch and envgit tag list what there is")

    def _abbreviated(self, prefix: str, wanted: str | None) -> bytes:
        found = self._objects.candidates(prefix)
        if len(found) > 1 and wanted == "commit":
            commits = [oid for oid in found if self._objects.read(oid)[0] in ("commit", "tag")]
            found = commits if len(commits) == 1 else found
        if not found:
            raise UnknownRevision(f"there is no revision {prefix}")
        if len(found) > 1:
            ids = tuple(oid.hex() for oid in found)
            lines = ", ".join(self._describe(oid) for oid in found[:10])
            raise AmbiguousRevision(f"{prefix} is ambiguous", candidates=ids, hint=f"it may be: {lines}")
        return found[0]

    def _describe(self, oid: bytes) -> str:
        type, data = self._objects.read(oid)
        short = self._objects.abbreviate(oid.hex())
        if type == "commit":
            subject = parse_commit(data).message.partition(b"\n")[0].decode("utf-8", "backslashreplace")
            return f"{short} commit {subject!r}"
        return f"{short} {type}"

    def _step(self, oid: bytes, token: re.Match[str], spec: str) -> bytes:
        """Apply one of `^{...}`, `^N`, `~N`."""
        if token[1] is not None:
            kind = token[1]
            if kind.startswith("/"):
                return self._search(kind[1:], [_peel(self._objects, oid, "commit", spec)], spec)
            if kind == "object":
                return oid
            if kind and kind not in _TYPES:
                raise UnknownRevision(f"{spec!r} is not a revision: there is no type {kind!r}")
            return _peel(self._objects, oid, kind, spec)
        oid = _peel(self._objects, oid, "commit", spec)
        if token[2] is not None:
            number = int(token[2] or 1)
            return oid if number == 0 else self._parent(oid, number, spec)
        for _ in range(int(token[3] or 1)):
            oid = self._parent(oid, 1, spec)
        return oid

    def _parent(self, oid: bytes, number: int, spec: str) -> bytes:
        parents = visible_parents(self._objects, oid, parse_commit(self._objects.read(oid)[1]).parents)
        if number > len(parents):
            which = "no parent" if not parents else f"only {len(parents)} parent{'s' * (len(parents) > 1)}"
            message = f"there is no {spec}: {self._objects.abbreviate(oid.hex())} has {which}"
            raise _no_parent(self._objects, oid, message)
        return parents[number - 1]

    def _tips(self) -> list[bytes]:
        head = self._refs.read_head().oid
        tips = [oid for _, oid in self._refs.iter_refs()] + ([head] if head else [])
        found: list[bytes] = []
        for oid in tips:
            try:
                found.append(_peel(self._objects, oid, "commit", ""))
            except (UnknownRevision, CorruptObject):
                continue
        return found

    def _search(self, text: str, starts: list[bytes], spec: str) -> bytes:
        """Return the youngest commit whose message matches; `!-text`: does not match; `!!` is a literal `!`."""
        negative = text.startswith("!-")
        text = text[2:] if negative else text[1:] if text.startswith("!!") else text
        try:
            pattern = re.compile(text.encode("utf-8", "surrogateescape"), re.MULTILINE)
        except re.error as error:
            raise UsageError(f"{text!r} is not a regular expression: {error}") from None
        for oid in iter_commits(self._objects, starts):
            if bool(pattern.search(parse_commit(self._objects.read(oid)[1]).message)) != negative:
                return oid
        hint = f"history is cut short here; {GET_MORE}" if self._objects.shallow() else None
        raise UnknownRevision(f"no commit's message matches {spec}", hint=hint)

    def _reflog(self, base: str, inside: str, spec: str) -> tuple[str, bytes]:
        """Resolve `BASE@{inside}`: N-th value before, value at a date, branch before (`@{-N}`), upstream."""
        if re.fullmatch(r"-\d+", inside):
            name = previous_branch(self._refs.git_dir, int(inside[1:])) if not base else None
            if name is None:
                raise UnknownRevision(f"there is no {spec}: HEAD was not on so many branches")
            return name, self._name(name, "commit", spec)
        if inside.lower() in ("u", "upstream", "push"):
            return base, self._upstream(spec)
        if base in ("", "@"):
            full = (self._refs.read_head().symbolic or "HEAD") if not base else "HEAD"
            current = self._refs.resolve(full)
        else:
            full, current = self._dwim(base)
        if current is None:
            raise self._unknown(base or "HEAD", spec)
        return base, self._value_before(full, current, inside, spec)

    def _value_before(self, full: str, current: bytes, inside: str, spec: str) -> bytes:
        entries = read_reflog(self._refs.git_dir, full)
        shown = full.removeprefix("refs/heads/")
        if inside.isdigit() and len(inside) <= 8:
            number = int(inside)
            if number == 0:
                return current
            if number < len(entries):
                return entries[-1 - number].new
            if number == len(entries) and entries and entries[0].old != ZERO_OID:
                return entries[0].old
            raise UnknownRevision(f"there is no {spec}: the reflog of {shown} has only {len(entries)} entries")
        moment = parse_date(inside, int(time.time()))
        if not entries:
            raise UnknownRevision(f"there is no {spec}: {shown} has no reflog")
        for entry in reversed(entries):
            if entry.who.seconds <= moment:
                return entry.new
        return entries[0].old if entries[0].old != ZERO_OID else entries[0].new

    def _upstream(self, spec: str) -> bytes:
        import pygit2

        try:
            found = pygit2.Repository(self._refs.git_dir).revparse_single(spec)
        except (KeyError, ValueError, pygit2.GitError):
            raise UnknownRevision(f"there is no {spec}: the branch has no upstream") from None
        return bytes.fromhex(str(found.id))
