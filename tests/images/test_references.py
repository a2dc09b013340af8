"""How images are named: docker's grammar, and the transports of podman and skopeo."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.errors import EnvgitError, UsageError
from envgit.layers.sources import ImageSource, parse_source
from envgit.layers.sources.image_source import parse_image_name, parse_image_source

D = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("me/app", "docker.io/me/app:latest"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("docker.io/me/app:1", "docker.io/me/app:1"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app", "localhost:5000/app:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("quay.io/a/b/c:v1.2-3_4", "quay.io/a/b/c:v1.2-3_4"),
        ("reg:5000/a:1", "reg:5000/a:1"),
        ("Reg/a", "Reg/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("127.0.0.1/a", "127.0.0.1/a:latest"),
        ("a__b/c.d-e--f", "docker.io/a__b/c.d-e--f:latest"),
        (f"debian@{D}", f"docker.io/library/debian@{D}"),
        (f"quay.io/a:1@{D}", f"quay.io/a:1@{D}"),
    ],
)
def test_names(text: str, name: str) -> None:
    found = parse_image_name(text)
    tag = f":{found.tag}" if found.tag else ""
    digest = f"@{found.digest}" if found.digest else ""
    assert f"{found.repository}{tag}{digest}" == name
    assert parse_image_name(name) == found
    assert str(parse_source(f"docker://{text}")) == f"docker://{name}"


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "Debian", "debian:", "debian:a b", "debian:-x", "debian@", "debian@sha256:00", "debian@md5:" + "0" * 32, "a//b",
        "/a", "a/", "-a", "a-", "a..b", "a___b", "quay.io/", "quay.io/A", "host:99999/a", "host:/a", "a:b:c", "a b", "ä", "a\n",
        "a:" + "x" * 129, "x" * 300, "../a", "a/../b", "http://a/b", "-host.org/a", "a@b@" + D, "u:p@host/a", "a?b", "a#b", "a%2fb",
    ],
)  # fmt: skip
def test_names_that_are_none(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_image_name(text)
    assert caught.value.hint and caught.value.message.isascii() and "\n" not in caught.value.message


def test_a_name_in_capitals_is_corrected() -> None:
    with pytest.raises(UsageError) as caught:
        parse_image_name("quay.io/Me/App:1")
    assert caught.value.hint == "names are lower-case: me/app"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("oci:dir", ImageSource("oci", "dir")),
        ("oci:dir:tag", ImageSource("oci", "dir", "tag")),
        ("oci:/a/dir:docker.io/x:latest", ImageSource("oci", "/a/dir", "docker.io/x:latest")),
        (f"oci:dir@{D}", ImageSource("oci", "dir", digest=D)),
        (f"oci:dir:tag@{D}", ImageSource("oci", "dir", "tag", D)),
        ("oci:a@b:c", ImageSource("oci", "a@b", "c")),
        ("oci:dir:@3", ImageSource("oci", "dir", index=3)),
        ("oci-archive:f.tar:1", ImageSource("oci-archive", "f.tar", "1")),
        ("docker-archive:f.tar", ImageSource("docker-archive", "f.tar")),
        ("docker-archive:f.tar:debian:12", ImageSource("docker-archive", "f.tar", "docker.io/library/debian:12")),
        ("docker-archive:f.tar:debian", ImageSource("docker-archive", "f.tar", "docker.io/library/debian:latest")),
        ("docker-archive:f.tar:@0", ImageSource("docker-archive", "f.tar", index=0)),
        ("docker://quay.io/a:1", ImageSource("docker", "quay.io/a", "1")),
    ],
)
def test_transports(text: str, source: ImageSource) -> None:
    assert parse_source(text) == parse_image_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("oci:", "oci:PATH"),
        ("oci::tag", "oci:PATH"),
        ("oci:a\0b", "oci:PATH"),
        ("oci:dir:a\nb", "oci:PATH"),
        ("oci:dir:@x", ":@0"),
        ("oci:dir:@-1", ":@0"),
        ("oci:dir:@99999999", ":@0"),
        ("oci:dir@sha256:00", "@sha256:"),
        ("oci-archive:", "oci-archive:PATH"),
        ("docker-archive:f:Debian", "lower-case"),
        (f"docker-archive:f:a@{D}", "docker-archive:FILE:NAME:TAG"),
        ("docker:debian", "docker://debian"),
        ("docker:/debian", "docker://debian"),
        ("docker://", "docker://NAME"),
        ("docker:", "docker://NAME"),
        ("docker-daemon:debian:12", "docker save"),
        ("containers-storage:debian", "podman save"),
        ("https://example.org/a", "docker://HOST/NAME"),
    ],
)
def test_transports_that_are_none(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert hint in (caught.value.hint or "")


@settings(database=None)
@given(st.text(), st.sampled_from(["docker://", "oci:", "oci-archive:", "docker-archive:", "docker:", ""]))
def test_any_text_is_a_source_or_an_error(text: str, prefix: str) -> None:
    try:
        source = parse_image_source(prefix + text)
    except EnvgitError as error:
        assert error.hint
    else:
        assert parse_image_source(str(source)) == source
