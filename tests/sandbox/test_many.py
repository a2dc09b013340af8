"""Many sandboxes at once, and what one costs while nothing happens."""

from __future__ import annotations

import os
import re
import subprocess
import time
from functools import partial
from pathlib import Path

from .conftest import Sandboxes, processes_at, wait_until

COUNT = 20
MOST_PSS_BYTES = 24 << 20
"""Of a monitor with its guard; measured 9 to 12 MB."""


def test_twenty_at_once(sandboxes: Sandboxes) -> None:
    words = ("run", "-d", "--network", "none")
    started = [
        sandboxes.lab.start(*words, "--name", f"s{number:02}", "main", "--", "sh", "-c", f"echo {number}; sleep 1000",
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(COUNT)
    ]  # fmt: skip
    ids = set()
    for process in started:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")
        ids.add(out.strip())
    assert len(ids) == COUNT
    names = [f"s{number:02}" for number in range(COUNT)]
    assert sorted(sandboxes.names()) == names

    def logged(name: str, text: str) -> bool:
        return sandboxes.log_text(name) == text

    for number, name in enumerate(names):
        wait_until(partial(logged, name, f"{number}\n"))
    assert sandboxes.lab("stop", *names).lines() == names
    assert sandboxes.names() == []
    assert sandboxes.lab("rm", *names).lines() == names
    wait_until(lambda: not processes_at(sandboxes.lab.path))


def test_one_name_is_given_once_however_many_ask(sandboxes: Sandboxes) -> None:
    words = ("run", "-d", "--network", "none", "--name", "one", "main", "--", "sleep", "1000")
    started = [sandboxes.lab.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(8)]
    ended = [(process.communicate(timeout=120), process.returncode) for process in started]
    assert sorted(status for _, status in ended) == [0] + [125] * 7
    assert all(b"is taken" in err for (_, err), status in ended if status)
    assert len(sandboxes.names("-a")) == 1


def test_start_and_rm_at_once_leave_it_or_not(sandboxes: Sandboxes) -> None:
    for _ in range(5):
        sandboxes.run("sleep", "1000")
        sandboxes.lab("stop", "one")
        started = [
            sandboxes.lab.start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for words in (("start", "one"), ("rm", "-f", "one"), ("start", "one"))
        ]
        for process in started:
            _, err = process.communicate(timeout=120)
            assert b"Traceback" not in err and b"internal error" not in err, err
        if sandboxes.names("-a"):
            sandboxes.lab("rm", "-f", "one")
        wait_until(lambda: not processes_at(sandboxes.lab.path))


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def context_switches(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return sum(int(number) for number in re.findall(r"ctxt_switches:\s+(\d+)", text))


def pss_bytes(pid: int) -> int:
    match = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert match
    return int(match[1]) * 1024


def test_an_idle_sandbox_costs_no_time_and_little_memory(sandboxes: Sandboxes) -> None:
    sandboxes.run("sleep", "1000", options=("--restart", "always"))
    pids = sandboxes.processes()
    ours = (pids["monitor"], pids["guard"])
    time.sleep(0.5)
    before = [(cpu_ticks(pid), context_switches(pid)) for pid in ours]
    time.sleep(3)
    assert [(cpu_ticks(pid), context_switches(pid)) for pid in ours] == before
    assert len(os.listdir(f"/proc/{pids['monitor']}/task")) == 1
    if os.geteuid() == 0:  # the guard is not dumpable: others cannot look
        assert sum(pss_bytes(pid) for pid in ours) < MOST_PSS_BYTES
