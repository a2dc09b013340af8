"""ADD: archives that are unpacked, and files that are fetched."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import random
import tarfile
import threading
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import zstandard

from envgit.building.files import unpacking
from envgit.building.files.downloading import is_git, prune_downloads
from envgit.building.unit import CopyItem
from envgit.errors import EnvgitError, HostileInput, SourceError, StorageError, UsageError
from envgit.layers.sources.tar_limits import TarLimits
from envgit.model import Entry
from tests.building.copy_lab import NOW_NS, CopyLab
from tests.sources import tar_builder as tar

SECOND = 1_000_000_000
COMPRESSIONS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "two bzip2 streams": lambda data: bz2.compress(data[:700]) + bz2.compress(data[700:]),
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.fixture
def lab(tmp_path: Path) -> CopyLab:
    return CopyLab(tmp_path)


def archive() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as out:
        for name, kind, mode, owner, link in (
            ("top", tarfile.DIRTYPE, 0o750, 5, ""),
            ("top/file", tarfile.REGTYPE, 0o640, 6, ""),
            ("implied/link", tarfile.SYMTYPE, 0o777, 7, "../top/file"),
            ("top/hard", tarfile.LNKTYPE, 0o640, 6, "top/file"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.linkname, member.mtime = kind, mode, owner, link, 1000
            data = b"content" if kind == tarfile.REGTYPE else b""
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
    return file.getvalue()


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_archives(lab: CopyLab, compression: str) -> None:
    lab.write("odd-name", COMPRESSIONS[compression](archive()))
    after = lab.copy(CopyItem("/x", ("odd-name",), unpack=True))
    assert lab.listing(after) == {
        "x": "755/ 0:0",
        "x/implied": "755/ 0:0",
        "x/implied/link": "-> ../top/file 7:0",
        "x/top": "750/ 5:0",
        "x/top/file": "640 6:0 content",
        "x/top/hard": "640 6:0 content",
    }
    assert lab.store.read_links(after) == ((b"x/top/file", b"x/top/hard"),)
    assert lab.store.paths(after)[b"x/top/file"].mtime_ns == 1000 * SECOND
    assert lab.listing(lab.copy(CopyItem("/x", ("odd-name",)))).keys() == {"x"}


def test_archives_merge(lab: CopyLab) -> None:
    """Directories that the archive has take its attributes; those that its names only imply keep theirs."""
    lab.write("a.tar", archive())
    base = lab.tree(
        {
            "x/implied": Entry(b"", "d", 0o700, 1, 1, 5),
            "x/implied/kept": b"k",
            "x/top": Entry(b"", "d", 0o700, 1, 1, 5),
            "x/top/file": b"old",
        }
    )
    listing = lab.listing(lab.copy(CopyItem("/x/", ("a.tar",), unpack=True), onto=base))
    assert (listing["x/implied"], listing["x/top"]) == ("700/ 1:1", "750/ 5:0")
    assert (listing["x/implied/kept"], listing["x/top/file"]) == ("644 0:0 k", "640 6:0 content")


def test_archives_with_owner_and_epoch(lab: CopyLab) -> None:
    lab.write("a.tar", archive())
    after = lab.copy(CopyItem("/x", ("a.tar",), unpack=True, owner="9:9", mode="0600"), epoch=500)
    paths = lab.store.paths(after)
    assert {entry.mtime_ns for path, entry in paths.items() if path} == {500 * SECOND}
    assert {(entry.uid, entry.gid) for path, entry in paths.items() if path} == {(9, 9)}
    assert paths[b"x/top/file"].mode == 0o640  # as with docker: --chmod is not for what is unpacked


@pytest.mark.parametrize(
    "content",
    [b"", b"text", bytes(1024), gzip.compress(b"no archive"), bz2.compress(b"no archive"), b"BZh9damaged", b"\x1f\x8b",
     archive()[:300], b"PK\x03\x04", bz2.compress(archive())[:60]],
)  # fmt: skip
def test_what_is_no_archive_is_copied(lab: CopyLab, content: bytes) -> None:
    lab.write("data", content)
    after = lab.copy(CopyItem("/x", ("data",), unpack=True))
    assert lab.store.content(after, b"x") == content


@pytest.mark.parametrize(
    "content, what",
    [
        (tar.file(b"a") + tar.file(b"../b") + tar.END, "leads out"),
        (tar.file(b"a") + tar.file(b"/b") + tar.END, "absolute"),
        (tar.file(b"a", b"1" * 100)[:-512], "truncated"),
        (bz2.compress(tar.file(b"a", random.Random(1).randbytes(2_000_000)))[:-10], "too early"),
        (tar.file(b"a") + tar.header(b"b", b"1", link=b"nothing") + tar.END, "hard link"),
    ],
)
def test_bad_archives(lab: CopyLab, content: bytes, what: str) -> None:
    lab.write("data.tar", content)
    with pytest.raises(EnvgitError, match=what):
        lab.copy(CopyItem("/x", ("data.tar",), unpack=True))


def test_a_bzip2_bomb(lab: CopyLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "TarLimits", lambda: TarLimits(ratio_free_bytes=5_000_000))
    lab.write("bomb", bz2.compress(tar.file(b"a", bytes(20_000_000)) + tar.END))
    with pytest.raises(HostileInput, match="grew to"):
        lab.copy(CopyItem("/x", ("bomb",), unpack=True))


def test_archives_are_followed_through_links_inside_only(lab: CopyLab) -> None:
    lab.write("a.tar", tar.file(b"l/x", b"1") + tar.END)
    after = lab.copy(CopyItem("/", ("a.tar",), unpack=True), onto=lab.tree({"l": "-> ../../../etc"}))
    assert lab.names(after) == {"l", "etc", "etc/x"}


# URLs


class Site:
    """A web server whose answers tests write. `asked`: (path, headers) of every request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.cut = False
        self.asked: list[tuple[str, dict[str, str]]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append((request.path, dict(request.headers)))
        path = request.path.partition("?")[0]
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.end_headers()
            return
        content = self.files.get(path)
        if content is None:
            request.send_error(404)
            return
        if request.headers.get("If-None-Match", "-") == self.headers.get("ETag"):
            request.send_response(304)
            request.end_headers()
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) + self.cut))
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.server.shutdown()
    site.server.server_close()


