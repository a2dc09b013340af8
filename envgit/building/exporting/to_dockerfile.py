"""Recorded steps as a Dockerfile that does them again."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from envgit.building.exporting.config_to_dockerfile import config_lines
from envgit.building.exporting.dockerfile_words import (
    SHELL,
    copy_words,
    ends_at_first_failure,
    here_document,
    is_plain_script,
    is_quotable,
    json_words,
    quote_word,
)
from envgit.building.exporting.recorded_step import RecordedStep, WrittenRecipe, one_line, wanted_packages
from envgit.building.unit import (
    CacheMount,
    Context,
    Copy,
    CopyItem,
    FileSource,
    RevisionBase,
    Run,
    ScratchBase,
    SecretMount,
    SourceBase,
    StageBase,
    StepMount,
    TmpfsMount,
)
from envgit.model import EnvironmentConfig

INSTALL: Final = {
    "apt": "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {}"
    " && rm -rf /var/lib/apt/lists/*",
    "apk": "apk add --no-cache {}",
    "dnf": "dnf install -y {} && dnf clean all",
    "pip": "PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir {}",
    "npm": "npm install --global {}",
}
"""What people write for a package set. The unit's own script also says what it installed, which no Dockerfile needs."""
_HEADER: Final = "# written by envgit export-recipe"


def write_dockerfile(steps: Sequence[RecordedStep]) -> WrittenRecipe:
    """Return the Dockerfile; the first step is the base."""
    writer = _Writer()
    lines = [_HEADER]
    for number, step in enumerate(steps):
        later = [each.recorded.action for each in steps[number + 1 :] if each.recorded is not None]
        lines += writer.step(step, [action for action in later if isinstance(action, Run)])
    return WrittenRecipe("\n".join(lines) + "\n", tuple(writer.losses))


