"""envgit completion."""

from __future__ import annotations

import click

from ..command import refuse_words_after_dashes, verb
from ..session import Session


@verb("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell: verbs, options, branches, tags.

    \b
    bash: envgit completion bash > ~/.local/share/bash-completion/completions/envgit
    zsh:  envgit completion zsh > "${fpath[1]}/_envgit"
    fish: envgit completion fish > ~/.config/fish/completions/envgit.fish
    """
    from click.shell_completion import BashComplete, FishComplete, ZshComplete

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    kinds = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
    script = kinds[shell](ctx.find_root().command, {}, "envgit", "_ENVGIT_COMPLETE")
    session.out.line(script.source_template % script.source_vars())
