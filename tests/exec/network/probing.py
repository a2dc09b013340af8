"""What tests ask from inside a sandbox, and how they look at the processes around it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envgit.exec.network.carrier import Helper, Wanted, choose
from envgit.exec.network.subnet import Subnet
from tests.exec.network.machine import (
    ABSTRACT_NAME,
    SERVICE_PORT,
)
from tests.exec.network.sandboxed import Sandboxed

BOTH = pytest.mark.parametrize("kind", ["pasta", "slirp4netns"])
SUBNET = Subnet()
FIRST_CONNECTION_SECONDS = 1.0
"""The goal is 0.15; a lost first packet costs 1 s (TCP) or 5 s (DNS), and that is what must not happen on a busy machine."""


def helper(kind: Wanted) -> tuple[Helper, ...]:
    return choose(kind, as_root=os.geteuid() == 0)


def ask(address: str, *, udp: bool = False, text: bytes = b"hello", wait: float = 3) -> bytes:
    """Return a service's answer, or the name of the error."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM) as client:
        client.settimeout(wait)
        try:
            client.connect((address, SERVICE_PORT))
            client.send(text)
            return client.recv(4096)
        except TimeoutError:
            return b"timeout"
        except OSError as error:
            return errno.errorcode[error.errno or 0].encode()


def run(kind: Wanted, program: Callable[[Sandboxed], bytes], **options: Any) -> bytes:
    sandbox = Sandboxed(program, helpers=helper(kind), **options)
    result = sandbox.finish()
    assert sandbox.warnings == []
    return result


def children() -> set[int]:
    """The processes that this one started and that are still there."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def reach_for_the_host(_: Sandboxed) -> bytes:
    answers = [
        ask(ip, udp=udp, wait=1)
        for ip in ("127.0.0.1", "::1", SUBNET.gateway, SUBNET.resolver)
        for udp in (False, True)
    ]
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(ABSTRACT_NAME)
            client.send(b"hello")
            answers.append(client.recv(100))
        except OSError as error:
            answers.append(errno.errorcode[error.errno or 0].encode())
    return b" ".join(answers)
