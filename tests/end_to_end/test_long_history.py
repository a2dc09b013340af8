"""Many commits in a row: the stack below a worktree never grows past what mounts quickly, and stays right."""

from __future__ import annotations

from envgit.layers.cache import MAX_STACK
from tests.lab import Lab

COMMITS = MAX_STACK + 8


def test_deep_stacks_are_flattened_and_show_the_same(lab: Lab) -> None:
    lab.sh("mkdir /srv/log; echo keep > /srv/keep; echo x > /srv/gone")
    lab("commit", "-qm", "start")
    for number in range(COMMITS):
        lab.sh(f"echo {number} > /srv/log/{number}; echo {number} > /srv/now; rm -f /srv/gone")
        lab("commit", "-qm", f"commit {number}")
    expected = f"{COMMITS}\n{COMMITS - 1}\nkeep\ngone\n"
    script = "set -- /srv/log/*; echo $#; cat /srv/now /srv/keep; test -e /srv/gone || echo gone"
    assert lab.sh(script).out == expected
    plans = [path.read_text() for path in (lab.git_dir / "layers" / "plans").iterdir()]
    depths = [plan.count("\nlayer ") for plan in plans]
    assert max(depths) <= MAX_STACK
    assert any(depth < MAX_STACK // 2 for depth in depths)
    assert "no problems" in "".join(lab("fsck").err.splitlines() + lab("fsck").out.splitlines())
    lab.forget_layers()
    assert lab.look("main", script) == expected
    assert lab.look("main~5", "cat /srv/now") == f"{COMMITS - 6}\n"
