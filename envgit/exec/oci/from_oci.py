"""From config.json of an OCI bundle to a SandboxSpec: what is understood, what is tighter than asked, what is refused.

docs/oci.md has the table. The rule: what cannot be had and matters for safety or meaning is refused by name; what is merely
not granted, or not needed, is a warning.
"""

from __future__ import annotations

import os

from envgit.errors import SandboxError, UsageError
from envgit.exec.cgroups.limits import RLIMIT_NUMBERS
from envgit.exec.identity import Identity
from envgit.exec.idmap import read_extents
from envgit.exec.oci.fields import Fields
from envgit.exec.oci.mounts import read_mounts
from envgit.exec.oci.resources import Resources, read_resources
from envgit.exec.spec import (
    CAPABILITY_NUMBERS,
    MASKED_PATHS,
    READONLY_PATHS,
    DirectoryRoot,
    JoinedNamespace,
    Network,
    SandboxSpec,
)
from envgit.light_typing import NamedTuple
from envgit.model import IdMap, IdMapExtent

INITIAL_MAP = (IdMapExtent(0, 0, 2**32 - 1),)
_LARGEST_ID = 2**32 - 2

_KNOWN = frozenset(("ociVersion", "process", "root", "hostname", "mounts", "hooks", "annotations", "linux"))
_KNOWN_OF_PROCESS = frozenset(
    (
        "terminal", "consoleSize", "cwd", "env", "args", "rlimits", "capabilities", "noNewPrivileges", "oomScoreAdj",
        "user",
    )
)  # fmt: skip
_KNOWN_OF_LINUX = frozenset(
    (
        "uidMappings", "gidMappings", "sysctl", "resources", "cgroupsPath", "namespaces", "devices", "seccomp",
        "rootfsPropagation", "maskedPaths", "readonlyPaths",
    )
)  # fmt: skip
_REFUSED_OF_LINUX = ("intelRdt", "personality", "timeOffsets", "netDevices")
_SETTINGS_OF_IPC = ("kernel.msg", "kernel.sem", "kernel.shm", "fs.mqueue.")
_OWN_ALWAYS = ("pid", "mount", "ipc", "uts")


class Bundle(NamedTuple):
    """What a config.json asks for: `spec` for the runner, limits for a control group, and what was not taken over."""

    spec: SandboxSpec
    resources: Resources
    warnings: tuple[str, ...]


def from_oci(config: object, bundle: bytes) -> Bundle:
    """Return what `config`, decoded from the config.json in folder `bundle`, asks for.

    Reads the caller's own id map. Raises SandboxError naming the field that is wrong or refused.
    """
    top = Fields(config, "")
    warnings: list[str] = []
    version = top.text("ociVersion")
    if not version.startswith("1."):
        raise SandboxError(f"config.json: ociVersion {version!r} is not supported, only 1.x is")
    for name in top.names():
        if name in ("solaris", "windows", "vm", "zos", "freebsd"):
            raise SandboxError(f"config.json: {name} is not for this platform")
        if name not in _KNOWN:
            warnings.append(f"{name} is not supported and was ignored")
    linux = top.object("linux")
    for name in linux.names():
        if name in _REFUSED_OF_LINUX:
            raise SandboxError(f"config.json: linux.{name} is not supported")
        if name not in _KNOWN_OF_LINUX:
            warnings.append(f"linux.{name} is not supported and was ignored")
    network, joined, own_user = _read_namespaces(linux)
    _check_propagation(linux, warnings)
    _check_devices(linux)
    mounts = read_mounts(top, bundle, warnings)
    root = top.object("root")
    resources = read_resources(linux, warnings)
    spec = SandboxSpec(
        argv=(b"",),
        root=DirectoryRoot(os.path.normpath(os.path.join(bundle, os.fsencode(root.text("path"))))),
        idmap=_read_idmap(linux, own_user),
        hostname=os.fsencode(top.text("hostname", "")),
        network=network,
        mounts=mounts.mounts,
        masked=tuple(dict.fromkeys((*MASKED_PATHS, *map(_absolute, linux.texts("maskedPaths"))))),
        readonly=tuple(dict.fromkeys((*READONLY_PATHS, *map(_absolute, linux.texts("readonlyPaths"))))),
        readonly_root=root.flag("readonly"),
        shm_bytes=mounts.shm_bytes,
        joined=joined,
        sysctls=_read_settings(linux, network, joined),
        fresh_run=False,
        volume_ids_as_on_disk=True,
    )
    if spec.hostname and any(each.kind == "uts" for each in joined):
        raise SandboxError("config.json: hostname cannot be set in a joined uts namespace")
    process = top.object("process")
    if process.value:
        spec = with_process(spec, process, warnings)
    if linux.has("seccomp"):
        spec = spec._replace(seccomp=_read_seccomp(linux, warnings))
    return Bundle(spec, resources, tuple(warnings))


