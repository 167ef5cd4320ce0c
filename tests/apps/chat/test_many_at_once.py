"""Two hundred people at once, on this machine's own address: everyone gets an answer, and no request fails."""

import asyncio
import json
import os

import pytest

from apps.chat.engine import ModelEngine
from tests import toys
from tests.apps.chat.stubs import StubEngine

SESSIONS = int(os.environ.get("SESSIONS", "200"))


async def asked(client, path, body=None):
    """Ask by a connection of its own; returns the status and the body."""
    host, port = client.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    writer.write(f"{head}\r\n".encode() + content)
    await writer.drain()
    raw = await asyncio.wait_for(reader.read(), 300)
    writer.close()
    status, _, rest = raw.partition(b"\r\n\r\n")
    return int(status.split()[1]), rest


async def session(client, user):
    """One person: agrees, asks, says what it was like, asks again."""
    status, told = await asked(client, f"/api/start?user={user}")
    assert status == 200
    consent = json.loads(told[told.index(b"{") : told.rindex(b"}") + 1])["consent"]["sum"]
    statuses = [(await asked(client, "/api/consent", {"user": user, "text": consent}))[0]]
    parent = None
    for text in ("Say red.", "Say blue."):
        body = {"user": user, "models": ["sft"], "temperature": 1.0, "max_tokens": 4, "text": text, "parent": parent}
        status, answer = await asked(client, "/api/answer", body)
        events = [json.loads(line) for line in answer.split(b"\n") if line.startswith(b"{")]
        (ended,) = [event for event in events if event["type"] == "ends"]
        parent = ended["turn"]
        thumb = {"user": user, "kind": "thumb", "answer": parent, "value": "up"}
        statuses += [status, (await asked(client, "/api/feedback", thumb))[0]]
    return statuses


@pytest.mark.parametrize("kind", ["stub", "model"])
def test_two_hundred_sessions_end_without_an_error(serve, policies, tokenizer, kind):
    if kind == "model":
        toys.save(policies / "data/sft", toys.policy(tokenizer), tokenizer)
    engine = StubEngine("a b c") if kind == "stub" else ModelEngine(policies, toys.runtime(), 2)
    client = serve(engine)

    async def everyone():
        return await asyncio.gather(*(session(client, f"user{number}") for number in range(SESSIONS)))

    found = asyncio.run(everyone())
    assert {status for statuses in found for status in statuses} == {200}
    for number in range(SESSIONS):
        history = client.parts.books.history(f"user{number}")
        assert [turn.role for turn in history.turns.values()] == ["user", "assistant"] * 2
        assert len(history.said) == 2
