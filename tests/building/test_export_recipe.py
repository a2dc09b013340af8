"""Recorded steps written as a Dockerfile or an envgit.toml, and read back: they do the same."""

from __future__ import annotations

import json

import pytest

from envgit.building.dockerfiles.recipe import recipe_of_dockerfile
from envgit.building.exporting.recorded_step import RecordedStep, WrittenRecipe
from envgit.building.exporting.to_declaration import write_declaration
from envgit.building.exporting.to_dockerfile import write_dockerfile
from envgit.building.key import format_record
from envgit.building.record import Recorded, parse_record, record_of_base
from envgit.building.unit import Base, Copy, CopyItem, Run, ScratchBase, SourceBase, StageBase, TreeMount
from envgit.declaration.merging import resolve
from envgit.declaration.parsing import parse
from envgit.dockerfile.parse import parse_dockerfile
from envgit.model import EnvironmentConfig

BASE = EnvironmentConfig(env=(("PATH", "/usr/bin:/bin"),), cmd=("/bin/sh",))
IMAGE = SourceBase("docker://docker.io/library/debian:12")


def steps_of(text: str, start: EnvironmentConfig = BASE) -> list[RecordedStep]:
    """Return what the commits of a Dockerfile's last stage would record."""
    recipe = recipe_of_dockerfile(parse_dockerfile(text.encode(), "Dockerfile"), "/nowhere")
    stage = recipe.stages[recipe.target]
    base = json.loads(format_record(record_of_base(stage.base)))
    after = EnvironmentConfig() if isinstance(stage.base, ScratchBase) else start
    steps = [RecordedStep("b" * 40, "base", EnvironmentConfig(), after, True, parse_record(base))]
    for number, unit in enumerate(stage.units(after)):
        before, after = after, unit.config or after
        recorded = parse_record(json.loads(format_record(unit.record)))
        steps.append(RecordedStep(f"{number:040x}", unit.text, before, after, False, recorded))
    return steps


def actions(steps: list[RecordedStep]) -> list[object]:
    return [step.recorded.action for step in steps if step.recorded is not None and step.recorded.action is not None]


DOCKERFILES = {
    "run": "RUN echo one && echo 'two  three' \"$HOME\"\nRUN [\"/bin/true\", \"a b\", \"$x\"]\n",
    "odd scripts": 'RUN ["/bin/sh", "-c", "[ -f x ]"]\nRUN ["/bin/sh", "-c", "--help"]\nRUN ["/bin/sh", "-c", "cat <<E\\nx\\nE"]\n'
    'RUN ["/bin/sh", "-c", "ends with \\\\\\\\"]\nRUN ["/bin/sh", "-c", " spaces "]\nRUN ["/bin/sh", "-c", "# nothing"]\n',
    "continued": "RUN echo one \\\n    && echo two \\\n    # a comment\n    && echo three\n",
    "heredoc": "RUN <<EOF\necho one\n\n# kept\n  echo $TWO \\\n    three\nEOF\n",
    "heredoc with the word": "RUN <<END\ncat <<'EOF'\nx\nEOF\nEND\n",
    "script": "RUN <<EOF\n#!/usr/bin/python3 -u\nprint('x')\nEOF\n",
    "mounts": "RUN --mount=type=cache,target=/root/.cache,sharing=locked --mount=type=secret,id=key,required=true "
    "--mount=type=tmpfs,target=/scratch --mount=type=bind,source=src,target=/src --network=none make\n",
    "secret variable": "RUN --mount=type=secret,id=key,env=KEY env\n",
    "copy": "COPY a b /srv/\nCOPY --chown=1:2 --chmod=0640 a /etc/a\nCOPY [\"with space\", \"/srv/with space\"]\n"
    "COPY --exclude=*.o --exclude=tmp . /src\nCOPY --parents x/y/z /srv/\n",
    "copy dollars": 'ENV D=x\nCOPY "a\\$b" /srv/a\n',
    "copy from an image": "COPY --from=docker.io/library/busybox:1 /bin/busybox /bin/busybox\n",
    "add": "ADD a.tar.gz /opt/\nADD --checksum=sha256:" + "0" * 64 + " https://example.org/x /opt/x\n",
    "content": "COPY --chmod=0755 <<'EOF' /etc/app.conf\nkey = \"$value\"\nEOF\nCOPY <<one <<two /etc/\n1\none\n2\ntwo\n",
    "environment": 'ENV A=1 B="two words" C=\'"quoted" \\back $dollar\'\nENV PATH=/opt/bin:$PATH\nENV A=2\n',
    "config": "WORKDIR /srv/app\nUSER 1000:1000\nEXPOSE 80 53/udp\nVOLUME /data /var/lib/x\nLABEL a=1 \"b c\"=\"d e\"\n"
    "ENTRYPOINT [\"/bin/app\", \"-x\"]\nCMD [\"run\"]\nSTOPSIGNAL SIGINT\n",
    "health": "HEALTHCHECK --interval=5m --timeout=3s --retries=2 CMD curl -f http://localhost/ || exit 1\n",
    "no health": "HEALTHCHECK NONE\n",
    "shell": "SHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN echo x | cat\nCMD echo started\n",
    "onbuild": "ONBUILD COPY . /app\nONBUILD RUN make\n",
    "arguments": "ARG VERSION=1.2 NAME=\"a b\"\nRUN build $VERSION\nRUN test $NAME\n",
    "late argument": "RUN one\nARG X=1\nRUN two\n",
    "workdir twice": "WORKDIR /a\nRUN rm -rf /a\nWORKDIR /a\n",
    "entrypoint resets": "CMD [\"old\"]\nENTRYPOINT [\"/e\"]\n",
    "no command": "CMD []\n",
}  # fmt: skip


