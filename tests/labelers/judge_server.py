"""A judge at an address of this machine, as OpenAI's API answers: what it says is a function of what it is asked."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.loopback import HOST


class Raw(NamedTuple):
    """An answer that is no chat completion."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    drip_seconds: float = 0.0  # between bytes


class Judge:
    """What the server has heard, and its address."""

    def __init__(self):
        self.bodies: list[dict] = []
        self.headers: list[dict[str, str]] = []
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()
        self.base_url = ""

    @property
    def asked(self) -> list[dict]:
        """What the judge was shown, request by request."""
        return [shown(body) for body in self.bodies]


def shown(body: dict) -> dict[str, Any]:
    return json.loads(body["messages"][-1]["content"])


def completion(text: str | None, **more: Any) -> dict:
    """Return a chat completion; `finish_reason` and `refusal` by name."""
    message = {"role": "assistant", "content": text} | ({"refusal": more["refusal"]} if "refusal" in more else {})
    choice = {"index": 0, "message": message, "finish_reason": more.get("finish_reason", "stop")}
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
    return {"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}


@contextmanager
def judging(verdict: Callable[[dict[str, Any]], Any]) -> Iterator[Judge]:
    """Yield a judge that answers what `verdict` says of what it is shown: a text, a completion, or a Raw answer."""
    judge = Judge()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:  # noqa: N802
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with judge.lock:
                judge.bodies.append(body)
                judge.headers.append(dict(self.headers))
                judge.busy += 1
                judge.most_busy = max(judge.most_busy, judge.busy)
            assert self.path == "/v1/chat/completions"
            try:
                self.send(verdict(shown(body)))
            except (BrokenPipeError, ConnectionResetError):
                pass
            finally:
                with judge.lock:
                    judge.busy -= 1

        def send(self, said: Any) -> None:
            if isinstance(said, str):
                said = completion(said)
            if isinstance(said, dict):
                said = Raw(200, json.dumps(said).encode())
            self.send_response(said.status)
            for name, value in said.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said.body)))
            self.end_headers()
            pieces = [said.body] if not said.drip_seconds else [bytes([one]) for one in said.body]
            for piece in pieces:
                time.sleep(said.drip_seconds)
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        judge.base_url = f"http://{HOST}:{server.server_port}/v1"
        try:
            yield judge
        finally:
            server.shutdown()
            thread.join()


def by_length(data: dict[str, Any]) -> str:
    """Prefer the longer answer; score by length, up to 10."""
    if "answer" in data:
        return f"SCORE: {min(10, len(data['answer']))}"
    first, second = len(data["answer_A"]), len(data["answer_B"])
    return f"VERDICT: {'TIE' if first == second else 'A' if first > second else 'B'}"
