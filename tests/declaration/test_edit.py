"""Edits keep what is there: comments, order, layout; and the result says just what was asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envgit.declaration import edit
from envgit.declaration.errors import DeclarationError
from envgit.declaration.values import Step
from tests.declaration.examples import BASE, WHOLE, read
from tests.declaration.test_merging import PAIR

HEADERS = """\
[env]
from = "host"
[config.env]
A = "1"
# after A

[files."/etc/a"]
source = "a"
mode = "0644" # why
# end of a

[files."/etc/b"]
source = "b"
"""

Edit = Callable[[bytes], bytes]
FILE = "envgit.toml"


def lines_changed(text: str, change: Edit) -> list[str]:
    """Return what an edit removed and added, as lines of a diff without context."""
    changed = change(text.encode()).decode()
    diff = list(difflib.unified_diff(text.splitlines(), changed.splitlines(), n=0, lineterm=""))
    return [line for line in diff[2:] if not line.startswith("@@")]


def packages(specs: list[str], manager: str = "apt", environment: str = "") -> Edit:
    """Return the edit that adds packages."""
    return lambda text: edit.add_packages(text, FILE, environment, manager, specs)


def no_packages(names: list[str], manager: str = "apt", environment: str = "") -> Edit:
    """Return the edit that removes packages."""
    return lambda text: edit.remove_packages(text, FILE, environment, manager, names)


@pytest.mark.parametrize(
    ("text", "change", "diff"),
    [
        (WHOLE, packages(["git"]), ['+    "git",']),
        (WHOLE, packages(["curl=8.*"]), ['-    "curl=7.*",', '+    "curl=8.*",']),
        (WHOLE, packages(["curl=7.*"]), []),
        (WHOLE, packages([]), []),
        (WHOLE, packages(["nginx"], "apk"), ['+apk = ["nginx"]']),
        (WHOLE, no_packages(["curl", "absent"]), ['-    "curl=7.*",']),
        (WHOLE, no_packages(["x"], "dnf"), []),
        (WHOLE, no_packages(["FLASK"], "pip"), [
            '-pip = ["Flask==3.*", "uvicorn[standard]>=0.30,<1"]', '+pip = ["uvicorn[standard]>=0.30,<1"]']),
        (WHOLE, no_packages(["@angular/cli", "typescript"], "npm"), ['-npm = ["@angular/cli@^17", "typescript"]']),
        (BASE, packages(["a", "b"]), ["+", "+[packages]", '+apt = ["a", "b"]']),
        (BASE, no_packages(["a"]), []),
        (PAIR, packages(["n@2"], "npm", "test"), ['-npm = ["n"]', '+npm = ["n@2"]']),
        ('[env]\nfrom = "host"\npackages', packages(["a"]), None),
        (WHOLE, lambda text: edit.set_file(text, FILE, "", "/etc/new", {"source": "f/new", "mode": "0600"}), [
            '+"/etc/new" = { source = "f/new", mode = "0600" }']),
        (WHOLE, lambda text: edit.set_file(text, FILE, "", "/srv/app", {"source": "x"}), [
            '-"/srv//app/" = { source = ["src", "./lib/*.py"] }', '+"/srv//app/" = { source = "x" }']),
        (WHOLE, lambda text: edit.remove_file(text, FILE, "", "/srv/app"), [
            '-"/srv//app/" = { source = ["src", "./lib/*.py"] }']),
        (WHOLE, lambda text: edit.remove_file(text, FILE, "", "/absent"), []),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("workdir",), "/new"), [
            '-workdir = "/srv/app"', '+workdir = "/new"']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("command",), ["a", "b"]), [
            '-command = ["gunicorn", "app:app"]', '+command = ["a", "b"]']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("env", "LANG"), "C"), [
            '-env.LANG = "C.UTF-8"', '+env.LANG = "C"']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("env", "LANG"), None), ['-env.LANG = "C.UTF-8"']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("labels", "b"), "1"), [
            '-labels = { "org.example.team" = "web" }', '+labels = { "org.example.team" = "web", b = "1" }']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("labels", "org.example.team"), "1"), [
            '-labels = { "org.example.team" = "web" }', '+labels = { "org.example.team" = "1" }']),
        (HEADERS, lambda text: edit.set_file(text, FILE, "", "/etc/a", {"content": "c", "mode": "0600"}), [
            '-source = "a"', '-mode = "0644" # why', '+mode = "0600" # why', '+content = "c"']),
        (HEADERS, lambda text: edit.remove_file(text, FILE, "", "/etc/b"), ['-[files."/etc/b"]', '-source = "b"']),
        (HEADERS, lambda text: edit.set_config(text, FILE, "", ("env", "B"), "2"), ['+B = "2"']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("user",), None), ['-user = "www-data"']),
        (WHOLE, lambda text: edit.set_config(text, FILE, "", ("env", "absent"), None), []),
        (BASE, lambda text: edit.set_config(text, FILE, "", ("env", "A B".replace(" ", "_")), "1\t\"2\""), [
            "+", "+[config]", '+env = { A_B = "1\\t\\"2\\"" }']),
        (BASE, lambda text: edit.set_config(text, FILE, "", ("ports",), [80, "53/udp"]), [
            "+", "+[config]", '+ports = [80, "53/udp"]']),
        (PAIR, lambda text: edit.append_step(text, FILE, "", {"run": "3", "network": True}), [
            "+", "+[[step]]", '+run = "3"', "+network = true", "+"]),
        (PAIR, lambda text: edit.append_step(text, FILE, "test", {"run": "a\nb\n"}), [
            "+", "+[[env.test.step]]", "+run = '''", "+a", "+b", "+'''", "+"]),
        (PAIR, lambda text: edit.append_step(text, FILE, "test", {"run": ["a", "b"]}), [
            "+", "+[[env.test.step]]", '+run = ["a", "b"]', "+"]),
    ],
)  # fmt: skip
def test_the_lines_that_change(text: str, change: Edit, diff: list[str] | None) -> None:
    if diff is None:
        with pytest.raises(DeclarationError):
            change(text.encode())
        return
    assert sorted(lines_changed(text, change)) == sorted(diff)


LAYOUT = """\
# top

