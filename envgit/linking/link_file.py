"""`.envgit-commit`: the small text in the code's repository that says which environment the code was linked to.

Lines of a word and a value; a line that begins with # says nothing, and one with another word is for later versions. The file comes
with the code, so from anybody: it can name a commit of the user's own repository and nothing else.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from envgit.errors import InvalidName, UsageError
from envgit.store.oid import parse_oid
from envgit.store.ref_names import check_branch_name

LINK_NAME = ".envgit-commit"
MOST_BYTES = 4096
_COMMENT = "# The environment of this code. `envgit link` writes it; `envgit run --at COMMIT` runs what is in here at COMMIT.\n"


class LinkFile(NamedTuple):
    """`commit` and its `tree` (root, configuration, declaration), 40 hexadecimal digits each; `branch`: "" of a detached HEAD."""

    commit: str
    tree: str
    branch: str = ""


def format_link(link: LinkFile) -> bytes:
    """Return the text; parse_link() gives back an equal value."""
    lines = [f"commit {link.commit}\n", f"tree {link.tree}\n"]
    if link.branch:
        lines.append(f"branch {link.branch}\n")
    return os.fsencode(_COMMENT + "".join(lines))


def parse_link(text: bytes, where: str) -> LinkFile:
    """Parse the text. Raises UsageError that names `where` and the line."""
    values: dict[str, str] = {}
    if len(text) > MOST_BYTES:
        raise UsageError(f"{where} has more than {MOST_BYTES} bytes", hint="write it anew: envgit link")
    for number, line in enumerate(os.fsdecode(text).split("\n"), 1):
        line = line.removesuffix("\r")
        word, _, value = line.partition(" ")
        if line.startswith(("<<<<<<<", "=======", ">>>>>>>", "|||||||")):
            raise UsageError(
                f"{where}:{number}: two links are in conflict, and the merge is not finished",
                hint=f"take one, git checkout --ours {LINK_NAME} (or --theirs), or write it anew: envgit link",
            )
        if not line.strip() or line.startswith("#"):
            continue
        try:
            if word in ("commit", "tree"):
                parse_oid(value)
            elif word == "branch":
                check_branch_name(value)
        except InvalidName as error:
            raise UsageError(f"{where}:{number}: {error.message}", hint="write it anew: envgit link") from None
        if word in values:
            raise UsageError(f"{where}:{number}: {word!r} is there twice", hint="write it anew: envgit link")
        values[word] = value
    if "commit" not in values or "tree" not in values:
        raise UsageError(f"{where} names no commit and tree", hint="write it anew: envgit link")
    return LinkFile(values["commit"], values["tree"], values.get("branch", ""))


def read_link_text(path: str) -> bytes | None:
    """Return the bytes of the file, at most one more than allowed; None without one. Raises UsageError for what is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise UsageError(f"{path} is no regular file", hint="remove it; envgit link writes it")
            return os.read(fd, MOST_BYTES + 1)
        finally:
            os.close(fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="remove it; envgit link writes it") from error
