"""envgit login, envgit logout."""

from __future__ import annotations

import click

from envgit.errors import UsageError

from ..command import quiet_option, refuse_words_after_dashes, verb
from ..session import Session

_MOST_BYTES = 64 * 1024


@verb("login")
@click.argument("registry", metavar="[REGISTRY]", default="")
@click.option("-u", "--username", "user", metavar="USER", help="Asked for without it.")
@click.option("--password-stdin", is_flag=True, help="Read the password, or a token, from standard input.")
@quiet_option
@click.pass_context
def login_command(ctx: click.Context, registry: str, user: str | None, password_stdin: bool, quiet: bool) -> int:
    """Log in to a registry of container images (docker.io by default), given as HOST[:PORT].

    The registry is asked first; what it does not take is not kept. Credentials are kept where podman and docker keep theirs, so
    all of them are logged in: the file that has an entry of the registry, else the first there is of $REGISTRY_AUTH_FILE,
    $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json and ~/.docker/config.json, or the credential helper
    that it names. HOST/NAMESPACE logs in to a part of a registry.
    """
    from envgit.login import login, parse_registry

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    parse_registry(registry)
    if password_stdin:
        if not user:
            raise UsageError("--password-stdin needs the user's name", hint="envgit login -u USER --password-stdin")
        data = session.stdin.read(_MOST_BYTES)
        try:
            password = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise UsageError("the password is not UTF-8", hint="check what is piped in") from None
    else:
        if not session.stdin_is_terminal:
            raise UsageError(
                "there is no terminal to ask for a password", hint="envgit login -u USER --password-stdin < FILE"
            )
        user = user or click.prompt("Username", err=True)
        password = click.prompt("Password", hide_input=True, err=True)
    result = login(registry, user, password, session.environ)
    if not result.verified:
        session.monitor.note(f"{result.registry} lets everybody in: it did not say whether it knows this user")
    if not quiet:
        out = session.out
        out.line(
            f"logged in to {out.safe(result.registry)} as {out.safe(result.user)}; kept by {out.safe(result.place)}"
        )
        if not result.place.startswith("docker-credential-"):
            session.say("hint: the password is not encrypted there; a credential helper (credsStore) would do that")
    return 0


@verb("logout")
@click.argument("registry", metavar="[REGISTRY]", default="")
@quiet_option
@click.pass_context
def logout_command(ctx: click.Context, registry: str, quiet: bool) -> int:
    """Forget the credentials for a registry (docker.io by default), wherever login, podman or docker keep them.

    Exit status 1: there were none.
    """
    from envgit.login import logout

    session: Session = ctx.obj
    refuse_words_after_dashes(ctx)
    result = logout(registry, session.environ)
    out = session.out
    if not result.places:
        session.say(f"nobody is logged in to {out.safe(result.registry)}")
        return 1
    if not quiet:
        for place in result.places:
            out.line(f"logged out of {out.safe(result.registry)}: removed from {out.safe(place)}")
    return 0
