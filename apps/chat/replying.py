"""A message, or one asked again, and the answers to it, streamed as lines of JSON."""

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from apps.chat import answering, checkpoints, moderating, requests, showing
from apps.chat.books import new_id
from apps.chat.jobs import LAST, Asked, Job
from apps.chat.moderating import Verdict
from apps.chat.parts import Parts
from apps.chat.requests import Wanted
from apps.serving.asgi import Refused
from rlhf.people.feedback import WHOLE, History, Turn
from rlhf.records.types import Message

SEEDS = 1 << 31
LINES = "application/x-ndjson"


class Replies:
    """The endpoint that answers."""

    def __init__(self, parts: Parts):
        self._parts = parts

    async def answer(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        known = await run_in_threadpool(checkpoints.found, self._parts.root)
        wanted = requests.wanted(given, known)
        history = await self._parts.agreed(user)
        with self._parts.answerer.places(user, len(wanted.models)):
            return await self._begun(user, history, wanted)

    async def _begun(self, user: str, history: History, wanted: Wanted) -> Response:
        """Begin to answer. Whatever refuses a message does so before it is written: it would be sent again."""
        said, stop = await (self._again if wanted.turn else self._new)(user, history, wanted)
        history = await self._parts.history(user)
        turn = _own(history, said)
        first = {"type": "turn", "turn": turn.id, "conversation": turn.conversation, "parent": turn.parent}
        if stop is not None:
            return StreamingResponse(_lines([first, {"type": "blocked", **stop}]), media_type=LINES)
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        jobs = self._jobs(user, history, turn, wanted, events)
        self._parts.answerer.submit(jobs)
        begun = [first, *({"type": "answer", "answer": job.id, "side": job.asked.side} for job in jobs)]
        return StreamingResponse(self._stream(begun, jobs, events, user), media_type=LINES)

    async def _new(self, user: str, history: History, wanted: Wanted) -> tuple[str, dict[str, Any] | None]:
        """Judge what a user says, and write it; returns its id, and what is said of it where it is blocked."""
        conversation = _conversation(history, wanted)
        before = history.messages(wanted.parent) if wanted.parent else []
        verdict = await self._judged([*before, {"role": "user", "content": wanted.text or ""}])
        content = {"conversation": conversation, "parent": wanted.parent, "role": "user", "content": wanted.text}
        turn = (await self._parts.write(user, "turn", content))["id"]
        return turn, await self._stopped(user, turn, verdict)

    async def _again(self, user: str, history: History, wanted: Wanted) -> tuple[str, dict[str, Any] | None]:
        """Return the id of a message that is to be answered again, and what is said of it where it is blocked."""
        turn = _own(history, wanted.turn).id
        known = history.blocked_turns().get(turn) if self._parts.moderator else None
        if known is not None:
            return turn, _told(known)
        return turn, await self._stopped(user, turn, await self._judged(history.messages(turn)))

    async def _judged(self, messages: Sequence[Message]) -> Verdict | None:
        """Return the verdict that blocks a dialogue's last turn, if so."""
        moderator = self._parts.moderator
        if moderator is None:
            return None
        verdict = await run_in_threadpool(moderating.judged, moderator, messages)
        return verdict if verdict.blocked else None

    async def _stopped(self, user: str, turn: str, verdict: Verdict | None) -> dict[str, Any] | None:
        """Write that a message is blocked, if so; returns what the page is told of it."""
        if verdict is None:
            return None
        line = await self._parts.write(user, "blocked", answering.blocked("request", turn, verdict))
        self._parts.traces.sync(user, turn)
        return _told(line)

    def _jobs(
        self, user: str, history: History, turn: Turn, wanted: Wanted, events: "asyncio.Queue[dict[str, Any]]"
    ) -> list[Job]:
        loop = asyncio.get_running_loop()

        def emit(event: dict[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody reads
                loop.call_soon_threadsafe(events.put_nowait, event)

        models = random.SystemRandom().sample(wanted.models, len(wanted.models))  # blind: no side is one model's
        pair = new_id() if len(models) > 1 else None
        messages = history.messages(turn.id)
        asked = [
            Asked(
                user, turn.conversation, turn.id, messages, model,
                wanted.settings._replace(seed=secrets.randbelow(SEEDS)), pair, side,
            )
            for side, model in enumerate(models)
        ]  # fmt: skip
        return [Job(one, emit) for one in asked]

    async def _stream(
        self, begun: Sequence[dict[str, Any]], jobs: Sequence[Job], events: "asyncio.Queue[dict[str, Any]]", user: str
    ) -> AsyncIterator[bytes]:
        """Yield lines until all jobs are done; where the reader leaves, what was begun is stored as it is."""
        going = {job.id for job in jobs}
        pairs = {job.asked.pair for job in jobs if job.asked.pair}
        try:
            for event in begun:
                yield _line(event)
            while going:
                event = await events.get()
                if event["type"] in LAST:
                    going.discard(event["answer"])
                if event["type"] == "reads" and len(jobs) > 1:
                    event = {key: event[key] for key in ("type", "answer", "side")}  # a context would tell the model
                if event["type"] == "ends" and event["turn"]:
                    shown = await self._shown(user, [event["turn"]], pairs if going else ())
                    event = {**event, "shown": shown[0] if shown else None}
                yield _line(event)
            if pairs:  # of one that stays alone it may be told now who gave it
                yield _line({"type": "pair", "turns": await self._shown(user, [job.id for job in jobs], ())})
        finally:
            for job in jobs:
                if job.id in going:
                    job.stop("left")

    async def _shown(self, user: str, turns: Sequence[str], coming: Collection[str]) -> list[dict[str, Any]]:
        """Return turns for the page, as far as they are there."""
        history = await self._parts.history(user)
        with self._parts.books.lock:
            return showing.shown(history, [history.turns[one] for one in turns if one in history.turns], coming)


def _conversation(history: History, wanted: Wanted) -> str:
    """Return the conversation of a new message. Raises Refused where it can stand in none."""
    conversation = wanted.conversation or new_id()
    if wanted.conversation and all(one.conversation != conversation for one in history.turns.values()):
        raise Refused(404, "conversation: there is none of yours of this name")
    if wanted.parent is None:
        return conversation
    before = history.turns.get(wanted.parent)
    if before is None or before.role != "assistant":
        raise Refused(404, "parent: there is no such answer")
    if before.end not in (*WHOLE, "left"):
        raise Refused(409, "nothing follows an answer that was blocked or failed: ask again, or edit")
    if showing.is_open(history, before):
        raise Refused(409, "choose between the two answers first")
    return before.conversation


def _own(history: History, turn: str | None) -> Turn:
    found = history.turns.get(turn or "")
    if found is None or found.role != "user":
        raise Refused(404, "turn: there is no such message of yours")
    return found


def _told(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page is told of a line about what was blocked."""
    return {key: line.get(key) for key in ("id", "turn", "where", "category", "probability")}


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def _lines(events: Sequence[dict[str, Any]]) -> AsyncIterator[bytes]:
    for event in events:
        yield _line(event)