class _Writer:
    """Keeps what the lines so far have set: arguments, and where the configuration stands."""

    def __init__(self) -> None:
        self.losses: list[str] = []
        self._arguments: dict[str, str] = {}
        self._has_cmd = False

    def step(self, step: RecordedStep, later: Sequence[Run]) -> Iterator[str]:
        """Yield the lines of a step."""
        recorded = step.recorded
        if step.is_base:
            yield from self._base(step)
            return
        if recorded is None or recorded.base is not None:
            yield from self._by_hand(step)
            return
        config = step.after
        wanted = wanted_packages(recorded)
        if wanted is not None:
            yield from self._as_root(step, INSTALL[wanted[0]].format(" ".join(map(shlex.quote, wanted[1]))))
        elif isinstance(recorded.action, Run):
            yield from self._run(recorded.action, step, later)
        elif isinstance(recorded.action, Copy):
            items = recorded.action.items
            for item in items:
                if not item.directory or item.target != config.working_dir:
                    yield from self._copy(item, step)
                elif item.target == step.before.working_dir:  # else the configuration's difference says so
                    yield f"WORKDIR {quote_word(item.target)}"
        yield from self._config(step.before, config, step)

    def _config(self, before: EnvironmentConfig, after: EnvironmentConfig, step: RecordedStep) -> Iterator[str]:
        for line, is_loss in config_lines(before, after, self._has_cmd):
            self._has_cmd |= line.startswith("CMD ")
            if is_loss:
                yield self._lose(step, line)
            else:
                yield line

    def _lose(self, step: RecordedStep, text: str) -> str:
        self.losses.append(f"{step.oid[:7]}: {text}")
        return f"# {step.oid[:7]}: {one_line(text)}"

    def _base(self, step: RecordedStep) -> Iterator[str]:
        base = step.recorded.base if step.recorded is not None else None
        if isinstance(base, ScratchBase):
            yield "FROM scratch"
            yield from self._config(EnvironmentConfig(), step.after, step)
        elif isinstance(base, SourceBase) and base.source.startswith("docker://"):
            platform = f"--platform={base.platform} " if base.platform else ""
            yield f"FROM {platform}{base.source.removeprefix('docker://')}"
        else:
            what = base.source if isinstance(base, SourceBase) else step.subject
            yield f"# {one_line(what)}: this commit has it"
            yield f"FROM {step.oid}"

    def _by_hand(self, step: RecordedStep) -> Iterator[str]:
        yield self._lose(step, f'"{step.subject}" was made by hand; no instruction does what it did')
        yield from (f"#   {one_line(change)}" for change in step.changes)
        yield from self._config(step.before, step.after, step)

    # RUN

    def _as_root(self, step: RecordedStep, script: str) -> Iterator[str]:
        inside = step.before._replace(user=step.before.user and "0:0")
        yield from self._config(step.before, inside, step)
        yield f"RUN {script}"
        yield from self._config(inside, step.before, step)

    def _run(self, run: Run, step: RecordedStep, later: Sequence[Run]) -> Iterator[str]:
        flags = []
        for mount in run.mounts:
            flag = _mount_flag(mount)
            if flag is None:
                yield self._lose(step, f"a mount of the command at {mount.target} cannot be written down")
            else:
                flags.append(flag)
        if run.network in ("none", "host"):
            flags.append(f"--network={run.network}")
        if run.inputs:
            inputs = " ".join(run.inputs)
            yield self._lose(step, f"the command had inputs, below /run/envgit/inputs: {inputs}")
        exported = {name: value for name, value in run.env if not self._declare(name, value, later)}
        yield from (f"ARG {name}={quote_word(value)}" for name, value in self._new_arguments(run, exported))
        before, after = step.before, step.before
        inside = after._replace(user=run.user or after.user, working_dir=run.workdir or after.working_dir)
        yield from self._config(before, inside, step)
        yield from self._command(run, step, flags, exported)
        yield from self._config(inside, after, step)

    def _declare(self, name: str, value: str, later: Sequence[Run]) -> bool:
        """Say whether ARG can give the variable: all commands that follow have it, too."""
        if self._arguments.get(name) == value:
            return True
        return name not in self._arguments and is_quotable(value) and all((name, value) in run.env for run in later)

    def _new_arguments(self, run: Run, exported: Mapping[str, str]) -> list[tuple[str, str]]:
        new = [(name, value) for name, value in run.env if name not in exported and name not in self._arguments]
        self._arguments.update(new)
        return new

    def _command(self, run: Run, step: RecordedStep, flags: list[str], env: Mapping[str, str]) -> Iterator[str]:
        start = " ".join(["RUN", *flags]) + " "
        shell = _shell(step.before)
        if run.files:
            only = run.files[0]
            document = here_document(only.content.decode("utf-8", "surrogateescape"))
            if (
                len(run.files) == 1
                and run.argv[-1:] == (only.path,)
                and only.content.startswith(b"#!")
                and document
                and not env
            ):
                yield f"{start}<<'{document[0]}'\n{document[1]}"
                return
            yield self._lose(step, "files that the command was given in memory cannot be written down")
        argv = _shell_form(run.argv, shell)
        if env and argv[:-1] == shell and shell[0].endswith("sh"):
            exports = " ".join(f"{name}={shlex.quote(value)}" for name, value in env.items())
            argv = (*shell, f"export {exports}\n{argv[-1]}" if "\n" in argv[-1] else f"export {exports}; {argv[-1]}")
        elif env:
            argv = ("env", *(f"{name}={value}" for name, value in env.items()), *argv)
        script = argv[-1] if argv[:-1] == shell else None
        if script is not None and is_plain_script(script):
            yield start + script
            return
        document = here_document(script) if script is not None and not script.startswith("#!") else None
        yield f"{start}<<'{document[0]}'\n{document[1]}" if document else start + json_words(argv)

    # COPY

    def _copy(self, item: CopyItem, step: RecordedStep) -> Iterator[str]:
        if item.content is not None:
            yield from self._content(item, item.content, step)
            return
        if item.directory:
            yield f"RUN {json_words(('mkdir', '-p', item.target))}"
            return
        source = _from(item.source)
        if source is None:  # another stage, which is not in this history: its files are in the commit
            yield f"# {step.oid[:7]} took files from another stage of its build; they are in the commit"
            for path in step.copied:
                yield f"COPY --from={step.oid} {copy_words((path, path))}"
            return
        flags = [f"--from={quote_word(source)}"] if source else []
        if item.checksum:
            flags.append(f"--checksum={item.checksum}")
        flags += _ownership(item) + [f"--exclude={quote_word(each)}" for each in item.exclude]
        if item.parents:
            flags.append("--parents")
        yield " ".join(["ADD" if item.unpack else "COPY", *flags, copy_words((*item.sources, item.target))])

    def _content(self, item: CopyItem, content: bytes, step: RecordedStep) -> Iterator[str]:
        path = item.target + (item.sources[0] if item.target.endswith("/") and item.sources else "")
        document = here_document(content.decode("utf-8", "surrogateescape"))
        if document and copy_words((path,)) == path:
            start = " ".join(["COPY", *_ownership(item)])
            yield f"{start} <<'{document[0]}' {path}\n{document[1]}"
            return
        target = shlex.quote(path)
        script = [f"mkdir -p $(dirname {target})", f"echo {b64encode(content).decode('ascii')} | base64 -d > {target}"]
        script += [f"chmod {shlex.quote(item.mode or '0644')} {target}"]
        script += [f"chown {shlex.quote(item.owner)} {target}"] if item.owner else []
        yield f"RUN {json_words((*SHELL, ' && '.join(script)))}"


