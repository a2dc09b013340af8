"""What is checked before anything in a repository's folder is believed: its owner and the features it requires."""

from __future__ import annotations

import os
from collections.abc import Collection

from envgit.errors import NotARepository, StorageError, UnsupportedRepository

FORMAT_FEATURE = "envgit-format-1"
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
    if status.st_uid != os.geteuid() and status.st_uid not in trusted_uids:
        raise UnsupportedRepository(
            f"{git_dir} belongs to user {status.st_uid}, not to you (user {os.geteuid()})",
            hint=f"work as that user, or take it over: chown -R {os.geteuid()} {git_dir}",
        )
    unknown = [feature for feature in features if feature and feature not in KNOWN_FEATURES]
    if unknown or FORMAT_FEATURE not in features:
        what = ", ".join(repr(feature) for feature in unknown) or f"(no {FORMAT_FEATURE})"
        raise UnsupportedRepository(
            f"{git_dir} requires {what}, which this version does not know", hint="use a newer envgit"
        )
