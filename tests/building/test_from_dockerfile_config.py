"""Instructions that only set the configuration."""

from __future__ import annotations

import pytest

from envgit.building.dockerfiles.paths import absolute_path, target_path
from envgit.building.unit import Copy, CopyItem
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig
from envgit.platforms import Platform, parse_platform, platform_of_machine, this_machine
from tests.building.dockerfile_recipes import config_of, refused, units_of

SH = ("/bin/sh", "-c")


def _of_everything() -> EnvironmentConfig:
    return EnvironmentConfig(
        env=(("A", "1"),),
        cmd=("cmd",),
        entrypoint=("entry",),
        working_dir="/base",
        user="base",
        extra={"Labels": {"a": "1"}, "ExposedPorts": {"1/tcp": {}}, "Volumes": {"/v": {}}, "Shell": ["/bin/ash", "-c"]},
    )


def test_what_is_not_set_stays() -> None:
    base = _of_everything()
    assert units_of("FROM debian", base) == []
    assert config_of("FROM debian\nENV B=2", base) == base._replace(env=(("A", "1"), ("B", "2")))


@pytest.mark.parametrize(
    ("lines", "cmd", "entrypoint"),
    [
        ("CMD a b", (*SH, "a b"), ()),
        ('CMD ["a", "b c"]', ("a", "b c"), ()),
        ("CMD []", (), ()),
        ("ENTRYPOINT a b", (), (*SH, "a b")),
        ('ENTRYPOINT ["a"]\nCMD ["b"]', ("b",), ("a",)),
        ('CMD ["b"]\nENTRYPOINT ["a"]', ("b",), ("a",)),
        ("ENTRYPOINT []", (), ()),
        ('SHELL ["/bin/bash", "-o", "pipefail", "-c"]\nCMD a | b', ("/bin/bash", "-o", "pipefail", "-c", "a | b"), ()),
        ('CMD a\nSHELL ["/bin/bash", "-c"]', (*SH, "a"), ()),
    ],
)
def test_commands(lines: str, cmd: tuple[str, ...], entrypoint: tuple[str, ...]) -> None:
    config = config_of(f"FROM debian\n{lines}")
    assert (config.cmd, config.entrypoint) == (cmd, entrypoint)


def test_an_entrypoint_takes_away_the_cmd_of_its_base_only() -> None:
    assert config_of('FROM debian\nENTRYPOINT ["e"]', _of_everything()).cmd == ()
    assert config_of('FROM debian\nCMD ["c"]\nENTRYPOINT ["e"]', _of_everything()).cmd == ("c",)
    assert config_of('FROM debian AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["e"]').cmd == ()
    assert config_of("FROM debian\nCMD x", _of_everything()).cmd == ("/bin/ash", "-c", "x")


def test_labels_and_ports_and_volumes_are_added_to_those_of_the_base() -> None:
    config = config_of("FROM debian\nLABEL b=2 a=3\nEXPOSE 80\nVOLUME /w\n", _of_everything())
    assert config.extra["Labels"] == {"a": "3", "b": "2"}
    assert config.extra["ExposedPorts"] == {"1/tcp": {}, "80/tcp": {}}
    assert config.extra["Volumes"] == {"/v": {}, "/w": {}}
    assert _of_everything().extra["Labels"] == {"a": "1"}


def test_a_base_whose_fields_are_of_other_types() -> None:
    """Anybody can have written its configuration."""
    odd = EnvironmentConfig(extra={"Labels": ["a"], "ExposedPorts": "80", "Volumes": 1, "Shell": [1]})
    config = config_of("FROM debian\nLABEL a=1\nEXPOSE 80\nVOLUME /w\nCMD x", odd)
    assert (config.extra["Labels"], config.extra["ExposedPorts"]) == ({"a": "1"}, {"80/tcp": {}})
    assert (config.extra["Volumes"], config.cmd) == ({"/w": {}}, (*SH, "x"))


@pytest.mark.parametrize(
    ("written", "ports"),
    [
        ("80", ["80/tcp"]),
        ("80 53/udp 1/SCTP", ["80/tcp", "53/udp", "1/sctp"]),
        ("8000-8002", ["8000/tcp", "8001/tcp", "8002/tcp"]),
        ("7000-7001/udp", ["7000/udp", "7001/udp"]),
        ("80 80/tcp", ["80/tcp"]),
        ("$MANY", ["1/tcp", "2/udp"]),
        ("8080:80", ["80/tcp"]),
        ("127.0.0.1:8080:80/tcp", ["80/tcp"]),
        ("[::1]:8080:80", ["80/tcp"]),
        ("0", ["0/tcp"]),
        ("65535", ["65535/tcp"]),
    ],
)
def test_ports(written: str, ports: list[str]) -> None:
    exposed = config_of(f"FROM debian\nARG MANY='1 2/udp'\nEXPOSE {written}").extra["ExposedPorts"]
    assert isinstance(exposed, dict)
    assert sorted(exposed) == sorted(ports)


