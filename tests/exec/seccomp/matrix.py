"""The syscall matrix as text: what the compiled default answers to every number, and to chosen arguments.

`python -m tests.exec.seccomp.matrix` writes it anew; its difference is what a reviewer of a change of the policy reads.
"""

from __future__ import annotations

import errno
from pathlib import Path

from envgit.exec.seccomp.filter import DECIDING_CAPABILITIES, default_program
from envgit.exec.spec import DEFAULT_CAPABILITIES
from tests.exec.seccomp.interpreter import AARCH64, ARM, I386, X86_64, Call, run
from tests.exec.seccomp.naive import AUDIT, numbers

FOLDER = Path(__file__).parent
HIGH = 0xDEADBEEF << 32
SAMPLES: dict[str, tuple[tuple[int, ...], ...]] = {
    "clone": tuple((flags,) for flags in (0, 0x11, 0x1200011, 0x3D0F00, 0x80, *(1 << bit for bit in (17, *range(25, 31))),
                                          0x10000011, 1 << 31, HIGH, HIGH | 0x10000000)),
    "unshare": tuple((flags,) for flags in (0, 0x200, 0x400, 0x80, *(1 << bit for bit in (17, *range(25, 31))), 0x10000200,
                                            HIGH, HIGH | 0x10000000)),
    "ioctl": tuple((0, request) for request in (0x5401, 0x5411, 0x5412, 0x5413, 0x541B, 0x541C, 0x541D, 0, 0xFFFFFFFF,
                                                HIGH | 0x5412, HIGH | 0x541C, HIGH | 0x5413, 1 << 32 | 0x5412, 0x15412,
                                                0xFFFFFFFF80045430)),
    "socket": tuple((family,) for family in (*range(48), 1 << 31, 1 << 32, 1 << 32 | 1, 1 << 32 | 40, (1 << 64) - 1)),
    "socketpair": tuple((family,) for family in (*range(48), 1 << 32 | 1)),
    "personality": tuple((value,) for value in (0, 1, 8, 9, 0x20000, 0x20008, 0x20009, 0x40000, 0x400000, 0x100000,
                                                0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, HIGH)),
}  # fmt: skip


def word(answer: int) -> str:
    if answer & 0xFFFF0000 == 0x50000:
        return errno.errorcode.get(answer & 0xFFFF, str(answer & 0xFFFF))
    return {0x7FFF0000: "allow", 0: "kill-thread", 0x80000000: "kill-process", 0x30000: "trap", 0x7FFC0000: "log"}[
        answer
    ]


def render(architecture: str) -> str:
    program = default_program(DEFAULT_CAPABILITIES, False, architecture)
    audit, table = AUDIT[architecture], numbers(architecture)
    names = {number: name for name, number in table.items()}

    def answer(number: int, args: tuple[int, ...] = (), audit: int = audit) -> str:
        return word(run(program, Call(number, args, audit)))

    lines = [f"# {architecture}, default capabilities: number, name, answer"]
    following = 0
    for number in (*sorted(names), 1024):
        others = {answer(each) for each in range(following, number)}
        if others:
            lines.append(f"{following}-{number - 1} no call: {' '.join(sorted(others))}")
        if number in names:
            by_argument = names[number] in SAMPLES
            lines.append(f"{number} {names[number]} {'by argument, below' if by_argument else answer(number)}")
        following = number + 1
    lines.append("# chosen arguments: the argument that decides, answer")
    for name, samples in SAMPLES.items():
        lines += [f"{name} {args[-1]:#x} {answer(table[name], args)}" for args in samples]
    lines.append("# other numbers, ABIs and architectures")
    edges = (1024, 0x3FFFFFFF, 0x40000000, 0x40000000 + table["read"], 0x40000208, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
    lines += [f"{number:#x} {answer(number)}" for number in edges]
    for title, other in (("x86_64", X86_64), ("i386", I386), ("aarch64", AARCH64), ("arm", ARM), ("nothing", 0)):
        if other != audit:
            lines.append(f"{title} 0-1023 {' '.join(sorted({answer(each, (), other) for each in range(1024)}))}")
    lines += ["# what each capability changes", *_differences(architecture, names)]
    return "\n".join(lines) + "\n"


def _differences(architecture: str, names: dict[int, str]) -> list[str]:
    def answers(capabilities: tuple[str, ...], nested: bool = False) -> dict[str, str]:
        program = default_program(capabilities, nested, architecture)
        found = {names[number]: word(run(program, Call(number, (), AUDIT[architecture]))) for number in names}
        for name, samples in SAMPLES.items():
            number = next(number for number in names if names[number] == name)
            for args in samples:
                found[f"{name}({args[-1]:#x})"] = word(run(program, Call(number, args, AUDIT[architecture])))
        return found

    usual = answers(DEFAULT_CAPABILITIES)
    lines = []
    settings = [(f"+{name}", (*DEFAULT_CAPABILITIES, name), False) for name in sorted(DECIDING_CAPABILITIES)]
    for title, capabilities, nested in (*settings, ("none", (), False), ("nested", DEFAULT_CAPABILITIES, True)):
        lines += [
            f"{title} {name} {usual[name]} -> {answer}"
            for name, answer in answers(capabilities, nested).items()
            if answer != usual[name]
        ]
    return lines


if __name__ == "__main__":
    for each in AUDIT:
        (FOLDER / f"matrix-{each}.txt").write_text(render(each))
