"""Declarations that tests share."""

from __future__ import annotations

from envgit.declaration.errors import DeclarationError
from envgit.declaration.parsing import parse
from envgit.declaration.values import Declaration, Environment

BASE = '[env]\nfrom = "host"\n'

WHOLE = """\
# the environment of the application
[env]
name = "web"
from = "debian:bookworm"
platform = "linux/amd64"
mirror = "https://deb.example/debian"
snapshot = "20240701T000000Z"
variant = "minbase"
components = ["main", "contrib"]
include = ["ca-certificates"]

[packages]
pip = ["Flask==3.*", "uvicorn[standard]>=0.30,<1"]
apt = [
    "postgresql", # the server
    "curl=7.*",
]
npm = ["@angular/cli@^17", "typescript"]

[files]
"/etc/app.conf" = { source = "conf/app.conf", mode = "0644", owner = "root:root" }
"/srv//app/" = { source = ["src", "./lib/*.py"] }
"/etc/motd" = { content = "hello\\n" }

[[step]]
name = "compile"
run = "make && make install"
network = true
env = { CC = "gcc" }
workdir = "/srv/app/"
user = "build:build"
inputs = ["src/**", "!src/tmp"]
secrets = ["token"]
cache = ["/root/.cache"]

[[step]]
run = ["ldconfig", "-v"]
network = "none"
user = 1000

[config]
env.LANG = "C.UTF-8"
env.PATH = "/srv/app/bin:/usr/bin"
workdir = "/srv/app"
user = "www-data"
command = ["gunicorn", "app:app"]
entrypoint = "exec tini -- \\"$@\\""
ports = [8080, "53/udp", "9000-9002"]
volumes = ["/var/lib/postgresql"]
labels = { "org.example.team" = "web" }
stop_signal = "SIGINT"

[sandbox]
network = false
publish = [8080, "127.0.0.1:53:53/udp"]
memory = "512m"
cpus = 1.5
pids_limit = 200
mount = ["type=bind,src=.,dst=/src"]
cap_add = ["NET_ADMIN"]
read_only = true
"""


def read(text: str | bytes, file: str = "envgit.toml") -> Declaration:
    """Parse a declaration."""
    return parse(text.encode() if isinstance(text, str) else text, file)


def only(text: str) -> Environment:
    """Parse a declaration of one environment."""
    (environment,) = read(text).environments
    return environment


def failure(text: str | bytes) -> DeclarationError:
    """Return the error of a bad declaration."""
    try:
        read(text)
    except DeclarationError as error:
        return error
    raise AssertionError(f"no error: {text!r}")
