"""The git repository that the code is in, as its own git sees it: never through envgit's reader, because it may be of any kind
(linked work trees, submodules, SHA-256, partial clones)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import NamedTuple

from envgit.errors import UnknownRevision, UsageError
from envgit.linking.git_program import Answer, run_git
from envgit.linking.link_file import LINK_NAME, MOST_BYTES, LinkFile, parse_link, read_link_text

_ANCESTORS_TRIED = 50


class CodeRepository(NamedTuple):
    """`top`: the work tree's folder. `file`: the link file, relative to it. `project`: the folder that .envgit is in."""

    top: str
    file: str
    project: str
    environ: Mapping[str, str]

    @property
    def path(self) -> str:
        """The link file in the work tree."""
        return os.path.join(self.top, self.file)

    def git(self, *words: str) -> Answer:
        return run_git(self.top, words, self.environ)

    def find_head(self) -> str | None:
        """Return the commit that is checked out; None before the first one."""
        answer = self.git("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        return answer.line if answer.status == 0 else None

    def resolve(self, revision: str) -> str:
        """Return the commit id of a revision of the code. Raises UnknownRevision."""
        answer = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        if answer.status != 0 or not answer.line:
            raise UnknownRevision(
                f"the code in {self.top} has no revision {revision!r}", hint=f"git -C {self.top} log --oneline"
            )
        return answer.line

    def read_subject(self, oid: str) -> str:
        answer = self.git("show", "--no-patch", "--format=%s", oid)
        return answer.out.partition(b"\n")[0].decode("utf-8", "replace") if answer.status == 0 else ""

    def read_link_text_at(self, oid: str) -> bytes | None:
        """Return the link file's text in a commit of the code; None when it has none. Raises UsageError for what is no file."""
        answer = self.git("ls-tree", "-z", "--long", "--full-tree", oid, self.file)
        if answer.status != 0 and self.git("ls-tree", "-z", "--full-tree", oid, self.file).out:
            raise self._not_here(oid)  # only its size is not to be had
        if answer.status != 0:
            raise UsageError(f"git cannot read {oid[:7]} of the code: {answer.error}", hint=f"git -C {self.top} fsck")
        words = answer.out.partition(b"\t")[0].split()
        if not words:
            return None
        mode, kind, blob, size = (word.decode("ascii", "replace") for word in words)
        if kind == "blob" and size == "BAD":
            raise self._not_here(oid)
        if kind != "blob" or not mode.startswith("100") or int(size) > MOST_BYTES:
            raise UsageError(f"{self.file} at {oid[:7]} is no link file", hint="write it anew: envgit link")
        content = self.git("cat-file", "blob", blob)
        if content.status != 0:
            raise UsageError(f"git cannot read {self.file} at {oid[:7]}: {content.error}", hint="git fetch; git fsck")
        return content.out

    def _not_here(self, oid: str) -> UsageError:
        """Return the error for a partial clone, or a damaged one: nothing is fetched for a look."""
        return UsageError(
            f"{self.file} at {oid[:7]} is not here: {self.top} has the name of its content only",
            hint=f"a partial clone fetches it with: git -C {shlex.quote(self.top)} show {oid[:7]}:{shlex.quote(self.file)}",
        )

    def read_link_at(self, oid: str) -> LinkFile | None:
        """Return the link in a commit of the code; None when it has none. Raises UsageError."""
        text = self.read_link_text_at(oid)
        return None if text is None else parse_link(text, f"{self.file} at {oid[:7]}")

    def read_link(self) -> LinkFile | None:
        """Return the link in the work tree; None when there is none. Raises UsageError."""
        text = read_link_text(self.path)
        return None if text is None else parse_link(text, self.file)

    def nearest_linked(self, oid: str) -> str | None:
        """Return the nearest ancestor, by git's order, whose tree has a link."""
        words = ("--literal-pathspecs", "rev-list", f"--max-count={_ANCESTORS_TRIED}", oid, "--", self.file)
        for found in self.git(*words).out.decode("ascii", "replace").split():
            if self.read_link_text_at(found) is not None:
                return found
        return None

    def ignores_link(self) -> bool:
        """Say whether git would leave the file out: a rule ignores it, and it is not tracked."""
        return self.git("check-ignore", "--quiet", "--", self.file).status == 0

    def read_paths(self) -> tuple[str, str, str]:
        """Return git's folder of this work tree, the one that all of them share, and the one of hooks."""
        words = ("--git-dir", "--git-common-dir", "--git-path", "hooks")
        answer = self.git("rev-parse", "--path-format=absolute", *words)
        lines = os.fsdecode(answer.out).splitlines()
        if answer.status != 0 or len(lines) != 3:
            raise UsageError(
                f"git does not say where its folders are: {answer.error}", hint="git 2.31 or newer is needed"
            )
        return lines[0], lines[1], lines[2]


def open_code_repository(place: str, project: str, environ: Mapping[str, str]) -> CodeRepository:
    """Return the repository in whose work tree the folder `place` lies. Raises UsageError.

    The link file lies beside .envgit where that is in the work tree, else at its top.
    """
    answer = run_git(place, ("rev-parse", "--show-toplevel"), environ)
    if answer.status == 0 and answer.line:
        return _make(answer.line, project, environ)
    reason, *more = answer.error.split("\n")
    reason = reason.removeprefix("fatal: ")
    advice = next((line.strip() for line in more if "safe.directory" in line), None)
    if advice is not None:
        raise UsageError(f"git does not open {place}: {reason}", hint=advice)
    raise UsageError(
        f"{place} is not in the work tree of a git repository: {reason}",
        hint="make one: git init; or name the folder of the code: envgit link --code DIR",
    )


def _make(top: str, project: str, environ: Mapping[str, str]) -> CodeRepository:
    relative = os.path.relpath(os.path.realpath(project), os.path.realpath(top))
    inside = relative != os.pardir and not relative.startswith(os.pardir + os.sep)
    file = os.path.normpath(os.path.join(relative, LINK_NAME)) if inside else LINK_NAME
    return CodeRepository(top, file, project, environ)
