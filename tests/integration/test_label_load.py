"""Two hundred labelers at once: none is refused, none gets another's prompt, nothing is lost."""

import asyncio
import json
import secrets
import uuid

import httpx2

from apps.serving.guarding import hashed
from apps.serving.running import TOKENS
from tests.apps.label import made
from tests.integration import browsing
from tests.integration.label_pages import saved

LABELERS, EACH = 200, 5


async def label(url: str, token: str) -> list[int]:
    """Rank prompts as a page does, with drafts in between; return the statuses of all answers."""
    statuses = []
    async with httpx2.AsyncClient(base_url=url, timeout=120, headers={"cookie": f"rlhf_token={token}"}) as client:

        async def ask(path: str, **content):
            answer = await client.post(f"/api/{path}", json={"labeler": name, **content})
            statuses.append(answer.status_code)
            return answer.json()

        name = (await client.get("/api/me")).json()["labeler"]
        for _ in range(EACH):
            item = (await ask("next"))["item"]
            ranks = [*range(1, len(item["answers"]) + 1)]
            for number in range(1, 4):
                draft = {"ranks": ranks[:number] + [None] * (len(ranks) - number), "replaces": None}
                await ask("draft", item=item["key"], client=token[:8], number=number, draft=draft)
            await ask("alive", item=item["key"])
            form = {"ranks": ranks, "seconds": 1.0, "instructions": made.VERSION, "item": item["key"]}
            await ask("submit", id=uuid.uuid4().hex, **form)
    return statuses


def test_two_hundred_labelers_submit_at_once_without_an_error(tmp_path):
    rows = [made.prompt(number) for number in range(LABELERS * EACH)]
    root = made.project(tmp_path, rows)
    tokens = {f"labeler-{number}": secrets.token_urlsafe(32) for number in range(LABELERS)}
    (root / ".cache").mkdir()
    (root / TOKENS).write_text(json.dumps({name: hashed(token) for name, token in tokens.items()}))

    async def everybody(url: str):
        return await asyncio.gather(*(label(url, token) for token in tokens.values()))

    with browsing.serving(root, "-m", "apps.label") as server:
        statuses = [status for some in asyncio.run(everybody(server.url)) for status in some]
        assert server.stop() == 0
    assert {*statuses} == {200}
    assert len(statuses) == LABELERS * EACH * 6
    lines = [line for name in tokens for line in saved(root, name)]
    assert sorted(line["prompt"] for line in lines) == sorted(row["id"] for row in rows)
    assert len({line["id"] for line in lines}) == LABELERS * EACH
