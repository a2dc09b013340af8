"""`python -m envgit.exec.seccomp.generate [HEADERS]`: write the table of numbers and the compiled default programs.

HEADERS is an include folder of the kernel (default: /usr/include), as `make headers_install` fills one; calls that only
newer kernels have stay in the table. Run it after every change of the policy, then read the difference of
tests/exec/seccomp/matrix-*.txt (python -m tests.exec.seccomp.matrix writes those).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from envgit.exec.seccomp.compiler import compile_profile
from envgit.exec.seccomp.filter import COMPILED_CAPABILITIES
from envgit.exec.seccomp.headers import read_headers
from envgit.exec.seccomp.numbers import ARCHITECTURES, TABLE, load_architecture, read_table
from envgit.exec.seccomp.profile import default_profile

_HEADING = (
    "# name x86_64 aarch64; written by envgit.exec.seccomp.generate; - where an architecture does not have the call\n"
)


def merge_numbers(
    table: dict[str, tuple[int | None, ...]], headers: dict[str, dict[str, int]]
) -> dict[str, tuple[int | None, ...]]:
    """Return the table with what headers add. ValueError: they disagree about a number, which never changes."""
    merged = dict(table)
    for column, architecture in enumerate(ARCHITECTURES):
        for name, number in headers.get(architecture, {}).items():
            row = list(merged.get(name, (None,) * len(ARCHITECTURES)))
            if row[column] not in (None, number):
                raise ValueError(f"{name} on {architecture} is {row[column]} in the table, {number} in the headers")
            row[column] = number
            merged[name] = tuple(row)
    for name in headers.get("i386", {}):
        merged.setdefault(name, (None,) * len(ARCHITECTURES))
    return merged


def format_table(table: dict[str, tuple[int | None, ...]]) -> str:
    """Return the text of `syscalls.txt`."""
    columns = {name: ["-" if number is None else str(number) for number in row] for name, row in table.items()}
    return _HEADING + "".join(f"{name} {' '.join(columns[name])}\n" for name in sorted(columns))


def compile_default(architecture: str) -> bytes:
    """Return the program of the default sandbox for one of ARCHITECTURES."""
    profile = default_profile(tuple(COMPILED_CAPABILITIES), False, architecture)
    return compile_profile(profile, load_architecture(architecture))


def generate(headers: Path) -> None:
    """Write everything that is checked in."""
    table = Path(TABLE)
    table.write_text(format_table(merge_numbers(read_table(), read_headers(headers))))
    for architecture in ARCHITECTURES:
        table.with_name(f"default-{architecture}.bpf").write_bytes(compile_default(architecture))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("headers", nargs="?", type=Path, default=Path("/usr/include"))
    generate(parser.parse_args().headers)
