"""The grammar of envgit.toml as data: which table has which keys. Checks and the JSON Schema are both made from it."""

from __future__ import annotations

from .kinds import ANYTHING, Flag, Key, ListOf, Number, OneOf, Table, TableOf, Text
from .package_spec import GRAMMARS
from .terms import (
    ABSOLUTE,
    COMMAND,
    COMPONENTS,
    CPUS,
    DEBIAN_PACKAGES,
    ENVIRONMENT_NAME,
    EXTENDED,
    HOST_NAME,
    INPUT,
    LABELS,
    LINES,
    MODE,
    NETWORK,
    ONE_LINE,
    OWNER,
    PLATFORM,
    PORTS,
    PROCESSES,
    RELATIVE,
    RUN,
    SECRET,
    SIGNAL,
    SIZE,
    SOURCE,
    SWAP,
    TIMES,
    URL,
    USER,
    VARIABLES,
    VARIANT,
)
from .texts import normal_target
from .values import MANAGERS

PACKAGES = Table(
    "packages",
    "Packages to install, by package manager.",
    {
        manager: Key(
            ListOf(Text(GRAMMARS[manager].pattern, GRAMMARS[manager].meaning, f'such as "{GRAMMARS[manager].examples[0]}"')),
            f"Of {manager}: {GRAMMARS[manager].meaning.partition(': ')[2]}.",
        )
        for manager in MANAGERS
    },
    header="[packages]",
    other_words={
        "apt_get": "apt", "deb": "apt", "debian": "apt", "dpkg": "apt", "python": "pip", "pip3": "pip", "pypi": "pip",
        "uv": "pip", "rpm": "dnf", "yum": "dnf", "alpine": "apk", "node": "npm", "js": "npm", "yarn": "npm",
    },
)  # fmt: skip

FILE = Table(
    "file",
    "A file or folder to put into the environment.",
    {
        "source": Key(
            OneOf((RELATIVE, ListOf(RELATIVE, fewest=1))), "File, folder or pattern (or several), relative to this file."
        ),
        "content": Key(Text(ANYTHING, "a text"), "The content itself."),
        "mode": Key(MODE, "Permissions, octal or symbolic. Without: the source's; 0644 of a content."),
        "owner": Key(OWNER, "USER[:GROUP], names of the environment or numbers. Without: root."),
    },
    exactly_one=("source", "content"),
    other_words={"src": "source", "text": "content", "from": "source", "sources": "source", "user": "owner", "chmod": "mode",
                 "chown": "owner", "path": "source", "permissions": "mode"},
    header='it as { source = "..." } or { content = "..." }',
)  # fmt: skip

FILES = TableOf(Text(r"/[^\u0000]*", "an absolute path", 'such as "/etc/app.conf"', normal_target), FILE)

STEP = Table(
    "step",
    "A command that changes the environment; what it changed is a commit.",
    {
        "run": Key(RUN, "A text for the shell (sh -c), or a program with its arguments as a list."),
        "name": Key(ONE_LINE, "What the commit and the progress call it; --from-step takes it."),
        "network": Key(NETWORK, "false (none), true (private: outbound only) or host. Without: the build's policy."),
        "env": Key(VARIABLES, "Variables for this step only."),
        "workdir": Key(ABSOLUTE, "Working directory. Without: that of [config] of the base."),
        "user": Key(USER, "USER[:GROUP] it runs as."),
        "inputs": Key(
            ListOf(INPUT), "Files it depends on, as patterns relative to this file; it runs again when one changes."
        ),
        "secrets": Key(ListOf(SECRET), "Ids of secrets it gets as files; never recorded."),
        "cache": Key(ListOf(ABSOLUTE), "Folders that outlive the build and are never recorded."),
    },
    required=("run",),
    other_words={"command": "run", "cmd": "run", "script": "run", "shell": "run", "environment": "env", "working_dir": "workdir",
                 "cwd": "workdir", "directory": "workdir", "secret": "secrets", "input": "inputs", "caches": "cache",
                 "net": "network", "title": "name", "sources": "inputs"},
    header="[[step]]",
)  # fmt: skip

CONFIG = Table(
    "config",
    "What the environment runs and how.",
    {
        "env": Key(VARIABLES, "Variables of every program, added to the base's."),
        "workdir": Key(ABSOLUTE, "Working directory."),
        "user": Key(USER, "USER[:GROUP] programs run as."),
        "command": Key(COMMAND, "What runs when nothing is asked for: a text for the shell, or a list. []: nothing."),
        "entrypoint": Key(COMMAND, "A program that gets the command as its arguments: a text for the shell, or a list. []: none."),
        "ports": Key(PORTS, "Ports it listens on; published by `run -P` or -p."),
        "volumes": Key(ListOf(ABSOLUTE), "Folders that are volumes, not part of the environment."),
        "labels": Key(LABELS, "Labels, names and values."),
        "stop_signal": Key(SIGNAL, "What `stop` sends first."),
    },
    other_words={"environment": "env", "cmd": "command", "working_dir": "workdir", "cwd": "workdir", "expose": "ports",
                 "port": "ports", "volume": "volumes", "label": "labels", "run": "command", "stopsignal": "stop_signal"},
    header="[config]",
)  # fmt: skip

