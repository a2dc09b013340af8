"""`extends`: what wins, whose paths, and what is refused."""

from __future__ import annotations

import pytest

from envgit.declaration.errors import DeclarationError
from envgit.declaration.merging import resolve
from envgit.declaration.values import BaseOptions, Environment, Place
from envgit.errors import UnknownPath
from tests.declaration.examples import BASE, WHOLE, read


def merged(files: dict[str, str] | str, name: str = "", main: str = "envgit.toml") -> Environment:
    """Return a merged environment; `files` by path, the main one first, or just that."""
    texts = {main: files} if isinstance(files, str) else files

    def open_file(path: str) -> bytes:
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return texts[path].encode()

    return resolve(read(texts[main], main), name, open_file)


def refused(files: dict[str, str] | str, name: str = "", main: str = "envgit.toml") -> tuple[str, str]:
    """Return message and hint of the error."""
    with pytest.raises(DeclarationError) as caught:
        merged(files, name, main)
    assert "\n" not in caught.value.message
    return caught.value.message, caught.value.hint or ""


PAIR = """
[env]
name = "web"
from = "debian:bookworm"
variant = "minbase"
include = ["git"]
[packages]
apt = ["a", "b=1"]
pip = ["x"]
[files]
"/etc/a" = { content = "a" }
"/srv/" = { source = "srv" }
[[step]]
name = "one"
run = "1"
[config]
env = { A = "1", B = "2" }
workdir = "/w"
command = ["c"]
ports = [80]
labels.l = "1"
[sandbox]
network = false
cap_add = ["X"]
read_only = true
memory = "1g"

[env.test]
extends = "web"
platform = "linux/arm64"
include = ["curl"]
[env.test.packages]
apt = ["b=2", "c"]
npm = ["n"]
[env.test.files]
"/srv" = { source = "other" }
"/etc/b" = { content = "b" }
[[env.test.step]]
run = "2"
[env.test.config]
env = { B = "3", C = "4" }
command = []
user = "u"
ports = [80, 81]
labels.m = "2"
[env.test.sandbox]
cap_add = ["Y", "X"]
read_only = false
cpus = 1
"""


def test_the_child_wins_and_adds() -> None:
    test = merged(PAIR, "test")
    assert (test.name, test.place.line, test.extends, test.files_read) == ("test", 28, "", ("envgit.toml",))
    assert (test.source, test.source_place.line) == ("debian:bookworm", 4)
    assert test.options == BaseOptions("linux/arm64", variant="minbase", include=("curl",))
    assert [each.text for each in test.packages] == ["a", "b=2", "c", "x", "n"]
    assert [(each.target, each.sources or each.content) for each in test.files] == [
        ("/etc/a", "a"),
        ("/srv", ("other",)),
        ("/etc/b", "b"),
    ]
    assert [step.run for step in test.steps] == ["1", "2"]
    config = test.config
    assert config is not None
    assert [(each.name, each.value) for each in config.env] == [("A", "1"), ("B", "3"), ("C", "4")]
    assert (config.workdir, config.user, config.command, config.ports) == ("/w", "u", (), ("80/tcp", "81/tcp"))
    assert [(each.name, each.value) for each in config.labels] == [("l", "1"), ("m", "2")]
    assert (config.place.line, config.places["workdir"].line, config.places["env"].line) == (40, 18, 41)
    sandbox = test.sandbox
    assert sandbox is not None
    assert (sandbox.network, sandbox.cap_add, sandbox.read_only, sandbox.memory, sandbox.cpus) == (
        "none",
        ("X", "Y"),
        False,
        "1g",
        "1",
    )


def test_without_extends_nothing_changes_but_paths_become_normal() -> None:
    plain = read(WHOLE).environments[0]
    result = merged(WHOLE)
    assert result.files[1].sources == ("src", "lib/*.py")
    assert result._replace(files=(), files_read=()) == plain._replace(files=())
    assert result.files_read == ("envgit.toml",)


def test_a_base_of_its_own_drops_the_options_of_the_other_base() -> None:
    text = '[env]\nfrom = "debian:x"\nvariant = "apt"\nplatform = "linux/arm64"\n[env.a]\nextends = "default"\nfrom = "host"\n'
    assert merged(text, "a").options == BaseOptions()
    assert merged(text, "a").source == "host"


