"""Locks: one spelling, a line for each package, and nothing else is taken for one."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.declaration.errors import DeclarationError
from envgit.declaration.lock_file import LockedEnvironment, LockedPackage, LockFile, format_lock, parse_lock

WEB = LockedEnvironment(
    "web",
    "debian:bookworm",
    "b" * 64,
    1700000000,
    "c" * 40,
    "d" * 40,
    "e" * 64,
    packages=(
        LockedPackage("pip", "flask", "3.0.3", hash="sha256:" + "1" * 64),
        LockedPackage("apt", "postgresql", "15+248", "all", "sha256:" + "2" * 64),
        LockedPackage("npm", "typescript", "5.4.5", hash="sha512-ab+/=="),
    ),
)
TEST = LockedEnvironment("a.b", "docker://x", "0" * 64, 0, "0" * 64, "1" * 64, "2" * 64, "sha256:" + "3" * 64)

TEXT = f"""\
# written by envgit build; do not edit
version = 1

[env."a.b"]
from = "docker://x"
digest = "sha256:{"3" * 64}"
base = "sha256:{"0" * 64}"
source_date_epoch = 0
commit = "{"0" * 64}"
tree = "{"1" * 64}"
root = "sha256:{"2" * 64}"

[env.web]
from = "debian:bookworm"
base = "sha256:{"b" * 64}"
source_date_epoch = 1700000000
commit = "{"c" * 40}"
tree = "{"d" * 40}"
root = "sha256:{"e" * 64}"
packages = [
  {{ manager = "apt", name = "postgresql", version = "15+248", architecture = "all", hash = "sha256:{"2" * 64}" }},
  {{ manager = "npm", name = "typescript", version = "5.4.5", hash = "sha512-ab+/==" }},
  {{ manager = "pip", name = "flask", version = "3.0.3", hash = "sha256:{"1" * 64}" }},
]
"""


def test_the_spelling() -> None:
    assert format_lock(LockFile((WEB, TEST))).decode() == TEXT
    assert parse_lock(TEXT.encode(), "envgit.lock") == LockFile((WEB, TEST)).sorted()
    assert format_lock(LockFile()) == b"# written by envgit build; do not edit\nversion = 1\n"


def test_replace_keeps_the_others() -> None:
    lock = LockFile((WEB, TEST)).replace(WEB._replace(source_date_epoch=5))
    assert [(each.name, each.source_date_epoch) for each in lock.environments] == [("a.b", 0), ("web", 5)]
    assert lock.find("web") == lock.environments[1]
    assert lock.find("x") is None
    assert LockFile().replace(WEB).find("web") is not None


HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=12)
HASHES = st.just("") | st.from_regex(r"[a-z0-9]{1,6}[:-][A-Za-z0-9+/=_-]{1,20}", fullmatch=True)
PACKAGES = st.builds(
    LockedPackage, st.sampled_from(["apt", "pip", "npm", "apk", "dnf"]), LINES, LINES, st.just("") | LINES, HASHES
)
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]{0,4}(\.[a-z]{2})?", fullmatch=True)
ENVIRONMENTS = st.builds(
    LockedEnvironment,
    NAMES,
    LINES,
    HEX,
    st.integers(0, 2**40),
    HEX.map(lambda digits: digits[:40]) | HEX,
    HEX.map(lambda digits: digits[:40]) | HEX,
    HEX,
    HASHES,
    st.lists(PACKAGES, max_size=5).map(tuple),
)
LOCKS = st.lists(ENVIRONMENTS, max_size=3, unique_by=lambda each: each.name).map(lambda each: LockFile(tuple(each)))


@settings(max_examples=80, deadline=None)
@given(LOCKS)
def test_law_parse_of_format_is_the_sorted_lock_and_format_of_that_the_same_text(lock: LockFile) -> None:
    text = format_lock(lock)
    assert parse_lock(text, "l") == lock.sorted()
    assert format_lock(lock.sorted()) == text
    packages = sum(len(set(each.packages)) for each in lock.environments)
    assert text.count(b"\n  { manager = ") == packages


def test_another_version_of_a_package_changes_one_line() -> None:
    newer = WEB._replace(
        packages=tuple(each._replace(version="9") if each.name == "flask" else each for each in WEB.packages)
    )
    lines = [set(format_lock(LockFile((each,))).splitlines()) for each in (WEB, newer)]
    assert len(lines[0] - lines[1]) == len(lines[1] - lines[0]) == 1


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (
            "version = 1",
            "version = 2",
            "envgit.lock: it is of version 2, and this envgit knows version 1",
            "newer envgit",
        ),
        ("version = 1", "", "envgit.lock: it is no lock of envgit", "envgit build"),
        ("version = 1", "version = true", "envgit.lock: it is no lock of envgit", "envgit build"),
        ("version = 1", 'version = "1"', "envgit.lock: it is no lock of envgit", "envgit build"),
        ("version = 1", "version = 1\nx = 1", "envgit.lock: unknown key 'x'", "envgit build"),
        ('"a.b"', '"a/b"', "envgit.lock:4:6: a key of [env] must be a name", "envgit build"),
        ('from = "docker', 'form = "docker', "envgit.lock:5:1: unknown key 'form'", "envgit build"),
        ('tree = "1', 'tree = "X', "envgit.lock:10:1: 'tree' must be an object id", "envgit build"),
        ('name = "flask", ', "", "envgit.lock:23:3: [[env.web.packages]] has no 'name'", "envgit build"),
        ('"15+248"', '"15\\n248"', "envgit.lock:21:43: 'version' must be a text on one line", "envgit build"),
        ("= 1700000000", "= -1", "envgit.lock:16:1: 'source_date_epoch' must be a whole number from 0", "envgit build"),
        ("[env.web]", "<<<<<<< HEAD\n[env.web]", "envgit.lock:13:1: this is the mark of a merge conflict", "one side"),
        ("[env.web]", "[env.web", "envgit.lock:13:9: not TOML", ""),
    ],
)
def test_what_is_no_lock(old: str, new: str, message: str, hint: str) -> None:
    assert old in TEXT
    with pytest.raises(DeclarationError) as caught:
        parse_lock(TEXT.replace(old, new).encode(), "envgit.lock")
    assert caught.value.message.startswith(message)
    assert hint in (caught.value.hint or "")


def test_a_lock_of_thousands_of_packages_is_read_soon() -> None:
    packages = tuple(LockedPackage("apt", f"package{n}", f"1:{n}", "amd64", f"sha256:{n:064x}") for n in range(5000))
    text = format_lock(LockFile((WEB._replace(packages=packages),)))
    start = time.perf_counter()
    lock = parse_lock(text, "envgit.lock")
    assert time.perf_counter() - start < 2
    assert len(lock.environments[0].packages) == 5000
