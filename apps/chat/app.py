"""The chat page's requests: what may be said, to whom it is given, and what the page is told."""

import asyncio
import contextlib
import json
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from apps.chat import answering, checkpoints, consent, moderating, requests, showing
from apps.chat.answering import Answerer, Asked, Busy, Job
from apps.chat.books import Books, new_id
from apps.chat.moderating import Moderator
from apps.chat.requests import Wanted
from apps.chat.traces import Traces
from apps.serving import static_files
from apps.serving.asgi import Refused
from rlhf.params.tracking import Tracking
from rlhf.people.feedback import WHOLE, History, Turn

STATIC = Path(__file__).parent / "static"
SEEDS = 1 << 31
PATIENCE = 20.0  # seconds: for what was begun to be stored at the end
LINES = "application/x-ndjson"


class Parts(NamedTuple):
    """What the page is made of."""

    root: Path
    tracking: Tracking
    books: Books
    answerer: Answerer
    traces: Traces
    moderator: Moderator | None


def application(parts: Parts) -> Starlette:
    """Return the page. Its threads are started with it, and end with it."""
    chat = _Chat(parts)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        parts.traces.start()
        parts.answerer.start()
        yield
        parts.answerer.close()
        await run_in_threadpool(parts.answerer.join, PATIENCE)
        await run_in_threadpool(parts.traces.close, PATIENCE)

    own = [
        Route("/api/start", _said(chat.start)),
        Route("/api/conversation", _said(chat.conversation)),
        Route("/api/consent", _said(chat.consent), methods=["POST"]),
        Route("/api/answer", _said(chat.answer), methods=["POST"]),
        Route("/api/stop", _said(chat.stop), methods=["POST"]),
        Route("/api/feedback", _said(chat.feedback), methods=["POST"]),
    ]
    return Starlette(routes=[*static_files.routes(STATIC / "chat.html", STATIC), *own], lifespan=lifespan)


