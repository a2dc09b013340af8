"""[sandbox] as the JSON that a configuration's label carries (texts.SANDBOX_LABEL)."""

from __future__ import annotations

import json

from .errors import DeclarationError
from .locating import NOWHERE
from .spot import Spot
from .tables import SANDBOX
from .values import Place, Sandbox

_NAME = "the request of the environment"


def format_request(sandbox: Sandbox) -> str:
    """Return canonical JSON: an object of what is asked for, keys of [sandbox] sorted; "{}" for nothing."""
    fields = {key: getattr(sandbox, key) for key in SANDBOX.keys}
    asked = {key: value for key, value in fields.items() if value is not None and value != () and value is not False}
    return json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def parse_request(text: str) -> Sandbox:
    """Read format_request's text back, without places. Raises DeclarationError for anything that [sandbox] could not say."""
    place = Place(_NAME)
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DeclarationError(place, "it is not JSON") from error
    if not isinstance(fields, dict):
        raise DeclarationError(place, "it is not an object")
    return Sandbox(**SANDBOX.check(fields, Spot(_NAME, NOWHERE)))
