"""What is checked before anything in a repository's folder is believed: its owner and the features it requires."""

from __future__ import annotations

import os
from collections.abc import Collection

from envgit.errors import NotARepository, StorageError, UnsupportedRepository
from envgit.store import storage

FORMAT_FEATURE = "envgit-format-1"
_HIDE_OWN_REFS = b"\thideRefs = refs/envgit\n"
KNOWN_FEATURES = frozenset({FORMAT_FEATURE})


def check_repository(git_dir: str, *, trusted_uids: Collection[int] = ()) -> None:
    """Check that a folder is a repository that may be used. Raises NotARepository; UnsupportedRepository for
    features that are not known and owners that are not trusted.

    Its folder must belong to the caller or to one of `trusted_uids`: configuration and refs of somebody else's
    repository would be believed (CVE-2022-24765).
    """
    try:
        status = os.stat(git_dir)
        with open(git_dir + "/requires", "rb") as file:
            features = os.fsdecode(file.read(65536)).split("\n")
    except (FileNotFoundError, NotADirectoryError):
        raise NotARepository(f"{git_dir} is not an envgit repository", hint="create one with 'envgit init'") from None
    except OSError as error:
        hint = "check who owns it; a repository belongs to the user that created it"
        raise StorageError(f"cannot open {git_dir}: {error.strerror}", hint=hint) from error
    check_owner(git_dir, status.st_uid, trusted_uids)
    unknown = [feature for feature in features if feature and feature not in KNOWN_FEATURES]
    if unknown or FORMAT_FEATURE not in features:
        what = ", ".join(repr(feature) for feature in unknown) or f"(no {FORMAT_FEATURE})"
        raise UnsupportedRepository(
            f"{git_dir} requires {what}, which this version does not know", hint="use a newer envgit"
        )


def check_owner(git_dir: str, uid: int, trusted_uids: Collection[int] = ()) -> None:
    """Raise UnsupportedRepository unless a folder of this owner may be believed."""
    if uid != os.geteuid() and uid not in trusted_uids:
        raise UnsupportedRepository(
            f"{git_dir} belongs to user {uid}, not to you (user {os.geteuid()})",
            hint=f"work as that user, or take it over: chown -R {os.geteuid()} {git_dir}",
        )


def is_bare_clone(git_dir: str) -> bool:
    """Say whether a folder is a bare git repository that no envgit has written to yet."""
    if os.path.lexists(git_dir + "/requires"):
        return False
    return all(os.path.exists(f"{git_dir}/{name}") for name in ("HEAD", "objects", "refs"))


def refuse_lazy(git_dir: str) -> None:
    """Raise UnsupportedRepository for a clone that lacks files on purpose (git clone --filter): git marks its packs."""
    try:
        names = os.listdir(git_dir + "/objects/pack")
    except OSError:
        return
    if any(name.endswith(".promisor") for name in names):
        raise UnsupportedRepository(
            f"{git_dir} is a partial clone: it lacks files, and this version needs them all",
            hint="clone it whole: envgit clone URL DIR; less history is possible: envgit clone --depth 1 URL DIR",
        )


def _hide_own_refs(git_dir: str) -> None:
    """Keep git from showing refs/envgit to others, and from taking orders about it (git-config(1), transfer.hideRefs)."""
    path = git_dir + "/config"
    try:
        with open(path, "rb") as file:
            text = file.read()
    except FileNotFoundError:
        text = b""
    except OSError as error:
        storage.fail("read", path, error)
    if _HIDE_OWN_REFS not in text:
        end = b"" if not text or text.endswith(b"\n") else b"\n"
        storage.write_file(path, text + end + b"[transfer]\n" + _HIDE_OWN_REFS, step="adopt-config")


def admit(git_dir: str) -> None:
    """Make a bare clone a repository of this format, durably. The caller checked what is in it."""
    _hide_own_refs(git_dir)
    storage.write_file(git_dir + "/.gitignore", b"*\n", step="adopt-file")
    try:
        os.chmod(git_dir, 0o700)
    except OSError as error:
        storage.fail("close to others", git_dir, error)
    storage.write_file(git_dir + "/requires", FORMAT_FEATURE.encode() + b"\n", step="adopt-requires")
