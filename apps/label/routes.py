"""The page's addresses: what it asks, checked, and answered by the work of the round."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from apps.label.drafts import Draft
from apps.label.forms import Unfit
from apps.label.work import Conflict, Work
from apps.serving import bodies, static_files
from rlhf.people.names import checked

PAGE = Path(__file__).parent / "page.html"
STATIC = Path(__file__).parent / "static"
COOKIE, COOKIE_SECONDS = "rlhf_labeler", 365 * 24 * 3600
MOST_DRAFT = 900_000  # bytes

Asked = dict[str, Any]
Does = Callable[[str, Asked], Mapping[str, Any]]


class NoName(Exception):  # noqa: N818 - no fault: the page then asks for it
    """Nobody knows yet who asks, or it is not whom the page is of."""


def app(work: Work) -> Starlette:
    """Return the page over a round's work."""

    def named(does: Does) -> Callable[[Request], Awaitable[Response]]:
        """An address that a labeler posts to; what it does writes files, so it runs in a thread."""

        async def answer(request: Request) -> Response:
            try:
                asked = await _object(request)
                labeler = _labeler(request)
                if asked.get("labeler") != labeler:
                    raise NoName(f"this browser is {labeler}'s now, and this page is not")
                return JSONResponse(await run_in_threadpool(does, labeler, asked))
            except (Unfit, Conflict, NoName) as error:
                return _refusal(error)

        return answer

    async def me(request: Request) -> Response:
        try:
            name = _labeler(request)
        except (NoName, ValueError):
            name = None
        settings = work.settings
        return JSONResponse(
            {
                "labeler": name,
                "by_token": request.scope["state"].get("who") is not None,
                "round": work.place.round_name,
                "place": work.place.name,  # under it the browser keeps what is not sent yet
                "flags": settings.flags,
                "scale": settings.scale,
                "training": len(work.board.training),
                "instructions": await run_in_threadpool(work.instructions),
            }
        )

    async def name(request: Request) -> Response:
        try:
            asked = await _object(request)
            if request.scope["state"].get("who") is not None:
                raise Conflict("your token says who you are")
            given = asked.get("name")
            chosen = checked(given if isinstance(given, str) else "")
        except ValueError as error:
            return _refusal(error)
        answer = JSONResponse({"labeler": chosen})
        answer.set_cookie(COOKIE, chosen, max_age=COOKIE_SECONDS, httponly=True, samesite="strict")
        return answer

    async def export(request: Request) -> Response:
        try:
            labeler = _labeler(request)
        except NoName as error:
            return _refusal(error)
        content = await run_in_threadpool(work.export, labeler)
        file = f"{work.place.round_name}.{labeler}.jsonl"
        headers = {"content-disposition": f'attachment; filename="{file}"'}
        return Response(content, media_type="application/jsonl", headers=headers)

    posts: dict[str, Does] = {
        "next": lambda who, _: work.next(who),
        "previous": lambda who, asked: work.previous(who, asked.get("item")),
        "draft": lambda who, asked: {"kept": _keep_draft(work, who, asked)},
        "alive": lambda who, asked: work.alive(who, asked.get("item")),
        "submit": lambda who, asked: work.submit(who, asked),
        "withdraw": lambda who, asked: work.withdraw(who, asked.get("item"), asked.get("id")),
    }
    return Starlette(
        routes=[
            *static_files.routes(PAGE, STATIC),
            Route("/api/me", me),
            Route("/api/name", name, methods=["POST"]),
            Route("/api/export", export),
            *(Route(f"/api/{path}", named(does), methods=["POST"]) for path, does in posts.items()),
        ]
    )


def _labeler(request: Request) -> str:
    """Return who asks: whose token it is, or the name that was typed in this browser."""
    who = request.scope["state"].get("who")
    if who is not None:
        return who
    typed = request.cookies.get(COOKIE)
    try:
        return checked(typed or "")
    except ValueError:
        raise NoName("say who you are first") from None


async def _object(request: Request) -> Asked:
    try:
        return await bodies.json_object(request)
    except ValueError as error:
        raise Unfit(f"{error}") from None


def _keep_draft(work: Work, who: str, asked: Asked) -> bool:
    return work.keep_draft(who, asked.get("item"), _draft(asked), asked.get("resumed") is True)


def _draft(asked: Asked) -> Draft:
    client, number, content = asked.get("client"), asked.get("number"), asked.get("draft")
    if not isinstance(client, str) or len(client) > 64 or type(number) is not int or not isinstance(content, dict):
        raise Unfit("expected client, number and draft")
    try:
        size = len(json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8"))
    except (ValueError, RecursionError):  # NaN, or half of a character
        raise Unfit("draft: it holds what no file can hold") from None
    if size > MOST_DRAFT:
        raise Unfit(f"draft: expected at most {MOST_DRAFT} bytes (got {size})")
    return Draft(client, number, content)


def _refusal(error: Exception) -> JSONResponse:
    statuses = {NoName: 403, Conflict: 409}
    return JSONResponse({"error": str(error)}, statuses.get(type(error), 422))
