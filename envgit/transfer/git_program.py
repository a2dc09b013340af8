"""The way to another repository through the user's git: ssh, agents, proxies and credential helpers work as they do there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from envgit.monitor import Monitor
from envgit.transfer.address import Address
from envgit.transfer.advertising import parse_listing
from envgit.transfer.arrivals import Arrivals
from envgit.transfer.errors import TransferError
from envgit.transfer.git_environment import connection_settings, git_variables, has_terminal
from envgit.transfer.git_failures import explain
from envgit.transfer.git_run import GitDone, receiving_limits, run_git, sending_limits
from envgit.transfer.outcomes import check_updates, parse_outcomes
from envgit.transfer.values import Advertised, Fetched, RefOutcome, RefUpdate

_ZERO: Final = "0" * 40
_MOST_ARGUMENT_BYTES: Final = 1024 * 1024
"""Of refs in one command line; Linux takes 2 MiB with the environment."""
_PATIENCE: Final = 3.0
"""So many times longer may be silent what could be waiting for somebody who types a passphrase."""


class GitTransport:
    """Implements transport.Transport; each call is one run of git."""

    def __init__(
        self,
        program: str,
        git_dir: str,
        address: Address,
        environ: Mapping[str, str],
        monitor: Monitor,
        *,
        silent_seconds: float,
    ) -> None:
        self._program = program
        self._git_dir = git_dir
        self._address = address
        self._environ = environ
        self._monitor = monitor
        self._terminal = not address.is_local and has_terminal()
        self._silent_seconds = silent_seconds * (_PATIENCE if self._terminal else 1)
        self._own: tuple[tuple[str, str], ...] | None = None

    def list_refs(self) -> Advertised:
        done = self._run(self._git_dir, ["ls-remote", "--symref", self._address.url], sending_limits())
        if done.status:
            raise self._failed(done, "read")
        return parse_listing(done.out, self._address)

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        if not wants:
            return Fetched(0, 0, ())
        arrivals = Arrivals(quarantine_git_dir)
        words = [
            "fetch", "--stdin", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance",
            "--no-show-forced-updates", "--update-shallow", "--progress", *([f"--depth={depth}"] if depth else []), "--",
            self._address.url,
        ]  # fmt: skip
        asked = b"".join(oid.hex().encode() + b"\n" for oid in dict.fromkeys(wants.values()))
        done = self._run(quarantine_git_dir, words, receiving_limits(quarantine_git_dir), stdin=asked)
        if done.status:
            raise self._failed(done, "fetch from")
        return arrivals.fetched()

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        check_updates(updates, options)
        outcomes: list[RefOutcome] = []
        for part in self._parts(updates, atomic):
            outcomes += self._push_part(part, atomic, options)
        return tuple(outcomes)

    def close(self) -> None:
        """Nothing lives between two calls."""

    def _push_part(self, updates: Sequence[RefUpdate], atomic: bool, options: Sequence[str]) -> tuple[RefOutcome, ...]:
        words = [
            "push",
            "--porcelain",
            "--progress",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
            "--thin",
        ]
        words += ["--atomic"] if atomic else []
        words += [f"--push-option={option}" for option in options]
        words += [
            f"--force-with-lease={each.name}:{each.old.hex() if each.old else _ZERO}" for each in updates if each.lease
        ]
        words += ["--", self._address.url, *(_refspec(each) for each in updates)]
        done = self._run(self._git_dir, words, sending_limits())
        outcomes = parse_outcomes(done.out, updates)
        if outcomes is None:
            raise self._failed(done, "push to")
        if all(
            each.reason.startswith(("unpacker error", "remote failed to report", "remote unpack failed"))
            for each in outcomes
        ):
            raise self._failed(done, "push to")
        for message in done.messages:
            self._monitor.note(f"remote: {message}")
        return outcomes

    @staticmethod
    def _parts(updates: Sequence[RefUpdate], atomic: bool) -> Iterator[list[RefUpdate]]:
        """Split what no command line can hold."""
        part: list[RefUpdate] = []
        size = 0
        for each in updates:
            cost = 2 * len(os.fsencode(each.name)) + 120
            if size + cost > _MOST_ARGUMENT_BYTES:
                if atomic:
                    raise TransferError("these are too many refs for one atomic push", hint="push fewer refs at once")
                yield part
                part, size = [], 0
            part.append(each)
            size += cost
        if part:
            yield part

    def _run(self, git_dir: str, words: Sequence[str], limits: Mapping[int, int], *, stdin: bytes = b"") -> GitDone:
        return run_git(
            self._program,
            [f"--git-dir={git_dir}", *words],
            git_variables(self._environ, self._settings() if git_dir != self._git_dir else (), terminal=self._terminal),
            self._monitor,
            limits=limits,
            stdin=stdin,
            silent_seconds=self._silent_seconds,
            host=self._address.host or self._address.shown,
        )

    def _settings(self) -> tuple[tuple[str, str], ...]:
        """What the repository's own configuration says of connections, for a run in the quarantine."""
        if self._own is None:
            words = ["config", "--local", "--includes", "--list", "-z"]
            done = self._run(self._git_dir, words, sending_limits())
            self._own = connection_settings(done.out) if done.status == 0 else ()
        return self._own

    def _failed(self, done: GitDone, doing: str) -> TransferError:
        return explain(done.lines, done.messages, self._address, done.status, doing)


def _refspec(update: RefUpdate) -> str:
    source = update.new.hex() if update.new else ""
    return f"{'+' if update.force and not update.lease else ''}{source}:{update.name}"
