"""`verify`: signatures and content of revisions, beside what stock git says of the same objects."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from envgit.errors import EnvgitError
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.verify import UnverifiedCommit, require_signatures, verify_commits
from tests.lab import Lab
from tests.signing.keys import ALICE, KeyRing, SshKeys


def configure(lab: Lab, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        lab("config", name, value)


@pytest.fixture
def signing(lab: Lab, ssh_keys: SshKeys) -> Lab:
    """A repository of alice's: its first commit, an import, is not signed; two later ones are."""
    configure(lab, ssh_keys.config())
    for text in ("one", "two"):
        lab.sh(f"echo {text} > /etc/{text}")
        lab("commit", "-S", "-m", text)
    return lab


def states(lab: Lab, *specs: str, status: int = 0) -> list[str]:
    found = lab("verify", "--json", *specs, status=status).json()
    assert found["ok"] == (status == 0)
    return [revision["signature"]["state"] for revision in found["revisions"]]


@pytest.mark.any_ids
def test_git_accepts_what_envgit_signs(signing: Lab, ssh_keys: SshKeys) -> None:
    assert f'Good "git" signature for {ALICE}' in signing.git("verify-commit", "HEAD")
    assert f'Good "git" signature for {ALICE}' in signing.git("log", "-1", "--show-signature")
    assert signing.git("log", "--format=%G?%GS%GF") == signing("log", "--format=%G?%GS%GF").out
    shown = signing("log", "-1", "--show-signature").lines()
    assert shown[1] == f"good signature by {ALICE} (ED25519 key {ssh_keys.fingerprint('alice')})"
    assert signing("show", "-s", "--show-signature").lines()[1] == shown[1]
    entry = signing("log", "-1", "--show-signature", "--json").json()["commits"][0]
    assert entry["signature"]["signer"] == ALICE
    assert "signature" not in signing("log", "-1", "--json").json()["commits"][0]


def test_envgit_accepts_what_git_signs(signing: Lab) -> None:
    message = signing.git("log", "-1", "--format=%B")
    oid = signing.git("commit-tree", "-S", "HEAD^{tree}", "-p", "HEAD", "-m", message).split()[-1]
    signing.git("tag", "-s", "-m", "a tag of git's", "theirs", oid)
    assert states(signing, oid, "theirs") == ["good", "good"]


def test_verify_says_who_and_reads_everything(signing: Lab, ssh_keys: SshKeys) -> None:
    said = signing("verify").lines()
    assert said[0].endswith(" two") and ALICE in said[1]
    assert re.fullmatch(r"    content as recorded: \d+ directories, \d+ files \(.* MB\) read", said[2])


def test_of_a_range_every_commit_is_checked_and_only_what_is_new_is_read(signing: Lab) -> None:
    found = signing("verify", "--json", "HEAD~2..HEAD").json()
    assert [revision["subject"] for revision in found["revisions"]] == ["one", "two"]
    assert [revision["content"]["files"] for revision in found["revisions"]] == [1, 1]
    assert [revision["content"]["directories"] for revision in found["revisions"]] == [2, 2]
    assert states(signing, "HEAD..HEAD") == []
    assert "no commits" in signing("verify", "HEAD..HEAD").err


def test_an_unsigned_commit_is_said_and_is_a_negative_answer(signing: Lab) -> None:
    assert states(signing, "HEAD~2", status=1) == ["none"]
    assert states(signing, "HEAD", "HEAD~2", status=1) == ["good", "none"]
    assert "no signature" in signing("verify", "HEAD~2", status=1).out
    signing.git("verify-commit", "HEAD~2", status=1)


def test_somebody_unknown(signing: Lab, ssh_keys: SshKeys) -> None:
    signing("config", "gpg.ssh.allowedSignersFile", ssh_keys.allow("nobody", "# nobody"))
    done = signing("verify", status=1)
    assert "unknown signer" in done.out and "gpg.ssh.allowedSignersFile" in done.err
    signing.git("verify-commit", "HEAD", status=1)


def test_a_relative_list_lies_in_the_projects_folder(signing: Lab, ssh_keys: SshKeys) -> None:
    (signing.path / "signers").write_text((ssh_keys.folder / "allowed").read_text())
    signing("config", "gpg.ssh.allowedSignersFile", "signers")
    (signing.path / "below").mkdir()
    assert states(signing.at(signing.path / "below")) == ["good"]


