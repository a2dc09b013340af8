"""Container engines: the words that docker and podman have in common."""

from __future__ import annotations

from collections.abc import Sequence

from ..workspace import Workspace

IMAGE = "bench:base"


class ContainerEngine:
    """Builds command lines. `options` go before the verb, `run_options` after `run`."""

    def __init__(
        self, name: str, version: str, workspace: Workspace, options: Sequence[str], run_options: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.version = version
        self.workspace = workspace
        self._options = tuple(options)
        self._run_options = tuple(run_options)

    def command(self, *words: str) -> list[str]:
        """Return a command line."""
        return [self.name, *self._options, *words]

    def run(self, *words: str, image: str = IMAGE, keep: str | None = None, volume: str | None = None) -> list[str]:
        """Return the command that runs a program in a container without network; `keep` names one that stays."""
        kept = ["--name", keep] if keep else ["--rm"]
        volumes = ["--volume", volume] if volume else []
        return self.command("run", *kept, "--network", "none", *self._run_options, *volumes, image, *words)

    def do(self, *words: str) -> None:
        """Run a verb, not timed."""
        self.workspace.run(*self.command(*words))

    def import_tree(self, tree: str, image: str = IMAGE) -> None:
        """Make an image of a directory tree."""
        archive = self.workspace.path(f"{self.name}.tar")
        self.workspace.run("tar", "--create", "--numeric-owner", "--file", archive, "--directory", tree, ".")
        self.do("import", archive, image)
        self.workspace.remove(archive)
