"""What the last failed step of a build left: a commit that no branch has."""

from __future__ import annotations

from envgit.building.landing import FAILED_REF
from envgit.errors import NegativeAnswer
from envgit.repo import Repository


def failed_revision(repo: Repository) -> str:
    """Return the revision of the state; raises NegativeAnswer when there is none."""
    if repo.refs.resolve(FAILED_REF) is None:
        raise NegativeAnswer(
            "no step of a build has failed since the last one that succeeded",
            hint="the environment itself: envgit shell",
        )
    return FAILED_REF
