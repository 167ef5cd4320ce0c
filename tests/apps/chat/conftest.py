"""A chat on a free port of this machine, behind its guard, with stubs for models and moderation."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests
import uvicorn

from apps.chat import checkpoints
from apps.chat.answering import Answerer
from apps.chat.app import application
from apps.chat.books import FOLDER, Books
from apps.chat.parts import Parts
from apps.chat.traces import Traces
from apps.serving.guarding import Guarded, Settings
from rlhf.params.base import load
from rlhf.params.tracking import TrackingInputs
from tests import loopback
from tests.apps.chat.stubs import StubEngine

SECONDS = 60  # that a busy machine may need


class Client(NamedTuple):
    """A user's browser, without its page."""

    address: str
    user: str
    parts: Parts

    def get(self, path: str, **asked: str) -> requests.Response:
        return requests.get(f"{self.address}{path}", {"user": self.user, **asked}, timeout=SECONDS)

    def post(self, path: str, **body: Any) -> requests.Response:
        return requests.post(f"{self.address}{path}", json={"user": self.user, **body}, timeout=SECONDS, stream=True)

    def agrees(self) -> "Client":
        told = self.get("/api/start").json()
        assert self.post("/api/consent", text=told["consent"]["sum"]).status_code == 200
        return self

    def asks(self, text: str | None = None, **body: Any) -> "Said":
        """Ask, and read to the end."""
        with self.begins(text, **body) as events:
            return Said([*events])

    @contextlib.contextmanager
    def begins(self, text: str | None = None, **body: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """Ask; yields the events as they come. Leaving the block leaves the answer."""
        wanted = {"models": ["sft"], "temperature": 0.5, "max_tokens": 20, "parent": None, "text": text} | body
        with self.post("/api/answer", **wanted) as response:
            assert response.status_code == 200, response.text
            yield (json.loads(line) for line in response.iter_lines())

    def tree(self, conversation: str) -> dict[str, Any]:
        return self.get("/api/conversation", id=conversation).json()

    def history(self):
        return self.parts.books.history(self.user)


class Said(NamedTuple):
    """The events of an answer."""

    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def turn(self) -> str:
        return self.of("turn")[0]["turn"]

    @property
    def conversation(self) -> str:
        return self.of("turn")[0]["conversation"]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [event["shown"] for event in self.of("ends")]

    def text(self, side: int = 0) -> str:
        found = ""
        for event in self.of("text"):
            if event["side"] == side:
                found = event.get("whole", found + event.get("add", ""))
        return found


@pytest.fixture
def policies(root):
    """A root with folders that look like policies: stubs do not read them."""
    for name in ("pretrain", "sft", "ppo/r1"):
        (root / "data" / name).mkdir(parents=True)
        (root / "data" / name / "config.json").write_text(json.dumps({"name": name}))
    return root


@pytest.fixture
def serve(policies):
    """Return a function that serves a chat and gives the client of a user who has agreed."""
    with contextlib.ExitStack() as stack:

        def started(engine=None, moderator=None, user="ada", per_minute=100_000, tokens=None) -> Client:
            tracking = load(policies, TrackingInputs).tracking
            books = Books(policies / FOLDER)
            traces = Traces(policies, books, tracking, checkpoints.Sums(policies))
            answerer = Answerer(books, engine or StubEngine(), moderator, traces.about, traces.sync)
            parts = Parts(policies, tracking, books, answerer, traces, moderator)
            port = stack.enter_context(running(application(parts), Settings(tokens or {}, frozenset(), per_minute)))
            client = Client(f"http://{loopback.HOST}:{port}", user, parts)
            return client if tokens else client.agrees()

        yield started


@contextlib.contextmanager
def running(app, settings: Settings) -> Iterator[int]:
    port = loopback.free_port()
    config = uvicorn.Config(
        Guarded(app, settings), host=loopback.HOST, port=port, log_level="error", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield port
    finally:
        server.should_exit = True
        thread.join(SECONDS)


def lines(client: Client, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the lines of a user's journal, or those of a kind."""
    file = client.parts.root / f"data/feedback/{client.user}.jsonl"
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [line for line in found if kind is None or line["kind"] == kind]


def until(holds, seconds: float = SECONDS) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to hold"
        time.sleep(0.02)
