"""JSON of an environment, which may be anything."""

from __future__ import annotations

import json

from envgit.packages.package import MalformedRecord


def json_object(data: bytes) -> dict[str, object]:
    """Return the object that `data` is; raises MalformedRecord for everything else, however deep or odd it is."""
    try:
        value = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise MalformedRecord(f"it is not JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise MalformedRecord("it is not a JSON object")
    return value
