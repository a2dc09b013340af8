"""--volumes-from: what was taken stays taken, whatever becomes of the sandbox that it was taken from."""

from __future__ import annotations

import pytest

from .conftest import Sandboxes


@pytest.fixture
def borrowed(sandboxes: Sandboxes) -> Sandboxes:
    """`one` has the volume of `holder`, with data."""
    sandboxes.run("sh", "-c", "echo data > /x/a", name="holder", options=("-v", "/x"))
    sandboxes.lab("wait", "holder")
    sandboxes.run("cat", "/x/a", options=("--volumes-from", "holder"))
    sandboxes.lab("wait", "one")
    assert sandboxes.log_text() == "data\n"
    return sandboxes


def again(sandboxes: Sandboxes) -> str:
    sandboxes.lab("start", "one")
    sandboxes.lab("wait", "one")
    return sandboxes.log_text()


def test_the_data_outlives_the_other_sandbox(borrowed: Sandboxes) -> None:
    borrowed.lab("rm", "holder")
    borrowed.lab("volume", "prune", "--yes")
    assert again(borrowed) == "data\ndata\n"


def test_the_other_may_be_removed_with_its_volumes(borrowed: Sandboxes) -> None:
    borrowed.lab("rm", "-v", "holder")
    assert again(borrowed) == "data\ndata\n"
    borrowed.lab("rm", "-v", "one")  # control: the last one takes the volume along
    assert borrowed.lab("volume", "ls", "-q").out == ""


def test_another_sandbox_of_the_same_name_is_not_mounted(borrowed: Sandboxes) -> None:
    borrowed.lab("rm", "holder")
    borrowed.run("sh", "-c", "echo wrong > /x/a", name="holder", options=("-v", "/x"))
    borrowed.lab("wait", "holder")
    assert again(borrowed) == "data\ndata\n"


def test_read_only_stays_read_only(borrowed: Sandboxes) -> None:
    borrowed.run("sh", "-c", "touch /x/b; ls /x", name="reader", options=("--volumes-from", "holder:ro"))
    borrowed.lab("wait", "reader")
    borrowed.lab("start", "reader")
    borrowed.lab("wait", "reader")
    assert "Read-only" in borrowed.lab("logs", "reader").err
    assert borrowed.inspect("reader")["request"]["volumes_from"] == []