def add(site: Site, path: str, target: str = "/x", checksum: str = "") -> CopyItem:
    return CopyItem(target, (site.url + path,), unpack=True, checksum=checksum)


def test_a_url(lab: CopyLab, site: Site) -> None:
    site.files["/dir/tool%20one"] = archive()
    site.headers["Last-Modified"] = formatdate(1_600_000_000, usegmt=True)
    item = add(site, "/dir/tool%20one?query=1", "/opt/")
    after = lab.copy(item)
    assert set(lab.listing(after)) == {"opt", "opt/tool one"}
    entry = lab.store.paths(after)[b"opt/tool one"]
    assert (entry.mode, entry.uid, entry.mtime_ns) == (0o600, 0, 1_600_000_000 * SECOND)
    assert lab.store.content(after, b"opt/tool one") == archive()  # what is fetched is never unpacked
    named = lab.copy(item._replace(target="/opt/t", mode="755", owner="3:4"), epoch=7)
    entry = lab.store.paths(named)[b"opt/t"]
    assert (entry.mode, entry.uid, entry.gid, entry.mtime_ns) == (0o755, 3, 4, 7 * SECOND)


def test_without_a_date_it_is_now(lab: CopyLab, site: Site) -> None:
    site.files["/f"] = b"1"
    site.headers["Last-Modified"] = "yesterday"
    assert lab.store.paths(lab.copy(add(site, "/f")))[b"x"].mtime_ns == NOW_NS


