"""Which helper is chosen, how it is called, what is said when there is none; which addresses are free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from envgit.errors import HostUnsupported
from envgit.exec.network import link
from envgit.exec.network.carrier import Helper, Wanted, carries_ipv6, choose, command
from envgit.exec.network.subnet import Subnet, free_subnet, routed

HEAD = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = b"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"


def programs(folder: Path, *names: str) -> tuple[bytes, ...]:
    """Make programs; "pasta" is a recent one, "old-pasta" is pasta as it was in 2023."""
    for given in names:
        name = given.removeprefix("old-")
        (folder / name).write_text("#!/bin/sh\n" + ("# --map-host-loopback ADDR\n" if given == "pasta" else ""))
        (folder / name).chmod(0o755)
    return (os.fsencode(folder),)


@pytest.mark.parametrize(
    ("installed", "as_root", "expected"),
    [
        (("pasta", "slirp4netns", "nft"), True, ["pasta", "slirp4netns"]),
        (("pasta", "slirp4netns", "nft"), False, ["pasta", "slirp4netns"]),
        (("slirp4netns",), False, ["slirp4netns"]),
        (("old-pasta", "slirp4netns"), False, ["slirp4netns", "pasta"]),
        (("old-pasta",), False, ["pasta"]),
        (("nft",), True, ["veth"]),
    ],
)
def test_the_best_that_is_installed(
    tmp_path: Path, installed: tuple[str, ...], as_root: bool, expected: list[str]
) -> None:
    found = choose(as_root=as_root, folders=programs(tmp_path, *installed))
    assert [helper.kind for helper in found] == expected


@pytest.mark.parametrize(
    ("wanted", "installed", "as_root", "says", "hint"),
    [
        ("auto", (), False, "neither pasta nor slirp4netns", "install the package passt or slirp4netns"),
        ("auto", (), True, "neither pasta nor slirp4netns", "passt, slirp4netns or nftables"),
        ("auto", ("nft",), False, "neither pasta nor slirp4netns", "--network none, or --network host"),
        ("pasta", ("slirp4netns",), False, "pasta is not installed", "the package passt"),
        ("slirp4netns", ("pasta",), True, "slirp4netns is not installed", "the package slirp4netns"),
        ("veth", ("nft",), False, "only root", "passt"),
        ("veth", ("pasta",), True, "nft is not installed", "nftables"),
    ],
)
def test_what_is_missing_is_named(
    tmp_path: Path, wanted: Wanted, installed: tuple[str, ...], as_root: bool, says: str, hint: str
) -> None:
    with pytest.raises(HostUnsupported, match=says) as caught:
        choose(wanted, as_root=as_root, folders=programs(tmp_path, *installed))
    assert hint in (caught.value.hint or "")


def test_without_the_tun_device_the_fix_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = programs(tmp_path, "pasta", "nft")
    for module in ("link", "carrier"):
        monkeypatch.setattr(f"envgit.exec.network.{module}.TUN_DEVICE", b"/dev/net/no-such-tun")
    with pytest.raises(HostUnsupported, match="/dev/net/no-such-tun: No such file") as caught:
        choose(as_root=False, folders=folders)
    assert "modprobe tun" in (caught.value.hint or "")
    assert [helper.kind for helper in choose(as_root=True, folders=folders)] == ["veth"]


@pytest.mark.user_only
def test_a_tun_device_of_root_only_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "tun"
    closed.touch(0o000)
    monkeypatch.setattr(link, "TUN_DEVICE", os.fsencode(closed))
    with pytest.raises(HostUnsupported, match="Permission denied") as caught:
        link.open_tun()
    assert "chmod 666" in (caught.value.hint or "")


def test_the_callers_path_is_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs(tmp_path, "pasta")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnsupported):
        choose("pasta", as_root=False, folders=(b"/nonexistent",))


def test_no_door_to_the_host_is_opened() -> None:
    pasta = command(Helper("pasta", b"/usr/bin/pasta"), 7, Subnet(), as_root=False, exit_fd=3)
    assert b"--no-map-gw" in pasta
    for option in (b"--tcp-ports", b"--udp-ports", b"--tcp-ns", b"--udp-ns"):
        assert pasta[pasta.index(option) + 1] == b"none"
    assert b"--runas" not in pasta
    assert pasta[-1] == b"7"
    slirp = command(Helper("slirp4netns", b"/usr/bin/slirp4netns"), 7, Subnet(), as_root=True, exit_fd=3)
    assert {b"--disable-host-loopback", b"--enable-sandbox", b"--enable-seccomp"} < set(slirp)


def test_ipv6_where_the_first_helper_carries_it() -> None:
    pasta, slirp = Helper("pasta", b"p"), Helper("slirp4netns", b"s")
    assert carries_ipv6((pasta, slirp))
    assert not carries_ipv6((slirp,))


# addresses


def route(destination: str, mask: str) -> bytes:
    return f"eth0\t{destination}\t00000000\t0001\t0\t0\t0\t{mask}\t0\t0\t0\n".encode()


@pytest.mark.parametrize(
    ("routes", "prefix"),
    [
        (HEAD, "10.0.2"),
        (HEAD + DEFAULT, "10.0.2"),
        (HEAD + DEFAULT + route("0002000A", "00FFFFFF"), "10.213.47"),
        (HEAD + route("0002000A", "F0FFFFFF"), "10.213.47"),
        (HEAD + route("0000000A", "000000FF"), "172.30.213"),
        (HEAD + route("0000000A", "000000FF") + route("000010AC", "0000F0FF"), "192.168.213"),
        (b"", "10.0.2"),
        (b"nonsense\n1 2 3\n", "10.0.2"),
    ],
)
def test_a_network_that_the_host_does_not_use(routes: bytes, prefix: str) -> None:
    assert free_subnet(routes, b"") == Subnet(prefix)


def test_a_route_to_a_part_or_to_a_whole_counts() -> None:
    first = 10 << 24 | 212 << 16
    assert routed(HEAD + route("0000D40A", "FCFFFFFF"), first, 4)
    assert routed(HEAD + route("0300D40A", "FFFFFFFF"), first, 4)
    assert routed(HEAD + route("0000D40A", "0000FFFF"), first, 4)
    assert not routed(HEAD + route("0400D40A", "FCFFFFFF"), first, 4)
    assert not routed(HEAD + DEFAULT, first, 4)


def test_ipv6_when_the_host_has_a_way() -> None:
    zeros = b"0" * 32
    line = b" ".join((zeros, b"00", zeros, b"00", zeros, b"ffffffff", b"00000001", b"00000000", b"00200200"))
    assert not free_subnet(HEAD, line + b"       lo\n").ipv6
    assert free_subnet(HEAD, line + b"     eth0\n").ipv6
    assert not free_subnet(HEAD, b"").ipv6
