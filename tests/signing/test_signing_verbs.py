"""Which commits are signed, and that nothing happens when one cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.lab import Lab
from tests.signing.keys import SshKeys
from tests.signing.test_verify import configure


@pytest.fixture
def always(lab: Lab, ssh_keys: SshKeys) -> Lab:
    """A repository whose commits are to be signed."""
    configure(lab, ssh_keys.config(**{"commit.gpgSign": "true"}))
    return lab


def letters(lab: Lab, *words: str) -> str:
    """Return git's letter for each commit, newest first."""
    return "".join(lab.git("log", "--format=%G?", *words).split())


@pytest.mark.any_ids
def test_commit_and_amend(always: Lab) -> None:
    always.sh("echo one > /etc/one")
    always("commit", "-m", "one")
    always("commit", "--amend", "-m", "another word")
    assert letters(always) == "GN"
    always("commit", "--amend", "--no-gpg-sign", "-m", "not signed")
    assert letters(always) == "NN"


def test_a_key_for_one_commit(lab: Lab, ssh_keys: SshKeys) -> None:
    configure(lab, ssh_keys.config())
    lab("commit", "--allow-empty", f"-S{ssh_keys.private('mallory')}", "-m", "by mallory")
    lab("commit", "--allow-empty", f"--gpg-sign={ssh_keys.private('alice')}", "-m", "by alice")
    lab("commit", "--allow-empty", "-m", "by nobody")
    assert letters(lab) == "NGUN"


def test_without_gpg_format_an_ssh_key_is_one(lab: Lab, ssh_keys: SshKeys) -> None:
    lab("config", "user.signingKey", f"key::{ssh_keys.public('alice')}")
    lab.fails("commit", "--allow-empty", "-S", "-m", "x", status=2, says="ssh-keygen made no signature", hint="ssh-add")
    lab("config", "user.signingKey", ssh_keys.private("alice"))
    lab("config", "gpg.ssh.allowedSignersFile", str(ssh_keys.folder / "allowed"))
    lab("commit", "--allow-empty", "-S", "-m", "x")
    assert letters(lab) == "GN"


@pytest.mark.any_ids
def test_save_import_link_and_sandbox(always: Lab, small_root: Path) -> None:
    always("run", "--save", "saved", "HEAD", "--", "sh", "-c", "echo x > /etc/x")
    assert letters(always, "-1", "saved") == "G"
    always("run", "--name", "kept", "HEAD", "--", "sh", "-c", "echo y > /etc/y")
    always("commit", "--sandbox", "kept", "--branch", "one", "-m", "of a sandbox")
    always("commit", "--sandbox", "kept", "--branch", "two", "--no-gpg-sign", "-m", "of a sandbox")
    assert letters(always, "-1", "one") + letters(always, "-1", "two") == "GN"
    always("import", f"dir:{small_root}")
    assert letters(always, "-1") == "G"


def test_units_that_run_nothing(always: Lab) -> None:
    (always.path / "Dockerfile").write_text("FROM scratch\nCOPY a /a\nENV A=1\n")
    (always.path / "a").write_text("a\n")
    always("build", "--branch", "built")
    assert set(letters(always, "built", "--not", "main")) == {"G"}


@pytest.mark.any_ids
def test_a_build_that_runs_something(always: Lab) -> None:
    (always.path / "Dockerfile").write_text("FROM main\nRUN echo x > /etc/x\nRUN echo y > /etc/y\n")
    always("build", "--network", "none", "--branch", "built")
    assert letters(always, "built") == "GGN"


@pytest.mark.any_ids
def test_when_it_cannot_be_signed_nothing_happens(always: Lab) -> None:
    always.sh("echo one > /etc/one")
    before = always.head(), always.changes(), len(always("op", "log").lines())
    for key in ("/nonexistent/key", "key::ssh-ed25519 AAAA"):
        always("config", "user.signingKey", key)
        always.fails("commit", "-m", "one", status=2, says="made no signature", hint="--no-gpg-sign")
    always("config", "gpg.ssh.program", "/nonexistent/program")
    always.fails("commit", "-m", "one", status=2, says="was not found", hint="gpg.ssh.program")
    always.fails("tag", "-s", "-m", "x", "v1", status=2, says="was not found", hint="gpg.ssh.program")
    assert (always.head(), always.changes(), len(always("op", "log").lines())) == before
    always("commit", "--no-gpg-sign", "-m", "one")


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("[commit]\n\tgpgSign\n", "G"),
        ("[commit] gpgsign = yes ; always\n", "G"),
        ("[Commit]\n\tGPGSIGN = 1\n", "G"),
        ("[commit]\n\tgpgSign = off\n", "N"),
        ("[commit]\n\tgpgSign =\n", "N"),
        ("[commit]\n\tgpgSign = true\n\tgpgSign = false\n", "N"),
        ("[include]\n\tpath = more\n", "G"),
    ],
)
def test_git_agrees_about_the_configuration(lab: Lab, ssh_keys: SshKeys, text: str, letter: str) -> None:
    configure(lab, ssh_keys.config())
    (lab.git_dir / "more").write_text("[commit]\n\tgpgSign = true\n")
    with open(lab.git_dir / "config", "a") as file:
        file.write(text)
    lab("commit", "--allow-empty", "-m", "x")
    assert letters(lab, "-1") == letter
    asked = lab.git("config", "--type=bool", "--get", "commit.gpgSign").strip()
    assert asked == {"G": "true", "N": "false"}[letter]


def test_a_value_that_means_nothing_is_said(always: Lab) -> None:
    always("config", "commit.gpgSign", "perhaps")
    always.fails("commit", "--allow-empty", "-m", "x", status=2, says="commit.gpgSign is 'perhaps'", hint="true")
    always("config", "gpg.format", "x509")
    always.fails("commit", "--allow-empty", "-S", "-m", "x", status=2, says="'x509'", hint="gpg.format ssh")


def test_without_signing_nothing_of_it_is_loaded(lab: Lab) -> None:
    """A commit must not pay for what it does not use."""
    trace = lab("commit", "--allow-empty", "-m", "x", PYTHONPROFILEIMPORTTIME="1").err
    assert "envgit.commit" in trace and "envgit.signing" not in trace
    lab("config", "user.signingKey", "/nonexistent")
    trace = lab("commit", "--allow-empty", "-S", "-m", "x", PYTHONPROFILEIMPORTTIME="1", status=2).err
    assert "envgit.signing" in trace


def test_no_descriptor_of_the_repository_reaches_the_program(always: Lab, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nls -l /proc/$$/fd > {tmp_path}/fds\nexec ssh-keygen "$@"\n')
    program.chmod(0o755)
    always("config", "gpg.ssh.program", str(program))
    always("commit", "--allow-empty", "-m", "x")
    assert ".envgit" not in (tmp_path / "fds").read_text()
    assert os.fsencode(always.path) not in (tmp_path / "fds").read_bytes()