SANDBOX = Table(
    "sandbox",
    "What running the environment asks for; granted once on each machine by `envgit trust`. The options of `envgit run`.",
    {
        "network": Key(NETWORK, "private (true), none (false) or host."),
        "publish": Key(ListOf(OneOf((Number(1, 65535), ONE_LINE))), "Ports to publish: [[IP:]HOST:]PORT[/udp]."),
        "publish_all": Key(Flag(), "Publish every port of [config]."),
        "add_host": Key(LINES, "Lines of /etc/hosts: NAME:IP."),
        "hostname": Key(HOST_NAME, "Host name inside."),
        "volume": Key(LINES, "Mounts as -v: SOURCE:TARGET[:ro]."),
        "mount": Key(LINES, "Mounts as --mount: type=...,src=...,dst=..."),
        "tmpfs": Key(LINES, "Empty folders in memory: DIR[:OPTIONS]."),
        "read_only": Key(Flag(), "The environment cannot be written to."),
        "memory": Key(SIZE, "Most memory."),
        "memory_swap": Key(SWAP, "Most memory and swap together; -1: any swap."),
        "cpus": Key(CPUS, "Most processors."),
        "pids_limit": Key(PROCESSES, "Most processes."),
        "shm_size": Key(SIZE, "Size of /dev/shm."),
        "ulimit": Key(LINES, "Limits of each process: NAME=SOFT[:HARD]."),
        "cap_add": Key(LINES, "Capabilities to add, such as NET_ADMIN."),
        "cap_drop": Key(LINES, "Capabilities to take away; ALL: all."),
        "security_opt": Key(LINES, "seccomp=FILE|unconfined, no-new-privileges=false."),
    },
    other_words={"mounts": "mount", "volumes": "volume", "ports": "publish", "port": "publish", "capabilities": "cap_add",
                 "caps": "cap_add", "pids": "pids_limit", "cpu": "cpus", "mem": "memory", "swap": "memory_swap", "shm": "shm_size",
                 "ulimits": "ulimit", "net": "network", "readonly": "read_only", "hosts": "add_host", "seccomp": "security_opt",
                 "limits": "memory"},
    refused={
        "privileged": (
            "it would give the environment the whole machine",
            'ask for what is needed: cap_add = ["..."], mount = ["..."]',
        ),
        "env": ("variables are part of the environment", "set them in [config] env"),
        "user": ("the user is part of the environment", "set it in [config] user"),
        "workdir": ("the working directory is part of the environment", "set it in [config] workdir"),
    },
    header="[sandbox]",
)  # fmt: skip

_BASE = {
    "from": Key(
        SOURCE,
        "What it is built on: debian:SUITE, docker://IMAGE, oci:, tar:, dir:, host, scratch, or a revision.",
    ),
    "extends": Key(
        EXTENDED,
        "An environment this one adds to: its name, FILE.toml, or FILE.toml#NAME.",
    ),
    "platform": Key(
        PLATFORM,
        "Platform of the base.",
    ),
    "mirror": Key(URL, "Of debian: and ubuntu: where packages come from."),
    "snapshot": Key(TIMES, "Of debian: the moment of Debian's snapshot archive that packages are taken from."),
    "variant": Key(
        VARIANT,
        "Of debian: and ubuntu: mmdebstrap's variant (minbase).",
    ),
    "components": Key(
        COMPONENTS,
        "Of debian: and ubuntu: components (main).",
    ),
    "include": Key(
        DEBIAN_PACKAGES,
        "Of debian: and ubuntu: packages of the base itself.",
    ),
}  # fmt: skip

BODY = {
    "packages": Key(PACKAGES, PACKAGES.help),
    "files": Key(FILES, "Files by their path in the environment."),
    "step": Key(ListOf(STEP, unique=False), "Commands, in order, after packages and files."),
    "config": Key(CONFIG, CONFIG.help),
    "sandbox": Key(SANDBOX, SANDBOX.help),
}
"""What is at top level for the environment of [env], and below [env.NAME] for a named one."""

_OTHER_WORDS = {
    "base": "from", "image": "from", "source": "from", "inherits": "extends", "extend": "extends", "arch": "platform",
    "architecture": "platform", "steps": "step", "run": "step", "package": "packages", "file": "files", "copy": "files",
    "settings": "config", "configuration": "config", "dependencies": "packages", "limits": "sandbox", "environment": "env",
    "environments": "env",
}  # fmt: skip

HEAD = Table(
    "env",
    "The environment of this file; [env.NAME]: one more environment.",
    {"name": Key(ENVIRONMENT_NAME, "Its name (default).")} | _BASE,
    other_words=_OTHER_WORDS,
    header="[env]",
)
ENVIRONMENT = Table(
    "environment",
    "A named environment.",
    _BASE | BODY,
    other_words=_OTHER_WORDS,
    refused={"name": ("the environment is called as its table", "rename the table: [env.NAME]")},
    header="[env.NAME]",
)
TOP = Table(
    "file_of_environments",
    "Declared environments.",
    {"env": Key(HEAD, HEAD.help)} | BODY,
    other_words=_OTHER_WORDS,
)
