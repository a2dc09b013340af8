"""Docker's spellings: what is understood, what is refused, and that every refusal says what to type."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.errors import UsageError
from envgit.exec.cgroups import limits
from envgit.exec.cgroups.limits import UNLIMITED, Limits, make_limits


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64m", 64 << 20), ("1.5g", 3 << 29), ("512k", 512 << 10), ("100b", 100), ("100", 100), ("64M", 64 << 20),
        ("64mb", 64 << 20), ("64MiB", 64 << 20), ("2t", 2 << 40), (" 1 g ", 1 << 30), ("0.5k", 512), (".5k", 512),
        ("0", 0), ("1p", 1 << 50), ("1.k", 1 << 10),
    ],
)  # fmt: skip
def test_sizes(text: str, size: int) -> None:
    assert limits.parse_size(text, "--memory") == size


@pytest.mark.parametrize(
    "text", ["", "m", "64x", "-64m", "1,5g", "1e3", "6 4m", "0x10", "64mm", "64ib", "inf", "nan", "٣m", "9" * 30, "."]
)
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits.parse_size(text, "--memory")
    assert "--memory 64m" in (caught.value.hint or "")


@given(st.integers(0, 2**40), st.sampled_from("bkmgt"))
def test_a_size_is_exact(number: int, unit: str) -> None:
    value = number * 1024 ** "bkmgt".index(unit)
    if value <= limits.LARGEST:
        assert limits.parse_size(f"{number}{unit}", "--memory") == value


@given(st.text(max_size=12))
def test_any_text_is_a_value_or_a_usage_error(text: str) -> None:
    for parse in (
        limits.parse_memory,
        limits.parse_cpus,
        limits.parse_pids,
        limits.parse_ulimit,
        limits.parse_shm_size,
    ):
        try:
            parse(text)
        except UsageError as error:
            assert error.hint


def test_cpus_become_a_quota() -> None:
    quotas = {text: make_limits(cpus=text).cpu_quota_us for text in ("1.5", "0.2", "4", ".01", "0", "1.123456789")}
    assert quotas == {"1.5": 150_000, "0.2": 20_000, "4": 400_000, ".01": 1000, "0": None, "1.123456789": 112_345}


@pytest.mark.parametrize("text", ["", "-1", "two", "1,5", "0.001", "0.0000000001", "1e2", "99999999999"])
def test_no_cpus(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits.parse_cpus(text)
    assert "--cpus" in (caught.value.hint or "")


def test_pids() -> None:
    assert [limits.parse_pids(text) for text in ("100", "-1", "0", "4194304")] == [100, None, None, 4194304]
    for text in ("", "-2", "1.5", "many", "4194305"):
        with pytest.raises(UsageError) as caught:
            limits.parse_pids(text)
        assert "--pids-limit" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("memory", "swap", "total"),
    [("64m", None, 128 << 20), ("64m", "64m", 64 << 20), ("64m", "96m", 96 << 20), ("64m", "0", 128 << 20),
     ("64m", "-1", None)],
)  # fmt: skip
def test_swap_counts_memory_too(memory: str, swap: str | None, total: int | None) -> None:
    assert make_limits(memory=memory, memory_swap=swap).total_bytes == total


def test_swap_that_makes_no_sense() -> None:
    for memory, swap, hint in ((None, "64m", "--memory 64m --memory-swap 64m"), ("64m", "32m", "no swap at all"),
                               (None, "-1", "--memory 64m"), ("64m", "x", "--memory-swap 64m")):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            make_limits(memory=memory, memory_swap=swap)
        assert hint in (caught.value.hint or "")


def test_too_little_memory_is_refused() -> None:
    assert limits.parse_memory("6m") == 6 << 20 and limits.parse_memory("0") is None
    with pytest.raises(UsageError):
        limits.parse_memory("5m")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=100:200", (resource.RLIMIT_NOFILE, 100, 200)), ("nofile=100", (resource.RLIMIT_NOFILE, 100, 100)),
        ("core=-1", (resource.RLIMIT_CORE, UNLIMITED, UNLIMITED)), ("core=0:unlimited", (resource.RLIMIT_CORE, 0, -1)),
        ("nproc=5", (resource.RLIMIT_NPROC, 5, 5)), ("memlock=1024", (resource.RLIMIT_MEMLOCK, 1024, 1024)),
        ("cpu=1", (resource.RLIMIT_CPU, 1, 1)), ("data=1", (resource.RLIMIT_DATA, 1, 1)),
        ("fsize=1", (resource.RLIMIT_FSIZE, 1, 1)), ("stack=1", (resource.RLIMIT_STACK, 1, 1)),
        ("rss=1", (resource.RLIMIT_RSS, 1, 1)), ("as=1", (resource.RLIMIT_AS, 1, 1)), ("locks=1", (10, 1, 1)),
        ("sigpending=1", (resource.RLIMIT_SIGPENDING, 1, 1)), ("msgqueue=1", (resource.RLIMIT_MSGQUEUE, 1, 1)),
        ("nice=1", (resource.RLIMIT_NICE, 1, 1)), ("rtprio=1", (resource.RLIMIT_RTPRIO, 1, 1)),
        ("rttime=1", (resource.RLIMIT_RTTIME, 1, 1)),
    ],
)  # fmt: skip
def test_every_name_of_a_ulimit(text: str, limit: tuple[int, int, int]) -> None:
    assert limits.parse_ulimit(text) == limit


@pytest.mark.parametrize(
    "text", ["nofile", "nofile=", "nofile=1:2:3", "nofile=a", "files=1", "=1", "nofile=2:1", "nofile=-1:5",
             "nofile=-2", "nofile=1:", "nofile=64k", "core=99999999999999999999"],
)  # fmt: skip
def test_no_ulimit(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        limits.parse_ulimit(text)
    assert caught.value.hint


def test_the_last_ulimit_of_a_name_counts() -> None:
    assert make_limits(ulimits=("core=1", "nofile=9", "core=2")).ulimits == ((4, 2, 2), (7, 9, 9))


@pytest.mark.user_only
def test_a_hard_limit_above_ones_own_is_refused() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits.check_ulimits(((resource.RLIMIT_NOFILE, soft, hard),))
    with pytest.raises(UsageError) as caught:
        limits.check_ulimits(((resource.RLIMIT_NOFILE, soft, hard + 1),))
    assert f"hard limit of {hard}" in caught.value.message and f"nofile={soft}:{hard}" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="unlimited"):
        limits.check_ulimits(((resource.RLIMIT_NOFILE, 5, UNLIMITED),))


def test_which_controllers_are_needed() -> None:
    assert Limits().controllers == make_limits(shm_size="64m", ulimits=("core=0",)).controllers == frozenset()
    assert make_limits("64m", cpus="1", pids_limit="5").controllers == {"memory", "cpu", "pids"}


def test_sizes_in_messages() -> None:
    sizes = {limits.format_size(size) for size in (64 << 20, 3 << 29, 100, 512 << 10)}
    assert sizes == {"64 MB", "1.5 GB", "100 bytes", "512 KB"}