def test_tags(signing: Lab, ssh_keys: SshKeys) -> None:
    signing("tag", "-s", "-m", "release", "v1", "HEAD~2")
    signing.git("verify-tag", "v1")
    assert states(signing, "v1") == ["good"]
    signing("tag", "-u", ssh_keys.private("mallory"), "-m", "hers", "v2")
    signing("tag", "-a", "-m", "no signature", "v3")
    signing("tag", "light", "HEAD")
    assert states(signing, "v2", "v3", "light", "v1^{}", status=1) == ["unknown", "none", "good", "none"]
    signing.fails("tag", "-s", "v4", status=2, says="needs a message", hint="-m")
    signing("config", "tag.gpgSign", "true")
    signing("tag", "-m", "as configured", "v5")
    signing("tag", "-m", "not", "--no-sign", "v6")
    assert states(signing, "v5", "v6", status=1) == ["good", "none"]


def test_a_signed_tag_under_another_name_is_bad(signing: Lab) -> None:
    """A ref is not signed: it could offer the signed old release as the new one."""
    signing("tag", "-s", "-m", "release", "v1", "HEAD~1")
    signing.git("update-ref", "refs/tags/v2", signing.head("v1"))
    assert states(signing, "v1") == ["good"]
    assert states(signing, "v2", status=1) == ["bad"]
    assert "what was signed is the tag v1, not v2" in signing("verify", "v2", status=1).out


@pytest.mark.parametrize("spelt", ["tags/v2", "refs/tags/v2", "v2@{0}", "tags/v2@{0}"])
def test_a_signed_tag_under_another_name_is_bad_however_it_is_spelt(signing: Lab, spelt: str) -> None:
    signing("tag", "-s", "-m", "release", "v1", "HEAD~1")
    oid = signing.head("v1")
    signing.git("update-ref", "--create-reflog", "refs/tags/v2", oid)
    signing.git("update-ref", "--create-reflog", "-m", "again", "refs/tags/v1", oid)
    assert states(signing, spelt.replace("v2", "v1").partition("@")[0]) == ["good"]
    assert states(signing, spelt, status=1) == ["bad"]
    assert "what was signed is the tag v1, not v2" in signing("verify", spelt, status=1).out
    assert states(signing, oid) == ["good"]  # which ref it is offered by is not the question


def test_a_signed_tag_of_a_tag_that_nobody_signed_is_bad(signing: Lab) -> None:
    signing("tag", "-a", "-m", "unsigned", "inner")
    signing.git("tag", "-s", "-m", "outer", "outer", "inner")
    assert states(signing, "outer", status=1) == ["bad"]


