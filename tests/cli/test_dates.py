"""Dates look as git prints them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from envgit.cli.dates import check_date_format, format_date, relative_date
from envgit.errors import UsageError

STYLES = ["default", "iso", "iso-strict", "rfc", "short", "raw", "unix", "format:%Y/%m/%d"]


@pytest.fixture(scope="module")
def git_dates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dates")
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("seconds", "offset"), [(1_700_000_003, "+0000"), (1_709_164_800, "-0730"), (86_400, "+1245")])
def test_formats(style: str, seconds: int, offset: str, git_dates: Path) -> None:
    environment = {**os.environ, "GIT_AUTHOR_DATE": f"@{seconds} {offset}", "GIT_AUTHOR_NAME": "a"}
    environment |= {"GIT_AUTHOR_EMAIL": "a", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a"}

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=git_dates, env=environment, check=True, capture_output=True)
        return done.stdout.decode().rstrip("\n")

    commit = git("commit-tree", git("write-tree"), "-m", "x")
    expected = git("show", "-s", "--format=%ad", f"--date={style}", commit)
    if expected.endswith("Z"):  # git >= 2.45
        expected = expected.removesuffix("Z") + "+00:00"
    assert format_date(seconds, offset, style, 0) == expected


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (1, "1 second ago"),
        (89, "89 seconds ago"),
        (90, "2 minutes ago"),
        (3600 * 3, "3 hours ago"),
        (86400 * 3, "3 days ago"),
        (86400 * 21, "3 weeks ago"),
        (86400 * 100, "3 months ago"),
        (86400 * 366, "1 year ago"),
        (86400 * 430, "1 year, 2 months ago"),
        (86400 * 365 * 7, "7 years ago"),
    ],
)
def test_relative(passed: int, text: str) -> None:
    assert relative_date(1000, 1000 + passed) == text


def test_unknown_style() -> None:
    with pytest.raises(UsageError):
        check_date_format("someday")
