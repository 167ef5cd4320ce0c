"""One thread answers: a queue of what users ask, first come, first served; whoever waits is told how many are before.

What was begun is stored, whoever stops it or leaves: an answer that its reader left is marked so.
"""

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from apps.chat import moderating
from apps.chat.books import Books
from apps.chat.checkpoints import Checkpoint
from apps.chat.engine import Begun, Engine
from apps.chat.jobs import Job
from apps.chat.moderating import Moderator, Verdict
from rlhf.records.types import Message
from rlhf.secrets import guard

MOST_WAITING = 500
MOST_OF_A_USER = 4


class Busy(Exception):  # noqa: N818 - what is said to a client
    """More waits than can be borne."""


class Stored(NamedTuple):
    """What became of a job."""

    text: str
    end: str
    begun: Begun | None
    tokens: int
    verdict: Verdict | None  # of the moderator who blocked it
    problem: str | None
    seconds: float


class Answerer(threading.Thread):
    """Computes one answer after another."""

    def __init__(
        self,
        books: Books,
        engine: Engine,
        moderator: Moderator | None,
        about: Callable[[Checkpoint], dict[str, Any]],
        stored: Callable[[str, str], None],
    ):
        """`about`: what is kept of a checkpoint with its answers; `stored`: told (user, answer) of each."""
        super().__init__(name="answers", daemon=True)
        self._books, self._engine, self._moderator = books, engine, moderator
        self._about, self._stored = about, stored
        self._waiting: deque[Job] = deque()
        self._now: Job | None = None
        self._held = Counter[str]()  # by user: places of answers that are submitted soon
        self._changed = threading.Condition()
        self._is_ending = False

    @contextmanager
    def places(self, user: str, count: int) -> Iterator[None]:
        """Hold places for answers that are submitted soon, so that a refusal comes before any line. Raises Busy."""
        with self._changed:
            waiting = len(self._waiting) + self._held.total()
            own = sum(job.asked.user == user for job in self._all()) + self._held[user]
            if waiting + count > MOST_WAITING:
                raise Busy(f"{waiting} answers are waited for; try again in a minute")
            if own + count > MOST_OF_A_USER:
                raise Busy(f"expected at most {MOST_OF_A_USER} answers on their way for one user; stop one first")
            self._held[user] += count
        try:
            yield
        finally:
            with self._changed:
                self._held -= Counter({user: count})  # which keeps no user of none

    def submit(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait for their turn, in places that are held for them."""
        with self._changed:
            self._waiting.extend(jobs)
            self._changed.notify()
        self._tell_places()

    def find(self, user: str, answer: str) -> Job | None:
        """Return a user's job that is not done yet."""
        with self._changed:
            return next((job for job in self._all() if (job.id, job.asked.user) == (answer, user)), None)

    def coming(self, user: str) -> set[str]:
        """Return a user's pairs of which an answer is still to come. Ask before the history: a line comes first."""
        with self._changed:
            own = [job for job in self._all() if job.asked.user == user and not job.is_done]
            return {job.asked.pair for job in own if job.asked.pair}

    def close(self) -> None:
        """Stop what is being computed, store it, and end; what waits is not begun."""
        with self._changed:
            self._is_ending = True
            for job in self._all():
                job.stop("left")
            self._changed.notify()

    def run(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._answer(job)
            except Exception as error:  # noqa: BLE001 - one answer's fault must not end all others
                guard.say(f"chat: {type(error).__name__}: {error}")
                job.emit("failed", error=f"{type(error).__name__}: {error}")
            self._now = None
            self._tell_places()

    def _all(self) -> list[Job]:
        return [*([self._now] if self._now else []), *self._waiting]

    def _next(self) -> Job | None:
        with self._changed:
            while not self._waiting and not self._is_ending:
                self._changed.wait()
            if self._is_ending:
                for job in self._waiting:
                    job.emit("failed", error="the chat was ended")
                return None
            self._now = self._waiting.popleft()
            return self._now

    def _tell_places(self) -> None:
        with self._changed:
            ahead = 1 if self._now else 0
            for place, job in enumerate(self._waiting):
                job.emit("waits", ahead=place + ahead)

    def _answer(self, job: Job) -> None:
        if job.end is not None:  # before it began: nothing was said
            job.emit("ends", turn=None, end=job.end, error=None)
            return
        job.emit("begins")
        done = self._computed(job)
        asked = job.asked
        try:
            line = self._books.write(asked.user, "turn", _line(job, done, self._about(asked.checkpoint)))
            if done.verdict is not None:
                self._books.write(asked.user, "blocked", blocked("answer", job.id, done.verdict))
        except ValueError as error:  # its user was forgotten meanwhile
            job.emit("failed", error=f"{error}")
            return
        job.emit("ends", turn=line["id"], end=done.end, error=done.problem)
        self._stored(asked.user, line["id"])

    def _computed(self, job: Job) -> Stored:
        asked, since = job.asked, time.monotonic()
        text, tokens, end, judged = "", 0, "end", 0
        begun, verdict, problem = None, None, None
        try:
            for part in self._engine.answer(asked.checkpoint, asked.messages, asked.settings):
                if isinstance(part, Begun):
                    begun = part
                    job.emit("reads", **part._asdict())
                    continue
                stopped = job.end  # once: whoever sees the text of this part may stop the next
                text, tokens, end = part.text, part.tokens, stopped or part.end or "end"
                verdict, judged = self._judged(job, text, judged, part.end is not None or stopped is not None)
                if verdict is not None:
                    end = "blocked"
                if verdict is not None or stopped is not None:
                    break
        except (ValueError, OSError, RuntimeError, MemoryError) as error:
            end, problem = "failed", f"{error}"
        return Stored(text, end, begun, tokens, verdict, problem, time.monotonic() - since)

    def _judged(self, job: Job, text: str, judged: int, is_last: bool) -> tuple[Verdict | None, int]:
        """Show what may be shown of an answer; returns the verdict that blocks it, and up to where it is judged."""
        if self._moderator is None:
            job.show(text)
            return None, len(text)
        end = len(text) if is_last else moderating.due(text, judged)
        if end == judged and not is_last:
            return None, judged
        messages: list[Message] = [*job.asked.messages, {"role": "assistant", "content": text[:end]}]
        verdict = moderating.judged(self._moderator, messages) if text[:end].strip() else None
        if verdict is not None and verdict.blocked:
            return verdict, judged
        job.show(text[:end])
        return None, end


def blocked(where: str, turn: str, verdict: Verdict) -> dict[str, Any]:
    """Return the line that says what was blocked."""
    probability = round(float(verdict.probability), 4)
    return {"where": where, "turn": turn, "category": verdict.category, "probability": probability}


def _line(job: Job, done: Stored, about: dict[str, Any]) -> dict[str, Any]:
    asked = job.asked
    return {
        "id": job.id,
        "conversation": asked.conversation,
        "parent": asked.parent,
        "role": "assistant",
        "content": done.text,
        "shown": len(os.path.commonprefix([job.shown, done.text])),  # characters: what was cut off is for no reader
        "end": done.end,
        "checkpoint": about,
        "settings": asked.settings._asdict(),
        "reads": done.begun._asdict() if done.begun else None,
        "tokens": done.tokens,
        "seconds": round(done.seconds, 3),
        "pair": asked.pair,
        "side": asked.side,
        **({"problem": done.problem} if done.problem else {}),
    }
