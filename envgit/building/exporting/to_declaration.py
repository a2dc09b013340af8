"""Recorded steps as an envgit.toml: packages, then files, then steps, and the configuration at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from envgit.building.exporting.dockerfile_words import SHELL, ends_at_first_failure
from envgit.building.exporting.recorded_step import RecordedStep, WrittenRecipe, difference, one_line, wanted_packages
from envgit.building.unit import CacheMount, Context, Copy, CopyItem, Run, ScratchBase, SecretMount, SourceBase
from envgit.declaration.toml_text import format_block, format_key, format_text, format_value
from envgit.declaration.values import MANAGERS
from envgit.model import EnvironmentConfig

_HEADER: Final = "# written by envgit export-recipe"
_STRICT_SHELL: Final = ("/bin/sh", "-ec")
"""Of a step's `run` that is a text."""
_UNNAMED: Final = ("Healthcheck", "OnBuild", "Shell")
"""Fields of a configuration for which [config] has no words."""


def write_declaration(steps: Sequence[RecordedStep]) -> WrittenRecipe:
    """Return the declaration; the first step is the base."""
    writer = _Writer(steps[0], steps[-1].after)
    for step in steps[1:]:
        writer.add(step)
    return writer.finish()


class _Writer:
    """Sorts what the steps did into the sections."""

    def __init__(self, base: RecordedStep, final: EnvironmentConfig) -> None:
        self._base = base
        self._final = final
        self._losses: list[str] = []
        self._packages: dict[str, list[str]] = {}
        self._files: list[str] = []
        self._steps: list[str] = []

    def add(self, step: RecordedStep) -> None:
        """Take a commit in."""
        recorded = step.recorded
        if recorded is None or recorded.base is not None:
            self._comment(step, f'"{step.subject}" was made by hand; nothing here does what it did', step.changes)
            return
        wanted = wanted_packages(recorded)
        if wanted is not None:
            self._packages.setdefault(wanted[0], []).extend(wanted[1])
        elif isinstance(recorded.action, Run):
            self._add_run(recorded.action, step)
        elif isinstance(recorded.action, Copy):
            for item in recorded.action.items:
                self._add_item(item, step)

    def finish(self) -> WrittenRecipe:
        """Return the text."""
        lines = [_HEADER, "[env]", *self._source()]
        if self._packages:
            lines += ["", "[packages]"]
            lines += [
                f"{name} = {_texts(dict.fromkeys(self._packages[name]))}" for name in MANAGERS if name in self._packages
            ]
        if self._files:
            lines += ["", "[files]", *self._files]
        lines += [line for step in self._steps for line in ("", step)]
        found = list(self._config(self._final))
        lines += ["", *found] if found else []
        return WrittenRecipe("\n".join(lines) + "\n", tuple(self._losses))

    def _comment(self, step: RecordedStep, text: str, more: Sequence[str] = ()) -> None:
        self._losses.append(f"{step.oid[:7]}: {text}")
        lines = [f"# {step.oid[:7]}: {one_line(text)}", *(f"#   {one_line(each)}" for each in more)]
        self._steps.append("\n".join(lines))

    def _source(self) -> Iterator[str]:
        base = self._base.recorded.base if self._base.recorded is not None else None
        if isinstance(base, ScratchBase):
            yield 'from = "scratch"'
            return
        if isinstance(base, SourceBase):
            yield f"from = {_text(base.source)}"
            if base.platform:
                yield f"platform = {_text(base.platform)}"
            for name, value in base.options:
                several = name in ("components", "include")
                yield f"{name} = {_texts(value.split(',')) if several else _text(value)}"
            return
        yield f"# {one_line(self._base.subject)}"
        yield f"from = {_text(self._base.oid)}"

    def _add_run(self, run: Run, step: RecordedStep) -> None:
        if run.files or any(not isinstance(mount, SecretMount | CacheMount) for mount in run.mounts):
            self._comment(step, "the command had files or mounts for which a step has no words", (" ".join(run.argv),))
            return
        lines = ["[[step]]", f"run = {_command(run.argv)}"]
        if run.network:
            lines.append(f"network = {_text(run.network)}")
        before, start = step.before, self._base.after
        given = dict(self._final.env)
        variables = {**difference(start, before)[0], **dict(run.env)}
        variables = {
            name: value for name, value in variables.items() if given.get(name) != value
        }  # [config] gives those
        if variables:
            lines.append(f"env = {_table(variables)}")
        workdir = run.workdir or (before.working_dir if before.working_dir != start.working_dir else "")
        user = run.user or (before.user if before.user != start.user else "")
        lines += [f"{name} = {_text(value)}" for name, value in (("workdir", workdir), ("user", user)) if value]
        for name, values in (
            ("inputs", run.inputs),
            ("secrets", [mount.id for mount in run.mounts if isinstance(mount, SecretMount)]),
            ("cache", [mount.target for mount in run.mounts if isinstance(mount, CacheMount)]),
        ):
            if values:
                lines.append(f"{name} = {_texts(values)}")
        self._steps.append("\n".join(lines))

    def _add_item(self, item: CopyItem, step: RecordedStep) -> None:
        plain = item.source == Context() and not (item.unpack or item.exclude or item.parents or item.checksum)
        if item.directory:
            return  # the configuration's working directory, or made by what lies in it
        content = None if item.content is None else _decoded(item.content)
        if not plain or (item.content is not None and content is None) or self._steps:
            where = "" if plain else ", from another place than the folder or unpacked"
            sources = ", ".join(item.sources) or "a given content"
            self._comment(
                step, f"copied {sources} to {item.target}{where}; [files] has no words for that, or for its turn"
            )
            return
        if content is not None:
            fields = {"content": format_text(content)}
        else:
            fields = {"source": _text(item.sources[0]) if len(item.sources) == 1 else _texts(item.sources)}
        fields.update({name: _text(value) for name, value in (("mode", item.mode), ("owner", item.owner)) if value})
        entry = ", ".join(f"{name} = {value}" for name, value in fields.items())
        self._files = [line for line in self._files if not line.startswith(f"{format_key(item.target)} = ")]
        self._files.append(f"{format_key(item.target)} = {{ {entry} }}")

    def _config(self, config: EnvironmentConfig) -> Iterator[str]:
        start = self._base.after
        lines = []
        if config.working_dir != start.working_dir:
            lines.append(f"workdir = {_text(config.working_dir or '/')}")
        if config.user != start.user:
            lines.append(f"user = {_text(config.user or 'root')}")
        if config.cmd != start.cmd:
            lines.append(f"command = {_texts(config.cmd)}")
        if config.entrypoint != start.entrypoint:
            lines.append(f"entrypoint = {_texts(config.entrypoint)}")
        lines += self._extra(start.extra, config.extra)
        changed, gone = difference(start, config)
        for name in gone:
            self._losses.append(f"nothing takes the variable {name} away")
        labels = _new_labels(start.extra.get("Labels"), config.extra.get("Labels"))
        if lines or changed or labels:
            yield from ("[config]", *lines)
        for title, table in (("env", changed), ("labels", labels)):
            if table:
                yield f"{title} = {_table(table)}"

    def _extra(self, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
        lines = []
        for key, name in (("ports", "ExposedPorts"), ("volumes", "Volumes")):
            before, after = old.get(name), new.get(name)
            added = (
                [each for each in after if not isinstance(before, Mapping) or each not in before]
                if isinstance(after, Mapping)
                else []
            )
            if added:
                lines.append(f"{key} = {_texts(added)}")
        if new.get("StopSignal") != old.get("StopSignal"):
            lines.append(f"stop_signal = {_text(str(new.get('StopSignal') or 'SIGTERM'))}")
        self._losses += [f"[config] has no words for {name}" for name in _UNNAMED if old.get(name) != new.get(name)]
        return lines


def _new_labels(old: object, new: object) -> dict[str, str]:
    before = old if isinstance(old, Mapping) else {}
    after = new if isinstance(new, Mapping) else {}
    return {str(name): str(value) for name, value in after.items() if before.get(name) != value}


def _decoded(content: bytes) -> str | None:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _shown(text: str) -> str:
    """Return a text of a record as TOML can hold it: what is no text (lone surrogates) is shown."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text(text: str) -> str:
    return format_text(_shown(text))


def _texts(texts: Iterable[str]) -> str:
    return format_value([_shown(text) for text in texts])


def _table(values: Mapping[str, str]) -> str:
    return format_value({_shown(name): _shown(value) for name, value in values.items()})


def _command(argv: Sequence[str]) -> str:
    """Return `run`: a text where the shell that reads it does the same; it ends at the first command that fails."""
    is_shell = argv[:-1] == _STRICT_SHELL or (argv[:-1] == SHELL and ends_at_first_failure(argv[-1]))
    return format_block(_shown(argv[-1])) if is_shell and argv[-1] else _texts(argv)
