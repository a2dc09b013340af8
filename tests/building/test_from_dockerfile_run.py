"""RUN of a Dockerfile: command lines, heredocs, mounts, networks, and what is refused."""

from __future__ import annotations

import pytest

from envgit.building.dockerfiles.run import script_argv
from envgit.building.unit import (
    CacheMount,
    Context,
    Injected,
    RevisionBase,
    SecretMount,
    SourceBase,
    StageBase,
    TmpfsMount,
    TreeMount,
)
from envgit.errors import UsageError
from envgit.model import EnvironmentConfig
from tests.building.dockerfile_recipes import last_run, refused, refused_early

SH = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("lines", "argv"),
    [
        ("RUN echo  a", (*SH, "echo  a")),
        ("RUN echo $HOME 'a b'", (*SH, "echo $HOME 'a b'")),
        ('RUN ["echo", "a b", "$HOME"]', ("echo", "a b", "$HOME")),
        ("RUN ['echo']", (*SH, "['echo']")),
        ("RUN a \\\n  && b", (*SH, "a   && b")),
        ('SHELL ["/bin/bash", "-ec"]\nRUN a', ("/bin/bash", "-ec", "a")),
        ('SHELL ["/bin/bash", "-ec"]\nRUN ["a"]', ("a",)),
        ("RUN <<EOF\na\nb $X\nEOF", (*SH, "a\nb $X\n")),
        ("RUN <<'EOF'\na\nEOF", (*SH, "a\n")),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", (*SH, "a\nb\n")),
        ("RUN <<EOF cat\nx\nEOF", (*SH, "<<EOF cat\nx\nEOF")),
        ("RUN cat <<EOF > /f\nx\nEOF", (*SH, "cat <<EOF > /f\nx\nEOF")),
        ("RUN cat <<-EOF\n\tx\nEOF", (*SH, "cat <<-EOF\n\tx\nEOF")),
        ("RUN cat <<A - <<B\n1\nA\n2\nB", (*SH, "cat <<A - <<B\n1\nA\n2\nB")),
        ("RUN <<EOF\nEOF", (*SH, "")),
    ],
)
def test_command_lines(lines: str, argv: tuple[str, ...]) -> None:
    run = last_run(f"FROM debian\n{lines}")
    assert (run.argv, run.files) == (argv, ())


def test_a_script_with_an_interpreter_is_started_as_the_kernel_would() -> None:
    run = last_run("FROM debian\nRUN <<EOF\n#!/usr/bin/env -S python3 -u\nprint(1)\nEOF")
    assert run.argv == ("/usr/bin/env", "-S python3 -u", "/run/envgit/heredoc/EOF")
    assert run.files == (Injected("/run/envgit/heredoc/EOF", b"#!/usr/bin/env -S python3 -u\nprint(1)\n"),)
    odd = last_run("FROM debian\nRUN <<'../a b'\n#!/bin/sh\n../a b")
    assert odd.argv == ("/bin/sh", "/run/envgit/heredoc/script")
    stripped = last_run("FROM debian\nRUN <<-E\n\t#!/bin/sh\n\techo\nE")
    assert stripped.files == (Injected("/run/envgit/heredoc/E", b"#!/bin/sh\necho\n"),)


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("#!/bin/sh", ("/bin/sh", "P")),
        ("#! /bin/sh -e ", ("/bin/sh", "-e", "P")),
        ("#!/bin/sh\t-e -u", ("/bin/sh", "-e -u", "P")),
        ("#!\t/bin/sh\r", ("/bin/sh", "P")),
    ],
)
def test_first_lines_of_scripts(line: str, argv: tuple[str, ...]) -> None:
    assert script_argv(f"{line}\nrest\n", "P") == argv


def test_a_script_without_an_interpreter() -> None:
    with pytest.raises(UsageError, match="no interpreter"):
        script_argv("#! \n", "P")
    refused("FROM debian\nRUN <<E\n#!\nE", 2, "no interpreter")


@pytest.mark.parametrize(("option", "network"), [("", ""), ("default", ""), ("none", "none"), ("host", "host")])
def test_networks(option: str, network: str) -> None:
    flag = f"--network={option} " if option else ""
    assert last_run(f"FROM debian\nRUN {flag}x").network == network


