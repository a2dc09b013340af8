"""Making a signature: with keys in files and in agents, and all that can be in the way."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.signing.program import program_environment
from envgit.signing.signer import SigningFailed, open_signer
from envgit.signing.ssh_keys import check_ssh
from tests.signing.keys import PASSPHRASE, KeyRing, SshKeys, run, signed

PAYLOAD = b"tree 1\n\nsubject\n"
NOW = 1_700_000_000


@pytest.fixture
def agent(ssh_keys: SshKeys) -> Iterator[str]:
    """An agent that holds the key `locked`; gives its socket."""
    folder = tempfile.mkdtemp(prefix="agent-", dir="/tmp")
    path = f"{folder}/socket"
    running = subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while not os.path.exists(path) and time.monotonic() < until:
            time.sleep(0.01)
        ask = Path(folder, "ask")
        ask.write_text(f"#!/bin/sh\necho '{PASSPHRASE}'\n")
        ask.chmod(0o700)
        words = ("ssh-add", "-q", ssh_keys.private("locked"))
        run(*words, SSH_AUTH_SOCK=path, SSH_ASKPASS=str(ask), SSH_ASKPASS_REQUIRE="force")
        ask.unlink()
        yield path
    finally:
        running.terminate()
        running.wait(20)
        subprocess.run(["rm", "-rf", folder], check=True)


@pytest.mark.parametrize("form", ["file", "public file", "key::", "bare"])
def test_an_agent_signs_for_a_key_that_nothing_else_can_open(ssh_keys: SshKeys, agent: str, form: str) -> None:
    private, public = ssh_keys.private("locked"), ssh_keys.public("locked")
    key = {"file": private, "public file": f"{private}.pub", "key::": f"key::{public}", "bare": public}[form]
    environ = {**os.environ, "SSH_AUTH_SOCK": agent}
    settings = ssh_keys.settings(key=key, environ=environ, format=None)
    allowed = ssh_keys.allow("agent", f"locked@example.com {public}")
    verdict = check_ssh(PAYLOAD, signed(settings, PAYLOAD), NOW, settings._replace(allowed_signers=allowed))
    assert verdict.signer == "locked@example.com"


def test_a_key_that_no_agent_has(ssh_keys: SshKeys, agent: str) -> None:
    environ = {**os.environ, "SSH_AUTH_SOCK": agent}
    settings = ssh_keys.settings(key=f"key::{ssh_keys.public('alice')}", environ=environ)
    with pytest.raises(SigningFailed, match="agent") as caught:
        signed(settings, PAYLOAD)
    assert caught.value.hint and "ssh-add -L" in caught.value.hint and "--no-gpg-sign" in caught.value.hint


def test_without_a_key_the_hint_says_how_to_have_one(key_ring: KeyRing) -> None:
    nobody = key_ring.settings(key="")
    for payload, without in ((b"tree \n", "commit --no-gpg-sign"), (b"object \n", "tag --no-sign")):
        with pytest.raises(SigningFailed) as caught:
            signed(nobody, payload)
        assert "envgit config user.signingKey ~/" in str(caught.value.hint)
        assert str(caught.value.hint).endswith("envgit " + without)
    with pytest.raises(SigningFailed, match="no gpg to find a key") as caught:
        signed(nobody._replace(environ={"PATH": "/nonexistent"}), PAYLOAD)
    assert "user.signingKey" in str(caught.value.hint)


@pytest.mark.parametrize(
    "key", ["/nonexistent/key", "key::ssh-ed25519 AAAA", "key::", "ssh-ed25519 \nfoo", "-Y", "--help"]
)
def test_keys_that_are_none(ssh_keys: SshKeys, key: str) -> None:
    with pytest.raises(EnvgitError, match="made no signature"):
        signed(ssh_keys.settings(key=key, format="ssh"), PAYLOAD)


def test_without_a_key_it_says_what_to_type(ssh_keys: SshKeys) -> None:
    with pytest.raises(SigningFailed, match=r"user\.signingKey is not set") as caught:
        signed(ssh_keys.settings(key=""), PAYLOAD)
    assert caught.value.hint and "envgit config user.signingKey" in caught.value.hint


def test_a_key_that_cannot_be_opened_fails_and_does_not_wait(ssh_keys: SshKeys) -> None:
    """No terminal, no agent, nobody who asks for the passphrase."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from tests.signing.test_signer import try_locked; try_locked(sys.argv[2])"
    )
    root = str(Path(__file__).resolve().parents[2])
    command = ["setsid", "-w", sys.executable, "-c", script, root, str(ssh_keys.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    assert done.stdout.startswith("made no signature"), done


def try_locked(folder: str) -> None:
    try:
        signed(SshKeys(Path(folder)).settings(key=f"{folder}/locked"), PAYLOAD)
    except SigningFailed as error:
        print(error.message.partition(" ")[2])


def _program(folder: Path, script: str) -> str:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    "script",
    [
        "exit 0", "exit 1", "cat", "echo '-----BEGIN SSH SIGNATURE-----'", "kill -9 $$", "exec 0<&-; exit 3",
        "cat >/dev/null; while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
    ],
)  # fmt: skip
def test_programs_that_sign_nothing(ssh_keys: SshKeys, tmp_path: Path, script: str) -> None:
    with pytest.raises(SigningFailed) as caught:
        signed(ssh_keys.settings(ssh_program=_program(tmp_path, script)), b"x" * (1 << 20))
    assert caught.value.hint


def test_a_program_that_hangs_is_ended(ssh_keys: SshKeys, tmp_path: Path) -> None:
    settings = ssh_keys.settings(ssh_program=_program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 1000"))
    begun = time.monotonic()
    with (
        pytest.raises(SigningFailed, match="took longer"),
        open_signer(settings, "", "", lambda line: None, seconds=0.5) as sign,
    ):
        sign(PAYLOAD)
    assert time.monotonic() - begun < 10
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_a_signer_that_is_not_used_leaves_nothing(ssh_keys: SshKeys, tmp_path: Path) -> None:
    settings = ssh_keys.settings(ssh_program=_program(tmp_path, f"echo $$ > {tmp_path}/pid; cat; touch {tmp_path}/fed"))
    before = set(os.listdir("/proc/self/fd"))
    with open_signer(settings, "", "", lambda line: None):
        until = time.monotonic() + 20
        while not (tmp_path / "pid").exists() and time.monotonic() < until:
            time.sleep(0.01)
    assert set(os.listdir("/proc/self/fd")) == before
    assert not (tmp_path / "fed").exists()


def test_a_forked_child_may_ask_while_its_parent_holds_the_signer(ssh_keys: SshKeys) -> None:
    """So commits of builds are signed: they are written in a child, in a namespace where no agent is found."""
    one, other = socket.socketpair()
    with open_signer(ssh_keys.settings(), "", "", lambda line: None) as sign:
        pid = os.fork()
        if pid == 0:
            try:
                other.sendall(sign(PAYLOAD))
            finally:
                os._exit(0)
        other.close()
        signature = b"".join(iter(lambda: one.recv(65536), b""))
        assert os.waitpid(pid, 0)[1] == 0
    one.close()
    assert check_ssh(PAYLOAD, signature, NOW, ssh_keys.settings()).good


def test_that_a_token_waits_is_passed_on(ssh_keys: SshKeys, tmp_path: Path) -> None:
    said: list[str] = []
    lines = "echo 'Signing data on standard input' >&2; echo 'Confirm user presence for key X' >&2"
    script = f'{lines}; exec ssh-keygen "$@"'
    settings = ssh_keys.settings(ssh_program=_program(tmp_path, script))
    with open_signer(settings, "", "", said.append) as sign:
        sign(PAYLOAD)
    assert said == ["Confirm user presence for key X"]


def test_programs_get_what_agents_need_and_no_more() -> None:
    environ = {
        "PATH": "/bin",
        "SSH_AUTH_SOCK": "/s",
        "GNUPGHOME": "/g",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LD_PRELOAD": "x",
        "LC_ALL": "de",
    }
    got = program_environment(environ)
    assert got == {"PATH": "/bin", "SSH_AUTH_SOCK": "/s", "GNUPGHOME": "/g", "LC_MESSAGES": "C", "LANGUAGE": "C"}
