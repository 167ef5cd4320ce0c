"""The JSON object that a page sends."""

import json
from typing import Any

from starlette.requests import Request


async def json_object(request: Request) -> dict[str, Any]:
    """Return a request's body. Raises ValueError where it is no JSON object."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON object") from None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found
