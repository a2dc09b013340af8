"""The files that packages' install scripts make, made again from the packages' own templates."""

from __future__ import annotations

import os
import re

from envgit.layers.sources.dpkg_info import read_lines
from envgit.layers.sources.host_copy import HostCopy

_CREDENTIAL = re.compile(rb"://[^/\s]*@|[?&=](token|key|password)=|\?", re.IGNORECASE)
_SIGNED_BY = re.compile(rb"signed-by\s*[:=]\s*([^\]\s]+)", re.IGNORECASE)
_TEMPLATES = (
    (b"/usr/share/base-files/profile", b"/etc/profile"),
    (b"/usr/share/base-files/motd", b"/etc/motd"),
    (b"/usr/share/base-files/dot.profile", b"/root/.profile"),
    (b"/usr/share/base-files/dot.bashrc", b"/root/.bashrc"),
    (b"/usr/share/base-files/info.dir", b"/usr/share/info/dir"),
    (b"/usr/share/libc-bin/nsswitch.conf", b"/etc/nsswitch.conf"),
)
_DIRECTORIES = (
    (b"/mnt", 0o755, 0), (b"/srv", 0o755, 0), (b"/opt", 0o755, 0), (b"/etc/opt", 0o755, 0), (b"/var/opt", 0o755, 0),
    (b"/media", 0o755, 0), (b"/var/mail", 0o2775, 8), (b"/run/lock", 0o1777, 0), (b"/usr/local", 0o755, 0),
    (b"/usr/local/share", 0o755, 0), (b"/usr/local/share/man", 0o755, 0), (b"/usr/local/bin", 0o755, 0),
    (b"/usr/local/games", 0o755, 0), (b"/usr/local/lib", 0o755, 0), (b"/usr/local/include", 0o755, 0),
    (b"/usr/local/sbin", 0o755, 0), (b"/usr/local/src", 0o755, 0), (b"/usr/local/etc", 0o755, 0),
    (b"/etc/alternatives", 0o755, 0), (b"/proc", 0o755, 0), (b"/sys", 0o755, 0), (b"/dev", 0o755, 0),
    (b"/run", 0o755, 0), (b"/tmp", 0o1777, 0),
)  # fmt: skip
_LINKS = (
    (b"/var/run", b"/run"),
    (b"/var/lock", b"/run/lock"),
    (b"/var/spool/mail", b"../mail"),
    (b"/usr/local/man", b"share/man"),
    (b"/etc/mtab", b"/proc/mounts"),
)
_LOGS = ((b"/var/log/wtmp", 0o664), (b"/var/log/btmp", 0o660), (b"/var/log/lastlog", 0o664))
_PAM = {
    b"auth": (b"auth_primary", b"auth_additional"),
    b"account": (b"account_primary", b"account_additional"),
    b"password": (b"password_primary", b"password_additional"),
    b"session": (b"session_primary", b"session_additional"),
    b"session-noninteractive": (b"session_nonint_primary", b"session_nonint_additional"),
}
_MOUNT_POINTS = (b"/etc/hosts", b"/etc/hostname", b"/etc/resolv.conf")
"""A sandbox mounts its own over them; without the files it would have to create them in every upper directory."""
_PERMIT = b"\t[default=1]\t\t\tpam_permit.so"


def add_defaults(copy: HostCopy, mtime_ns: int) -> None:
    """Add what is missing in `copy` of a freshly installed system; what a package ships itself stays."""
    for path, mode, gid in _DIRECTORIES:
        copy.add_directory(path, mode, gid, mtime_ns)
    for path, target in _LINKS:
        if not copy.exists(path):
            copy.add_link(path, target, mtime_ns)
    for path, mode in _LOGS:
        copy.add_file(path, b"", mode, 43, mtime_ns)
    for path in _MOUNT_POINTS:
        if not copy.exists(path):
            copy.add_file(path, b"", 0o644, 0, mtime_ns)
    for template, path in _TEMPLATES:
        if copy.exists(template) and not copy.exists(path):
            copy.add_file(path, _read(copy, template), 0o644, 0, mtime_ns)
    if copy.exists(b"/etc/dpkg/origins/debian") and not copy.exists(b"/etc/dpkg/origins/default"):
        copy.add_link(b"/etc/dpkg/origins/default", b"debian", mtime_ns)
    if not copy.exists(b"/bin/sh"):
        copy.add_link(b"/bin/sh", b"dash" if copy.exists(b"/bin/dash") else b"bash", mtime_ns)
    if copy.exists(b"/usr/share/debianutils/shells"):
        _add_shells(copy, mtime_ns)
    for kind in _PAM:
        template = b"/usr/share/pam/common-" + kind
        if copy.exists(template) and copy.exists(b"/usr/share/pam-configs/unix"):
            copy.add_file(b"/etc/pam.d/common-" + kind, _pam(copy, kind, _read(copy, template)), 0o644, 0, mtime_ns)