@pytest.mark.parametrize("name", DOCKERFILES)
def test_a_dockerfile_survives(name: str) -> None:
    steps = steps_of("FROM debian:12\n" + DOCKERFILES[name])
    written = write_dockerfile(steps)
    assert written.losses == ()
    again = steps_of(written.text)
    assert again[0].recorded == steps[0].recorded, written.text
    assert flat(actions(again)) == flat(actions(steps)), written.text
    assert again[-1].after == steps[-1].after, written.text
    assert write_dockerfile(again).text == written.text


@pytest.mark.parametrize(
    "lines",
    [
        'ENTRYPOINT ["/e"]\nCMD ["hi"]',
        'ENTRYPOINT ["/e"]',
        'CMD ["hi"]\nENTRYPOINT ["/e"]',
        'CMD ["hi"]\nENTRYPOINT ["/e"]\nCMD []',
        "HEALTHCHECK --interval=5s --timeout=1m30s CMD true",
    ],
)
def test_lines_are_written_as_people_do(lines: str) -> None:
    """ENTRYPOINT takes the base's CMD away, and none of the stage: no CMD [] has to."""
    assert write_dockerfile(steps_of(f"FROM debian:12\n{lines}\n")).text.split("\n", 2)[2] == f"{lines}\n"


def flat(found: list[object]) -> list[object]:
    """Several items of one COPY become a COPY each, and a content a name of its own."""
    result: list[object] = []
    for action in found:
        items = action.items if isinstance(action, Copy) else ()
        for item in items:
            target = item.target + (item.sources[0] if item.content is not None and item.target.endswith("/") else "")
            result.append(item if item.content is None else item._replace(target=target, sources=()))
        if not isinstance(action, Copy):
            result.append(action._replace(files=()) if isinstance(action, Run) else action)
    return result


def test_scratch() -> None:
    steps = steps_of("FROM scratch\nCOPY . /\n")
    assert write_dockerfile(steps).text == "# written by envgit export-recipe\nFROM scratch\nCOPY . /\n"


def base_step(base: Base | None, subject: str = "import dir:/x") -> RecordedStep:
    recorded = None if base is None else Recorded(base)
    return RecordedStep("b" * 40, subject, EnvironmentConfig(), BASE, True, recorded)


def step(action: Run | Copy | None, after: EnvironmentConfig = BASE, before: EnvironmentConfig = BASE) -> RecordedStep:
    return RecordedStep("c" * 40, "subject", before, after, False, Recorded(None, action))


@pytest.mark.parametrize("base", [None, SourceBase("host"), SourceBase("tar:x.tar"), SourceBase("debian:bookworm")])
def test_a_base_that_a_dockerfile_cannot_name_is_its_commit(base: Base | None) -> None:
    written = write_dockerfile([base_step(base)])
    assert written.text.splitlines()[-1] == "FROM " + "b" * 40
    assert written.losses == ()


def test_a_commit_by_hand_is_a_comment_and_a_loss() -> None:
    hand = RecordedStep("d" * 40, "fix\nRUN evil", BASE, BASE, False, None, ("M etc/app.conf", "+ curl 7\nRUN evil"))
    for written in (write_dockerfile([base_step(IMAGE), hand]), write_declaration([base_step(IMAGE), hand])):
        lines = written.text.splitlines()
        assert not [line for line in lines if line.startswith(("RUN", "evil"))]
        assert any(line.startswith("# ddddddd: ") and "by hand" in line for line in lines)
        assert "#   M etc/app.conf" in lines and "#   + curl 7?RUN evil" in lines
        assert len(written.losses) == 1


