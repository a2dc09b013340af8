"""Where groups are, from the two files of /proc as machines of each kind have them."""

from __future__ import annotations

from envgit.exec.cgroups.hierarchy import Place, parse_hierarchies

V2_MOUNTS = "23 28 0:22 / /proc rw - proc proc rw\n35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNTS = (
    "31 23 0:28 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "36 31 0:33 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd"
)
HYBRID = f"{V1_MOUNTS}\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw"


def test_version_2() -> None:
    here = parse_hierarchies(V2_MOUNTS, "0::/user.slice/session-1.scope")
    assert here.unified == Place("/sys/fs/cgroup/user.slice/session-1.scope", "/sys/fs/cgroup") and here.v1 == {}


def test_version_1_with_controllers_mounted_together() -> None:
    here = parse_hierarchies(V1_MOUNTS, "4:memory:/a/b\n2:cpu,cpuacct:/\n1:name=systemd:/x")
    assert here.unified is None
    assert {name: place.path for name, place in here.v1.items()} == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory/a/b",
    }


def test_hybrid() -> None:
    here = parse_hierarchies(HYBRID, "4:memory:/\n2:cpu,cpuacct:/\n0::/")
    assert here.unified == Place("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified") and set(here.v1) >= {
        "memory",
        "cpu",
    }


def test_a_container_that_sees_only_its_part() -> None:
    mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
    place = Place("/sys/fs/cgroup/memory/below", "/sys/fs/cgroup/memory")
    assert parse_hierarchies(mounts, "4:memory:/docker/abc/below").v1 == {"memory": place}
    assert parse_hierarchies(mounts, "4:memory:/docker/abc").v1["memory"].path == "/sys/fs/cgroup/memory"


def test_a_group_out_of_sight_is_left_out() -> None:
    mounts = "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory"
    assert parse_hierarchies(mounts, "4:memory:/docker/abcdef").v1 == {}
    assert parse_hierarchies(V2_MOUNTS, "0::/../outside").unified is None
    assert parse_hierarchies(V2_MOUNTS, "4:memory:/").unified is None


def test_nothing_mounted_and_odd_names() -> None:
    assert parse_hierarchies("23 28 0:22 / /proc rw - proc proc rw", "0::/") == (None, {})
    mounts = r"35 24 0:30 / /mnt/a\040b\134c rw - cgroup2 none rw"
    assert parse_hierarchies(mounts, "0::/x:y") == (Place("/mnt/a b\\c/x:y", "/mnt/a b\\c"), {})