def test_what_is_in_one_only_is_taken() -> None:
    text = (
        '[env.a]\nfrom = "host"\n[env.b]\nextends = "a"\nconfig.user = "u"\n[env.c]\nextends = "b"\nsandbox.cpus = 1\n'
    )
    result = merged(text, "c")
    assert result.config is not None and result.config.user == "u"
    assert result.sandbox is not None and result.sandbox.cpus == "1"


def test_an_environment_without_a_base_can_be_extended_by_one_that_has_it() -> None:
    text = '[env.tools]\npackages.apt = ["git"]\n[env.web]\nfrom = "host"\nextends = "tools"\n'
    assert [each.name for each in merged(text, "web").packages] == ["git"]


FILES = {
    "envgit.toml": '[env]\nextends = "team/web.toml#web"\n[[step]]\nrun = "main"\ninputs = ["src"]\n',
    "team/web.toml": """
[env.web]
extends = "../base [1].toml"
[[env.web.step]]
run = "web"
inputs = ["src/**", "../shared/*", "!src/tmp", "."]
[env.web.files]
"/x/" = { source = ["./x//y/", "../z", ".."] }
""",
    "base [1].toml": '[env]\nfrom = "dir:root"\n',
}


def test_paths_of_another_file_are_relative_to_it() -> None:
    result = merged(FILES)
    assert result.files_read == ("envgit.toml", "team/web.toml", "base [1].toml")
    assert [step.inputs for step in result.steps] == [("team/src/**", "shared/*", "!team/src/tmp", "team"), ("src",)]
    assert result.files[0].sources == ("team/x/y", "z", ".")
    assert result.source == "dir:root"
    assert result.source_place == Place("base [1].toml", 2, 1)
    assert result.steps[0].place.file == "team/web.toml"


def test_messages_name_other_files_from_where_the_user_is() -> None:
    files = {"../p/envgit.toml": '[env]\nextends = "a.toml"\n', "a.toml": "[env]\nfrom = 1\n"}
    assert refused(files, main="../p/envgit.toml")[0].startswith("../p/a.toml:2:1: 'from' must be a text")


def test_a_folder_with_pattern_characters_stands_for_itself() -> None:
    files = {
        "envgit.toml": '[env]\nextends = "a[1]*/b.toml"\n',
        "a[1]*/b.toml": BASE + '[files]\n"/x" = { source = "*.c" }\n',
    }
    assert merged(files).files[0].sources == (r"a\[1\]\*/*.c",)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("tar:x.tar", "tar:sub/x.tar"),
        ("dir:../root/", "dir:root"),
        ("oci:layout:tag", "oci:sub/layout:tag"),
        ("oci-archive:./a.tar", "oci-archive:sub/a.tar"),
        ("docker-archive:a.tar", "docker-archive:sub/a.tar"),
        ("tar:/abs/x.tar", "tar:/abs/x.tar"),
        ("tar:../../x.tar", "tar:../x.tar"),
        ("tar:-", "tar:-"),
        ("debian:bookworm", "debian:bookworm"),
        ("docker://a/b:c", "docker://a/b:c"),
        ("host", "host"),
        ("main~2", "main~2"),
    ],
)
def test_sources_of_another_file(source: str, expected: str) -> None:
    files = {"envgit.toml": '[env]\nextends = "sub/a.toml"\n', "sub/a.toml": f'[env]\nfrom = "{source}"\n'}
    assert merged(files).source == expected


CYCLE = '[env.a]\nextends = "b"\n[env.b]\nextends = "c"\n[env.c]\nextends = "b"\n[env.d]\nextends = "d"\n'


def test_cycles_are_named_with_their_lines() -> None:
    message, _ = refused(CYCLE, "a")
    ring = "b (envgit.toml:4) -> c (envgit.toml:6) -> b (envgit.toml:4)"
    assert message == f"envgit.toml:6:1: environments extend each other: {ring}"
    assert "d (envgit.toml:8) -> d (envgit.toml:8)" in refused(CYCLE, "d")[0]


def test_a_cycle_through_files_comes_back_to_the_main_file() -> None:
    files = {"envgit.toml": '[env]\nextends = "s/b.toml"\n', "s/b.toml": '[env]\nextends = "../envgit.toml"\n'}
    ring = "default (envgit.toml:2) -> default (s/b.toml:2) -> default (envgit.toml:2)"
    assert refused(files)[0] == f"s/b.toml:2:1: environments extend each other: {ring}"


