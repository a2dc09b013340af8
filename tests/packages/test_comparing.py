"""Differences: what they are, and that what is the same is not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.packages.comparing import PackageChange, compare_packages, match_packages
from envgit.packages.package import WORD_MAX_CHARACTERS, MalformedRecord, Package, check_word
from envgit.packages.reading import DATABASES
from envgit.packages.summary import BODY_MAX_LINES, SUBJECT_MAX_CHARACTERS, change_text, summarise_changes

from .test_npm_conda import NPM, manifest
from .test_rpm import ndb, simple_header
from .views import MemoryView


def package(
    name: str, version: str, architecture: str | None = "amd64", place: bytes = b"p", manager: str = "dpkg"
) -> Package:
    return Package(manager, name, version, architecture, place)


def compare(old: dict[str, bytes], new: dict[str, bytes]) -> tuple[list[str], MemoryView, MemoryView, list[str]]:
    before, after = MemoryView(old), MemoryView(new)
    notices: list[str] = []
    changes = compare_packages(before, after, frozenset(DATABASES), notices.append)
    return [change_text(change) for change in changes], before, after, notices


def status(*versions: str) -> dict[str, bytes]:
    paragraphs = [
        f"Package: p{number}\nVersion: {version}\nArchitecture: all\n" for number, version in enumerate(versions)
    ]
    return {"var/lib/dpkg/status": "\n".join(paragraphs).encode()}


def dist(name: str, version: str, site: str = "opt/v/lib/python3.11/site-packages") -> dict[str, bytes]:
    return {f"{site}/{name}-{version}.dist-info/METADATA": f"Name: {name}\nVersion: {version}\n".encode()}


def test_dpkg() -> None:
    changes, *_ = compare(status("1", "2", "3"), status("1", "2.1"))
    assert changes == ["~ p1 2 -> 2.1", "- p2 3"]
    assert compare(status("1"), status("1"))[0] == []
    assert compare({}, status("1"))[0] == ["+ p0 1"]


def test_a_record_that_says_the_same_of_its_package_is_no_change() -> None:
    new = {"var/lib/dpkg/status": status("1")["var/lib/dpkg/status"] + b"Section: net\n"}
    assert compare(status("1"), new)[0] == []


def test_equal_directories_and_records_are_not_read() -> None:
    same = {**dist("flask", "3"), **dist("numpy", "1"), **NPM, **status("1")}
    changes, before, after, _ = compare({**same, **dist("six", "1")}, {**same, **dist("six", "2")})
    assert changes == ["~ six 1 -> 2"]
    assert len(before.read) == len(after.read) == 1
    assert not [path for path in after.listed if path.startswith(b"srv/shop/")]


def test_a_package_of_npm_that_did_not_change_is_not_read() -> None:
    new = {**NPM, "srv/shop/node_modules/left-pad/package.json": manifest("left-pad", "1.4.0")}
    changes, _, after, _ = compare(NPM, new)
    assert changes == ["~ left-pad 1.3.0 -> 1.4.0"]
    assert after.read == [b"srv/shop/node_modules/left-pad/package.json"]


def test_rpm() -> None:
    path = "usr/lib/sysimage/rpm/Packages.db"
    old = ndb(simple_header(b"kernel", b"5"), simple_header(b"kernel", b"6"), simple_header(b"bash"))
    new = ndb(simple_header(b"kernel", b"6"), simple_header(b"kernel", b"7"), simple_header(b"bash"))
    assert compare({path: old}, {path: new})[0] == ["~ kernel 5-2 -> 7-2"]


def test_a_database_that_moved_is_no_change() -> None:
    """Fedora 36 moved it below /usr and left a symbolic link."""
    old = MemoryView({"var/lib/rpm/Packages.db": ndb(simple_header(b"bash"), simple_header(b"zsh"))})
    data = ndb(simple_header(b"bash"), simple_header(b"zsh", b"9"))
    link = {"var/lib/rpm": "usr/lib/sysimage/rpm"}
    new = MemoryView({"usr/lib/sysimage/rpm/Packages.db": data}, links=link)
    for before, after, expected in ((old, new, "~ zsh 1-2 -> 9-2"), (new, old, "~ zsh 9-2 -> 1-2")):
        changes = compare_packages(before, after, frozenset(DATABASES), lambda _: None)
        assert [change_text(change) for change in changes] == [expected]
    same = MemoryView({"usr/lib/sysimage/rpm/Packages.db": old.files[b"var/lib/rpm/Packages.db"]}, links=link)
    assert compare_packages(old, same, frozenset(DATABASES), lambda _: None) == []


def test_notices_are_of_the_new_side() -> None:
    broken = dist("a", "1 x")
    assert len(compare({}, broken)[3]) == 1
    assert compare(broken, {})[3] == []
    assert compare(broken, broken)[3] == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([package("a", "1")], [package("a", "2")], ["~ a 1 -> 2"]),
        ([package("a", "1")], [package("a", "1", "all")], ["~ a 1 (amd64 -> all)"]),
        ([package("a", "1")], [package("a", "2"), package("a", "2", "i386")], ["~ a 1 -> 2", "+ a 2"]),
        (
            [package("a", "1"), package("a", "1", "i386")],
            [package("a", "2"), package("a", "1", "i386")],
            ["~ a 1 -> 2"],
        ),
        ([package("a", "1")], [package("a", "1", place=b"q")], []),
        (
            [package("a", "1", None, b"p", "pip")],
            [package("a", "1", None, b"q", "pip")],
            ["- a 1", "+ a 1"],
        ),
        ([package("a", "1")], [package("a", "1", manager="apk")], ["- a 1", "+ a 1"]),
        (
            [package("PyYAML", "5", None, manager="pip")],
            [package("pyyaml", "6", None, manager="pip")],
            ["~ pyyaml 5 -> 6"],
        ),
        (
            [package("a", "1"), package("a", "2")],
            [package("a", "3"), package("a", "4")],
            ["- a 1", "- a 2", "+ a 3", "+ a 4"],
        ),
        ([package("a", "1"), package("a", "1")], [package("a", "1")], ["- a 1"]),
    ],
)
def test_matching(old: list[Package], new: list[Package], expected: list[str]) -> None:
    assert sorted(map(change_text, match_packages(old, new))) == sorted(expected)


PACKAGES = st.lists(
    st.builds(
        package,
        st.sampled_from(["a", "b", "c-d", "C_d"]),
        st.sampled_from("123"),
        st.sampled_from(["amd64", "i386", None]),
        st.sampled_from([b"p", b"q"]),
        st.sampled_from(["dpkg", "pip"]),
    ),
    max_size=8,
)


@given(PACKAGES, PACKAGES)
def test_law_a_difference_turns_one_into_the_other(old: list[Package], new: list[Package]) -> None:
    changes = match_packages(old, new)

    def plain(packages: list[Package]) -> list[tuple[object, ...]]:
        return sorted(
            (*each[:3], each[3] or "", each.place if each.manager == "pip" else b"")
            for each in ([p._replace(name=p.folded_name) for p in packages])
        )

    result = plain(old)
    for change in changes:
        if change.old is not None:
            result.remove(plain([change.old])[0])
    result += plain([change.new for change in changes if change.new is not None])
    assert sorted(result, key=repr) == sorted(plain(new), key=repr)
    assert match_packages(old, old) == []


def added(*names: str, place: bytes = b"p") -> list[PackageChange]:
    return [PackageChange(None, package(name, "1.0", place=place)) for name in names]


def test_summary() -> None:
    assert summarise_changes([]) is None
    upgrade = PackageChange(package("openssl", "3.0.14"), package("openssl", "3.0.15"))
    gone = PackageChange(package("foo", "1.0"), None)
    assert summarise_changes([*added("numpy"), upgrade, gone]) == "+ numpy 1.0, ~ openssl 3.0.14 -> 3.0.15, - foo 1.0"
    assert summarise_changes([*added("x"), *added("x", place=b"q")]) == "+ x 1.0"


def test_a_long_summary_names_the_rest_in_the_body() -> None:
    message = summarise_changes(added(*(f"package{number:02}" for number in range(30))))
    assert message is not None
    subject, empty, *body = message.split("\n")
    assert subject == "+ package00 1.0, + package01 1.0, + package02 1.0, 27 more" and empty == ""
    assert len(body) == 30 and body[29] == "+ package29 1.0 (dpkg)"
    huge = summarise_changes(added(*(f"p{number}" for number in range(1000))))
    assert huge is not None and len(huge.split("\n")) == BODY_MAX_LINES + 3 and huge.endswith("\nand 800 more")


def test_names_that_do_not_fit_are_counted() -> None:
    changes = [*added("x" * 200), PackageChange(package("y" * 200, "1"), None)]
    message = summarise_changes(changes)
    assert message is not None and message.startswith("packages: 1 added, 1 removed\n\n+ xxx")


def test_a_package_that_is_called_more() -> None:
    assert summarise_changes(added("a", "more")) == "+ a 1.0, + more 1.0"


def test_control_the_summary_believes_names() -> None:
    """What keeps line ends out of messages is `check_word`, where packages are read."""
    message = summarise_changes(added("x\n\nEnvgit-Root: sha256:0"))
    assert message is not None and "\n\nEnvgit-Root: sha256:0" in message
    with pytest.raises(MalformedRecord):
        check_word("x\n\nEnvgit-Root: sha256:0", "name")


@given(st.text() | st.binary())
def test_law_a_word_is_printable(data: str | bytes) -> None:
    try:
        word = check_word(data, "name")
    except MalformedRecord as error:
        assert str(error).isprintable()
    else:
        assert word.isprintable() and len(word.split()) == 1 and 0 < len(word) <= WORD_MAX_CHARACTERS
        word.encode("utf-8")


def test_what_npm_puts_inside_comes_last() -> None:
    inner, outer = b"srv/node_modules/a/node_modules", b"srv/node_modules"
    assert summarise_changes([*added("inner", place=inner), *added("outer", place=outer)]) == "+ outer 1.0, + inner 1.0"


@given(st.lists(st.text("abc,-~+ more", min_size=1, max_size=40), min_size=1, max_size=40))
def test_law_a_subject_is_short_and_one_line(names: list[str]) -> None:
    message = summarise_changes(added(*names))
    assert message is not None
    subject, _, body = message.partition("\n\n")
    assert len(subject) <= SUBJECT_MAX_CHARACTERS and "\n" not in subject
    assert body or all(f"+ {name} 1.0" in subject for name in names)
