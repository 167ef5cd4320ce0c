"""A request's body is read whole, and in bounds, before a page sees any of it."""

import asyncio
import json
from typing import Any

from starlette.requests import Request

from apps.serving.asgi import Receive, Refused

SECONDS = 30  # for a body to come: who sends a byte now and then holds no connection


async def read(receive: Receive, most_bytes: int, length: str | None) -> bytes:
    """Return the body. Raises Refused where it is too large or too slow, or where its sender has gone."""
    if length is not None and (not length.isdecimal() or len(length) > 12 or int(length) > most_bytes):
        raise Refused(413, f"expected at most {most_bytes} bytes (got {length[:20]})")
    parts, got, more = list[bytes](), 0, True
    try:
        async with asyncio.timeout(SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the request ended in the middle")
                parts.append(message.get("body", b""))
                got, more = got + len(parts[-1]), message.get("more_body", False)
                if got > most_bytes:
                    raise Refused(413, f"expected at most {most_bytes} bytes")
    except TimeoutError:
        raise Refused(408, f"expected the whole request within {SECONDS} seconds") from None
    return b"".join(parts)


def replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives the page the body once, and then what comes: that the client has gone."""
    given = False

    async def once() -> dict[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that a page sends. Raises ValueError where the body is none."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise ValueError("expected a JSON object") from None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")
    return found
