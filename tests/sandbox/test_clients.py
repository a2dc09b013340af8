"""More clients than a monitor has descriptors for."""

from __future__ import annotations

import os
import resource
import time
from contextlib import ExitStack

from envgit.sandbox.attachments import ATTACH, DONE, MOST_CLIENTS, STATUS, TOO_MANY, connect

from .conftest import Sandboxes, is_running, wait_until


def test_clients_without_end_do_not_end_the_program(sandboxes: Sandboxes) -> None:
    id = sandboxes.run("sleep", "1000")
    folder = str(sandboxes.lab.git_dir / "sandboxes" / id)
    monitor = sandboxes.processes()["monitor"]
    with ExitStack() as stack:
        answers = []
        for _ in range(MOST_CLIENTS + 4):
            client = stack.enter_context(connect(folder))
            client.settimeout(20)
            client.send(ATTACH)
            answers.append(client.recv(1000)[:1])
        assert answers == [DONE] * MOST_CLIENTS + [TOO_MANY] * 4
        sandboxes.lab.fails("attach", "one", status=125, says="attached to it already", hint="envgit logs -f")
        assert len(os.listdir(f"/proc/{monitor}/fd")) < 2 * MOST_CLIENTS if os.geteuid() == 0 else True
        before = time.monotonic()
        assert sandboxes.lab("stop", "one").out == "one\n"
        assert time.monotonic() - before < 8
        assert client.recv(1000)[:1] == STATUS


def test_a_monitor_without_descriptors_goes_on(sandboxes: Sandboxes) -> None:
    """No descriptor is free for the next client; when one is, it is served."""
    id = sandboxes.run("sleep", "1000")
    folder = str(sandboxes.lab.git_dir / "sandboxes" / id)
    processes = sandboxes.processes()
    limits = resource.prlimit(processes["monitor"], resource.RLIMIT_NOFILE)
    resource.prlimit(processes["monitor"], resource.RLIMIT_NOFILE, (3, limits[1]))
    with connect(folder) as client:
        client.send(ATTACH)
        time.sleep(1.5)
        assert is_running(processes["monitor"]) and is_running(processes["first"])
        client.setblocking(False)
        try:
            answer = client.recv(100)
        except BlockingIOError:
            answer = None
        assert answer is None  # it was not served: there was no descriptor
        resource.prlimit(processes["monitor"], resource.RLIMIT_NOFILE, limits)
        client.settimeout(20)
        assert client.recv(100)[:1] == DONE
    wait_until(lambda: sandboxes.state()["status"] == "running")