def test_one_environment_can_be_reached_through_two_spellings_of_its_file() -> None:
    files = {"envgit.toml": '[env]\nextends = "./s/../b.toml"\n', "b.toml": BASE}
    assert merged(files).files_read == ("envgit.toml", "b.toml")


@pytest.mark.parametrize(
    ("text", "name", "message", "hint"),
    [
        ("", "", "envgit.toml: there is no environment in it", "from"),
        ("[env]", "", "envgit.toml:1:2: environment 'default' has no base", 'from = "debian:bookworm"'),
        ('packages.apt = ["a"]', "", "envgit.toml:1:1: environment 'default' has no base", "from"),
        (BASE, "x", "envgit.toml: there is no environment 'x'", "there are: default"),
        (PAIR, "tset", "envgit.toml: there is no environment 'tset'", "did you mean 'test'?"),
        ('[env.a]\nfrom="host"\n[env.b]\nfrom="host"', "", "envgit.toml: it has several environments", "a, b"),
        ('[env]\nextends="tset"\n[env.test]', "", "envgit.toml:2:1: there is no environment 'tset'", "test"),
        ('[env]\nextends="no.toml"', "", "envgit.toml:2:1: cannot read no.toml: No such file or directory", "relative"),
        ('[env]\nextends="../x.toml"', "", "envgit.toml:2:1: '../x.toml' is outside the folder", "only what is in"),
        ('[env]\nextends="/x.toml"', "", "envgit.toml:2:1: '/x.toml' is outside the folder", "only what is in"),
        ('[env]\nextends="x.toml#"', "", "envgit.toml:2:1: there is no name after #", 'extends = "x.toml"'),
        ('[env]\nextends="#web"', "", "envgit.toml:2:1: there is no file before #", 'extends = "web"'),
        (
            BASE + '[files]\n"/x" = { source = "../x" }',
            "",
            "envgit.toml:4:1: '../x' is outside the folder",
            "only what",
        ),
        (
            BASE + '[files]\n"/x" = { source = "a/../x" }',
            "",
            "envgit.toml:4:1: '..' is only possible at the beginning",
            "without",
        ),
        (BASE + '[[step]]\nrun = "a"\ninputs = ["!../x"]', "", "envgit.toml:5:1: these inputs only take away", "src"),
        (
            BASE + '[[step]]\nrun = "a"\ninputs = ["b", "../x"]',
            "",
            "envgit.toml:3:3: '../x' is outside the folder",
            "only",
        ),
        (
            BASE + 'mirror = "http://x"',
            "",
            "envgit.toml:2:1: 'mirror' is for a base of debian: and ubuntu:, not for 'host'",
            "out",
        ),
        (
            '[env]\nfrom="ubuntu:x"\nsnapshot="20240101T000000Z"',
            "",
            "envgit.toml:2:1: 'snapshot' is for a base of debian:",
            "out",
        ),
    ],
)
def test_what_is_refused(text: str, name: str, message: str, hint: str) -> None:
    found = refused(text, name)
    assert found[0].startswith(message)
    assert hint in found[1]


def test_two_steps_of_one_name_are_refused_across_environments() -> None:
    text = BASE + '[[step]]\nname="s"\nrun="1"\n[env.b]\nextends="default"\n[[env.b.step]]\nname="s"\nrun="2"\n'
    assert "'s' as well (envgit.toml:3:3)" in refused(text, "b")[0]


def test_an_other_file_without_a_single_environment() -> None:
    main = '[env]\nextends = "b.toml"\n'
    assert refused({"envgit.toml": main, "b.toml": ""})[0] == "envgit.toml:2:1: there is no environment in b.toml"
    several = '[env.x]\nfrom="host"\n[env.y]\nfrom="host"\n'
    message, hint = refused({"envgit.toml": main, "b.toml": several})
    assert message.startswith("envgit.toml:2:1: b.toml has several environments")
    assert hint == "name one of them: x, y"


def test_a_reader_may_refuse_with_an_error_of_its_own() -> None:
    def read_file(path: str) -> bytes:
        raise UnknownPath(f"{path} is a folder")

    with pytest.raises(DeclarationError, match=r"envgit.toml:2:1: cannot read x.toml: x.toml is a folder"):
        resolve(read('[env]\nextends = "x.toml"\n'), "", read_file)