def test_a_subject_is_never_a_parser_directive() -> None:
    written = write_dockerfile([base_step(None, "escape=`")])
    assert parse_dockerfile(written.text.encode(), "x").escape == "\\"


def test_files_of_another_stage_are_taken_from_the_commit() -> None:
    copied = step(Copy((CopyItem("/app", ("/out",), StageBase(0)),)))._replace(copied=("/app", "/etc/with space"))
    lines = write_dockerfile([base_step(IMAGE), copied]).text.splitlines()
    oid = "c" * 40
    assert lines[-2:] == [f"COPY --from={oid} /app /app", f'COPY --from={oid} ["/etc/with space", "/etc/with space"]']


def test_what_no_instruction_says_is_a_loss() -> None:
    bare = BASE._replace(env=())
    assert "PATH" in write_dockerfile([base_step(IMAGE), step(None, bare)]).losses[0]
    odd = BASE._replace(env=(*BASE.env, ("A", "two\nlines")))
    written = write_dockerfile([base_step(IMAGE), step(None, odd)])
    assert len(written.losses) == 1 and "lines" not in [line for line in written.text.splitlines() if line[0] != "#"]
    mount = Run(("make",), mounts=(TreeMount(StageBase(1), "/x", "/mnt"),))
    assert "/mnt" in write_dockerfile([base_step(IMAGE), step(mount)]).losses[0]


def test_variables_workdir_and_user_of_one_command() -> None:
    run = Run(("/bin/sh", "-c", "make"), env=(("A", "it's"),), workdir="/src", user="ann")
    text = write_dockerfile([base_step(IMAGE), step(run), step(Run(("/bin/sh", "-c", "env")))]).text
    assert "ARG" not in text
    assert "USER ann\nWORKDIR /src\nRUN export A='it'\"'\"'s'; make\nUSER root\nWORKDIR /\n" in text
    exec_form = write_dockerfile([base_step(IMAGE), step(run._replace(argv=("make",))), step(Run(("x",)))]).text
    assert 'RUN ["env", "A=it\'s", "make"]' in exec_form


def test_a_content_that_no_heredoc_holds() -> None:
    item = CopyItem("/etc/bin", content=b"\x00\xff", mode="0600", owner="1:2")
    line = write_dockerfile([base_step(IMAGE), step(Copy((item,)))]).text.splitlines()[-1]
    assert "echo AP8= | base64 -d > /etc/bin && chmod 0600 /etc/bin && chown 1:2 /etc/bin" in line


def read_declaration(written: WrittenRecipe) -> object:
    declaration = parse(written.text.encode(), "envgit.toml")
    return resolve(declaration, declaration.environments[0].name, lambda file: b"")


def test_a_declaration() -> None:
    after = BASE._replace(
        env=(*BASE.env, ("LANG", 'C."UTF-8"')),
        cmd=("app", "--x"),
        user="ann",
        extra={
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"a.b": "c"},
            "Volumes": {"/data": {}},
            "StopSignal": "SIGINT",
        },
    )
    written = write_declaration([
        base_step(SourceBase("debian:bookworm", "linux/arm64", (("mirror", "http://m/"), ("include", "a,b")))),
        step(None)._replace(recorded=Recorded(more={"manager": "apt", "packages": ["curl=7.*", "vim"]})),
        step(Copy((CopyItem("/etc/a b", ("conf/a",), mode="0600"), CopyItem("/etc/c", content=b"x\ny\n", owner="ann:ann")))),
        step(Run(("/bin/sh", "-ec", "one\ntwo 'x'\n"), network="none", inputs=("src/**",), env=(("A", "1"),))),
        step(Run(("make", "a b"), workdir="/src", user="ann")),
        step(None, after),
    ])  # fmt: skip
    assert written.losses == ()
    environment = read_declaration(written)
    assert environment.source == "debian:bookworm" and environment.options.platform == "linux/arm64"  # type: ignore[attr-defined]
    assert environment.options.include == ("a", "b")  # type: ignore[attr-defined]
    assert [package.text for package in environment.packages] == ["curl=7.*", "vim"]  # type: ignore[attr-defined]
    files = {each.target: each for each in environment.files}  # type: ignore[attr-defined]
    assert files["/etc/a b"].sources == ("conf/a",) and files["/etc/a b"].mode == "0600"
    assert files["/etc/c"].content == "x\ny\n" and files["/etc/c"].owner == "ann:ann"
    first, second = environment.steps  # type: ignore[attr-defined]
    assert first.run == "one\ntwo 'x'\n" and first.network == "none" and first.inputs == ("src/**",)
    assert second.run == ("make", "a b") and (second.workdir, second.user) == ("/src", "ann")
    config = environment.config  # type: ignore[attr-defined]
    assert {each.name: each.value for each in config.env} == {"LANG": 'C."UTF-8"'}
    assert (config.command, config.user, config.stop_signal) == (("app", "--x"), "ann", "SIGINT")
    assert (config.ports, config.volumes) == (("80/tcp",), ("/data",))
    assert {each.name: each.value for each in config.labels} == {"a.b": "c"}


