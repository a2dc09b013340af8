"""A chain of commits from an image: the same for everybody, each tree what the layers up to it make."""

from __future__ import annotations

from pathlib import Path

import pytest

from envgit.image_commits import Chain, KnownLayers, write_chain
from envgit.images import open_image
from envgit.monitor import NullMonitor
from envgit.repo import Repository
from envgit.snapshot import read_snapshot
from tests.images.image_builder import BASE, TOP, Builder, tar
from tests.images.test_layers import LINKS, STACKS
from tests.lab import assert_stock_git_is_content
from tests.sources.tar_builder import file

HISTORY = [
    {"created": "2024-05-01T10:00:00Z", "created_by": "/bin/sh -c #(nop) ADD file:1 in / "},
    {"created": "2024-05-01T10:00:01Z", "created_by": "ENV A=1 # buildkit", "empty_layer": True},
    {"created": "2024-05-01T10:00:02Z", "created_by": "RUN /bin/sh -c change # buildkit"},
]


def new_repo(folder: Path) -> Repository:
    return Repository.create_(str(folder), "main", {}, NullMonitor())


def import_chain(repo: Repository, layout: Path, known: int | None = None) -> Chain:
    """Write the chain of a layout's image, durable, on the branch; `known`: of so many layers at most."""
    with open_image(f"oci:{layout}", environ={}, monitor=repo.monitor, platform="linux/amd64") as image:
        found = KnownLayers(repo).find_prefix(image.chain_ids)[:known]
        with repo.operation(["test"]) as transaction:
            with repo.objects.pack_session() as session:
                chain = write_chain(session, image, found, repo.reader, repo.monitor)
                session.finish()
            transaction.set_ref("refs/heads/main", chain.top)
            transaction.finish("test")
        KnownLayers(repo).add(image.chain_ids, chain)
    return chain


def layout_of(folder: Path, *archives: bytes, **more: object) -> Path:
    builder = Builder()
    return builder.write(folder, builder.image(*archives, **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*STACKS, *(f"links: {name}" for name in LINKS)])
def test_each_commit_is_what_its_layers_make(name: str, tmp_path: Path) -> None:
    """Written layer by layer, begun from any layer that is there already, or all at once: the same trees."""
    archives = (LINKS[name[7:]] if name.startswith("links: ") else STACKS[name])[0]
    repo = new_repo(tmp_path / "one")
    chain = import_chain(repo, layout_of(tmp_path / "whole", *archives))
    assert len(chain.commits) == max(1, len(archives))
    for count in range(1, len(archives) + 1):
        other = new_repo(tmp_path / f"other{count}")
        part = import_chain(other, layout_of(tmp_path / f"part{count}", *archives[:count]))
        root = read_snapshot(repo.objects, chain.commits[count - 1]).root
        assert root == part.root
        again = import_chain(other, tmp_path / "whole", count)
        assert again.reused == count and again.commits == chain.commits


def test_two_users_get_the_same_commits(tmp_path: Path) -> None:
    builder = Builder()
    layout = builder.write(tmp_path / "layout", builder.image(BASE, TOP, config={"User": "u"}, history=HISTORY))
    one, two = new_repo(tmp_path / "one"), new_repo(tmp_path / "two")
    two.environ = {"GIT_AUTHOR_NAME": "Somebody", "GIT_AUTHOR_DATE": "2030-01-01 00:00:00 +0500"}
    chain = import_chain(one, layout)
    assert import_chain(two, layout).commits == chain.commits
    lower, upper = (read_snapshot(one.objects, oid).commit for oid in chain.commits)
    assert lower.author == lower.committer and lower.author.seconds == 1714557600
    assert lower.message.startswith(b"ADD file:1 in /\n\nEnvgit-Layer: sha256:")
    assert upper.message.startswith(b"RUN change\n\nBefore it, without files:\n    ENV A=1\n\nEnvgit-Layer: sha256:")
    assert upper.parents == (chain.commits[0],)
    assert_stock_git_is_content(Path(one.git_dir), tmp_path)


def test_only_directories_that_change_are_written_again(tmp_path: Path) -> None:
    base = tar(*(file(b"usr/d%d/f%d" % (number, number), b"x") for number in range(50)), file(b"etc/a", b"a"))
    repo = new_repo(tmp_path / "one")
    first = import_chain(repo, layout_of(tmp_path / "base", base))
    before = sum(pack.index.count for pack in repo.objects.refresh())
    second = import_chain(repo, layout_of(tmp_path / "more", base, tar(file(b"etc/a", b"b"))))
    assert second.reused == 1
    added = sum(pack.index.count for pack in repo.objects.refresh()) - before
    # the file, etc/ and the root with their metadata, the commit and its top tree
    assert added == 7
    assert read_snapshot(repo.objects, second.commits[0]).root == first.root


