"""Files of a page: what its own folder holds, and what pages share, by name. Nothing else can be asked for."""

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SHARED = Path(__file__).parent / "static"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".html": "text/html"}


def routes(page: Path, folder: Path) -> list[Route]:
    """Return routes of a page at /, of the files beside it at /static/ and of the shared ones at /shared/."""
    return [Route("/", _one(page)), Route("/static/{name}", _some(folder)), Route("/shared/{name}", _some(SHARED))]


def _one(file: Path):  # noqa: ANN202 - an endpoint, as starlette takes it
    async def answer(_: Request) -> Response:
        return served(file)

    return answer


def _some(folder: Path):  # noqa: ANN202
    files = {file.name: file for file in folder.iterdir() if file.suffix in (".js", ".css", ".svg")}

    async def answer(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        return served(file) if file else JSONResponse({"error": "no such file"}, 404)

    return answer


def served(file: Path) -> Response:
    """Return a file as it is now, so that a page that is being written needs no restart."""
    kind = KINDS.get(file.suffix) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return Response(file.read_bytes(), media_type=kind)
