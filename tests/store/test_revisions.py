from __future__ import annotations

import random
import time

import pytest

from envgit.errors import AmbiguousRevision, CorruptObject, UnknownRevision
from envgit.store.dates import parse_date
from envgit.store.history import is_ancestor, iter_commits, merge_bases
from envgit.store.objects import Signature
from envgit.store.reflog import ReflogEntry, append_entry
from envgit.store.repository import GitRepository
from envgit.store.revisions import resolve_commit, resolve_object, resolve_range, split_revision_path
from tests.store.conftest import Git, make_commit

START = 1_700_000_000


@pytest.fixture
def graph(repository: GitRepository, git: Git) -> list[bytes]:
    """Sixty commits with merges, skewed clocks, two branches, tags and reflogs."""
    pick = random.Random(5)
    commits: list[bytes] = []
    for number in range(60):
        parents = dict.fromkeys(pick.choices(commits[-6:], k=pick.choice((1, 1, 2)))) if commits else {}
        skew = pick.choice((0, 0, 0, -500))
        text = f"change {number} of thing {number % 7}"
        commits.append(make_commit(repository, *parents, text=text, seconds=START + 60 * number + skew))
    repository.refs.update("refs/heads/main", commits[-1], None)
    repository.refs.update("refs/heads/side/x", commits[-2], None)
    repository.refs.update("refs/remotes/origin/dev", commits[20], None)
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/dev")
    git("tag", "-a", "-m", "t", "v1", commits[30].hex())
    git("tag", "light", commits[31].hex())
    git("tag", "main-tag", commits[32].hex())
    now = int(time.time())
    for name in ("HEAD", "refs/heads/main"):
        for index in range(5):
            who = Signature(b"t", b"t", now - 86400 * (5 - index))
            message = b"checkout: moving from side/x to main" if index == 3 else b"commit: x"
            append_entry(repository.git_dir, name, ReflogEntry(commits[54 + index], commits[55 + index], who, message))
    return commits


SPECS = [
    "HEAD",
    "@",
    "main",
    "heads/main",
    "refs/heads/main",
    "side/x",
    "origin",
    "origin/dev",
    "v1",
    "v1^{}",
    "v1^{commit}",
    "v1^{tree}",
    "v1^{tag}",
    "v1^0",
    "v1~2",
    "light",
    "tags/v1",
    "main~",
    "main~1",
    "main~3",
    "main^",
    "main^1",
    "main^2",
    "main^^",
    "main~2^1~1",
    "HEAD^{tree}",
    "HEAD^0",
    "HEAD@{0}",
    "HEAD@{1}",
    "HEAD@{4}",
    "HEAD@{5}",
    "main@{2}",
    "@{1}",
    "@{0}",
    "main@{yesterday}",
    "main@{2.days.ago}",
    "main@{3.days.ago}",
    "main@{1.week.ago}",
    "@{-1}",
    "@{-1}~1",
    "main@{1}~2",
    ":/thing.3",
    "main^{/thing.5}",
    ":/!-thing",
    "v1-4-gZZZZ",
    "main@{99}",
    "nothing",
    "main~500",
    "main^7",
    "HEAD^{blob}",
    "v1^{foo}",
    "main^{",
    "@{-9}",
    "main..side",
]