@pytest.mark.parametrize("written", ["http", "80/icmp", "65536", "9-8", "-1", "80-", "1/tcp/udp", "\u0661", "9" * 400])
def test_what_is_no_port(written: str) -> None:
    refused(f"FROM debian\nEXPOSE {written}", 2, "port")


def test_other_fields() -> None:
    text = """
        FROM debian
        MAINTAINER A Name <a@example.org>
        USER app:staff
        STOPSIGNAL SIGRTMIN+3
        HEALTHCHECK --interval=1m --timeout=3s --start-period=500ms --retries=5 CMD ["check", "it"]
        SHELL ["/bin/bash", "-c"]
        VOLUME ["/a b", "/c"]
        ONBUILD RUN one
        ONBUILD COPY . /src
    """
    config = config_of(text)
    assert config.user == "app:staff"
    assert dict(config.extra) == {
        "Labels": {"org.opencontainers.image.authors": "A Name <a@example.org>"},
        "StopSignal": "SIGRTMIN+3",
        "Healthcheck": {
            "Test": ["CMD", "check", "it"],
            "Interval": 60_000_000_000,
            "Timeout": 3_000_000_000,
            "StartPeriod": 500_000_000,
            "Retries": 5,
        },
        "Shell": ["/bin/bash", "-c"],
        "Volumes": {"/a b": {}, "/c": {}},
        "OnBuild": ["RUN one", "COPY . /src"],
    }
    assert config_of("FROM debian\nHEALTHCHECK NONE").extra["Healthcheck"] == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("STOPSIGNAL SIGFOO", "no signal"),
        ("STOPSIGNAL 0", "no signal"),
        ("USER $NOBODY", "empty"),
        ("VOLUME $V", "empty"),
    ],
)
def test_values_that_make_no_sense(line: str, says: str) -> None:
    refused(f"FROM debian\n{line}", 2, says)


@pytest.mark.parametrize(
    ("base", "lines", "path"),
    [
        ("", "WORKDIR /a", "/a"),
        ("", "WORKDIR a", "/a"),
        ("/base", "WORKDIR a", "/base/a"),
        ("/base", "WORKDIR a\nWORKDIR b/../c", "/base/a/c"),
        ("/base", "WORKDIR ../../..", "/"),
        ("/base", "WORKDIR /a/", "/a"),
        ("/base", "WORKDIR //a//b", "/a/b"),
        ("/base", "WORKDIR $NOTHING", "/base"),
        ("/base", "WORKDIR /with space", "/with space"),
    ],
)
def test_working_directories(base: str, lines: str, path: str) -> None:
    assert config_of(f"FROM debian\n{lines}", EnvironmentConfig(working_dir=base)).working_dir == path


def test_a_working_directory_is_made_and_belongs_to_the_user() -> None:
    units = units_of("FROM debian\nWORKDIR /a\nUSER app:staff\nWORKDIR b\nWORKDIR /")
    assert [unit.action for unit in units] == [
        Copy((CopyItem("/a", directory=True),)),
        None,
        Copy((CopyItem("/a/b", owner="app:staff", directory=True),)),
        None,
    ]


def test_paths() -> None:
    assert absolute_path("", "a") == "/a"
    assert absolute_path("/w", "") == "/w"
    assert absolute_path("w", "../../a//b/.") == "/a/b"
    targets = {".": "/w/", "": "/w/", "a": "/w/a", "a/": "/w/a/", "a/.": "/w/a/", "/": "/", "..": "/", "/a/..": "/"}
    assert {path: target_path("/w", path) for path in targets} == targets


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("amd64", Platform("linux", "amd64")),
        ("Linux/X86_64", Platform("linux", "amd64")),
        ("linux/amd64/v1", Platform("linux", "amd64")),
        ("linux/amd64/v3", Platform("linux", "amd64", "v3")),
        ("aarch64", Platform("linux", "arm64")),
        ("linux/arm64/v8", Platform("linux", "arm64")),
        ("linux/arm", Platform("linux", "arm", "v7")),
        ("linux/arm/6", Platform("linux", "arm", "v6")),
        ("armv6l", Platform("linux", "arm", "v6")),
        ("armel", Platform("linux", "arm", "v6")),
        ("linux/armhf", Platform("linux", "arm", "v7")),
        ("windows/amd64", Platform("windows", "amd64")),
        ("i686", Platform("linux", "386")),
        ("linux/riscv64", Platform("linux", "riscv64")),
    ],
)
def test_platforms(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform
    assert parse_platform(str(platform)) == platform


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux amd64", "linux/amd64/", "linux/" + "x" * 65])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(UsageError, match="is not a platform"):
        parse_platform(text)


def test_one_word_is_a_system_or_an_architecture() -> None:
    assert parse_platform("linux") == this_machine()
    assert parse_platform("Windows") == this_machine()._replace(os="windows")
    assert platform_of_machine("aarch64") == Platform("linux", "arm64")