def test_images_share_layers_and_not_configurations(tmp_path: Path) -> None:
    repo = new_repo(tmp_path / "one")
    builder = Builder()
    import_chain(repo, builder.write(tmp_path / "a", builder.image(BASE, config={"User": "a"})))
    chain = import_chain(repo, builder.write(tmp_path / "b", builder.image(BASE, TOP, config={"User": "b"})))
    assert chain.reused == 1
    for oid in chain.commits:
        snapshot = read_snapshot(repo.objects, oid)
        assert b'"User": "b"' in repo.objects.read({n: o for _, n, o in snapshot.tree_entries}[b"config.json"])[1]


def test_layers_that_are_here_are_not_opened(tmp_path: Path) -> None:
    builder = Builder()
    layout = builder.write(tmp_path / "layout", builder.image(BASE, TOP))
    repo = new_repo(tmp_path / "one")
    first = import_chain(repo, layout)
    for blob in (layout / "blobs/sha256").iterdir():
        if blob.read_bytes()[:2] == b"\x1f\x8b":
            blob.write_bytes(bytes(blob.stat().st_size))
    again = import_chain(repo, layout)
    assert (again.commits, again.reused, again.imported) == (first.commits, 2, None)


def known(repo: Repository, layout: Path) -> int:
    with open_image(f"oci:{layout}", environ={}, monitor=repo.monitor, platform="linux/amd64") as image:
        return len(KnownLayers(repo).find_prefix(image.chain_ids))


def test_the_index_is_disposable(tmp_path: Path) -> None:
    """Without it layers are read again, and the same commits come of them."""
    layout = layout_of(tmp_path / "layout", BASE, TOP)
    repo = new_repo(tmp_path / "one")
    chain = import_chain(repo, layout)
    index = Path(repo.path("build", "read-layers"))
    whole = index.read_bytes()
    assert known(repo, layout) == 2 and whole.count(b"\n") == 2
    cut = whole[: whole.index(b"\n") + 100]
    absent = b"sha256:" + b"a" * 64 + b" " + b"c" * 64 + b" " + b"b" * 40 + b"\n"
    for damage, count in ((b"", 0), (b"\xff\x00\n" * 9, 0), (absent, 0), (cut, 1), (absent + whole, 2)):
        index.write_bytes(damage)
        assert known(repo, layout) == count
    index.unlink()
    again = import_chain(repo, layout)
    assert (again.reused, again.commits) == (0, chain.commits) and known(repo, layout) == 2
    index.unlink()
    index.mkdir()
    assert known(repo, layout) == 0 and import_chain(repo, layout).commits == chain.commits


@pytest.mark.parametrize(
    "name", ["refs/heads/main", "refs/envgit/builds/x", "refs/remotes/origin/main", "refs/tags/v1"]
)
def test_no_commit_is_believed_that_was_not_read_here(name: str, tmp_path: Path) -> None:
    """Whatever ref it came to: a clone and a pull fill branches, a forced fetch refs/envgit/kept."""
    layout = layout_of(tmp_path / "layout", BASE, TOP)
    repo = new_repo(tmp_path / "one")
    top = import_chain(repo, layout).top
    Path(repo.path("build", "read-layers")).unlink()
    with repo.operation(["test"]) as transaction:
        transaction.set_ref(name, top)
        transaction.finish("test")
    assert known(repo, layout) == 0


def test_a_record_of_other_files_is_not_taken(tmp_path: Path) -> None:
    layout = layout_of(tmp_path / "layout", BASE, TOP)
    repo = new_repo(tmp_path / "one")
    roots = [root.sha256.hex() for root in import_chain(repo, layout).roots]
    index = Path(repo.path("build", "read-layers"))
    index.write_text(index.read_text().replace(roots[1], roots[0]))
    assert known(repo, layout) == 1


def test_a_commit_that_says_another_chain_is_not_taken(tmp_path: Path) -> None:
    layout, other = layout_of(tmp_path / "layout", BASE, TOP), layout_of(tmp_path / "other", TOP, BASE)
    repo = new_repo(tmp_path / "one")
    chain = import_chain(repo, layout)
    with open_image(f"oci:{other}", environ={}, monitor=repo.monitor, platform="linux/amd64") as image:
        KnownLayers(repo).add(image.chain_ids, chain)
        assert KnownLayers(repo).find_prefix(image.chain_ids) == ()


GOLDEN = ("cc3dab2f09c7acf9bc372450aba6ffb89fbd8df4", "70ece42a2c39229d108ebdddaf7324faf42dab53")
"""The commits of one image. Should they ever differ, people with another version of envgit share no layers any more."""


def test_the_commits_are_the_same_in_every_version(tmp_path: Path) -> None:
    builder = Builder()
    config = {"Env": ["A=1", "PATH=/bin"], "Cmd": ["sh"], "Labels": {"z": "1", "a": "2"}}
    layout = builder.write(tmp_path / "layout", builder.image(BASE, TOP, config=config, history=HISTORY))
    assert tuple(oid.hex() for oid in import_chain(new_repo(tmp_path / "one"), layout).commits) == GOLDEN