def _said(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Return an endpoint whose refusals are said."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Refused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
        except Busy as busy:
            return JSONResponse({"error": str(busy)}, 503, {"retry-after": "30"})

    return answer


class _Chat:
    """The endpoints."""

    def __init__(self, parts: Parts):
        self._parts, self._books = parts, parts.books

    async def start(self, request: Request) -> Response:
        """What the page shows at first: who it is, what there is to talk with, what was said before."""
        parts, who = self._parts, request.scope.get("state", {}).get("who")
        given = who or request.query_params.get("user")
        found: dict[str, Any] = {
            "who": None,
            "fixed": who is not None,
            "checkpoints": [
                {"name": one.name, "path": one.path, **parts.traces.known.get(one.name, {})}
                for one in await run_in_threadpool(checkpoints.found, parts.root)
            ],
            "limits": {
                "temperature": requests.TEMPERATURES, "max_tokens": requests.LENGTHS,
                "characters": requests.MOST_CHARACTERS, "usual": requests.USUAL,
            },
            "flags": requests.FLAGS,
            "moderated": parts.moderator is not None,
            "traces": {"state": parts.traces.state, "why": parts.traces.why, "link": parts.traces.link()},
        }  # fmt: skip
        if given:
            user = requests.user(request, given)
            texts = consent.texts(user, parts.tracking, parts.root)
            sum_ = consent.sum_of(texts)
            history = await self._history(user)
            agreed = history.consents[-1:] == [sum_]
            found |= {"who": user, "consent": {"texts": texts, "sum": sum_, "given": agreed}}
            with self._books.lock:
                found["conversations"] = showing.conversations(history)
        return JSONResponse(found)

    async def conversation(self, request: Request) -> Response:
        user = requests.user(request, request.query_params.get("user"))
        history = await self._history(user)
        with self._books.lock:
            found = showing.conversation(history, request.query_params.get("id", ""))
        if found is None:
            raise Refused(404, "there is no such conversation")
        return JSONResponse(found)

    async def consent(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        sum_ = consent.sum_of(consent.texts(user, self._parts.tracking, self._parts.root))
        if given.get("text") != sum_:
            raise Refused(409, "what is kept has changed meanwhile; read it again")
        await self._write(user, "consent", {"text": sum_})
        return JSONResponse({"given": True})

    async def feedback(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        kind, content = requests.feedback(given)
        history = await self._agreed(user)
        about = [content["answer"]] if "answer" in content else content.get("answers") or []
        if kind == "appeal":
            about = [history.blocked.get(str(content["blocked"]), {}).get("turn")]
        if kind == "choice":
            content |= {"blind": content["pair"] not in history.choices, "pair": str(content["pair"])}
            self._check_pair(history, content)
        await self._write(user, kind, content)
        for turn in about:
            self._parts.traces.sync(user, str(turn))
        history = await self._history(user)
        with self._books.lock:
            blocked = history.blocked_turns()
            turns = [showing.shown(history, history.turns[one], blocked) for one in about if one in history.turns]
        return JSONResponse({"turns": turns})

    def _check_pair(self, history: History, content: dict[str, Any]) -> None:
        turns = [history.turns.get(str(one)) for one in content["answers"] or []]
        if len(turns) != 2 or not all(one and one.more.get("pair") == content["pair"] for one in turns):
            raise Refused(400, "answers: expected the two of this pair, as they were shown")

    async def stop(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        job = self._parts.answerer.find(user, str(given.get("answer")))
        if job is not None:
            job.stop("stopped")
        return JSONResponse({"stopped": job is not None})

    async def answer(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        known = await run_in_threadpool(checkpoints.found, self._parts.root)
        wanted = requests.wanted(given, known)
        history = await self._agreed(user)
        if wanted.turn is None:
            wanted = wanted._replace(turn=await self._new_turn(user, history, wanted))
            history = await self._history(user)
        turn = _again(history, wanted.turn)
        first = {"type": "turn", "turn": turn.id, "conversation": turn.conversation, "parent": turn.parent}
        stop = await self._judged(user, history, turn)
        if stop is not None:
            return StreamingResponse(_lines([first, {"type": "blocked", **stop}]), media_type=LINES)
        events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        jobs = self._jobs(user, history, turn, wanted, events)
        self._parts.answerer.submit(jobs)
        begun = [first, *({"type": "answer", "answer": job.id, "side": job.asked.side} for job in jobs)]
        return StreamingResponse(self._stream(begun, jobs, events, user), media_type=LINES)

    async def _new_turn(self, user: str, history: History, wanted: Wanted) -> str:
        """Write what a user says; returns its id."""
        conversation = wanted.conversation or new_id()
        if wanted.conversation and all(one.conversation != conversation for one in history.turns.values()):
            raise Refused(404, "conversation: there is none of yours of this name")
        if wanted.parent is not None:
            before = history.turns.get(wanted.parent)
            if before is None or before.role != "assistant":
                raise Refused(404, "parent: there is no such answer")
            if before.end not in (*WHOLE, "left"):
                raise Refused(409, "nothing follows an answer that was blocked or failed: ask again, or edit")
            if showing.is_open(history, before):
                raise Refused(409, "choose between the two answers first")
            conversation = before.conversation
        content = {"conversation": conversation, "parent": wanted.parent, "role": "user", "content": wanted.text}
        return (await self._write(user, "turn", content))["id"]

    async def _judged(self, user: str, history: History, turn: Turn) -> dict[str, Any] | None:
        """Judge what a user says; returns what is said of it where it is blocked."""
        moderator = self._parts.moderator
        if moderator is None:
            return None
        stop = history.blocked_turns().get(turn.id)
        if stop is None:
            verdict = await run_in_threadpool(moderating.judged, moderator, history.messages(turn.id))
            if not verdict.blocked:
                return None
            stop = await self._write(user, "blocked", answering.blocked("request", turn.id, verdict))
            self._parts.traces.sync(user, turn.id)
        return {key: stop.get(key) for key in ("id", "turn", "where", "category", "probability")}

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
        try:
            for event in begun:
                yield _line(event)
            while going:
                event = await events.get()
                if event["type"] in ("ends", "failed"):
                    going.discard(event["answer"])
                if event["type"] == "reads" and len(jobs) > 1:
                    event = {key: event[key] for key in ("type", "answer", "side")}  # a context would tell the model
                if event["type"] == "ends" and event["turn"]:
                    history = await self._history(user)
                    with self._books.lock:
                        turn = history.turns.get(event["turn"])
                        shown = turn and showing.shown(history, turn, history.blocked_turns())
                    event = {**event, "shown": shown}
                yield _line(event)
        finally:
            for job in jobs:
                if job.id in going:
                    job.stop("left")

    async def _history(self, user: str) -> History:
        return await run_in_threadpool(self._books.history, user)

    async def _agreed(self, user: str) -> History:
        """Return the history of a user who agreed to what is kept."""
        history = await self._history(user)
        texts = consent.texts(user, self._parts.tracking, self._parts.root)
        if history.consents[-1:] != [consent.sum_of(texts)]:
            raise Refused(403, "agree first to what is kept")
        return history

    async def _write(self, user: str, kind: str, content: dict[str, Any]) -> dict[str, Any]:
        try:
            return await run_in_threadpool(self._books.write, user, kind, content)
        except ValueError as error:
            raise Refused(400, f"{error}") from None


def _again(history: History, turn: str | None) -> Turn:
    found = history.turns.get(turn or "")
    if found is None or found.role != "user":
        raise Refused(404, "turn: there is no such message of yours")
    return found


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode() + b"\n"


async def _lines(events: Sequence[dict[str, Any]]) -> AsyncIterator[bytes]:
    for event in events:
        yield _line(event)
