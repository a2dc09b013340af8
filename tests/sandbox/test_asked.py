"""What an environment asks for: parsed strictly, put below the user's words."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.declaration.request import format_request
from envgit.declaration.tables import SANDBOX
from envgit.declaration.values import Sandbox
from envgit.errors import HostileInput, SandboxError, UsageError
from envgit.exec.mount.sources import Source, open_sources, source_fds
from envgit.exec.spec import Mount
from envgit.layers.plan_file import Plan, format_plan, parse_plan
from envgit.sandbox.asked import list_asked, parse_asked, without_grant
from envgit.sandbox.merging import merge_asked, real_source
from envgit.sandbox.request import LimitsRequest, MountRequest, RunRequest


def _asked(**fields: object) -> Sandbox:
    return parse_asked(json.dumps(fields))


def test_every_word_is_understood() -> None:
    text = """{"network": "host", "publish": ["8080:80"], "publish_all": true, "add_host": ["db:10.0.0.1"],
        "hostname": "box", "volume": ["./data:/data:ro"], "mount": ["type=rev,src=main:/usr,dst=/x"], "tmpfs": ["/t:size=1m"],
        "read-only": true, "memory": "64m", "memory-swap": "128m", "cpus": 1.5, "pids_limit": 100, "shm_size": "1m",
        "ulimit": "nofile=64", "cap_add": ["NET_RAW"], "cap-drop": ["CHOWN"], "security_opt": ["nested-namespaces"]}"""
    asked = parse_asked(text)
    assert all(getattr(asked, name) for name in SANDBOX.keys), "each key is in the text"
    assert (asked.cpus, asked.pids_limit, asked.ulimit, asked.read_only) == ("1.5", "100", ("nofile=64",), True)
    wider = [str(item) for item in list_asked(asked) if item.widens]
    assert wider == [
        "--network host", "--publish 8080:80", "--publish-all", "--volume ./data:/data:ro",
        "--mount type=rev,src=main:/usr,dst=/x", "--ulimit nofile=64", "--cap-add NET_RAW", "--security-opt nested-namespaces",
    ]  # fmt: skip
    assert not any(item.widens for item in list_asked(without_grant(asked)))
    assert without_grant(asked).memory == "64m" and without_grant(asked).network is None
    assert without_grant(_asked(network="none")).network == "none"


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[]", "null", "1", '"x"', '{"privileged": true}', '{"place": "x"}', '{"places": {}}',
        '{"network": "bridge"}', '{"network": ["host"]}',
        '{"volume": 1}', '{"volume": [1]}', '{"volume": ["/data"]}', '{"volume": [""]}', '{"volume": [["a:b"]]}',
        '{"memory": null}', '{"memory": true}', '{"read_only": "yes"}', '{"publish_all": 1}',
        '{"volume": ["a:/b"], "volume": ["c:/d"]}', '{"read_only": true, "read-only": false}',
        '{"volume": ["a:/b\\u001b[31m"]}', '{"volume": ["a:/b\\u202e"]}', '{"volume": ["a:/b\\nc"]}', '{"hostname": "\\ud800"}',
        '{"security_opt": ["seccomp=/tmp/profile.json"]}', '{"security_opt": ["apparmor=unconfined"]}',
        '{"mount": ["type=bind,src=/run/docker.sock,dst=/x,insist"]}',
        '{"mount": ["type=bind,src=/run/docker.sock,dst=/x,\\"insist\\""]}',
        '{"hostname": "' + "x" * 600 + '"}', '{"publish": ' + json.dumps(["1"] * 65) + "}", '{"a": ' + "[" * 9000 + "}",
        '{"hostname": "' + "x" * 20000 + '"}', '{"memory": NaN, "x": 1}',
        '{"memory": "much"}', '{"memory": "1k"}', '{"memory_swap": "1g"}', '{"pids_limit": -5}', '{"cpus": 1e400}',
        '{"ulimit": ["nofiles=1"]}', '{"cap_add": ["EVERYTHING"]}', '{"tmpfs": ["relative"]}', '{"publish": ["80:http"]}',
        '{"publish": ["99999"]}', '{"add_host": ["a"]}', '{"hostname": "' + "x" * 65 + '"}', '{"volume": ["a:relative"]}',
        '{"volume": ["a:/b:ro:z"]}', '{"mount": ["type=bind,,dst=/x"]}', '{"mount": ["\\"type=bind"]}',
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(HostileInput) as failure:
        parse_asked(text)
    assert failure.value.message.isprintable()


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(
    st.sampled_from([*Sandbox._fields, "other"]), inner), max_leaves=8))  # fmt: skip
def test_any_json_is_understood_or_refused(value: object) -> None:
    try:
        asked = parse_asked(json.dumps(value))
    except HostileInput:
        return
    assert all(str(item).isprintable() for item in list_asked(asked))


def test_the_users_words_win(tmp_path: Path) -> None:
    for name in ("data", "other"):
        (tmp_path / name).mkdir()
    asked = _asked(
        network="host", hostname="theirs", memory="64m", memory_swap="128m", cpus="1", volume=["./data:/data", "./other:/x"],
        ulimit=["nofile=1", "nproc=2"], cap_add=["NET_RAW", "CAP_SYS_PTRACE"], cap_drop=["CHOWN", "FOWNER"],
    )  # fmt: skip
    given = RunRequest(
        network="none",
        hostname="mine",
        mounts=(MountRequest("tmpfs", "", "/data"),),
        limits=LimitsRequest(memory="32m", ulimits=("nofile=9",)),
        cap_add=("chown",),
        cap_drop=("net_raw",),
    )
    merged = merge_asked(given, asked, str(tmp_path))
    assert (merged.network, merged.hostname) == ("none", "mine")
    assert [(mount.kind, mount.target) for mount in merged.mounts] == [("tmpfs", "/data"), ("bind", "/x")]
    assert merged.limits == LimitsRequest(memory="32m", cpus="1", ulimits=("nofile=9", "nproc=2"))
    assert merged.cap_add == ("chown", "CAP_SYS_PTRACE") and merged.cap_drop == ("net_raw", "FOWNER")
    assert merge_asked(RunRequest(cap_drop=("ALL",)), asked, str(tmp_path)).cap_add == ()
    assert merge_asked(RunRequest(), Sandbox(), str(tmp_path)) == RunRequest()


def test_ports_follow_the_network(tmp_path: Path) -> None:
    asked = _asked(publish=["8080:80", "53:53/udp"], publish_all=True)
    assert merge_asked(RunRequest(), asked, str(tmp_path)).publish == ("8080:80", "53:53/udp")
    assert merge_asked(RunRequest(publish=("9090:80",)), asked, str(tmp_path)).publish == ("53:53/udp", "9090:80")
    for own in (RunRequest(network="none"), RunRequest(network="host")):
        without = merge_asked(own, asked, str(tmp_path))
        assert (without.publish, without.publish_all) == ((), False)


@pytest.mark.parametrize(
    "fields",
    [
        {"volume": ["../outside:/x"]},
        {"volume": ["./link:/x"]},
        {"volume": ["./link/below:/x"]},
        {"mount": ["type=bind,src=../outside,dst=/x"]},
        {"mount": ["type=bind,dst=/x,source=link"]},
        {"mount": ['type=bind,"src=./link/below",dst=/x']},
        {"mount": ["type=volume,type=bind,src=link,dst=/x"]},
    ],
)
def test_a_relative_path_stays_in_the_project(tmp_path: Path, fields: dict[str, list[str]]) -> None:
    """Code that was cloned can bring a link to ~/.ssh with it, which a request for ./data would not show."""
    (tmp_path / "outside/below").mkdir(parents=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "link").symlink_to("../outside")
    with pytest.raises(UsageError):
        merge_asked(RunRequest(), _asked(**fields), str(project))


def test_a_relative_path_is_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    merged = merge_asked(RunRequest(), _asked(volume=["./link:/x", ".:/all"]), str(tmp_path))
    assert [mount.source for mount in merged.mounts] == [f"{tmp_path}/data", str(tmp_path)]
    assert {mount.options for mount in merged.mounts} == {(("within", str(tmp_path)),)}
    assert real_source("/data:/x", str(tmp_path)) is None and real_source("name:/x", str(tmp_path)) is None
    assert real_source("type=volume,src=name,dst=/x", str(tmp_path)) is None


def test_a_folder_that_becomes_a_link_after_it_was_looked_at_is_refused(tmp_path: Path) -> None:
    """A program with a writable folder of the project could do that at any moment."""
    for name in ("project/data", "project/kept", "outside", "project-2"):
        (tmp_path / name).mkdir(parents=True)
    project = tmp_path / "project"
    fields = {"volume": ["./data:/x", "./kept:/y"]}
    merged = merge_asked(RunRequest(), _asked(**fields), str(project))
    mounts = tuple(
        Mount("bind", b"/x", os.fsencode(mount.source), within=os.fsencode(dict(mount.options)["within"]))
        for mount in merged.mounts
    )
    _close(open_sources(mounts, (), by_root=os.geteuid() == 0, warn=pytest.fail))
    (project / "data").rmdir()
    for place in ("../outside", "../project-2", ".."):
        (project / "data").symlink_to(place)
        with pytest.raises(SandboxError, match="leads out of"):
            open_sources(mounts, (), by_root=os.geteuid() == 0, warn=pytest.fail)
        (project / "data").unlink()


def _close(sources: dict[int, Source]) -> None:
    for fd in source_fds(sources):
        os.close(fd)


def test_what_a_declaration_asks_for_is_understood() -> None:
    assert set(Sandbox._fields) == {*SANDBOX.keys, "place", "places"}
    declared = Sandbox(
        network="host", publish=("8080:80",), publish_all=True, add_host=("db:10.0.0.1",), hostname="box", volume=("./ä:/x:ro",),
        mount=("type=tmpfs,dst=/y",), tmpfs=("/t",), read_only=True, memory="64m", memory_swap="-1", cpus="1.5", pids_limit="9",
        shm_size="1m", ulimit=("nofile=64",), cap_add=("NET_RAW",), cap_drop=("ALL",), security_opt=("seccomp=unconfined",),
    )  # fmt: skip
    assert all(getattr(declared, name) for name in SANDBOX.keys)
    asked = parse_asked(format_request(declared))
    assert asked == declared
    assert parse_asked(format_request(Sandbox())) == Sandbox()


def test_a_plan_keeps_what_is_asked() -> None:
    plan = Plan("t", (), (), asked='{"volume": ["./a b:/x"]}\n')
    assert parse_plan(format_plan(plan)) == plan
    assert parse_plan(format_plan(Plan("t", (), ()))) == Plan("t", (), ())
