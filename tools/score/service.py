"""Scores over HTTP: POST /score with rows in JSON, GET /health. Python's own server; no other library.

    curl -d '{"prompt": "What is a fox?", "responses": ["A small animal.", "No."]}' http://127.0.0.1:8008/score

A body is one row, or a list of rows, as in a file (`folder_scorer.asked`); the answer is the same with scores. It has
no password and no encryption: it listens on this machine alone unless it is told otherwise.
"""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rlhf.rewards import folder_scorer
from rlhf.rewards.folder_scorer import Asked

MOST_BYTES = 4 << 20  # of a body
MOST_ANSWERS = 1024  # of a request
PATIENCE = 30  # seconds that a client may be silent
DROPPED_BYTES = 8 * MOST_BYTES  # of a refused request's body, read and dropped
LINGER = 5.0  # seconds that are spent on it
Score = Callable[[list[Asked]], list[dict[str, Any]]]


class Refused(Exception):  # noqa: N818 - no fault of this program: what is said to a client
    """A request that is not answered with scores."""

    def __init__(self, status: HTTPStatus, words: str):
        super().__init__(words)
        self.status = status


class Server(ThreadingHTTPServer):
    """Answers requests by `score`, one at a time: a model computes a batch on all threads at once."""

    daemon_threads = False
    block_on_close = True  # requests that have begun are answered before it ends

    def __init__(self, host: str, port: int, name: str, score: Score):
        self.name, self.score, self.computing = name, score, threading.Lock()
        super().__init__((host, port), Handler)


class Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "rlhf-score", ""
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the one that made it

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer(HTTPStatus.OK, {"status": "ok", "scores": self.server.name})
        else:
            self._refuse(Refused(HTTPStatus.NOT_FOUND, f"{self.path}: expected GET /health or POST /score"))

    def do_POST(self) -> None:
        try:
            if self.path != "/score":
                raise Refused(HTTPStatus.NOT_FOUND, f"{self.path}: expected POST /score or GET /health")
            content = self._content()
            rows = _rows(content)
            with self.server.computing:
                scored = self.server.score(rows)
        except Refused as refused:
            self._refuse(refused)
        except ValueError as error:  # of the model or a reward function
            self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}"))
        else:
            self._answer(HTTPStatus.OK, scored if isinstance(content, list) else scored[0])

    def _content(self) -> Any:
        """Return the JSON of a body."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "expected a Content-Length")
        if int(length) > MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_BYTES} bytes (got {length})")
        try:
            return json.loads(self.rfile.read(int(length)).decode("utf-8"))
        except UnicodeDecodeError:
            raise Refused(HTTPStatus.BAD_REQUEST, "the body is not UTF-8") from None
        except (json.JSONDecodeError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}") from None

    def _refuse(self, refused: Refused) -> None:
        self._answer(refused.status, {"error": str(refused)})
        self._linger()

    def _linger(self) -> None:
        """Read what of a refused body still comes and drop it: to close before would lose the answer for its sender.

        It ends with the sender's end of the connection, with `DROPPED_BYTES`, or after `LINGER` seconds.
        """
        self.wfile.flush()
        left, end = DROPPED_BYTES, time.monotonic() + LINGER
        with contextlib.suppress(OSError):  # silent for too long, or gone
            self.connection.shutdown(socket.SHUT_WR)
            while left > 0 and (seconds := end - time.monotonic()) > 0:
                self.connection.settimeout(seconds)
                if not (part := self.rfile.read1(1 << 16)):
                    break
                left -= len(part)

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")  # none that is idle keeps the service from its end
        self.close_connection = True
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the method that it replaces
        """Say nothing of each request: prompts and answers are nobody's but their sender's."""


def _rows(content: Any) -> list[Asked]:
    """Return the rows of a body."""
    given = content if isinstance(content, list) else [content]
    try:
        rows = [folder_scorer.asked(row, f"row {number}") for number, row in enumerate(given, start=1)]
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from None
    num_answers = sum(len(row.responses) for row in rows)
    if not 0 < num_answers <= MOST_ANSWERS:
        raise Refused(HTTPStatus.BAD_REQUEST, f"expected 1 to {MOST_ANSWERS} answers in a request (got {num_answers})")
    return rows
