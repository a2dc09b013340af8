"""The reader of SQLite files, against SQLite."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envgit.packages.package import MalformedRecord
from envgit.packages.rpm_sqlite import SqliteFile

from .test_rpm import EXPECTED, golden, simple_header
from .views import MemoryView, packages_of

ROWS = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1) | st.none() | st.binary(max_size=40), st.integers(0, 70_000)),
    max_size=12,
)


def make(path: Path, rows: list[tuple[int | bytes | None, bytes]], page_bytes: int) -> bytes:
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA page_size = {page_bytes}")
        connection.execute("CREATE TABLE other (x)")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB, more)")
        connection.executemany("INSERT INTO Packages (more, blob) VALUES (?, ?)", rows)
        connection.commit()
    return path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=ROWS, page_bytes=st.sampled_from([512, 1024, 4096, 65536]))
def test_rows(tmp_path: Path, rows: list[tuple[int | bytes | None, int]], page_bytes: int) -> None:
    filled = [(more, bytes([count % 251]) * count) for more, count in rows]
    data = make(tmp_path / "x.sqlite", filled, page_bytes)
    read = [(row[2], row[1]) for row in SqliteFile(data).iter_rows(b"Packages")]
    assert read == filled


def test_a_deep_tree(tmp_path: Path) -> None:
    rows: list[tuple[int | bytes | None, bytes]] = [(number, b"x" * (number % 700)) for number in range(5000)]
    data = make(tmp_path / "x.sqlite", rows, 512)
    assert [row[2] for row in SqliteFile(data).iter_rows(b"Packages")] == list(range(5000))


def insert(connection: sqlite3.Connection, name: bytes) -> None:
    connection.execute("INSERT INTO Packages (blob) VALUES (?)", (simple_header(name),))
    connection.commit()


def test_the_write_ahead_log_counts(tmp_path: Path) -> None:
    """rpm leaves its database in WAL mode: what a killed transaction committed is in the second file alone."""
    path = tmp_path / "rpmdb.sqlite"
    path.write_bytes(golden("rpmdb.sqlite"))
    connection = sqlite3.connect(path)
    with contextlib.closing(connection):
        assert connection.execute("PRAGMA journal_mode = WAL").fetchone() == ("wal",)
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        insert(connection, b"first")
        insert(connection, b"second")
        data, log = path.read_bytes(), (tmp_path / "rpmdb.sqlite-wal").read_bytes()
    assert len(log) > 4096

    def names(log: bytes) -> list[str]:
        files = {"var/lib/rpm/rpmdb.sqlite": data, "var/lib/rpm/rpmdb.sqlite-wal": log}
        packages, notices = packages_of(MemoryView(files))
        assert notices == []
        return [package.name for package in packages]

    known = [each[1] for each in EXPECTED]
    assert names(log) == sorted(["first", "second", *known])
    assert names(b"") == known
    assert names(log[:-1]) == sorted(["first", *known]), "a torn frame ends the log"
    damaged = bytearray(log)
    damaged[-1] ^= 1
    assert names(bytes(damaged)) == sorted(["first", *known]), "a frame with a wrong sum ends the log"
    damaged[40] ^= 1
    assert names(bytes(damaged)) == known
    assert names(b"\0" * 64) == known


def test_tables_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, i AS blob FROM n"
        connection.execute(f"CREATE VIEW Packages AS {endless}")
        connection.commit()
        connection.set_progress_handler(lambda: 1, 100_000)
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):  # control: SQLite would count for ever
            connection.execute("SELECT count(blob) FROM Packages").fetchall()
    with pytest.raises(MalformedRecord, match="no table Packages"):
        list(SqliteFile(path.read_bytes()).iter_rows(b"Packages"))


def test_pages_that_are_their_own_children(tmp_path: Path) -> None:
    rows: list[tuple[int | bytes | None, bytes]] = [(None, b"x" * 400)] * 200
    data = bytearray(make(tmp_path / "x.sqlite", rows, 512))
    interior = [at for at in range(512, len(data), 512) if data[at] == 5]
    for at in interior:
        data[at + 8 : at + 12] = (at // 512 + 1).to_bytes(4, "big")
    with pytest.raises(MalformedRecord, match="tree of pages"):
        list(SqliteFile(bytes(data)).iter_rows(b"Packages"))
