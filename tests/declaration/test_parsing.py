"""Good declarations: every form, every value, and where each is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.declaration.errors import DeclarationError
from envgit.declaration.parsing import parse
from envgit.declaration.values import BaseOptions, Config, FileEntry, Package, Place, Sandbox, Step, Variable
from tests.declaration.examples import BASE, WHOLE, only, read


def at(line: int, column: int) -> Place:
    """Return a place in the file."""
    return Place("envgit.toml", line, column)


def test_the_base() -> None:
    environment = only(WHOLE)
    assert (environment.name, environment.place) == ("web", at(2, 2))
    assert (environment.source, environment.source_place) == ("debian:bookworm", at(4, 1))
    assert environment.options == BaseOptions(
        "linux/amd64",
        "https://deb.example/debian",
        "20240701T000000Z",
        "minbase",
        ("main", "contrib"),
        ("ca-certificates",),
    )
    assert environment.extends == ""
    assert read(WHOLE).default == "web"
    assert read(WHOLE).text == WHOLE.encode()


def test_packages_come_in_the_order_of_managers() -> None:
    assert only(WHOLE).packages == (
        Package("apt", "postgresql", "", "postgresql", at(15, 5)),
        Package("apt", "curl", "=7.*", "curl=7.*", at(16, 5)),
        Package("pip", "flask", "==3.*", "Flask==3.*", at(13, 8)),
        Package("pip", "uvicorn", "[standard]>=0.30,<1", "uvicorn[standard]>=0.30,<1", at(13, 22)),
        Package("npm", "@angular/cli", "@^17", "@angular/cli@^17", at(18, 8)),
        Package("npm", "typescript", "", "typescript", at(18, 28)),
    )


def test_files() -> None:
    assert only(WHOLE).files == (
        FileEntry("/etc/app.conf", at(21, 1), ("conf/app.conf",), None, "0644", "root:root"),
        FileEntry("/srv/app/", at(22, 1), ("src", "./lib/*.py")),
        FileEntry("/etc/motd", at(23, 1), (), "hello\n"),
    )


def test_steps() -> None:
    assert only(WHOLE).steps == (
        Step(
            "make && make install",
            at(25, 3),
            "compile",
            "private",
            (Variable("CC", "gcc", at(29, 9)),),
            "/srv/app",
            "build:build",
            ("src/**", "!src/tmp"),
            ("token",),
            ("/root/.cache",),
        ),
        Step(("ldconfig", "-v"), at(36, 3), network="none", user="1000"),
    )


def test_config() -> None:
    config = only(WHOLE).config
    assert config is not None
    assert config._replace(places={}) == Config(
        (Variable("LANG", "C.UTF-8", at(42, 5)), Variable("PATH", "/srv/app/bin:/usr/bin", at(43, 5))),
        "/srv/app",
        "www-data",
        ("gunicorn", "app:app"),
        'exec tini -- "$@"',
        ("8080/tcp", "53/udp", "9000/tcp", "9001/tcp", "9002/tcp"),
        ("/var/lib/postgresql",),
        (Variable("org.example.team", "web", at(50, 12)),),
        "SIGINT",
        at(41, 2),
    )
    assert config.places["ports"] == at(48, 1)


def test_sandbox() -> None:
    sandbox = only(WHOLE).sandbox
    assert sandbox is not None
    assert sandbox._replace(places={}) == Sandbox(
        network="none",
        publish=("8080", "127.0.0.1:53:53/udp"),
        memory="512m",
        cpus="1.5",
        pids_limit="200",
        mount=("type=bind,src=.,dst=/src",),
        cap_add=("NET_ADMIN",),
        read_only=True,
        place=at(53, 2),
    )
    assert set(sandbox.places) == {
        "network",
        "publish",
        "memory",
        "cpus",
        "pids_limit",
        "mount",
        "cap_add",
        "read_only",
    }


def test_the_name_is_default_when_none_is_said() -> None:
    assert only('[env]\nfrom = "host"').name == "default"
    assert only('env.from = "host"').name == "default"
    assert only("[env]").source == ""
    assert only('packages.apt = ["a"]').packages[0].name == "a"


def test_named_environments() -> None:
    declaration = read(
        """