def with_process(spec: SandboxSpec, process: Fields, warnings: list[str]) -> SandboxSpec:
    """Return `spec` with another process: an OCI `process` object, of config.json or of `exec --process`."""
    for name in process.names():
        if name == "commandLine":
            raise SandboxError("config.json: process.commandLine is not for this platform")
        if name not in _KNOWN_OF_PROCESS:
            warnings.append(f"process.{name} is not supported and was ignored")
    cwd = process.text("cwd")
    if not cwd.startswith("/"):
        raise SandboxError("config.json: process.cwd must be an absolute path")
    arguments = process.texts("args")
    if not arguments or not arguments[0]:
        raise SandboxError("config.json: process.args must name a program")
    user = process.object("user")
    if user.has("username"):
        raise SandboxError("config.json: process.user.username is not for this platform")
    identity = Identity(
        user.number("uid", 0, most=_LARGEST_ID),
        user.number("gid", 0, most=_LARGEST_ID),
        user.numbers("additionalGids"),
        b"/root" if not user.number("uid", 0) else b"/",
    )
    adjustment = process.value.get("oomScoreAdj")
    return spec._replace(
        argv=tuple(map(os.fsencode, arguments)),
        env=_read_environment(process),
        cwd=os.fsencode(cwd),
        identity=identity,
        umask=user.number("umask", 0o022, most=0o777),
        terminal=process.flag("terminal"),
        capabilities=_read_capabilities(process, identity.uid, warnings),
        no_new_privileges=process.flag("noNewPrivileges"),
        rlimits=_read_rlimits(process),
        oom_score_adj=None if adjustment is None else process.number("oomScoreAdj", least=-1000, most=1000),
    )


def _read_environment(process: Fields) -> tuple[tuple[bytes, bytes], ...]:
    found: dict[bytes, bytes] = {}
    for item in process.texts("env"):
        name, equals, value = item.partition("=")
        if not name or not equals:
            raise SandboxError(f"config.json: process.env: {item!r} is not NAME=VALUE")
        found[os.fsencode(name)] = os.fsencode(value)
    return tuple(found.items())


def _read_capabilities(process: Fields, uid: int, warnings: list[str]) -> tuple[str, ...]:
    """Return the bounding set; the program of uid 0 has all of it permitted and effective, as execve(2) has it anyway."""
    sets = process.object("capabilities")
    for name in ("inheritable", "ambient"):
        if sets.texts(name):
            warnings.append(f"process.capabilities.{name} stays empty")
    effective = set(sets.texts("effective")) | set(sets.texts("permitted"))
    if uid and effective:
        warnings.append("process.capabilities: a program that is not uid 0 starts with none")
    names = sorted(set(sets.texts("bounding")))
    unknown = [name for name in names if name not in CAPABILITY_NUMBERS]
    warnings.extend(f"process.capabilities: unknown {name!r} was ignored" for name in unknown)
    return tuple(name for name in names if name in CAPABILITY_NUMBERS)


def _read_rlimits(process: Fields) -> tuple[tuple[int, int, int], ...]:
    found: dict[int, tuple[int, int, int]] = {}
    for each in process.objects("rlimits"):
        kind = each.text("type")
        number = RLIMIT_NUMBERS.get(kind.removeprefix("RLIMIT_").lower())
        if number is None or not kind.startswith("RLIMIT_"):
            raise SandboxError(f"config.json: {each.name}.type: unknown {kind!r}")
        if number in found:
            raise SandboxError(f"config.json: {each.name}.type: {kind} is given twice")
        soft, hard = each.number("soft"), each.number("hard")
        if soft > hard:
            raise SandboxError(f"config.json: {each.name}: soft is above hard")
        found[number] = (number, _rlimit(soft), _rlimit(hard))
    return tuple(found.values())


def _rlimit(value: int) -> int:
    """Return a limit as setrlimit(2) of Python takes it: -1 is infinity, and so is what no off_t holds."""
    return value if value < 2**63 else -1