def add_apt_sources(copy: HostCopy, mtime_ns: int) -> None:
    """Add this machine's package sources that carry no credentials and whose keys came along with packages."""
    for folder in (b"/etc/apt", b"/etc/apt/sources.list.d"):
        try:
            names = sorted(os.listdir(copy.on_host(folder)))
        except OSError:
            continue
        for name in names:
            path = folder + b"/" + name
            if copy.exists(path) or not (
                path == b"/etc/apt/sources.list" or (folder.endswith(b".d") and name.endswith((b".list", b".sources")))
            ):
                continue
            try:
                content = _read(copy, path)
            except OSError as error:
                copy.leave_out(path, f"cannot be read: {error.strerror}")
                continue
            reason = _refuse_source(copy, content)
            if reason:
                copy.leave_out(path, reason)
            else:
                copy.add_file(path, content, 0o644, 0, mtime_ns)


def _refuse_source(copy: HostCopy, content: bytes) -> str | None:
    active = b"\n".join(line for line in content.splitlines() if not line.lstrip().startswith(b"#"))
    if _CREDENTIAL.search(active):
        return "a package source of this machine that may hold credentials"
    if b"PGP PUBLIC KEY" in active or re.search(rb"\b(file|cdrom|copy|ssh|rsh):", active):
        return "a package source that exists on this machine only"
    for match in _SIGNED_BY.finditer(active):
        if not all(copy.exists(key) for key in match[1].split(b",")):
            return "a package source whose signing key comes with no included package"
    if not active.strip():
        return "an empty package source"
    return None


def _add_shells(copy: HostCopy, mtime_ns: int) -> None:
    lines = read_lines(os.fsdecode(copy.on_host(b"/usr/share/debianutils/shells")))
    folder = b"/usr/share/debianutils/shells.d/"
    for path in sorted(path for path in copy.paths if path.startswith(folder)):
        for line in read_lines(os.fsdecode(copy.on_host(path))):
            if line and line not in lines:
                lines.append(line)
    for shell in (b"/bin/bash", b"/usr/bin/bash", b"/bin/dash", b"/usr/bin/dash", b"/bin/sh", b"/usr/bin/sh"):
        if copy.exists(shell) and shell not in lines:
            lines.append(shell)
    copy.add_file(b"/etc/shells", b"\n".join(lines) + b"\n", 0o644, 0, mtime_ns)


def _pam(copy: HostCopy, kind: bytes, template: bytes) -> bytes:
    """Return what pam-auth-update makes of `template` with the profile "unix" alone."""
    stack = kind.partition(b"-")[0]
    modules = _initial(_read(copy, b"/usr/share/pam-configs/unix"), stack)
    lines = b"\n".join(stack + b"\t" + module.replace(b"=end", b"=1") for module in modules)
    primary, additional = _PAM[kind]
    first, second = (stack + _PERMIT, lines) if stack == b"session" else (lines, b"")
    return template.replace(b"$" + primary, first).replace(b"$" + additional, second)


def _initial(profile: bytes, stack: bytes) -> list[bytes]:
    modules: list[bytes] = []
    inside = False
    for line in profile.split(b"\n"):
        if not line.startswith((b"\t", b" ")):
            inside = line.lower().startswith(stack + b"-initial:")
        elif inside:
            modules.append(line.strip())
    return modules


def _read(copy: HostCopy, path: bytes) -> bytes:
    with open(copy.on_host(copy.canonical(path)), "rb") as file:
        return file.read()
