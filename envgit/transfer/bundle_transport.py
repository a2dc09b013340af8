"""A bundle as a repository to read from: a file in place of a server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, Final

from envgit.errors import EnvgitError
from envgit.monitor import Monitor
from envgit.store import storage
from envgit.store.object_store import ObjectStore
from envgit.transfer.address import Address
from envgit.transfer.advertising import advertised
from envgit.transfer.arrivals import Arrivals
from envgit.transfer.bundle_file import BundleHead, read_head
from envgit.transfer.errors import MissingPrerequisite, ProtocolViolation, RemoteMoved, TransferError
from envgit.transfer.git_environment import git_variables
from envgit.transfer.git_failures import explain
from envgit.transfer.git_run import receiving_limits, run_git
from envgit.transfer.values import Advertised, Fetched, RefOutcome, RefUpdate

_SHOWN: Final = 3


class BundleTransport:
    """Implements transport.Transport; the file is read at each call, and may be replaced between two."""

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
        self._silent_seconds = silent_seconds

    def list_refs(self) -> Advertised:
        head = read_head(self._address.path)
        listed = advertised(head.references, None)
        branch = "refs/heads/main" if "refs/heads/main" in listed.refs else None
        branches = [
            name for name, oid in listed.refs.items() if name.startswith("refs/heads/") and oid == listed.detached
        ]
        return listed._replace(head=branches[0] if branches else branch, detached=None if branches else listed.detached)

    def fetch(self, wants: Mapping[str, bytes], quarantine_git_dir: str, *, depth: int | None = None) -> Fetched:
        if depth is not None:
            raise TransferError("a bundle has the history that it has", hint="leave out --depth")
        head = read_head(self._address.path)
        self._check_prerequisites(head, quarantine_git_dir)
        if not set(wants.values()) <= {oid for _, oid in head.references}:
            raise RemoteMoved(f"{self._address.shown} changed while it was read", hint="run the command again")
        arrivals = Arrivals(quarantine_git_dir)
        if not wants:
            return arrivals.fetched()
        if self._program == "dulwich":
            self._unbundle_here(quarantine_git_dir, head)
        else:
            words = [f"--git-dir={quarantine_git_dir}", "bundle", "unbundle", "--progress", self._address.path]
            done = run_git(
                self._program,
                words,
                git_variables(self._environ),
                self._monitor,
                limits=receiving_limits(quarantine_git_dir),
                silent_seconds=self._silent_seconds,
            )
            if done.status:
                raise explain(done.lines, done.messages, self._address, done.status, "read")
        return arrivals.fetched()

    def push(
        self, updates: Sequence[RefUpdate], *, atomic: bool = False, options: Sequence[str] = ()
    ) -> tuple[RefOutcome, ...]:
        raise TransferError(
            "a bundle cannot be pushed to", hint=f"make a new one: envgit bundle -o {self._address.path}"
        )

    def close(self) -> None:
        """Nothing is open between two calls."""

    def _check_prerequisites(self, head: BundleHead, quarantine: str) -> None:
        stores = [ObjectStore(folder) for folder in (self._git_dir, quarantine)]
        missing = [each for each in head.prerequisites if not any(store.contains(each.oid) for store in stores)]
        if missing:
            named = ", ".join(f"{each.oid.hex()[:12]} {each.subject[:60]}".rstrip() for each in missing[:_SHOWN])
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise MissingPrerequisite(
                f"the bundle {self._address.shown} needs commits that are not here: {named}{more}",
                hint="fetch them first, or ask for a bundle of the whole history",
            )

    def _unbundle_here(self, quarantine: str, head: BundleHead) -> None:
        """Complete and index the pack with dulwich."""
        from dulwich.repo import Repo

        size = os.stat(self._address.path).st_size - head.offset
        self._monitor.start("reading", size, "bytes")
        folder = quarantine + "/objects/pack"
        before = set(os.listdir(folder))
        try:
            with open(self._address.path, "rb") as file, Repo(quarantine) as repo:
                file.seek(head.offset)
                read = self._counted(file)
                repo.object_store.add_thin_pack(read, read, max_input_size=size).close()
        except (EnvgitError, OSError):
            raise
        except Exception as error:  # dulwich meets what a stranger wrote with every kind of exception
            for name in set(os.listdir(folder)) - before:
                storage.discard(f"{folder}/{name}")
            raise ProtocolViolation(
                f"what {self._address.shown} holds is damaged ({type(error).__name__})",
                hint="check it with: git bundle verify FILE",
            ) from error
        finally:
            self._monitor.finish()

    def _counted(self, file: BinaryIO) -> Callable[[int], bytes]:
        def read(size: int) -> bytes:
            data = file.read(size)
            self._monitor.advance(len(data))
            return data

        return read
