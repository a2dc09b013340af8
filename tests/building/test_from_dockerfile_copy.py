"""COPY and ADD of a Dockerfile as items."""

from __future__ import annotations

import pytest

from envgit.building.unit import Context, CopyItem, SourceBase, StageBase
from envgit.model import EnvironmentConfig
from tests.building.dockerfile_recipes import last_copy, refused, refused_early

CONFIG = EnvironmentConfig(working_dir="/w")


@pytest.mark.parametrize(
    ("line", "items"),
    [
        ("COPY a /b", (CopyItem("/b", ("a",)),)),
        ("COPY a b c/ /d/", (CopyItem("/d/", ("a", "b", "c/")),)),
        ("COPY a b", (CopyItem("/w/b", ("a",)),)),
        ("COPY a .", (CopyItem("/w/", ("a",)),)),
        ("COPY a ./", (CopyItem("/w/", ("a",)),)),
        ("COPY a ../b/../c/", (CopyItem("/c/", ("a",)),)),
        ("COPY . /", (CopyItem("/", (".",)),)),
        ('COPY ["a b", "c d"]', (CopyItem("/w/c d", ("a b",)),)),
        ("COPY *.[ch] src/", (CopyItem("/w/src/", ("*.[ch]",)),)),
        (
            "COPY --chown=ann:staff --chmod=u=rwX,go= a /b",
            (CopyItem("/b", ("a",), owner="ann:staff", mode="u=rwX,go="),),
        ),
        ("COPY --exclude=*.o --exclude=t a /b", (CopyItem("/b", ("a",), exclude=("*.o", "t")),)),
        ("COPY --parents ./x/a ./y/b /p", (CopyItem("/p", ("./x/a", "./y/b"), parents=True),)),
        ("COPY --link a /b", (CopyItem("/b", ("a",)),)),
        ("COPY --from=one /a /b", (CopyItem("/b", ("/a",), StageBase(0)),)),
        ("COPY --from=0 /a /b", (CopyItem("/b", ("/a",), StageBase(0)),)),
        ("COPY --from=alpine:3 /a /b", (CopyItem("/b", ("/a",), SourceBase("docker://docker.io/library/alpine:3")),)),
        ("ADD a.tar /b", (CopyItem("/b", ("a.tar",), unpack=True),)),
        ("ADD --unpack=true a.tar /b", (CopyItem("/b", ("a.tar",), unpack=True),)),
        ("ADD --unpack=false a.tar /b", (CopyItem("/b", ("a.tar",)),)),
        ("ADD https://a/b.tar /b", (CopyItem("/b", ("https://a/b.tar",), unpack=True),)),
        (
            "ADD --unpack=false a.tar b.tar https://a/b /b/",
            (CopyItem("/b/", ("a.tar", "b.tar")), CopyItem("/b/", ("https://a/b",), unpack=True)),
        ),
        (
            f"ADD --checksum=sha256:{'a' * 64} https://a/$X /b",
            (CopyItem("/b", ("https://a/x",), unpack=True, checksum=f"sha256:{'a' * 64}"),),
        ),
        ("COPY <<f /d/\n$X 'q' \\$X\nf", (CopyItem("/d/", ("f",), content=b"x 'q' $X\n"),)),
        ("COPY <<'f' /d\n$X\nf", (CopyItem("/d", ("f",), content=b"$X\n"),)),
        ("COPY <<-f --chmod=755 /d\n\ta\n\tf", None),
        ("COPY --chmod=755 <<-f /d\n\ta\n\tf", (CopyItem("/d", ("f",), mode="755", content=b"a\n"),)),
        (
            "COPY a <<f <<g d/\n1\nf\n2\ng",
            (
                CopyItem("/w/d/", ("a",)),
                CopyItem("/w/d/", ("f",), content=b"1\n"),
                CopyItem("/w/d/", ("g",), content=b"2\n"),
            ),
        ),
        ("ADD <<f /d\n1\nf", (CopyItem("/d", ("f",), content=b"1\n"),)),
    ],
)
def test_items(line: str, items: tuple[CopyItem, ...] | None) -> None:
    text = f"FROM scratch AS one\nFROM debian\nARG X=x\n{line}\n"
    if items is None:
        refused(text, 4, "")
    else:
        assert last_copy(text, CONFIG) == items


def test_heredocs_are_no_files_of_the_stage_that_is_copied_from() -> None:
    items = last_copy("FROM scratch AS one\nFROM debian\nCOPY --from=one /a <<f /d/\n1\nf\n")
    assert [item.source for item in items] == [StageBase(0), Context()]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("COPY https://a/b /c", "COPY takes no URL"),
        ("ADD https://github.com/a/b.git /c", "git repository"),
        ("ADD https://github.com/a/b.git#main:sub /c", "git repository"),
        ("ADD git@github.com:a/b.git /c", "git repository"),
        ("ADD git://a/b /c", "git repository"),
    ],
)
def test_what_is_not_supported(line: str, says: str) -> None:
    refused_early(f"FROM debian\n\n{line}", 3, says)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("COPY $U /c", "COPY takes no URL"),
        ("COPY $NOTHING /c", "empty"),
        ("ADD --unpack=true $U /c", "--unpack=true"),
        (f"ADD --checksum=sha256:{'a' * 64} a /c", "--checksum is for a single URL"),
        (f"ADD --checksum=sha256:{'a' * 64} $U $U /c/", "--checksum is for a single URL"),
        ("COPY --chmod=0888 a /c", "--chmod=0888"),
        ("COPY --chmod=77777 a /c", "--chmod=77777"),
        ("COPY <<a <<b /c\n1\na\n2\nb", "is a directory: /c/"),
        ("COPY <<.. /c/\n1\n..", "no name for a file"),
    ],
)
def test_what_makes_no_sense(line: str, says: str) -> None:
    refused(f"FROM debian\nARG U=https://a/b\n{line}", 3, says)