def test_files_after_a_step_are_a_comment() -> None:
    late = [base_step(IMAGE), step(Run(("x",))), step(Copy((CopyItem("/etc/a", ("a",)),)))]
    written = write_declaration(late)
    assert "\n[files]" not in written.text and len(written.losses) == 1
    read_declaration(written)


def test_steps_have_what_the_configuration_was_then() -> None:
    early = BASE._replace(env=(*BASE.env, ("A", "1")), working_dir="/src", user="ann")
    late = early._replace(env=(*BASE.env, ("A", "2")))
    run = step(Run(("make",)), early, early)
    written = write_declaration([base_step(IMAGE), step(None, early), run, step(None, late, early)])
    environment = read_declaration(written)
    (only,) = environment.steps  # type: ignore[attr-defined]
    assert (only.workdir, only.user) == ("/src", "ann")
    assert [(each.name, each.value) for each in only.env] == [("A", "1")]
    assert [(each.name, each.value) for each in environment.config.env] == [("A", "2")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("strict", "line", "run"),
    [
        ("make && make install", "RUN make && make install", "make && make install"),
        ("cd /src; make", "RUN set -e; cd /src; make", "cd /src; make"),
        ("cd /src\nmake\n", "RUN <<'EOF'\nset -e\ncd /src\nmake\nEOF", "cd /src\nmake\n"),
    ],
)
def test_a_step_ends_at_the_first_failure(strict: str, line: str, run: str) -> None:
    steps = [base_step(IMAGE), step(Run(("/bin/sh", "-ec", strict)))]
    assert f"\n{line}\n" in write_dockerfile(steps).text
    assert read_declaration(write_declaration(steps)).steps[0].run == run  # type: ignore[attr-defined]


def test_a_script_that_goes_on_after_a_failure_stays_one() -> None:
    steps = [base_step(IMAGE), step(Run(("/bin/sh", "-c", "false; true"))), step(Run(("/bin/sh", "-c", "a && b")))]
    assert [each.run for each in read_declaration(write_declaration(steps)).steps] == [  # type: ignore[attr-defined]
        ("/bin/sh", "-c", "false; true"),
        "a && b",
    ]


def test_package_sets() -> None:
    before = BASE._replace(user="ann")
    steps = [base_step(IMAGE), step(None, before)]
    for manager, spec in (
        ("apt", "curl=7.*"),
        ("pip", "flask==3.*"),
        ("npm", "left-pad@^1"),
        ("apk", "a"),
        ("dnf", "b"),
    ):
        done = Run(("envgit-install", manager, "1", spec), user="0:0", packages="/run/envgit/packages")
        recorded = Recorded(None, done, None, {"manager": manager, "packages": [spec]})
        steps.append(step(None, before, before)._replace(recorded=recorded))
    written = write_dockerfile(steps)
    lines = written.text.splitlines()
    assert written.losses == () and lines.count("USER ann") == 6 and lines.count("USER 0:0") == 5
    assert len([line for line in lines if line.startswith("RUN ")]) == 5 and " 'curl=7.*' && rm" in written.text
    assert "envgit-install" not in written.text
    assert actions(steps_of(written.text))[0].argv[2].startswith("apt-get update && ")  # type: ignore[attr-defined]
    wanted = {each.manager: each.text for each in read_declaration(write_declaration(steps)).packages}  # type: ignore[attr-defined]
    assert wanted == {"apt": "curl=7.*", "pip": "flask==3.*", "npm": "left-pad@^1", "apk": "a", "dnf": "b"}


def test_scratch_as_a_declaration() -> None:
    assert 'from = "scratch"' in write_declaration([base_step(ScratchBase())]).text
