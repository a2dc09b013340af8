"""An OCI profile read aloud: what the answer to one call is, straight from the structure; no code of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.exec.seccomp.interpreter import AARCH64, X86_64, Call

TABLE = Path(__file__).resolve().parents[3] / "envgit/exec/seccomp/syscalls.txt"
AUDIT = {"x86_64": X86_64, "aarch64": AARCH64}
LEVELS = [
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
]
VALUES = {"SCMP_ACT_KILL_PROCESS": 0x80000000, "SCMP_ACT_KILL_THREAD": 0, "SCMP_ACT_TRAP": 0x30000,
          "SCMP_ACT_LOG": 0x7FFC0000, "SCMP_ACT_ALLOW": 0x7FFF0000}  # fmt: skip
ENOSYS = 0x50000 | 38


def numbers(architecture: str) -> dict[str, int]:
    column = {"x86_64": 1, "aarch64": 2}[architecture]
    rows = [line.split() for line in TABLE.read_text().splitlines() if not line.startswith("#")]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def holds(arg: dict[str, Any], call: Call) -> bool:
    given = call.args[arg["index"]] if arg["index"] < len(call.args) else 0
    value, two = arg["value"], arg.get("valueTwo", 0)
    return bool(
        {
            "SCMP_CMP_NE": given != value,
            "SCMP_CMP_LT": given < value,
            "SCMP_CMP_LE": given <= value,
            "SCMP_CMP_EQ": given == value,
            "SCMP_CMP_GE": given >= value,
            "SCMP_CMP_GT": given > value,
            "SCMP_CMP_MASKED_EQ": given & value == two & value,
        }[arg["op"]]
    )


def value_of(action: str, number: int | None) -> int:
    if action == "SCMP_ACT_ERRNO":
        return 0x50000 | (1 if number is None else number)
    return VALUES[action]


def evaluate(profile: dict[str, Any], architecture: str, call: Call, table: dict[str, int]) -> int:
    default = value_of(profile["defaultAction"], profile.get("defaultErrnoRet"))
    if call.audit != AUDIT[architecture] or (architecture == "x86_64" and call.number & 0x40000000):
        return default if profile["defaultAction"].startswith("SCMP_ACT_KILL") else ENOSYS
    if architecture == "x86_64" and call.number > 0x40000000:
        return default if profile["defaultAction"].startswith("SCMP_ACT_KILL") else ENOSYS
    named = [table[name] for entry in profile["syscalls"] for name in entry["names"] if name in table]
    if named and call.number > max(named) and profile["defaultAction"] == "SCMP_ACT_ERRNO":
        return ENOSYS
    answers = []
    for entry in profile["syscalls"]:
        answer = value_of(entry["action"], entry.get("errnoRet"))
        args = entry.get("args") or []
        alone = len({arg["index"] for arg in args}) < len(args)
        applies = any(holds(arg, call) for arg in args) if alone else all(holds(arg, call) for arg in args)
        if applies and answer != default and call.number in {table.get(name) for name in entry["names"]}:
            answers.append((LEVELS.index(entry["action"]), answer))
    return min(answers, key=lambda pair: pair[0])[1] if answers else default
