"""The options that ask for a signature, as git commit has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def sign_options(command: Decorated) -> Decorated:
    """Add -S and --no-gpg-sign to a verb; it gets them as `gpg_sign` and `no_gpg_sign`, for `take_sign_choice`."""
    sign = click.option(
        "-S", "--gpg-sign", metavar="[KEY]", is_flag=False, flag_value="", help="Sign it, with user.signingKey or KEY."
    )
    without = click.option("--no-gpg-sign", is_flag=True, help="Do not sign it, whatever commit.gpgSign says.")
    return sign(without(command))


def take_sign_choice(gpg_sign: str | None, no_gpg_sign: bool) -> str | bool | None:
    """Return the choice as Repository.signer() takes it."""
    if no_gpg_sign:
        return False
    return None if gpg_sign is None else gpg_sign or True