[env] # base
from = "host"

[packages]
apt = [ # why
  "a", # first
  # before b
  "b"  # second
]

# about the step
[[step]]
run = '''
# no comment
'''

# about test
[env.test]
extends = "default"
# the end
"""


def test_comments_stay_where_they_belong() -> None:
    text = edit.add_packages(LAYOUT.encode(), FILE, "", "apt", ["c"])
    text = edit.add_packages(text, FILE, "", "pip", ["p"])
    text = edit.set_file(text, FILE, "", "/etc/x", {"content": "x\ny"})
    text = edit.append_step(text, FILE, "", {"run": "2"})
    text = edit.set_config(text, FILE, "", ("env", "A"), "1")
    text = edit.set_config(text, FILE, "", ("user",), "u")
    text = edit.append_step(text, FILE, "test", {"run": "3"})
    assert text.decode() == (
        LAYOUT.replace(
            '  "b"  # second\n]\n',
            '  "b",  # second\n  "c"\n]\npip = ["p"]\n\n[files]\n"/etc/x" = { content = "x\\ny" }\n',
        )
        .replace("# about test", '[[step]]\nrun = "2"\n\n[config]\nenv = { A = "1" }\nuser = "u"\n\n# about test')
        .replace("# the end\n", '# the end\n\n[[env.test.step]]\nrun = "3"\n')
    )


def test_line_ends_of_dos_and_a_byte_order_mark_stay() -> None:
    text = b"\xef\xbb\xbf" + PAIR.replace("\n", "\r\n").encode()
    changed = edit.append_step(edit.add_packages(text, FILE, "test", "pip", ["p"]), FILE, "", {"run": "a\nb"})
    assert changed.startswith(b"\xef\xbb\xbf")
    assert changed.count(b"\n") == changed.count(b"\r\n")
    assert read(changed).environments[0].steps[-1].run == "a\nb"
    assert read(changed).environments[1].packages[-2].name == "p"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (packages(["a b"]), "'a b' is not a Debian package"),
        (packages(["a"], "conda"), "'conda' is no package manager"),
        (packages(["a"], environment="x"), "there is no environment 'x'"),
        (lambda text: edit.set_file(text, FILE, "", "etc", {"source": "a"}), "must be an absolute path"),
        (lambda text: edit.set_file(text, FILE, "", "/etc", {"src": "a"}), "unknown key 'src'"),
        (lambda text: edit.set_config(text, FILE, "", ("colour",), "red"), "unknown key 'colour'"),
        (lambda text: edit.append_step(text, FILE, "", {}), "has no 'run'"),
    ],
)
def test_no_edit_makes_a_bad_declaration(change: Edit, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        change(WHOLE.encode())


def test_a_bad_declaration_is_not_edited() -> None:
    with pytest.raises(DeclarationError, match="unknown key"):
        packages(["a"])(b"a = 1")


def test_what_cannot_be_edited_is_said_with_what_to_write() -> None:
    text = b'env.test = { from = "host" }\n'
    with pytest.raises(DeclarationError) as caught:
        packages(["a"], environment="test")(text)
    assert "cannot be edited here" in caught.value.message
    assert caught.value.hint == 'write it there: apt = ["a"]'


@pytest.mark.parametrize(
    "text",
    [
        '[env]\nfrom="host"\n[env.a]\nextends="default"\n[packages]\napt=["x"]\n[env.b]\nextends="a"\n',
        'env.from = "host"\npackages.apt = ["x"]\n',
        'packages = { apt = ["x"] }\nenv = { from = "host" }\n',
        '[env]\nfrom = "host"\n\n[packages]\n\n[packages.nothing]\n'.replace("\n[packages.nothing]\n", 'apt = [\n"x"]'),
        '[packages]\napt=["x"]\n[env]\nfrom="host"',
        '"env" . "from" = "host"\n["packages"]\n"apt" = [ "x" , ] # end',
        '[env]\nfrom="host"\n[packages]\napt = [\n  "x", # one\n\n  # two\n]',
    ],
)
def test_any_way_of_writing(text: str) -> None:
    before = read(text)
    changed = edit.add_packages(text.encode(), FILE, "", "apt", ["y"])
    changed = edit.set_config(changed, FILE, "", ("env", "A"), "1")
    changed = edit.add_packages(changed, FILE, "", "npm", ["n"])
    changed = edit.append_step(changed, FILE, "", {"run": "a"})
    changed = edit.set_file(changed, FILE, "", "/x", {"content": ""})
    after = read(changed).environments[0]
    assert [each.text for each in after.packages] == ["x", "y", "n"]
    assert after.config is not None and after.config.env[0].value == "1"
    assert [step.run for step in after.steps] == ["a"]
    assert len(read(changed).environments) == len(before.environments)
    assert all(comment in changed.decode() for comment in ("# one", "# two", "# end") if comment in text)


@pytest.mark.parametrize(
    "text", ['env.from = "host"\npackages.apt = ["x"]\nconfig.env.A = "1"\n', 'packages = { apt = ["x"] }\n' + BASE]
)
def test_the_last_item_of_a_dotted_table_can_go(text: str) -> None:
    changed = edit.remove_packages(text.encode(), FILE, "", "apt", ["x"])
    changed = edit.set_config(changed, FILE, "", ("env", "A"), None)
    environment = read(changed).environments[0]
    assert environment.packages == ()
    assert environment.config is None or environment.config.env == ()
    assert environment.source == "host"


WORDS = st.from_regex(r"[a-z][a-z0-9]{0,3}(=[0-9]{1,3})?", fullmatch=True)
EDITS = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(["apt", "apk"]), st.lists(WORDS, max_size=3)),
    st.tuples(st.just("remove"), st.sampled_from(["apt", "apk"]), st.lists(WORDS, max_size=3)),
    st.tuples(
        st.just("file"), st.sampled_from(["/a", "/b/c", "/é d"]), st.text(st.characters(codec="utf-8"), max_size=6)
    ),
    st.tuples(st.just("config"), st.sampled_from(["A", "B.c", "Ü"]), st.none() | st.text("a\"'\\\n#é", max_size=4)),
    st.tuples(st.just("step"), st.just(""), st.text("ab\"'\\\n #é", max_size=8)),
)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([BASE, PAIR, WHOLE, LAYOUT]), st.sampled_from(["", "test"]), st.lists(EDITS, max_size=5))
def test_law_edits_keep_all_comments_and_all_else(
    text: str, environment: str, edits: list[tuple[str, str, object]]
) -> None:
    if environment and "[env.test]" not in text:
        return
    changed = text.encode()
    steps = _steps(changed, environment)
    for kind, key, value in edits:
        if kind in ("add", "remove"):
            assert isinstance(value, list)
            change = edit.add_packages if kind == "add" else edit.remove_packages
            changed = change(changed, FILE, environment, key, value)
        elif kind == "file":
            changed = edit.set_file(changed, FILE, environment, key, {"content": value})
        elif kind == "config":
            changed = edit.set_config(changed, FILE, environment, ("env", key), value)
        elif str(value).strip():
            changed = edit.append_step(changed, FILE, environment, {"run": value})
            steps.append(str(value))
    assert [each if isinstance(each, str) else list(each) for each in _runs(changed, environment)] == steps
    lines = changed.decode().split("\n")
    for line in text.split("\n"):
        if line.lstrip().startswith("#") and line != "# no comment":
            assert line in lines
    others = [each.name for each in read(text).environments]
    assert [each.name for each in read(changed).environments] == others


def _runs(text: bytes, environment: str) -> list[Step | str | tuple[str, ...]]:
    declaration = read(text)
    name = environment or declaration.default
    return [step.run for each in declaration.environments if each.name == name for step in each.steps]


def _steps(text: bytes, environment: str) -> list[object]:
    return [run if isinstance(run, str) else list(run) for run in _runs(text, environment)]