def test_it_is_fetched_again_only_when_it_changed(lab: CopyLab, site: Site) -> None:
    site.files["/f"], site.headers["ETag"] = b"1", '"one"'
    first = lab.digest(add(site, "/f"))
    assert lab.digest(add(site, "/f")) == first
    assert [headers.get("If-None-Match") for _, headers in site.asked] == [None, '"one"']
    site.files["/f"], site.headers["ETag"] = b"2", '"two"'
    assert lab.digest(add(site, "/f")) != first
    assert lab.listing(lab.copy(add(site, "/f")))["x"] == "600 0:0 2"


def test_a_known_checksum_needs_no_network(lab: CopyLab, site: Site) -> None:
    site.files["/f"] = b"1"
    for algorithm in ("sha256", "sha384", "sha512"):
        item = add(site, "/f", checksum=f"{algorithm}:{hashlib.new(algorithm, b'1').hexdigest()}")
        lab.copy(item)
        count = len(site.asked)
        assert lab.listing(lab.copy(item))["x"] == "600 0:0 1"
        assert len(site.asked) == count


def test_what_was_not_used_for_long_is_dropped(lab: CopyLab, site: Site) -> None:
    site.files |= {"/old": b"1", "/used": b"2", "/same": b"2", "/young": b"3"}
    checksum = "sha256:" + hashlib.sha256(b"2").hexdigest()
    for path in ("/old", "/same", "/young"):
        lab.copy(add(site, path))
    lab.copy(add(site, "/used", checksum=checksum))
    folder = lab.kept / "downloads"
    (folder / "tmp_left").write_bytes(b"of a build that was killed")
    for file in folder.iterdir():
        os.utime(file, (1000, 1000))
    for path, sum_ in (("/young", ""), ("/used", checksum)):
        lab.copy(add(site, path, checksum=sum_))
    count = len(site.asked)
    prune_downloads(str(folder), 2000)
    kept = {file.name for file in folder.iterdir() if file.suffix != ".json"}
    assert kept == {hashlib.sha256(content).hexdigest() for content in (b"2", b"3")}
    assert sum(file.suffix == ".json" for file in folder.iterdir()) == 2
    lab.copy(add(site, "/used", checksum=checksum))
    assert len(site.asked) == count, "what is used stays, and needs no network"
    assert lab.listing(lab.copy(add(site, "/old")))["x"] == "600 0:0 1"
    prune_downloads(str(folder / "missing"), 2000)


def test_another_checksum(lab: CopyLab, site: Site) -> None:
    site.files["/f"] = b"1"
    item = add(site, "/f", checksum="sha256:" + "0" * 64)
    with pytest.raises(HostileInput, match=hashlib.sha256(b"1").hexdigest()):
        lab.copy(item)
    lab.copy(item._replace(checksum=""))
    with pytest.raises(HostileInput):
        lab.copy(item)


@pytest.mark.parametrize("checksum", ["sha256:0", "md5:" + "0" * 32, "0" * 64, "sha256:" + "g" * 64])
def test_checksums_that_are_none(lab: CopyLab, site: Site, checksum: str) -> None:
    with pytest.raises(UsageError):
        lab.copy(add(site, "/f", checksum=checksum))


def test_redirects(lab: CopyLab, site: Site) -> None:
    site.redirects = {"/a": "/b", "/b": site.url + "/c", "/loop": "/loop", "/file": "file:///etc/passwd"}
    site.files["/c"] = b"1"
    assert lab.listing(lab.copy(add(site, "/a", "/x/")))["x/a"] == "600 0:0 1"
    for path in ("/loop", "/file"):
        with pytest.raises(SourceError):
            lab.copy(add(site, path))


