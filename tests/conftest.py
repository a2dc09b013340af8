"""Every test is sealed from its caller: home, configuration, identity, clock zone, language, mask, pager, editor.

A skip is loud, and with ENVGIT_TESTS_FAIL_ON_SKIP set it fails the session unless its reason is one of IMPOSSIBLE. What only
makes sense as root, or only as an ordinary user, is deselected, and counted, when the other one runs the suite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import ONE_ID, Lab, assert_stock_git_is_content, make_root, remove, run_envgit

FAIL_ON_SKIP = bool(os.environ.get("ENVGIT_TESTS_FAIL_ON_SKIP"))
IMPOSSIBLE = (
    "this filesystem has no extended attributes of users",
    "this machine is not made of dpkg packages",
)
"""Beginnings of the reasons for which a test may be skipped everywhere: what no installed program can change."""

SEALED = {
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "GIT_EDITOR": "false",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.com",
    "GIT_COMMITTER_NAME": "C O Mitter",
    "GIT_COMMITTER_EMAIL": "committer@example.com",
}
KEPT = ("PATH", "TMPDIR", "USER", "LOGNAME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
KEPT_PREFIXES = ("PYTEST_", "ENVGIT_TESTS_", "HYPOTHESIS_", "COV_")


@pytest.fixture(scope="session", autouse=True)
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Replace the process's environment for the whole session; session fixtures are sealed as well."""
    home = tmp_path_factory.mktemp("home")
    (home / "gitconfig").write_text(
        "[init]\n\tdefaultBranch = main\n[core]\n\thooksPath = /dev/null\n[envgit]\n\tcache = off\n"
    )
    kept = {key: text for key, text in os.environ.items() if key in KEPT or key.startswith(KEPT_PREFIXES)}
    before = dict(os.environ)
    mask = os.umask(0o022)
    os.environ.clear()
    os.environ.update(kept, **SEALED, HOME=str(home), GIT_CONFIG_GLOBAL=str(home / "gitconfig"))
    yield
    if os.geteuid():  # files of other ids become the caller's, who can then remove them
        own = (
            "unshare",
            "--user",
            "--map-auto",
            "--map-root-user",
            "chown",
            "-R",
            "0:0",
            tmp_path_factory.getbasetemp(),
        )
        subprocess.run(own, capture_output=True, check=False)
    os.umask(mask)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small root filesystem as a folder; tests only read it."""
    return make_root(tmp_path_factory.mktemp("small") / "root")


@pytest.fixture(scope="session")
def small_origin(tmp_path_factory: pytest.TempPathFactory, small_root: Path) -> Path:
    """A repository with one commit of `small_root`; tests copy it."""
    folder = tmp_path_factory.mktemp("small-origin")
    run_envgit("init", "lab", "--from", f"dir:{small_root}", "-m", "small", cwd=folder)
    return folder / "lab"


@pytest.fixture(scope="session")
def host_origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit of `--from host`; tests copy it."""
    if not os.path.exists("/var/lib/dpkg/status"):
        pytest.skip("this machine is not made of dpkg packages")
    folder = tmp_path_factory.mktemp("host-origin")
    run_envgit("init", "lab", "--from", "host", cwd=folder)
    return folder / "lab"


@pytest.fixture
def labs(tmp_path: Path) -> Iterator[Callable[[Path], Lab]]:
    """Return a function that copies a repository (without its cache) into the test's folder.

    After the test stock git must be content with every copy, and with what it clones from it.
    """
    made: list[Lab] = []

    def copy(origin: Path) -> Lab:
        path = tmp_path / f"lab{len(made) or ''}"
        path.mkdir()
        skip = shutil.ignore_patterns("layers", "uppers", "sandboxes")
        shutil.copytree(origin / ".envgit", path / ".envgit", symlinks=True, ignore=skip, copy_function=_link)
        for name in ("layers", "sandboxes"):
            (path / ".envgit" / name).mkdir()
        made.append(Lab(path))
        return made[-1]

    yield copy
    for lab in made:
        if lab.git_dir.exists():
            assert_stock_git_is_content(lab.git_dir, tmp_path)
            remove(lab.git_dir)


def _link(source: str, target: str) -> None:
    """Copy a file of a repository; packs never change, so they are shared."""
    if source.endswith((".pack", ".idx")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def lab(labs: Callable[[Path], Lab], small_origin: Path) -> Lab:
    """A repository whose branch main has one commit of a small root filesystem."""
    return labs(small_origin)


@pytest.fixture
def host(labs: Callable[[Path], Lab], host_origin: Path) -> Lab:
    """A repository whose branch main has one commit of this machine's own distribution."""
    return labs(host_origin)


@pytest.fixture
def one_id() -> tuple[str, ...]:
    """The launcher that hides subordinate ids; for tests marked user_only."""
    return ONE_ID


# skips and deselections

_deselected: dict[str, int] = {}
_skips: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root_only: makes sense only as root")
    config.addinivalue_line("markers", "user_only: makes sense only as an ordinary user")
    config.addinivalue_line("markers", "any_ids: runs again as an ordinary user without subordinate ids")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    other = "user_only" if os.geteuid() == 0 else "root_only"
    left_out = [item for item in items if item.get_closest_marker(other)]
    if left_out:
        _deselected[other] = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker(other)]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not reason.startswith(IMPOSSIBLE):
            _skips.append(f"{report.nodeid}: {reason}")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Take over what a worker of pytest-xdist left out."""
    _deselected.update(getattr(node, "workeroutput", {}).get("deselected", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["deselected"] = _deselected
    elif _skips and FAIL_ON_SKIP and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for marker, count in _deselected.items():
        who = "an ordinary user" if marker == "user_only" else "root"
        terminalreporter.write_line(f"{count} tests deselected: they only make sense for {who}")
    if _skips and FAIL_ON_SKIP:
        terminalreporter.write_line(f"{len(_skips)} tests skipped, which counts as failure here:", red=True)
        for skip in _skips:
            terminalreporter.write_line(f"    {skip}", red=True)
