"""The embedded default works: on this machine (dpkg), and on made-up ones where every rule can be seen."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from envgit.errors import SourceError
from envgit.layers.export_tar import write_tar
from envgit.layers.sources import HostSource, Imported, read_source
from envgit.layers.sources.dpkg_alternatives import filter_alternative
from envgit.layers.sources.dpkg_status import close_over, parse_status
from envgit.layers.sources.host import import_host
from envgit.layers.sources.ld_cache import filter_ld_cache
from envgit.monitor import NullMonitor
from tests.sources.memory_store import MemoryStore

on_dpkg = pytest.mark.skipif(not os.path.exists("/var/lib/dpkg/status"), reason="this machine has no dpkg")


@pytest.fixture(scope="module")
def host() -> tuple[MemoryStore, Imported]:
    store = MemoryStore()
    imported = read_source(HostSource(), store, NullMonitor(), stdin=io.BytesIO(), is_root=os.geteuid() == 0)
    return store, imported


@on_dpkg
def test_nothing_of_this_machine_comes_along(host: tuple[MemoryStore, Imported]) -> None:
    store, imported = host
    paths = store.paths(imported.root)
    for path in (b"etc/hostname", b"etc/hosts", b"etc/resolv.conf"):
        assert paths[path].size == 0, "an empty mount point for the sandbox's own"
    for path in (b"etc/machine-id", b"etc/ssh", b"etc/fstab"):
        assert path not in paths
    assert [path for path in paths if path.startswith(b"home/")] == []
    assert all(b":x:" in line for line in store.content(imported.root, b"etc/passwd").splitlines())
    shadow = store.content(imported.root, b"etc/shadow")
    assert all(line.split(b":")[1] == b"*" for line in shadow.splitlines())
    assert (paths[b"etc/shadow"].mode, paths[b"etc/shadow"].gid) == (0o640, 42)
    reported = {entry.path for entry in imported.left_out}
    assert b"etc/passwd" in reported
    assert all(entry.reason for entry in imported.left_out)


@on_dpkg
def test_the_same_machine_gives_the_same_tree(host: tuple[MemoryStore, Imported]) -> None:
    assert import_host(MemoryStore(), NullMonitor()).root == host[1].root


@on_dpkg
@pytest.mark.root_only
def test_it_works_inside(host: tuple[MemoryStore, Imported], tmp_path: Path) -> None:
    store, imported = host
    with open(tmp_path / "host.tar", "wb") as out:
        write_tar(imported.root, store, out, compression="none", monitor=NullMonitor())
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run(
        ["tar", "-xpf", str(tmp_path / "host.tar"), "-C", str(root), "--numeric-owner", "--xattrs"], check=True
    )
    try:
        for command, silent in (
            ("dpkg --audit", True),
            ("dpkg -l", False),
            ("bash -c 'awk \"BEGIN { print 5 }\"'", False),
            ("ldconfig -p", False),
            ("ldconfig && ldconfig -p | grep libc.so", False),
            ("apt-get --version", False),
            ("apt-get check", False),
            ("su -s /bin/sh nobody -c id", False),
            ("test ! -e /usr/bin/python3 || python3 -c 'import ssl, sqlite3, ctypes; print(1)'", False),
        ):
            result = subprocess.run(
                ["chroot", str(root), "/bin/sh", "-c", command],
                capture_output=True, stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )  # fmt: skip
            assert result.returncode == 0, (command, result.stderr)
            assert not (silent and (result.stdout or result.stderr)), command
    finally:
        shutil.rmtree(root)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def make_machine(root: Path) -> None:
    """A tiny merged-usr distribution with one package of each awkward kind."""
    info = root / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (root / "var/lib/dpkg/alternatives").mkdir()
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/apt/sources.list.d").mkdir(parents=True)
    files = {
        "usr/bin/dash": b"shell", "usr/bin/dpkg": b"dpkg", "usr/bin/tool.distrib": b"original",
        "usr/bin/tool": b"diverted by another", "usr/bin/patched": b"patched here",
        "etc/kept.conf": b"kept", "etc/changed.conf": b"secret of this machine",
        "etc/machine-id": b"0123", "etc/passwd": b"alice:x:1000:1000::/home/alice:/bin/sh\n",
        "etc/apt/sources.list": b"deb http://user:password@example.org/ stable main\n",
        "etc/apt/sources.list.d/ok.list": b"deb http://example.org/ stable main\n",
        "etc/apt/sources.list.d/key.list": b"deb [signed-by=/usr/share/none.gpg] http://example.org/ stable main\n",
        "usr/share/base-passwd/passwd.master": b"root:*:0:0:root:/root:/bin/bash\n",
        "usr/share/base-passwd/group.master": b"root:*:0:\nshadow:*:42:\n",
    }  # fmt: skip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "usr/bin/sh").symlink_to("dash")
    conffiles = f"\n /etc/kept.conf {md5(b'kept')}\n /etc/changed.conf {md5(b'shipped')}"
    (root / "var/lib/dpkg/status").write_text(
        "Package: dpkg\nEssential: yes\nStatus: install ok installed\nArchitecture: amd64\n"
        f"Depends: gone | tool (>= 1), virtual\nConffiles:{conffiles}\nDescription: x\n y\n\n"
        "Package: tool\nStatus: install ok installed\nArchitecture: all\nDepends: missing-one\n\n"
        "Package: provider\nStatus: install ok installed\nArchitecture: amd64\nProvides: virtual (= 1)\n\n"
        "Package: base-passwd\nStatus: install ok installed\nArchitecture: amd64\n\n"
        "Package: unrelated\nStatus: install ok installed\nArchitecture: amd64\n\n"
        "Package: removed\nStatus: deinstall ok config-files\nArchitecture: amd64\n"
    )
    (info / "dpkg.list").write_text(
        "/.\n/bin\n/bin/dash\n/bin/sh\n/usr\n/usr/bin/dpkg\n/etc/kept.conf\n/etc/changed.conf\n"
    )
    (info / "tool.list").write_text("/usr/bin/tool\n/usr/bin/patched\n/usr/bin/absent\n")
    (info / "tool.md5sums").write_text(f"{md5(b'pristine')}  usr/bin/patched\n{md5(b'original')}  usr/bin/tool\n")
    (info / "base-passwd.list").write_text(
        "/usr/share/base-passwd/passwd.master\n/usr/share/base-passwd/group.master\n"
    )
    (info / "unrelated.list").write_text("/usr/bin/unrelated\n")
    (root / "var/lib/dpkg/diversions").write_text("/usr/bin/tool\n/usr/bin/tool.distrib\nunrelated\n")


def test_every_rule_on_a_made_up_machine(tmp_path: Path) -> None:
    make_machine(tmp_path)
    store, monitor = MemoryStore(), NullMonitor()
    imported = import_host(store, monitor, root=str(tmp_path))
    paths = store.paths(imported.root)
    assert paths[b"bin"].target == b"usr/bin"
    assert paths[b"usr/bin/sh"].target == b"dash"
    assert store.content(imported.root, b"usr/bin/tool") == b"original"
    assert b"etc/kept.conf" in paths
    assert b"etc/changed.conf" not in paths
    assert b"etc/apt/sources.list.d/ok.list" in paths
    reasons = {entry.path: entry.reason for entry in imported.left_out}
    assert "changed" in reasons[b"etc/changed.conf"]
    assert "credentials" in reasons[b"etc/apt/sources.list"]
    assert "key" in reasons[b"etc/apt/sources.list.d/key.list"]
    assert "differs" in reasons[b"usr/bin/patched"]
    assert "not on this machine" in reasons[b"usr/bin/absent"]
    assert any("missing-one" in warning for warning in monitor.warnings)
    assert b"alice" not in b"".join(store.blobs.values())
    assert b"secret" not in b"".join(store.blobs.values())
    status = store.content(imported.root, b"var/lib/dpkg/status")
    assert [line for line in status.splitlines() if line.startswith(b"Package")] == [
        b"Package: base-passwd", b"Package: dpkg", b"Package: provider", b"Package: tool",
    ]  # fmt: skip
    if os.geteuid() == 0:
        assert paths[b"usr/bin/dash"].uid == 0


def test_a_machine_without_a_shell_is_refused(tmp_path: Path) -> None:
    make_machine(tmp_path)
    (tmp_path / "usr/bin/dpkg").unlink()
    with pytest.raises(SourceError, match="dpkg"):
        import_host(MemoryStore(), NullMonitor(), root=str(tmp_path))


def test_no_installed_package_is_an_error() -> None:
    with pytest.raises(SourceError):
        parse_status(b"Package: a\nStatus: deinstall ok config-files\n")


def test_closure_takes_the_first_installed_alternative() -> None:
    packages = parse_status(
        b"Package: a\nStatus: install ok installed\nDepends: x | c | b\n\n"
        b"Package: b\nStatus: install ok installed\n\nPackage: c\nStatus: install ok installed\nPre-Depends: a\n"
    )
    assert close_over(packages, {"a", "unknown"}) == (["a", "c"], [])


def test_alternatives_keep_what_exists() -> None:
    record = b"manual\n/usr/bin/awk\nawk.1\n/usr/share/man/awk.1\n\n/usr/bin/gawk\n10\n/g.1\n/usr/bin/mawk\n5\n/m.1\n\n"
    found = filter_alternative(b"awk", record, {b"/usr/bin/mawk", b"/m.1"}.__contains__)
    assert found is not None
    assert found.record == b"auto\n/usr/bin/awk\nawk.1\n/usr/share/man/awk.1\n\n/usr/bin/mawk\n5\n/m.1\n\n"
    assert dict(found.links)[b"/etc/alternatives/awk"] == b"/usr/bin/mawk"
    assert filter_alternative(b"awk", record, lambda path: False) is None
    assert filter_alternative(b"awk", b"auto\n", lambda path: True) is None


def test_damaged_loader_caches_are_not_used() -> None:
    assert filter_ld_cache(b"", lambda path: True) is None
    assert filter_ld_cache(b"glibc-ld.so.cache1.1" + struct.pack("<II", 1 << 30, 0) + bytes(40), lambda p: True) is None
