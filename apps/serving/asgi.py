"""ASGI's types, and what is said to a client whose request reaches no page."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Refused(Exception):  # noqa: N818 - no fault of this program: what is said to a client
    """A request that reaches no page."""

    def __init__(self, status: int, words: str, *headers: tuple[bytes, bytes]):
        super().__init__(words)
        self.status, self.headers = status, headers


async def answer(send: Send, refused: Refused) -> None:
    """Say it, as JSON."""
    body = json.dumps({"error": str(refused)}, ensure_ascii=False).encode("utf-8")
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *refused.headers]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