@pytest.mark.parametrize("spec", SPECS)
def test_revisions_resolve_as_in_git(spec: str, repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    output = git("rev-parse", "--verify", "-q", spec, check=False).splitlines()
    expected = output[0] if output and len(output[0]) == 40 else None
    try:
        ours: str | None = resolve_object(repository.objects, repository.refs, spec).hex()
    except UnknownRevision:
        ours = None
    assert ours == expected


def test_abbreviated_ids_and_describe_output(repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    for oid in graph:
        short = repository.objects.abbreviate(oid.hex())
        assert git("rev-parse", short) == oid.hex()
        assert resolve_commit(repository.objects, repository.refs, short.upper()) == oid
        assert resolve_commit(repository.objects, repository.refs, f"v1-4-g{short}") == oid


def test_an_ambiguous_id_lists_its_candidates(repository: GitRepository, git: Git) -> None:
    with repository.objects.pack_session() as session:
        oids = [session.put("blob", b"%d" % number) for number in range(3000)]
        session.finish()
    by_prefix: dict[str, list[str]] = {}
    for oid in oids:
        by_prefix.setdefault(oid.hex()[:4], []).append(oid.hex())
    prefix, found = next((prefix, found) for prefix, found in by_prefix.items() if len(found) > 1)
    with pytest.raises(AmbiguousRevision) as caught:
        resolve_object(repository.objects, repository.refs, prefix)
    assert caught.value.candidates == tuple(sorted(found))
    assert caught.value.hint and "blob" in caught.value.hint


def test_a_near_name_is_proposed(repository: GitRepository, graph: list[bytes]) -> None:
    with pytest.raises(UnknownRevision) as caught:
        resolve_commit(repository.objects, repository.refs, "mian")
    assert caught.value.hint and "main" in caught.value.hint


@pytest.mark.parametrize(
    "spec", ["main", "side/x..main", "main...side/x", "..side/x", "main^!", "main^@", "v1~3^-", "main~5.."]
)
def test_ranges_select_what_git_selects(spec: str, repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    included, excluded = resolve_range(repository.objects, repository.refs, spec)
    ours = [oid.hex() for oid in iter_commits(repository.objects, included, excluded)]
    assert sorted(ours) == sorted(git("rev-list", spec).split())


@pytest.mark.parametrize("words", [(), ("--first-parent",)])
def test_date_order_is_gits(words: tuple[str, ...], repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    ours = [oid.hex() for oid in iter_commits(repository.objects, graph[-2:], first_parent=bool(words))]
    assert ours == git("rev-list", *words, *[oid.hex() for oid in graph[-2:]]).split()


def test_topological_order_is_gits(repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    ours = [oid.hex() for oid in iter_commits(repository.objects, [graph[-1]], topo=True)]
    assert ours == git("rev-list", "--topo-order", graph[-1].hex()).split()


def test_merge_bases_and_ancestry_are_gits(repository: GitRepository, git: Git, graph: list[bytes]) -> None:
    pick = random.Random(9)
    for _ in range(25):
        one, other = pick.sample(graph, 2)
        ours = {oid.hex() for oid in merge_bases(repository.objects, one, other)}
        assert ours == set(git("merge-base", "--all", one.hex(), other.hex(), check=False).split())
        bases = git("merge-base", "--all", one.hex(), other.hex(), check=False).split()
        assert is_ancestor(repository.objects, one, other) == (one.hex() in bases)


@pytest.mark.parametrize(
    "text",
    ["2024-03-01 14:05:06", "2024-03-01T14:05:06Z", "2024-03-01 14:05:06 +0230", "Fri, 1 Mar 2024 14:05:06 +0100", "yesterday",
     "2.days.ago", "3 hours ago", "1 week 2 days ago", "last week", "two days ago", "@1700000000", "now", "5.minutes.ago"],
)  # fmt: skip
def test_dates_are_read_as_git_does(text: str, git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    expected = int(git("rev-parse", f"--since={text}").split("=")[1])
    assert abs(parse_date(text, int(time.time())) - expected) <= 2


def test_paths_are_split_off() -> None:
    assert split_revision_path("main:etc/a:b") == ("main", b"etc/a:b")
    assert split_revision_path("main^{/a:b}:x") == ("main^{/a:b}", b"x")
    assert split_revision_path(":/fix: x") == (":/fix: x", None)
    assert split_revision_path("main@{2024-01-01 10:00}") == ("main@{2024-01-01 10:00}", None)


def test_a_commit_that_is_none_is_said(repository: GitRepository, graph: list[bytes]) -> None:
    with pytest.raises((UnknownRevision, CorruptObject), match="tree"):
        resolve_commit(repository.objects, repository.refs, "main^{tree}")
