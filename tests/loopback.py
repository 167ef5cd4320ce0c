"""Servers that tests start: on this machine alone, on a free port, and without a look at what a request brings."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

HOST = "127.0.0.1"


class Answer(NamedTuple):
    status: int
    body: bytes = b""


def free_port() -> int:
    """Return a port at which nobody listens."""
    with socket.socket() as chosen:
        chosen.bind((HOST, 0))
        return chosen.getsockname()[1]


@contextmanager
def serving(answer: Callable[[str], Answer | None]) -> Iterator[int]:
    """Yield the port of an HTTP server that answers a path as `answer` says; None: it drops the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            self.rfile.read(int(self.headers.get("Content-Length", 0)))  # unread, it could cost its sender the answer
            said = answer(self.path)
            if said is not None:
                self.send_response(said.status)
                self.send_header("Content-Length", str(len(said.body)))
                self.end_headers()
                self.wfile.write(said.body)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
