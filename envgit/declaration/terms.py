"""What single values of a declaration may be."""

from __future__ import annotations

from .kinds import LINE, TEXT, Choice, ListOf, Number, OneOf, TableOf, Text
from .texts import normal_directory, ports_of, refuse_own_label

ENVIRONMENT_NAME = Text(
    r"(?!.*\.\.)(?!.*\.(?:lock|toml)?$)[A-Za-z0-9][A-Za-z0-9._-]*",
    "a name of letters, digits, '.', '_', '-'",
    "such as [env.web]",
)
ANY_TEXT = Text(TEXT, "a text without NUL characters")
ABSOLUTE = Text(r"/[^\u0000-\u001f\u007f]*", "an absolute path", 'such as "/srv/app"', normal_directory, ("/srv/app",))
USER = OneOf(
    (
        Text(r"[^\s:]+(?::[^\s:]+)?", "USER or USER:GROUP", 'such as "www-data"', None, ("www-data", "1000:1000")),
        Number(0, 2**32 - 2),
    )
)
RELATIVE = Text(
    r"[^/!\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*", "a path relative to this file", 'such as "conf/app.conf"'
)
INPUT = Text(
    r"!?[^/!\u0000-\u001f\u007f][^\u0000-\u001f\u007f]*",
    "a pattern relative to this file",
    'such as "src/**", "!src/tmp"',
)
VARIABLE = Text(r"[^=\s\u0000-\u001f\u007f]+", "a name without blanks and '='", 'such as LANG = "C.UTF-8"')
VARIABLES = TableOf(VARIABLE, ANY_TEXT)
SHELL_TEXT = Text(
    r"[^\u0000]*[^\s\u0000][^\u0000]*",
    "a command",
    'such as "make install" or ["make", "install"]',
    None,
    ("make install",),
)
COMMAND = OneOf((SHELL_TEXT, ListOf(ANY_TEXT, unique=False)))
RUN = OneOf((SHELL_TEXT, ListOf(ANY_TEXT, fewest=1, unique=False)))
NETWORK = Choice(("private", "none", "host"), yes="private", no="none")
ONE_LINE = Text(LINE)
LINES = ListOf(ONE_LINE)
TIMES = Text(r"[0-9]{8}T[0-9]{6}Z", "a moment of Debian's snapshot archive", 'such as "20240701T000000Z"')
SECRET = Text(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "the id of a secret", "as in --secret id=token,src=FILE")
PORT_RANGE = Text(
    r"[0-9]{1,5}(?:-[0-9]{1,5})?(?:/(?:tcp|udp|sctp))?", "a port", 'such as 8080, "53/udp", "8000-8010"', ports_of
)
PORTS = ListOf(OneOf((Number(1, 65535), PORT_RANGE)))
URL = Text(r"[a-z][a-z0-9+.-]*:[^\s\u0000-\u001f\u007f]+", "a URL", 'such as "https://mirror.example.org/debian"')
SIZE = OneOf(
    (
        Text(r"[0-9]+(?:\.[0-9]+)?(?:[bB]|[kmgtpKMGTP][iI]?[bB]?)?", "a size", 'such as "512m"', None, ("512m", "2g")),
        Number(1, 2**63 - 1),
    )
)
SWAP = OneOf((SIZE.kinds[0], Number(-1, 2**63 - 1)))

MODE = Text(
    r"0?[0-7]{3,4}|[ugoa]*[-+=][rwxXstugo]*(?:,[ugoa]*[-+=][rwxXstugo]*)*",
    "octal or symbolic permissions",
    'in quotes, as in "0644" or "u=rw,go=r"',
    examples=("0644", "u+x"),
    numbers_can_be_quoted=False,
)
OWNER = Text(r"[^\s:]+(?::[^\s:]+)?", "USER or USER:GROUP", 'such as "root:root"', None, ("root:root",))
SIGNAL = OneOf(
    (
        Text(r"(?:SIG|sig)?[A-Za-z][A-Za-z0-9]*(?:[+-][0-9]{1,2})?", "a signal", 'such as "SIGINT"', None, ("SIGINT",)),
        Number(1, 64),
    )
)
HOST_NAME = Text(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,62}[A-Za-z0-9])?", "a host name")
CPUS = OneOf((Text(r"[0-9]+(?:\.[0-9]{1,9})?", "a number", "such as 1.5"), Number(0, 10**6, whole=False)))
PROCESSES = OneOf((Number(-1, 2**31), Text(r"-1|[0-9]{1,10}", "a number", "such as 200")))
SOURCE = Text(
    LINE,
    "a source",
    'such as "debian:bookworm", "host", "tar:FILE", "dir:FOLDER", "oci:FOLDER", "docker://IMAGE", a revision, "scratch"',
    None,
    ("debian:bookworm", "host", "docker://python:3.12-slim", "tar:root.tar", "main"),
)
EXTENDED = Text(
    LINE, "an environment", 'such as "base", "common.toml" or "common.toml#base"', None, ("base", "common.toml#base")
)
PLATFORM = Text(
    r"[a-z0-9]+/[a-z0-9_]+(?:/[a-z0-9]+)?",
    "OS/ARCHITECTURE[/VARIANT]",
    'such as "linux/arm64"',
    None,
    ("linux/amd64", "linux/arm64"),
)
VARIANT = Text(r"[a-z][a-z-]*", "a variant of mmdebstrap", 'such as "minbase"', None, ("minbase", "apt", "essential"))
COMPONENTS = ListOf(Text(r"[a-z][a-z0-9/-]*", "a component", 'such as "main"'), fewest=1)
DEBIAN_PACKAGES = ListOf(Text(r"[a-z0-9](?:[a-z0-9+.-]*[a-z0-9+.])?", "a Debian package", 'such as "ca-certificates"'))
LABELS = TableOf(Text(LINE, "a name, not empty", None, refuse_own_label), ANY_TEXT)