@pytest.mark.parametrize(
    ("option", "mounts"),
    [
        ("type=cache,target=/c", (CacheMount("/c", "/c"),)),
        ("type=cache,target=/c/../d/,id=my", (CacheMount("my", "/d"),)),
        ("type=cache,dst=c", (CacheMount("/w/c", "/w/c"),)),
        ("type=cache,target=/c,ro,sharing=locked", (CacheMount("/c", "/c", True, "locked"),)),
        ("type=cache,target=/c,sharing=private", (CacheMount("/c", "/c", sharing="private"),)),
        ("type=cache,target=/c,mode=0755,uid=0,gid=0", (CacheMount("/c", "/c"),)),
        ("type=cache,target=/$X", (CacheMount("/x", "/x"),)),
        ("type=tmpfs,target=/t", (TmpfsMount("/t"),)),
        ("type=tmpfs,target=/t,size=1k", (TmpfsMount("/t", "1024"),)),
        ("type=secret,id=key", (SecretMount("key", "/run/secrets/key"),)),
        ("type=secret,id=a/key,required", (SecretMount("a/key", "/run/secrets/key", True),)),
        ("type=secret,source=key,target=/root/.key", (SecretMount("key", "/root/.key"),)),
        ("type=secret,target=/root/.key", (SecretMount(".key", "/root/.key"),)),
        ("type=secret,id=key,target=sub/key", (SecretMount("key", "/w/sub/key"),)),
        ("type=secret,id=key,mode=0400,uid=1000,gid=1000", (SecretMount("key", "/run/secrets/key"),)),
        ("type=secret,id=key,env=KEY", (SecretMount("key", "", False, "KEY"),)),
        (
            "type=secret,id=key,env=KEY,target=/k,required=true",
            (SecretMount("key", "", True, "KEY"), SecretMount("key", "/k", True)),
        ),
        ("target=/src", (TreeMount(Context(), "/", "/src"),)),
        ("type=bind,source=a/b,target=.", (TreeMount(Context(), "/a/b", "/w"),)),
        ("type=bind,source=../a,target=/src,ro", (TreeMount(Context(), "/a", "/src"),)),
        ("type=bind,from=one,source=/a,target=/src", (TreeMount(StageBase(0), "/a", "/src"),)),
        ("type=bind,from=0,target=/src", (TreeMount(StageBase(0), "/", "/src"),)),
        ("from=v1,target=/src", (TreeMount(RevisionBase("v1"), "/", "/src"),)),
        ("from=alpine,target=/src", (TreeMount(SourceBase("docker://docker.io/library/alpine:latest"), "/", "/src"),)),
    ],
)
def test_mounts(option: str, mounts: tuple[object, ...]) -> None:
    text = f"FROM scratch AS one\nFROM debian\nARG X=x\nWORKDIR /w\nRUN --mount={option} y"
    assert last_run(text, is_revision=lambda name: name == "v1").mounts == mounts


def test_several_mounts_keep_their_order() -> None:
    run = last_run("FROM debian\nRUN --mount=type=tmpfs,target=/b --mount=type=cache,target=/a x")
    assert run.mounts == (TmpfsMount("/b"), CacheMount("/a", "/a"))


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--security=insecure", "--security=insecure is not supported"),
        ("--mount=type=ssh", "type=ssh is not supported"),
        ("--mount=type=cache,target=/c,from=debian", "type=cache with from or source"),
        ("--mount=type=cache,target=/c,uid=1000", "uid or gid is not supported"),
        ("--mount=type=secret,id=a,mode=0500", "can be executed"),
        ("--mount=target=/a,rw", "type=bind with rw is not supported"),
        ("--mount=type=cache,target=/c,mode=0777", "mode, uid or gid"),
    ],
)
def test_what_is_not_supported(option: str, says: str) -> None:
    refused_early(f"FROM debian\n\nRUN {option} \\\n  x", 3, says)


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("--mount=type=${T:-ssh}", "type=ssh is not supported"),
        ("--mount=target=/", "target other than /"),
        ("--mount=type=cache", "target other than /"),
        ("--mount=target=$NOTHING", "target other than /"),
        ("--mount=target=/a,from=$NOTHING", "variables"),
        ("--mount=target=/a,from=scratch", "no files"),
    ],
)
def test_mounts_that_make_no_sense(option: str, says: str) -> None:
    refused(f"FROM debian\nRUN {option} x", 2, says)


def test_what_a_run_takes_from_the_configuration_stays_there() -> None:
    config = EnvironmentConfig(env=(("A", "1"),), working_dir="/w", user="app")
    run = last_run("FROM debian\nRUN x", config)
    assert (run.env, run.workdir, run.user) == ((), "", "")