def test_what_cannot_be_had(lab: CopyLab, site: Site) -> None:
    with pytest.raises(SourceError, match="404"):
        lab.copy(add(site, "/nothing"))
    site.files["/f"], site.cut = b"1", True
    with pytest.raises(SourceError):
        lab.copy(add(site, "/f"))
    assert len(site.asked) == 4  # a broken connection is worth three attempts, an answer is not
    assert list((lab.kept / "downloads").glob("*")) == []
    with pytest.raises(SourceError):
        lab.copy(CopyItem("/x", ("http://127.0.0.1:1/f",), unpack=True))


def test_a_damaged_copy_is_noticed(lab: CopyLab, site: Site) -> None:
    site.files["/f"], site.headers["ETag"] = b"1", '"one"'
    lab.copy(add(site, "/f"))
    kept = lab.kept / "downloads" / hashlib.sha256(b"1").hexdigest()
    kept.write_bytes(b"2")
    assert lab.listing(lab.copy(add(site, "/f")))["x"] == "600 0:0 1"
    assert kept.read_bytes() == b"1" and len(site.asked) == 4, "it is fetched again at once"
    assert site.asked[2][1].get("If-None-Match") is None
    kept.touch()
    lab.copy(add(site, "/f"))
    assert site.asked[4][1]["If-None-Match"] == '"one"', "another time, the same content: it is current"
    for record in (lab.kept / "downloads").glob("*.json"):
        record.write_text("[]")
    assert lab.listing(lab.copy(add(site, "/f")))["x"] == "600 0:0 1"


@pytest.mark.parametrize("kind", ["fifo", "folder", "link"])
@pytest.mark.parametrize("algorithm", ["", "sha384"])
def test_what_is_no_file_counts_as_absent(lab: CopyLab, site: Site, kind: str, algorithm: str) -> None:
    site.files["/f"] = b"1"
    checksum = f"sha384:{hashlib.sha384(b'1').hexdigest()}" if algorithm else ""
    lab.copy(add(site, "/f", checksum=checksum))
    for path in list((lab.kept / "downloads").iterdir()):
        path.unlink()
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
            (path / "file").touch()
        else:
            path.symlink_to("/dev/zero")
    for _ in range(2):
        assert lab.listing(lab.copy(add(site, "/f", checksum=checksum)))["x"] == "600 0:0 1"
    prune_downloads(str(lab.kept / "downloads"), 2e9)


def test_a_digest_needs_no_place_for_the_file(lab: CopyLab, site: Site) -> None:
    """As a plan of a repository that cannot be written to; a copy does need it."""
    site.files["/f"] = b"1"
    lab.kept.mkdir(exist_ok=True)
    (lab.kept / "downloads").write_text("no folder")
    assert len(lab.digest(add(site, "/f"))) == 32
    with pytest.raises(StorageError, match="downloads"):
        lab.copy(add(site, "/f"))
    prune_downloads(str(lab.kept / "downloads"), 2e9)


@pytest.mark.parametrize(
    "url", ["http://", "https:///x", "http://user:pw@host/x", "http://host:99999/x", "git://host/x", "git@github.com:a/b",
            "https://github.com/a/b.git", "https://github.com/a/b.git#main:dir", "ssh://git@host/x"],
)  # fmt: skip
def test_urls_that_are_refused(lab: CopyLab, url: str) -> None:
    with pytest.raises(EnvgitError) as caught:
        lab.copy(CopyItem("/x/", (url,), unpack=True))
    assert "pw" not in caught.value.message
    assert is_git(url) == ("git" in caught.value.message)


def test_a_url_without_a_name(lab: CopyLab, site: Site) -> None:
    site.files["/"] = b"1"
    with pytest.raises(UsageError):
        lab.copy(add(site, "/", "/x/"))
    assert lab.listing(lab.copy(add(site, "/", "/x")))["x"] == "600 0:0 1"


def test_a_checksum_is_for_one_url(lab: CopyLab, site: Site) -> None:
    lab.write("a")
    with pytest.raises(UsageError):
        lab.copy(CopyItem("/x", ("a",), checksum="sha256:" + "0" * 64))