def _read_namespaces(linux: Fields) -> tuple[Network, tuple[JoinedNamespace, ...], bool]:
    """Return the network mode, namespaces to join, and whether a user namespace is asked for."""
    paths: dict[str, str] = {}
    for each in linux.objects("namespaces"):
        kind, path = each.text("type"), each.text("path", "")
        if kind not in ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"):
            raise SandboxError(f"config.json: {each.name}.type: unknown {kind!r}")
        if kind in paths:
            raise SandboxError(f"config.json: {each.name}: {kind} is given twice")
        if kind == "time" or (path and kind not in ("network", "ipc", "uts")):
            what = f"joining a {kind} namespace" if path else f"a {kind} namespace"
            raise SandboxError(f"config.json: {each.name}: {what} is not supported")
        if path and not path.startswith("/"):
            raise SandboxError(f"config.json: {each.name}.path must be absolute")
        paths[kind] = path
    for kind in _OWN_ALWAYS:
        if kind not in paths:
            raise SandboxError(
                f"config.json: linux.namespaces: sharing the host's {kind} namespace is not supported",
                hint=f'ask for an own one: {{"type": "{kind}"}}',
            )
    joined = tuple(
        JoinedNamespace(kind, os.fsencode(paths[kind]))
        for kind in ("network", "ipc", "uts")
        if paths.get(kind)
    )  # fmt: skip
    return ("none" if "network" in paths else "host"), joined, "user" in paths


def _read_idmap(linux: Fields, own_user: bool) -> IdMap:
    """Return the id map. A user namespace always: root of a user namespace that is not the first one gets one with the
    ids as they are; root of the machine has to say which ids."""
    maps = tuple(_read_extents(linux, key) for key in ("uidMappings", "gidMappings"))
    root = os.geteuid() == 0
    if own_user:
        if not all(maps):
            raise SandboxError("config.json: linux.uidMappings and linux.gidMappings must not be empty")
        single = all(len(each) == 1 and each[0].size == 1 for each in maps)
        return IdMap("range" if root else "single" if single else "subordinate", *maps)
    if any(maps):
        raise SandboxError("config.json: id mappings without a user namespace")
    owned = tuple(read_extents(f"/proc/self/{name}_map") for name in ("uid", "gid"))
    if root and INITIAL_MAP in owned:
        raise SandboxError(
            "config.json: linux.namespaces has no user namespace, and root of the machine is never root inside",
            hint="podman run --userns=auto, or --uidmap 0:200000:65536",
        )
    if not root:
        raise SandboxError(
            "config.json: linux.namespaces has no user namespace",
            hint="runc spec --rootless writes such a configuration",
        )
    return IdMap(
        "range", *(tuple(IdMapExtent(each.inside, each.inside, each.size) for each in extents) for extents in owned)
    )


def _read_extents(linux: Fields, key: str) -> tuple[IdMapExtent, ...]:
    most = _LARGEST_ID + 1
    extents = tuple(
        IdMapExtent(
            each.number("containerID", most=most),
            each.number("hostID", most=most),
            each.number("size", least=1, most=most),
        )
        for each in linux.objects(key)
    )
    if len(extents) > 340:
        raise SandboxError(f"config.json: linux.{key}: the kernel takes 340 lines")
    return extents


def _read_settings(
    linux: Fields, network: Network, joined: tuple[JoinedNamespace, ...]
) -> tuple[tuple[bytes, bytes], ...]:
    """Return settings that belong to namespaces of the sandbox; any other would change the host."""
    found = []
    for name, value in sorted(linux.mapping("sysctl").items()):
        plain = all(part and part.strip("abcdefghijklmnopqrstuvwxyz0123456789_-") == "" for part in name.split("."))
        of_network = name.startswith("net.") and network != "host"
        of_ipc = name.startswith(_SETTINGS_OF_IPC) and all(each.kind != "ipc" for each in joined)
        if not plain or not (of_network or of_ipc):
            raise SandboxError(f"config.json: linux.sysctl: {name!r} is not a setting of the sandbox's own namespaces")
        found.append((os.fsencode(name), os.fsencode(value)))
    return tuple(found)


def _read_seccomp(linux: Fields, warnings: list[str]) -> bytes:
    from envgit.exec.seccomp.filter import oci_program

    try:
        filter = oci_program(linux.object("seccomp").value)
    except UsageError as error:
        raise SandboxError(f"config.json: linux.seccomp: {error.message}", hint=error.hint) from error
    warnings.extend(f"linux.seccomp: {notice}" for notice in filter.notices)
    return filter.program


def _check_propagation(linux: Fields, warnings: list[str]) -> None:
    value = linux.text("rootfsPropagation", "")
    if value in ("slave", "rslave"):
        warnings.append(f"linux.rootfsPropagation {value}: mounts made later outside are not seen inside")
    elif value not in ("", "private", "rprivate"):
        raise SandboxError(
            f"config.json: linux.rootfsPropagation {value!r} is not supported: no mount leaves a sandbox"
        )


def _check_devices(linux: Fields) -> None:
    for each in linux.objects("devices"):
        path = each.text("path")
        if path not in ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"):
            raise SandboxError(f"config.json: {each.name}: device {path} is not supported")


def _absolute(path: str) -> bytes:
    if not path.startswith("/"):
        raise SandboxError(f"config.json: linux: the path {path!r} must be absolute")
    return os.fsencode(path)
