"""The way to another repository without git: dulwich speaks the protocol in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dulwich.client import FetchPackResult, HTTPUnauthorized
from dulwich.config import ConfigFile, StackedConfig, apply_instead_of
from dulwich.errors import HangupException, NotGitRepository, SendPackError
from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import Commit, ObjectID
from dulwich.repo import Repo

from envgit.errors import EnvgitError
from envgit.monitor import Monitor
from envgit.store import storage
from envgit.store.config_files import config_files
from envgit.store.object_store import ObjectStore
from envgit.store.refs import RefStore
from envgit.transfer.address import Address, parse_address
from envgit.transfer.advertising import advertised
from envgit.transfer.arrivals import Arrivals, read_shallow
from envgit.transfer.dulwich_local import LocalWire
from envgit.transfer.dulwich_wire import HttpWire, SshWire, TalkMeter
from envgit.transfer.errors import ProtocolViolation, RemoteMoved, Stalled, TransferError
from envgit.transfer.git_environment import clean_variables
from envgit.transfer.git_failures import known_failure
from envgit.transfer.git_progress import GitTalk
from envgit.transfer.missing import MissingWalk
from envgit.transfer.outcomes import check_updates
from envgit.transfer.pack_file import ArrivingPack
from envgit.transfer.pack_records import pack_records
from envgit.transfer.push_decisions import PushDecisions
from envgit.transfer.values import Advertised, Fetched, RefOutcome, RefUpdate


class DulwichTransport:
    """Implements transport.Transport; each call opens and ends one connection."""

    def __init__(
        self, git_dir: str, address: Address, environ: Mapping[str, str], monitor: Monitor, *, silent_seconds: float
    ) -> None:
        self._git_dir = git_dir
        self._address = address
        self._environ = environ
        self._monitor = monitor
        self._silent_seconds = silent_seconds
        self._config = _configuration(git_dir, environ)
        self._wire: SshWire | HttpWire | LocalWire | None = None
        self._meter = TalkMeter()

    def list_refs(self) -> Advertised:
        with self._talking("read") as (wire, path, _):
            listed = wire.get_refs(path)
            pairs = [(_text(name), bytes.fromhex(oid.decode())) for name, oid in listed.refs.items() if oid]
            head = listed.symrefs.get(b"HEAD")
            return advertised(pairs, None if head is None else _text(head))

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        arrivals = Arrivals(quarantine_git_dir)
        wanted = list(dict.fromkeys(ObjectID(oid.hex().encode()) for oid in wants.values()))
        with self._talking("fetch from") as (wire, path, talk), Repo(quarantine_git_dir) as quarantine:
            if depth is None:
                wanted = [oid for oid in wanted if oid not in quarantine.object_store]
            if not wanted:
                return arrivals.fetched()
            shallow = {ObjectID(oid.hex().encode()) for oid in read_shallow(quarantine_git_dir)}

            def choose(refs: Mapping[bytes, bytes], depth: int | None = None) -> list[ObjectID]:
                if not set(wanted) <= set(refs.values()):
                    raise RemoteMoved(f"{self._address.shown} changed while it was read", hint="run the command again")
                return wanted

            pack = ArrivingPack(quarantine_git_dir, self._monitor)

            def take(data: bytes) -> int:
                self._meter.forgive(len(data))
                return pack.add(data)

            try:
                walker = ObjectStoreGraphWalker(
                    _haves(quarantine_git_dir, quarantine), quarantine.get_parents, shallow=shallow
                )
                result = wire.fetch_pack(path, choose, walker, take, talk, depth=depth)
                pack.finish()
            finally:
                pack.close()
            _note_shallow(quarantine_git_dir, shallow, result)
        return arrivals.fetched()

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        check_updates(updates, options)
        with self._talking("push to") as (wire, path, talk), Repo(self._git_dir) as ours:
            decisions = PushDecisions(ours, updates, atomic=atomic)
            pushed = wire.send_pack(
                path,
                decisions.decide,
                self._generate,
                talk,
                push_options=[option.encode() for option in options] or None,
                atomic=atomic,
            )
            return decisions.outcomes(pushed.ref_status)

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _generate(
        self, have: Any, want: Any, *, ofs_delta: bool = True, progress: Any = None
    ) -> tuple[int, Iterator[Any]]:
        """What dulwich's clients call for the objects of a push."""
        haves = [bytes.fromhex(oid.decode()) for oid in have]
        tips = [bytes.fromhex(oid.decode()) for oid in want]
        objects = ObjectStore(self._git_dir)
        if (cut := objects.shallow()) and any(each.oid in cut for each in MissingWalk(objects, tips, haves).commits):
            raise TransferError(
                "shallow update not allowed: the history here is cut short, and the rest is not there",
                hint="get the rest first: envgit fetch --unshallow",
            )
        count, records = pack_records(objects, tips, haves)
        return count, self._counting(count, records)

    def _counting(self, count: int, records: Iterator[Any]) -> Iterator[Any]:
        self._monitor.start("sending", count, "objects")
        try:
            for record in records:
                yield record
                self._monitor.advance()
        finally:
            self._monitor.finish()

    @contextmanager
    def _talking(self, doing: str) -> Iterator[tuple[Any, bytes, Callable[[bytes], None]]]:
        """Open a connection; whatever goes wrong in it becomes an error of ours."""
        self._meter = TalkMeter()
        spoken = GitTalk(self._monitor)

        def talk(data: bytes | str) -> None:
            spoken.feed_remote(data.encode() if isinstance(data, str) else data)

        address = self._address
        try:
            address = self._rewritten(push=doing == "push to")
            wire = self._wire = self._open(address)
            path = os.fsencode(address.path) if address.kind != "http" else b""
            yield wire, path, talk
        except EnvgitError:
            raise
        except Exception as error:  # dulwich meets what a stranger sends with every kind of exception
            raise self._translated(error, address, spoken, doing) from error
        finally:
            spoken.finish()
            self.close()
        for message in spoken.messages if doing == "push to" else ():
            self._monitor.note(f"remote: {message}")

    def _rewritten(self, *, push: bool) -> Address:
        """The address after url.*.insteadOf, checked again."""
        if self._address.kind == "path":
            return self._address
        url = apply_instead_of(self._config, self._address.url, push=push)
        return self._address if url == self._address.url else parse_address(url, "/")

    def _open(self, address: Address) -> SshWire | HttpWire | LocalWire:
        if address.kind == "ssh":
            return SshWire(
                address,
                clean_variables(self._environ),
                _setting(self._config, b"core", b"sshCommand"),
                self._meter,
                self._silent_seconds,
            )
        if address.kind == "http":
            return HttpWire(address, self._environ, self._config, self._meter, self._silent_seconds)
        return LocalWire(address)

    def _translated(self, error: Exception, address: Address, spoken: GitTalk, doing: str) -> EnvgitError:
        spoken.finish()
        lines = [str(error)]
        if isinstance(self._wire, SshWire) and self._wire.connection is not None:
            lines += self._wire.connection.said()
        if isinstance(error, HTTPUnauthorized):
            known = isinstance(self._wire, HttpWire) and self._wire._auth_header is not None
            lines.append("HTTP 401" if known else "could not read Username")
        elif isinstance(error, NotGitRepository):
            lines.append("not a git repository")
        elif isinstance(error, HangupException):
            lines.append("the remote end hung up unexpectedly")
        elif isinstance(error, SendPackError):
            lines.append(b" ".join(word for word in error.args if isinstance(word, bytes)).decode("utf-8", "replace"))
        if "Read timed out" in lines[0]:
            return Stalled(
                f"{address.host} was silent for {self._silent_seconds:g} seconds; the connection was cut",
                hint="nothing was changed here; check your network, then run the command again",
            )
        found = known_failure(
            [line.replace("unexpected http resp ", "HTTP ") for line in lines], spoken.messages, address, doing
        )
        if found is not None:
            return found
        if isinstance(error, OSError | SendPackError):
            return TransferError(f"cannot {doing} {address.shown}: {lines[-1]}", hint="try again, or install git")
        return ProtocolViolation(
            f"{address.shown} does not speak git's protocol as it must ({type(error).__name__})",
            hint="check that the address is one of a git repository",
        )


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _configuration(git_dir: str, environ: Mapping[str, str]) -> StackedConfig:
    files = [file.path for file in reversed(config_files(git_dir, environ)) if os.path.isfile(file.path)]
    return StackedConfig([ConfigFile.from_path(path) for path in files])


def _setting(config: StackedConfig, section: bytes, name: bytes) -> str:
    try:
        return os.fsdecode(config.get((section,), name))
    except KeyError:
        return ""


def _haves(git_dir: str, quarantine: Repo) -> list[ObjectID]:
    """The commits that the quarantine's refs name: what is not to be sent again. (dulwich cannot read an empty packed-refs.)"""
    found = []
    for oid in dict.fromkeys(ObjectID(oid.hex().encode()) for _, oid in RefStore(git_dir).iter_refs()):
        if oid in quarantine.object_store and isinstance(quarantine.object_store[oid], Commit):
            found.append(oid)
    return found


def _note_shallow(git_dir: str, before: set[ObjectID], result: FetchPackResult) -> None:
    after = (before | set(result.new_shallow or ())) - set(result.new_unshallow or ())
    if after == before:
        return
    if after:
        storage.write_file(git_dir + "/shallow", b"".join(oid + b"\n" for oid in sorted(after)), step="fetched-shallow")
    else:
        storage.unlink(git_dir + "/shallow", step="fetched-shallow")
