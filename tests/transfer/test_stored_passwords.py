"""Passwords of git's credential store go to the server they are for, and to no other port of its host."""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from envgit.transfer.address import parse_address
from envgit.transfer.errors import TransferError
from envgit.transfer.transport import open_transport
from tests.transfer.hostile_server import RawServer, answer, sends
from tests.transfer.repositories import Recorder, make_bare

CASES = {
    "http://bob:s3cr%3At@127.0.0.1:{port}": True,
    "http://bob:s3cr%3At@127.0.0.1:{port}/a.git": True,
    "# no URL\nhttp://[bob:s3cr%3At@127.0.0.1\nhttp://bob:s3cr%3At@127.0.0.1:{port}": True,
    "http://bob:s3cr%3At@127.0.0.1:{other}": False,
    "http://bob:s3cr%3At@127.0.0.1": False,
    "https://bob:s3cr%3At@127.0.0.1:{port}": False,
    "http://bob:s3cr%3At@localhost:{port}": False,
    "http://bob:s3cr%3At@127.0.0.1:none": False,
    "http://bob@127.0.0.1:{port}": False,
}


@pytest.mark.parametrize("user", ["", "bob@", "eve@"])
@pytest.mark.parametrize("line", CASES)
def test_who_gets_a_stored_password(line: str, user: str, tmp_path: Path) -> None:
    with RawServer(sends(answer(b"no", status="404 Not Found"))) as server:
        port = urlsplit(server.url).port
        assert port is not None
        stored = line.format(port=port, other=port - 1)
        (tmp_path / ".git-credentials").write_text(stored + "\n")
        environ = {key: value for key, value in os.environ.items() if key != "XDG_CONFIG_HOME"}
        address = parse_address(server.url.replace("://", f"://{user}"), "/")
        ours = str(make_bare(tmp_path / "ours"))
        way = open_transport(ours, address, {**environ, "HOME": str(tmp_path)}, Recorder(), program="dulwich")
        with pytest.raises(TransferError):
            way.list_refs()
    sent = b"\n".join(server.requests)
    assert server.requests and (b64encode(b"bob:s3cr:t") in sent) == (CASES[line] and user != "eve@")
