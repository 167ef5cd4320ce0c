"""What stands for models and moderation in the tests of the chat: both keep to the real ones' interface."""

import threading
import time
from typing import NamedTuple

from apps.chat.engine import Begun, Part
from rlhf.people.forgetting import now


class StubEngine:
    """Answers with the words of a text, one at a time; `gate` is called before each."""

    def __init__(self, text="I heard you. All is well.", gate=lambda: None, pause=0.0):
        self.text, self.gate, self.pause = text, gate, pause
        self.asked = []

    def answer(self, checkpoint, messages, settings):
        self.asked.append((checkpoint.name, list(messages), settings))
        yield Begun(10, settings.max_tokens, 64, 0)
        said = ""
        words = self.text.split(" ")[: settings.max_tokens]
        for number, word in enumerate(words, start=1):
            self.gate()
            time.sleep(self.pause)
            said = f"{said} {word}".strip()
            is_last = number == len(words)
            whole = len(words) == len(self.text.split(" "))
            yield Part(said, number, ("end" if whole else "length") if is_last else None)


def gated():
    """Return a semaphore, and an engine that takes one of it for each of its six words."""
    gate = threading.Semaphore(0)
    return gate, StubEngine("a b c d e f", gate=lambda: gate.acquire(timeout=30))


class Stopped(NamedTuple):
    blocked: bool
    category: str | None
    probability: float


class StubModerator:
    """Blocks a last turn that names a bomb."""

    def judge(self, dialogues):
        found = ["bomb" in messages[-1]["content"] for messages in dialogues]
        return [Stopped(bad, "violent" if bad else None, 0.97 if bad else 0.02) for bad in found]


class Journal:
    """Lines of a user's journal, as the chat writes them."""

    def __init__(self, user="ada", consent=True):
        self.user, self.lines = user, []
        if consent:
            self.add("consent", text="0" * 64)

    def add(self, kind, **content):
        line = {"kind": kind, "id": f"{self.user}-{len(self.lines)}", "user": self.user, "at": now(), **content}
        self.lines.append(line)
        return line["id"]

    def asks(self, content, parent=None, conversation="c1"):
        return self.add("turn", conversation=conversation, parent=parent, role="user", content=content)

    def answers(self, content, parent, conversation="c1", end="end", **more):
        more = {"checkpoint": {"name": "sft", "path": "data/sft", "md5": "0" * 32, "run": None}} | more
        return self.add(
            "turn", conversation=conversation, parent=parent, role="assistant", content=content, end=end, **more
        )

    def chooses(self, one, other, chosen, pair="p1"):
        return self.add("choice", pair=pair, answers=[one, other], chosen=chosen)

    def written(self, folder, name=None):
        import json

        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name or self.user}.jsonl"
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines), encoding="utf-8")
        return file
