"""The reference pages, made from the command line itself: `python -m envgit.cli.reference DIR`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import click

from envgit.errors import EnvgitError

from .main import cli
from .session import BROKEN_PIPE_STATUS, INTERRUPT_STATUS, WARNINGS_STATUS
from .verb_table import VERBS

_NOTE = "<!-- made by `make reference`; do not edit -->\n"


def reference_pages() -> dict[str, str]:
    """Return every page: file name to Markdown."""
    root = click.Context(cli, info_name="envgit")
    pages = {"README.md": _index(root), "exit-codes.md": _exit_codes()}
    for name in VERBS:
        command = cli.get_command(root, name)
        assert command is not None
        pages[f"{name}.md"] = _page(click.Context(command, info_name=name, parent=root), command)
    return pages


def _index(root: click.Context) -> str:
    lines = [_NOTE, "# Reference", "", _paragraphs(cli.help or ""), "", *_options(root, cli)]
    for section in dict.fromkeys(verb.section for verb in VERBS.values()):
        lines += [f"## {section}", "", "| verb | |", "|---|---|"]
        lines += [f"| [{name}]({name}.md) | {verb.help} |" for name, verb in VERBS.items() if verb.section == section]
        lines.append("")
    lines.append("Exit statuses: [exit-codes.md](exit-codes.md).")
    return "\n".join(lines) + "\n"


def _page(context: click.Context, command: click.Command) -> str:
    lines = [_NOTE, f"# {context.command_path}", ""]
    lines += _command(context, command)
    if isinstance(command, click.Group):
        for name, child in sorted(command.commands.items()):
            child_context = click.Context(child, info_name=name, parent=context)
            lines += [f"## {child_context.command_path}", "", *_command(child_context, child)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _command(context: click.Context, command: click.Command) -> list[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    return [f"    {usage}", "", _paragraphs(command.help or ""), "", *_options(context, command)]


def _options(context: click.Context, command: click.Command) -> list[str]:
    listed = [
        param for param in command.get_params(context) if isinstance(param, click.Option) and "--help" not in param.opts
    ]
    rows = [record for param in listed if (record := param.get_help_record(context))]
    if not rows:
        return []
    cells = [(f"`{names}`".replace("|", "\\|"), text.replace("|", "\\|").replace("\n", " ")) for names, text in rows]
    return ["| option | |", "|---|---|", *(f"| {names} | {text} |" for names, text in cells), ""]


def _paragraphs(text: str) -> str:
    """Return help text as Markdown; a `\\b` block keeps its lines."""
    done = []
    for block in text.strip().split("\n\n"):
        lines = [line.strip() for line in block.splitlines()]
        if lines and lines[0] == "\b":
            done.append("\n".join("    " + line for line in lines[1:]))
        else:
            done.append(" ".join(lines))
    return "\n\n".join(done)


def _exit_codes() -> str:
    lines = [
        _NOTE,
        "# Exit statuses",
        "",
        "`run` and `shell` pass the program's own status on (128+N when signal N ended it); the statuses below are",
        "envgit's. An error is two lines on standard error: `envgit: what failed and why`, `hint: what to type next`.",
        "",
        "| status | meaning |",
        "|---|---|",
        "| 0 | done |",
        "| 1 | the answer is no (nothing to commit, differences with --exit-code, problems found), or a conflict |",
        "| 2 | usage, environment, damaged or unreadable data; also an internal error |",
        f"| {WARNINGS_STATUS} | done, but something was left out or could not be kept; standard error says what |",
        "| 125 | the sandbox could not be set up |",
        "| 126 | the program cannot be executed |",
        "| 127 | there is no such program |",
        f"| {INTERRUPT_STATUS} | interrupted |",
        f"| {BROKEN_PIPE_STATUS} | whoever read standard output went away |",
        "",
        "## Kinds of errors",
        "",
        "| code | status | meaning |",
        "|---|---|---|",
    ]
    for kind in sorted(_error_kinds(EnvgitError), key=lambda kind: (kind.exit_code, kind.code)):
        summary = (kind.__doc__ or "").strip().split("\n\n")[0]
        lines.append(f"| {kind.code} | {kind.exit_code} | {' '.join(summary.split())} |")
    return "\n".join(lines) + "\n"


def _error_kinds(kind: type[EnvgitError]) -> Iterator[type[EnvgitError]]:
    """Yield the kinds of errors that `envgit.errors` names; each code once."""
    seen: set[str] = set()
    todo = [kind]
    while todo:
        current = todo.pop(0)
        todo += current.__subclasses__()
        if current.__module__ == "envgit.errors" and current.code not in seen and current is not EnvgitError:
            seen.add(current.code)
            yield current


def main() -> None:
    """Write the pages into the folder given; remove pages of verbs that are gone."""
    folder = sys.argv[1] if len(sys.argv) == 2 else sys.exit("usage: python -m envgit.cli.reference DIR")
    pages = reference_pages()
    os.makedirs(folder, exist_ok=True)
    for stale in set(os.listdir(folder)) - set(pages):
        if stale.endswith(".md"):
            os.unlink(os.path.join(folder, stale))
    for name, text in pages.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