def forge(lab: Lab, old: bytes, new: bytes, revision: str = "HEAD") -> str:
    """Write a copy of a commit with other bytes; return its id."""
    command = ["git", "--git-dir", str(lab.git_dir)]
    data = subprocess.run([*command, "cat-file", "commit", revision], capture_output=True, check=True).stdout
    assert old in data
    words = [*command, "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
    made = subprocess.run(words, input=data.replace(old, new, 1), capture_output=True, check=True)
    return made.stdout.decode().strip()


FORGERIES = {
    "subject": (b"\n\ntwo\n", b"\n\nTwo\n"),
    "author": (b"author A U Thor", b"author B U Thor"),
    "date": (b"> 1", b"> 2"),
    "trailer added": (b"\nEnvgit-Root:", b"\nEnvgit-Unit: {}\nEnvgit-Root:"),
    "header added": (b"\ngpgsig ", b"\nencoding latin1\ngpgsig "),
    "signature twice": (
        b"\ngpgsig ",
        b"\ngpgsig -----BEGIN SSH SIGNATURE-----\n QUJD\n -----END SSH SIGNATURE-----\ngpgsig ",
    ),
    "line in the signature": (b" -----END SSH", b" \x1b[2J\n -----END SSH"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_commit_that_was_changed_after_it_was_signed(signing: Lab, name: str) -> None:
    oid = forge(signing, *FORGERIES[name])
    assert states(signing, oid, status=1) == ["bad"]
    assert "BAD signature" in signing("log", "-1", "--show-signature", oid).out


def test_content_that_is_not_what_was_signed(signing: Lab) -> None:
    """Signed by alice's key, and still refused: the trailer speaks of other files."""
    other = signing.git("log", "-1", "--format=%B", "HEAD~1")
    oid = signing.git("commit-tree", "-S", "HEAD^{tree}", "-p", "HEAD~1", "-m", other).split()[-1]
    for spec in (oid, f"HEAD~1..{oid}"):
        found = signing("verify", "--json", spec, status=1).json()["revisions"][0]
        assert found["signature"]["state"] == "good" and not found["content"]["ok"]
        assert "SHA-256" in found["content"]["problems"][0]["what"]
    assert "error: " in signing("verify", oid, status=1).out


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_file_that_was_exchanged_below_its_metadata(signing: Lab, name: str) -> None:
    """The commit says which SHA-256 each file has; git's tree names another blob, and git has no objection."""
    evil = git_input(signing, b"evil\n", "hash-object", "-w", "--stdin")
    replaced = f"blob {evil}", name
    for tree in ("HEAD:rootfs/etc", "HEAD:rootfs", "HEAD"):
        what, entry = replaced
        lines = re.sub(rf"\w+ \w+\t{entry}$", f"{what}\t{entry}", signing.git("ls-tree", tree), flags=re.MULTILINE)
        replaced = (
            f"tree {git_input(signing, lines.encode(), 'mktree')}",
            tree.rpartition("/" if "/" in tree else ":")[2],
        )
    top = replaced[0].removeprefix("tree ")
    message = signing.git("log", "-1", "--format=%B")
    words = ("commit-tree", "-S", top, "-p", "HEAD~1", "-m", message)
    oid = signing.git(*words).split()[-1]
    found = signing("verify", "--json", oid, status=1).json()["revisions"][0]
    assert found["signature"]["state"] == "good"
    assert [problem["path"] for problem in found["content"]["problems"]] == [f"/etc/{name}"]
    signing.git("tag", "forged", oid)
    assert f"/etc/{name}: " in signing("fsck", status=1).out
    signing.git("tag", "-d", "forged")


def git_input(lab: Lab, data: bytes, *words: str) -> str:
    """Run git with an input; return the id that it prints."""
    command = ["git", "--git-dir", str(lab.git_dir), *words]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout.decode().strip()


def test_a_commit_that_is_no_environment(signing: Lab) -> None:
    oid = signing.git("commit-tree", "-S", "HEAD^{tree}", "-m", "no trailers").split()[-1]
    found = signing("verify", "--json", oid, status=1).json()["revisions"][0]
    assert found["signature"]["state"] == "good"
    assert "holds no environment" in found["content"]["problems"][0]["what"]


def test_names_that_are_no_revision(signing: Lab) -> None:
    signing.fails("verify", "nothing", status=2, says="nothing", hint=None)
    signing.fails("verify", "HEAD", "--", "x", status=2, says="no words after --", hint="--help")


def test_settings_that_cannot_be_read_are_an_error_and_no_answer(signing: Lab) -> None:
    signing("config", "gpg.ssh.allowedSignersFile", "/nonexistent/signers")
    signing.fails("verify", status=2, says="/nonexistent/signers", hint="envgit config --list")
    signing("config", "gpg.format", "x509")
    signing.fails("verify", status=2, says="gpg.format", hint="envgit config gpg.format ssh")


def test_for_pull(signing: Lab) -> None:
    repo = Repository.open_(str(signing.path), dict(os.environ), NullMonitor())
    head, first = (bytes.fromhex(signing.head(name)) for name in ("HEAD", "HEAD~2"))
    assert [(oid, verdict.state) for oid, verdict in verify_commits(repo, [head, first])] == [
        (head, "good"),
        (first, "none"),
    ]
    require_signatures(repo, [head])
    with pytest.raises(UnverifiedCommit, match="no signature"):
        require_signatures(repo, [head, first])

    class Elsewhere:
        def read(self, oid: bytes) -> tuple[str, bytes]:
            return repo.objects.read(first)

    with pytest.raises(UnverifiedCommit):
        require_signatures(repo, [head], Elsewhere())
    with pytest.raises(EnvgitError, match="is a tree"):
        verify_commits(repo, [bytes.fromhex(signing.head("HEAD^{tree}"))])


@pytest.mark.any_ids
def test_openpgp_both_ways(lab: Lab, key_ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNUPGHOME", key_ring.home)
    lab("config", "user.signingKey", key_ring.alice)
    lab("config", "commit.gpgSign", "true")
    lab.sh("echo one > /etc/one")
    lab("commit", "-m", "one")
    assert "Good signature" in lab.git("verify-commit", "HEAD")
    lab("tag", "-s", "-m", "release", "v1")
    lab.git("verify-tag", "v1")
    message = lab.git("log", "-1", "--format=%B")
    theirs = lab.git("commit-tree", "-S", "HEAD^{tree}", "-p", "HEAD", "-m", message).split()[-1]
    assert states(lab, "HEAD", "v1", theirs) == ["good"] * 3
    assert states(lab, forge(lab, b"\n\none\n", b"\n\nOne\n"), status=1) == ["bad"]


def test_many_commits(signing: Lab, tmp_path: Path) -> None:
    for number in range(5):
        signing("commit", "-S", "--allow-empty", "-m", str(number))
    assert states(signing, "HEAD~7..", status=0) == ["good"] * 7
