"""What is searched, what is not, and how much of a tree is read."""

from __future__ import annotations

from envgit.packages import finding

from .test_pip import METADATA
from .views import MemoryView, packages_of, words


def site(prefix: str) -> str:
    return f"{prefix}/lib/python3.11/site-packages/flask-3.0.2.dist-info/METADATA"


def test_only_what_can_hold_packages_is_listed() -> None:
    files = {f"usr/share/doc/p{number}/copyright": b"" for number in range(50)}
    files |= {f"usr/lib/x86_64-linux-gnu/lib{number}/a/b": b"" for number in range(50)}
    files |= {f"var/lib/apt/lists/d{number}/x": b"" for number in range(50)}
    files |= {f"etc/d{number}/x": b"" for number in range(50)}
    files |= {site("usr"): METADATA, "var/lib/dpkg/status": b"Package: a\nVersion: 1\n"}
    view = MemoryView(files)
    packages, _ = packages_of(view)
    assert words(packages) == ["a 1", "Flask 3.0.2"]
    assert len(view.listed) < 40
    assert not [
        path for path in view.listed if path.startswith((b"usr/share/doc/", b"usr/lib/x86", b"etc/", b"var/lib/apt"))
    ]
    assert sorted(view.read) == [site("usr").encode(), b"var/lib/dpkg/status"]


def test_one_manager_costs_one_manager() -> None:
    view = MemoryView(
        {site("usr"): METADATA, site("opt/app"): METADATA, "var/lib/dpkg/status": b"Package: a\nVersion: 1\n"}
    )
    packages, _ = packages_of(view, "dpkg")
    assert words(packages) == ["a 1"]
    assert not [path for path in view.listed if path.startswith(b"opt")]


def test_depth_and_number_are_limited() -> None:
    near, deep = site("srv/a/b/c/d/e/f"), site("srv/a/b/c/d/e/f/g")
    packages, notices = packages_of(MemoryView({near: METADATA, deep: METADATA}))
    assert (len(packages), notices) == (1, [])
    many = {f"srv/d{number}/x": b"" for number in range(finding.MOST_DIRECTORIES + 10)}
    packages, notices = packages_of(MemoryView({**many, site("opt/near"): METADATA}), "pip")
    assert len(packages) == 1 and len(notices) == 1 and "1,500 directories" in notices[0]


def test_symbolic_links_are_no_second_place_and_no_trap() -> None:
    files = {site("opt/app"): METADATA}
    links = {"opt/app/lib64": "opt/app/lib", "opt/current": "opt/app", "opt/app/loop": "opt", "srv": "opt"}
    packages, _ = packages_of(MemoryView(files, links=links))
    assert len(packages) == 1
