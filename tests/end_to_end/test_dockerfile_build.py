"""Building a Dockerfile: commits, what is reused, what bases and stages give, what never gets into a commit."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.end_to_end.dockerfile_builds import build_with_buildah, differences, look_at, write_archive
from tests.lab import Lab


@pytest.fixture
def project(lab: Lab) -> Lab:
    """A project with a branch `base` of a small root filesystem, and a context beside it."""
    lab("branch", "base")
    (lab.path / "app").mkdir()
    (lab.path / "app/file").write_text("of the application\n")
    return lab


def build(project: Lab, text: str, *options: str, **more: Any) -> dict[str, Any]:
    """Write a Dockerfile, build it, and return what `--json` says."""
    (project.path / "Dockerfile").write_text(dedent(text).lstrip("\n"))
    result: dict[str, Any] = json.loads(project("build", "--json", *options, **more).out)
    return result


def texts(result: dict[str, Any], *, reused: bool) -> list[str]:
    return [unit["text"] for unit in result["units"] if unit["reused"] == reused]


def fails(project: Lab, text: str, *options: str, status: int = 2, says: str, hint: str | None = None) -> None:
    """Check that a Dockerfile is refused with one message, and that nothing became of it."""
    (project.path / "Dockerfile").write_text(dedent(text).lstrip("\n"))
    before = project.git("for-each-ref")
    project.fails("build", *options, status=status, says=says, hint=hint)
    if status == 2:
        assert project.git("for-each-ref") == before


# commits


def test_each_instruction_is_a_commit(project: Lab) -> None:
    build(
        project,
        """
        FROM base
        ARG A=1
        # comment
        ENV B=$A
        RUN echo $A$B \\
          > /srv/seen
        COPY app /app
        WORKDIR /work
        CMD ["cat", "/srv/seen"]
        """,
    )
    subjects = project.git("log", "--format=%s", "--first-parent", "base..HEAD").splitlines()
    assert subjects == ['CMD ["cat", "/srv/seen"]', "WORKDIR /work", "COPY app /app", "RUN echo $A$B", "ENV B=$A"]
    assert project("run", "HEAD", "--").out == "11\n"
    assert project.look("HEAD~2", "pwd; cat /app/file").splitlines() == ["/", "of the application"]
    assert project.look("HEAD", "pwd") == "/work\n"


def test_what_changes_is_built_and_nothing_else(project: Lab) -> None:
    text = """
        FROM base
        ARG WORD=one
        COPY app /app
        RUN echo first > /srv/first
        RUN echo $WORD > /srv/word
        CMD ["x"]
        """
    assert build(project, text)["reused"] == 0
    assert build(project, text)["built"] == 0
    assert build(project, text.replace("RUN echo first", "# more\n        run   echo first"))["built"] == 0
    assert texts(build(project, text.replace('["x"]', '["y"]')), reused=False) == ['CMD ["y"]']
    (project.path / "unnamed").write_text("not copied")
    os.utime(project.path / "app/file", (1, 1))
    assert build(project, text)["built"] == 0
    (project.path / "app/file").write_text("changed\n")
    assert texts(build(project, text), reused=True) == []


def test_a_build_argument_rebuilds_what_comes_after_its_arg(project: Lab) -> None:
    text = """
        FROM base
        RUN echo before > /srv/before
        ARG WORD=one
        COPY app /app
        RUN echo $WORD > /srv/word
        """
    build(project, text)
    assert texts(build(project, text, "--build-arg=WORD=two"), reused=False) == ["RUN echo $WORD > /srv/word"]
    assert project.look("HEAD", "cat /srv/word") == "two\n"
    assert build(project, text, "--build-arg=WORD=one")["built"] == 0


def test_a_changed_stage_that_comes_out_the_same_changes_nothing_after_it(project: Lab) -> None:
    text = """
        FROM base AS made
        RUN echo same > /srv/made
        FROM base
        COPY --from=made /srv/made /srv/copied
        RUN cat /srv/copied > /srv/result
        """
    build(project, text)
    result = build(project, text.replace("echo same", "printf 'same\\n'"))
    assert texts(result, reused=False) == ["RUN printf 'same\\n' > /srv/made"]


def test_only_the_stages_that_the_target_needs(project: Lab) -> None:
    text = """
        FROM base AS one
        RUN echo 1 > /srv/one
        FROM base AS broken
        COPY missing /
        RUN false
        FROM one AS two
        RUN echo 2 > /srv/two
        """
    assert build(project, text)["built"] == 2
    assert project.look("HEAD", "cat /srv/one /srv/two") == "1\n2\n"
    assert build(project, text, "--target=one")["built"] == 0
    assert project.look("HEAD", "ls /srv").split() == ["lines", "one"]
    fails(project, text, "--target=tow", says="there is no stage 'tow'", hint="did you mean 'two'?")


# bases


def test_revisions_are_bases_and_sources(project: Lab) -> None:
    project("run", "--", "sh", "-c", "echo tool > /bin/tool")
    project("commit", "-m", "a tool")
    project("tag", "tools")
    text = """
        FROM base
        COPY --from=tools /bin/tool /srv/
        RUN --mount=from=main~0,source=/bin,target=/mnt/bin cat /mnt/bin/tool > /srv/seen
        """
    build(project, text, "--branch=new")
    assert project.look("new", "cat /srv/tool /srv/seen; ls /bin/tool 2>/dev/null; true") == "tool\ntool\n"


def test_triggers_are_kept_with_the_environment(project: Lab) -> None:
    base = """
        FROM base
        ONBUILD COPY app /app
        ONBUILD RUN echo "by trigger" > /app/seen
        """
    build(project, base, "--branch=framework")
    assert json.loads(project.git("show", "framework:config.json"))["OnBuild"][0] == "COPY app /app"
    result = build(project, "FROM framework\nRUN cat /app/seen > /srv/after", "--branch=application")
    assert texts(result, reused=False)[-3:] == [
        "COPY app /app",
        'RUN echo "by trigger" > /app/seen',
        "RUN cat /app/seen > /srv/after",
    ]
    assert "OnBuild" not in json.loads(project.git("show", "application:config.json"))
    assert project.look("application", "cat /srv/after") == "by trigger\n"


def test_an_image_of_buildah_is_a_base(project: Lab, tmp_path: Path, small_root: Path) -> None:
    """Its configuration, triggers included, is what the build goes on with; buildah comes to the same."""
    context = tmp_path / "context"
    (context / "app").mkdir(parents=True)
    (context / "app/file").write_text("of the application\n")
    write_archive(context / "base.tar", small_root)
    image = context / "Image"
    image.write_text(
        "FROM scratch\nADD base.tar /\nENV A=1\nWORKDIR /srv\nUSER ann\nLABEL l=1\n"
        "ONBUILD ARG WHO=nobody\nONBUILD COPY app /app\nONBUILD RUN echo $WHO$A > /tmp/seen\n"
    )
    storage = f"{tmp_path}/images"
    start = ["buildah", "--root", f"{storage}/s", "--runroot", f"{storage}/r", "--storage-driver", "vfs"]
    archive = tmp_path / "image.tar"
    words = [
        "bud",
        "-q",
        "--format=docker",
        "--isolation=chroot",
        "-t",
        f"docker-archive:{archive}:base:1",
        "-f",
        str(image),
    ]
    subprocess.run([*start, *words, str(context)], check=True, capture_output=True, timeout=120)
    (context / "Dockerfile").write_text(
        f"FROM docker-archive:{archive}\nRUN cat /tmp/seen > after 2>/dev/null || echo $A > /tmp/after\nCOPY app/file copied\n"
    )
    project("build", "-f", str(context / "Dockerfile"), "--build-arg=WHO=me", "--branch=new")
    theirs = build_with_buildah("", context, tmp_path, "--build-arg=WHO=me")
    mine = look_at(project, "new")
    assert differences(mine.files, theirs.files) == {}
    assert project.look("new", "cat /tmp/seen; id -un; pwd").splitlines() == ["me1", "ann", "/srv"]
    assert mine.config["Labels"]["l"] == "1"
    assert "OnBuild" not in mine.config


# mounts


def test_files_and_folders_are_mounted_where_they_are_needed(project: Lab) -> None:
    text = """
        FROM base
        WORKDIR /work
        RUN --mount=source=app/file,target=input cp input output
        RUN --mount=source=app,target=/mnt/app cat /mnt/app/file > /srv/folder
        RUN --mount=from=base,source=/etc/motd,target=/mnt/motd cat /mnt/motd > /srv/motd
        """
    build(project, text)
    assert project.look("HEAD", "cat output /srv/folder /srv/motd") == "of the application\n" * 2 + "welcome\n"
    assert build(project, text)["built"] == 0
    (project.path / "app/file").write_text("changed\n")
    assert len(texts(build(project, text), reused=False)) >= 2
    assert project.look("HEAD", "cat output") == "changed\n"


def test_mounts_cannot_change_what_is_mounted(project: Lab) -> None:
    text = "FROM base\nRUN --mount=source=app,target=/mnt/app if echo new > /mnt/app/file; then false; fi\n"
    build(project, text)
    assert (project.path / "app/file").read_text() == "of the application\n"


def test_a_cache_outlives_builds_and_is_in_no_commit(project: Lab) -> None:
    text = """
        FROM base
        RUN --mount=type=cache,target=/cache echo again >> /cache/log; cat /cache/log > /srv/log
        """
    build(project, text)
    build(project, text, "--no-cache")
    assert project.look("HEAD", "cat /srv/log; ls /cache 2>/dev/null; true") == "again\nagain\n"


def test_secrets_and_proxies_leave_no_trace(project: Lab, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("very-secret-value")
    text = """
        FROM base
        RUN --mount=type=secret,id=key wc -c < /run/secrets/key > /srv/length
        RUN --mount=type=secret,id=key,env=KEY echo -n "$KEY" | busybox md5sum > /srv/sum
        RUN --mount=type=secret,id=other test ! -e /run/secrets/other
        RUN test "$http_proxy" = "$HTTP_PROXY" && test ${#http_proxy} = 21
        """
    build(project, text, f"--secret=id=key,src={tmp_path}/key", "--build-arg=HTTP_PROXY=http://hidden-proxy:1")
    digest = hashlib.md5(b"very-secret-value").hexdigest()
    assert project.look("HEAD", "cat /srv/length /srv/sum").split()[:2] == ["17", digest]
    everything = project.git("log", "--all", "-p", "--text", "--format=%B")
    assert "very-secret" not in everything
    assert "hidden-proxy" not in everything
    fails(
        project,
        "FROM base\nRUN --mount=type=secret,id=gone,required true",
        says="Dockerfile:2",
        hint="--secret id=gone",
    )


# networks, scripts


def test_a_run_without_network(project: Lab) -> None:
    build(project, "FROM base\nRUN --network=none cat /proc/net/dev | grep -c : > /srv/devices")
    assert project.look("HEAD", "cat /srv/devices") == "1\n"


def test_a_script_in_another_language(project: Lab) -> None:
    text = "FROM base\nUSER ann\nRUN <<EOF\n#!/bin/sed -n -f\n$ = \nEOF\nRUN <<EOF\n#!/bin/sh -e\necho $0 > /tmp/name\nEOF\n"
    text = text.replace("#!/bin/sed -n -f\n$ = \n", "#!/bin/cat\nshown, not run\n")
    build(project, text)
    assert project.look("HEAD", "cat /tmp/name; ls /run/envgit 2>/dev/null; true") == "/run/envgit/heredoc/EOF\n"


# failures


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FROM base\nRNU x", "Dockerfile:2: "),
        ("FROM base\nRUN a\nRUN --mount=type=ssh x", "Dockerfile:3: RUN --mount=type=ssh is not supported"),
        ("FROM base\nRUN --security=insecure x", "Dockerfile:2: RUN --security=insecure is not supported"),
        ("FROM base\nADD https://example.org/a.git /x", "Dockerfile:2: ADD of a git repository"),
        ("FROM base\nCOPY --from=5 a /x", "Dockerfile:2: --from=5: there is no such stage"),
        ("FROM base\nEXPOSE http", "Dockerfile:2: 'http' is not a port"),
        ("FROM base\nENV A=${B:?missing}", "Dockerfile:2: "),
        ("FROM $A", "Dockerfile:1: FROM $A: the name is empty"),
        ("FROM Nothing:here", "Dockerfile:1: "),
    ],
)
def test_what_is_refused_names_its_line_and_changes_nothing(project: Lab, text: str, says: str) -> None:
    fails(project, text, says=says)


def test_a_missing_source_names_its_line(project: Lab) -> None:
    fails(project, "FROM base\n\nCOPY ap /x", says="Dockerfile:3: ")


def test_a_step_that_fails_keeps_what_was_built_before(project: Lab) -> None:
    text = "FROM base\nRUN echo 1 > /srv/one\nRUN echo 2 > /srv/two; exit 7\nRUN never\n"
    fails(project, text, status=1, says="Dockerfile:3", hint="envgit shell --failed")
    assert project.look("HEAD", "ls /srv").split() == ["lines", "one"]
    result = build(project, text.replace("exit 7", "true").replace("RUN never\n", ""))
    assert texts(result, reused=True) == ["RUN echo 1 > /srv/one"]


def test_sources_may_be_named_by_variables_of_the_base(project: Lab) -> None:
    """Of a revision they are known at once; of another stage only when that is built."""
    build(project, "FROM base\nENV APP=app\n", "--branch", "variable")
    build(project, "FROM variable\nCOPY ${APP}/file /srv/one\n", "--branch", "one")
    assert project.look("one", "cat /srv/one") == "of the application\n"
    build(project, "FROM base AS a\nENV DIR=app\nFROM a\nCOPY $DIR/file /srv/two\n", "--branch", "two")
    assert project.look("two", "cat /srv/two") == "of the application\n"
    project("plan", "--branch", "two")
    (project.path / "Dockerfile").write_text("FROM variable\nRUN touch /srv/never\nCOPY $APP/missing /srv/\n")
    said = project.fails("build", "--branch", "new", status=2, says="Dockerfile:3: ", hint=None)
    assert "RUN" not in said.err  # said before anything is run