def _shell_form(argv: tuple[str, ...], shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the shell form can say: a step of an envgit.toml ends at the first command that fails."""
    if argv[:-1] != ("/bin/sh", "-ec") or shell != SHELL:
        return argv
    script = argv[-1]
    if ends_at_first_failure(script):
        return (*SHELL, script)
    return (*SHELL, f"set -e\n{script}" if "\n" in script else f"set -e; {script}")


def _shell(config: EnvironmentConfig) -> tuple[str, ...]:
    shell = config.extra.get("Shell")
    if isinstance(shell, list) and shell and all(isinstance(word, str) for word in shell):
        return tuple(shell)
    return SHELL


def _ownership(item: CopyItem) -> list[str]:
    flags = [f"--chown={quote_word(item.owner)}"] if item.owner else []
    return flags + ([f"--chmod={quote_word(item.mode)}"] if item.mode else [])


def _from(source: FileSource) -> str | None:
    """Return what --from= names: "" for the context, None for a stage."""
    if isinstance(source, Context):
        return ""
    if isinstance(source, StageBase):
        return None
    return source.revision if isinstance(source, RevisionBase) else source.source.removeprefix("docker://")


def _mount_flag(mount: StepMount) -> str | None:
    if isinstance(mount, SecretMount):
        fields = {"type": "secret", "id": mount.id}
        if mount.environment:
            fields["env"] = mount.environment
        if mount.target:
            fields["target"] = mount.target
        if mount.required:
            fields["required"] = "true"
    elif isinstance(mount, CacheMount):
        fields = {"type": "cache", "id": mount.name, "target": mount.target, "sharing": mount.sharing}
        if mount.readonly:
            fields["readonly"] = "true"
    elif isinstance(mount, TmpfsMount):
        fields = {"type": "tmpfs", "target": mount.target, **({"size": mount.size} if mount.size else {})}
    else:
        source = _from(mount.source)
        if source is None:
            return None
        fields = {"type": "bind", **({"from": source} if source else {}), "source": mount.path, "target": mount.target}
        if not mount.readonly:
            fields["rw"] = "true"
    if any(not is_quotable(value) or "," in value or " " in value for value in fields.values()):
        return None
    return "--mount=" + ",".join(f"{name}={value}" for name, value in fields.items())