[env.web]
from = "host"
[env.web.packages]
apt = ["a"]
[[env.web.step]]
run = "x"
[[env.web.step]]
run = "y"
[env.test]
extends = "web"
config = { env = { A = "1" }, command = [] }
[env.test.files."/etc/x"]
content = ""
"""
    )
    web, test = declaration.environments
    assert declaration.default == ""
    assert (web.name, web.place, [step.place.line for step in web.steps]) == ("web", at(2, 6), [6, 8])
    assert web.packages == (Package("apt", "a", "", "a", at(5, 8)),)
    assert (test.extends, test.extends_place) == ("web", at(11, 1))
    assert test.config is not None and test.config.command == () and test.config.env[0].place == at(12, 20)
    assert test.files == (FileEntry("/etc/x", at(13, 17), (), ""),)


def test_an_environment_at_top_level_beside_named_ones() -> None:
    declaration = read(BASE + '[packages]\napt = ["a"]\n[env.test]\nextends = "default"\npackages.apt = ["b"]\n')
    assert [each.name for each in declaration.environments] == ["default", "test"]
    assert declaration.default == "default"
    assert [each.packages[0].name for each in declaration.environments] == ["a", "b"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "\n\n"])
def test_a_file_without_environments(text: str) -> None:
    assert read(text).environments == ()


@pytest.mark.parametrize("name", ["web", "a.b-c_1", "0", "Web", "toml", "lock", "x.tomlx"])
def test_names(name: str) -> None:
    assert read(f'[env."{name}"]\nfrom = "host"').environments[0].name == name


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("user = 0", "user", "0"),
        ('workdir = "/"', "workdir", "/"),
        ('workdir = "//a/./b/"', "workdir", "/a/b"),
        ("command = []", "command", ()),
        ('command = ["", " "]', "command", ("", " ")),
        ('command = "a\\nb"', "command", "a\nb"),
        ('ports = ["80", 80, "79-80", "80/sctp"]', "ports", ("80/tcp", "79/tcp", "80/sctp")),
        ('stop_signal = "RTMIN+3"', "stop_signal", "RTMIN+3"),
        ("stop_signal = 9", "stop_signal", "9"),
        ("volumes = []", "volumes", ()),
    ],
)
def test_values_of_config(line: str, field: str, value: object) -> None:
    config = only(f"{BASE}[config]\n{line}").config
    assert config is not None and getattr(config, field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("network = true", "network", "private"),
        ("memory = 536870912", "memory", "536870912"),
        ('memory = "1.5g"', "memory", "1.5g"),
        ("memory_swap = -1", "memory_swap", "-1"),
        ("cpus = 2", "cpus", "2"),
        ("cpus = 0.00001", "cpus", "0.000010000"),
        ('cpus = "0.5"', "cpus", "0.5"),
        ("pids_limit = -1", "pids_limit", "-1"),
        ('tmpfs = ["/x:size=1m"]', "tmpfs", ("/x:size=1m",)),
        ("publish_all = true", "publish_all", True),
    ],
)
def test_values_of_sandbox(line: str, field: str, value: object) -> None:
    sandbox = only(f"{BASE}[sandbox]\n{line}").sandbox
    assert sandbox is not None and getattr(sandbox, field) == value


@pytest.mark.parametrize(
    ("manager", "text", "name", "constraint"),
    [
        ("apt", "g++", "g++", ""),
        ("apt", "libc6:i386=2.36*", "libc6:i386", "=2.36*"),
        ("apt", "git/bookworm-backports", "git", "/bookworm-backports"),
        ("apt", "a=1:2.3~rc1+dfsg-1", "a", "=1:2.3~rc1+dfsg-1"),
        ("apk", "py3-pip~24", "py3-pip", "~24"),
        ("apk", "curl>=8", "curl", ">=8"),
        ("apk", "x@edge", "x", "@edge"),
        ("dnf", "@development-tools", "@development-tools", ""),
        ("dnf", "curl=8.*", "curl", "=8.*"),
        ("pip", "Zope.Interface", "zope-interface", ""),
        ("pip", "a_b--c == 1", "a-b-c", "== 1"),
        ("pip", 'x; python_version < "3.12"', "x", '; python_version < "3.12"'),
        ("pip", "x @ https://example.org/x.whl", "x", "@ https://example.org/x.whl"),
        ("npm", "left-pad@>=1 <2", "left-pad", "@>=1 <2"),
        ("npm", "@a/b", "@a/b", ""),
    ],
)
def test_packages(manager: str, text: str, name: str, constraint: str) -> None:
    (package,) = only(f"{BASE}[packages]\n{manager} = ['{text}']").packages
    assert (package.manager, package.name, package.constraint, package.text) == (manager, name, constraint, text)


def test_line_ends_of_dos_and_a_byte_order_mark_change_nothing() -> None:
    plain = parse(WHOLE.encode(), "envgit.toml")
    other = parse(b"\xef\xbb\xbf" + WHOLE.replace("\n", "\r\n").encode(), "envgit.toml")
    assert other.environments == plain.environments


PIECES = st.sampled_from(
    [*WHOLE, *WHOLE.split("\n"), "[env.a]", '"""', "'", "{", "}", "[", "]", "=", "\\", "\0", "é", "\r\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_law_any_text_parses_or_is_an_error_with_a_place(data: st.DataObject) -> None:
    text = WHOLE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 40, len(text))))
        text = text[:start] + "".join(data.draw(st.lists(PIECES, max_size=3))) + text[end:]
    try:
        read(text)
    except DeclarationError as error:
        assert error.message.startswith("envgit.toml:")
        assert 1 <= error.place.line <= text.count("\n") + 1
        assert "\n" not in error.message


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_law_any_bytes_parse_or_are_an_error(data: bytes) -> None:
    try:
        read(data)
    except DeclarationError as error:
        assert error.message.startswith("envgit.toml:")
