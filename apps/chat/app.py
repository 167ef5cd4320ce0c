"""The chat page's requests: what may be said, to whom it is given, and what the page is told."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.chat import checkpoints, consent, requests, showing
from apps.chat.answering import Busy
from apps.chat.parts import Parts
from apps.chat.replying import Replies
from apps.serving import static_files
from apps.serving.asgi import Refused
from rlhf.people.feedback import History

STATIC = Path(__file__).parent / "static"
PATIENCE = 20.0  # seconds: for what was begun to be stored at the end


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
        Route("/api/answer", _said(Replies(parts).answer), methods=["POST"]),
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
        self._parts = parts

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
            history = await self._parts.history(user)
            agreed = history.consents[-1:] == [sum_]
            found |= {"who": user, "consent": {"texts": texts, "sum": sum_, "given": agreed}}
            with self._parts.books.lock:
                found["conversations"] = showing.conversations(history)
        return JSONResponse(found)

    async def conversation(self, request: Request) -> Response:
        user = requests.user(request, request.query_params.get("user"))
        coming = self._parts.answerer.coming(user)
        history = await self._parts.history(user)
        with self._parts.books.lock:
            found = showing.conversation(history, request.query_params.get("id", ""), coming)
        if found is None:
            raise Refused(404, "there is no such conversation")
        return JSONResponse(found)

    async def consent(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        sum_ = consent.sum_of(consent.texts(user, self._parts.tracking, self._parts.root))
        if given.get("text") != sum_:
            raise Refused(409, "what is kept has changed meanwhile; read it again")
        await self._parts.write(user, "consent", {"text": sum_})
        return JSONResponse({"given": True})

    async def feedback(self, request: Request) -> Response:
        given = await requests.content(request)
        user = requests.user(request, given.get("user"))
        kind, content = requests.feedback(given)
        history = await self._parts.agreed(user)
        about = [content["answer"]] if "answer" in content else content.get("answers") or []
        if kind == "appeal":
            about = [history.blocked.get(str(content["blocked"]), {}).get("turn")]
        if kind == "choice":
            content |= {"blind": content["pair"] not in history.choices, "pair": str(content["pair"])}
            self._check_pair(history, content)
        await self._parts.write(user, kind, content)
        for turn in about:
            self._parts.traces.sync(user, str(turn))
        coming = self._parts.answerer.coming(user)
        history = await self._parts.history(user)
        with self._parts.books.lock:
            turns = showing.shown(history, [history.turns[one] for one in about if one in history.turns], coming)
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
