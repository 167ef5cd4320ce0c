"""Answers on their way: they are stopped, left, waited for, and never more than one user may have."""

import threading
from concurrent.futures import ThreadPoolExecutor

from apps.chat import answering, checkpoints
from apps.chat.engine import Settings
from apps.chat.jobs import Asked, Job
from rlhf.records.types import Message
from tests.apps.chat.conftest import SECONDS, lines, until
from tests.apps.chat.stubs import StubEngine, StubModerator, gated

PAIR = {"models": ["sft", "ppo/r1"], "temperature": 0.5, "max_tokens": 5, "text": "Which?"}


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(serve):
    gate, engine = gated()
    client = serve(engine)
    with client.begins("Go.") as events:
        gate.release()
        gate.release()
        answer = next(event["answer"] for event in events if event["type"] == "text" and event["add"] == " b")
        assert client.post("/api/stop", answer=answer).json() == {"stopped": True}
        gate.release(9)
        (ended,) = [event for event in events if event["type"] == "ends"]
    assert ended["shown"]["end"] == "stopped"
    assert ended["shown"]["content"] == "a b c"
    until(lambda: client.post("/api/stop", answer=answer).json() == {"stopped": False})


def test_an_answer_whose_reader_leaves_is_kept_and_says_so(serve):
    gate, engine = gated()
    client = serve(engine)
    with client.begins("Go.") as events:
        gate.release()
        answer = next(event["answer"] for event in events if event["type"] == "text")
    until(lambda: (job := client.parts.answerer.find("ada", answer)) is None or job.end == "left")
    gate.release(9)
    until(lambda: answer in client.history().turns)
    assert client.history().turns[answer].end == "left"
    assert client.history().turns[answer].content == "a b"
    assert client.asks("On?", parent=answer).answers[0]["end"] == "end"


def test_an_answer_that_is_stopped_while_its_text_is_shown_is_marked_so(serve):
    client = serve(StubEngine("a b c"))
    said = client.asks("Go.")
    ended = threading.Event()

    def emit(event):
        if event["type"] == "text":
            job.stop("left")
        if event["type"] == "ends":
            ended.set()

    messages: list[Message] = [{"role": "user", "content": "Go."}]
    checkpoint, settings = checkpoints.found(client.parts.root)[0], Settings(0.5, 20, 0)
    job = Job(Asked("ada", said.conversation, said.turn, messages, checkpoint, settings, None, 0), emit)
    client.parts.answerer.submit([job])
    assert ended.wait(SECONDS)
    assert client.history().turns[job.id].end == "left"
    assert client.history().turns[job.id].content == "a b"


def test_nobody_else_can_stop_or_read_what_is_mine(serve):
    gate, engine = gated()
    client = serve(engine)
    other = client._replace(user="bob").agrees()
    with client.begins("Go.") as events:
        gate.release()
        answer = next(event["answer"] for event in events if event["type"] == "text")
        assert other.post("/api/stop", answer=answer).json() == {"stopped": False}
        gate.release(9)
        assert list(events)[-1]["type"] == "ends"
    conversation = client.history().turns[answer].conversation
    assert other.get("/api/conversation", id=conversation).status_code == 404
    assert other.post("/api/feedback", kind="thumb", answer=answer, value="up").status_code == 400


def test_who_waits_is_told_how_many_are_before(serve):
    gate, engine = gated()
    client = serve(engine)
    other = client._replace(user="bob").agrees()
    with client.begins("Go.") as first:
        gate.release()
        next(event for event in first if event["type"] == "text")
        with other.begins("Me too.") as second:
            assert next(event["ahead"] for event in second if event["type"] == "waits") == 1
            gate.release(20)
            events = [*second]
        assert [event["type"] for event in events if event["type"] in ("begins", "ends")] == ["begins", "ends"]


def test_one_user_cannot_fill_the_queue(serve):
    gate, engine = gated()
    client = serve(engine)
    with client.begins("Go.") as first:
        gate.release()
        next(event for event in first if event["type"] == "text")
        body = {"models": ["sft"], "temperature": 0.5, "max_tokens": 5, "text": "More."}
        waiting = [client.post("/api/answer", **body) for _ in range(answering.MOST_OF_A_USER)]
        assert [one.status_code for one in waiting] == [200] * (answering.MOST_OF_A_USER - 1) + [503]
        assert "stop one first" in waiting[-1].json()["error"]
        gate.release(99)
    asked = [line["content"] for line in lines(client, "turn") if line["role"] == "user"]
    assert asked == ["Go."] + ["More."] * (answering.MOST_OF_A_USER - 1), "what is refused will be sent again"


def test_places_are_held_while_moderation_reads(serve):
    gate = threading.Event()

    class Reader(StubModerator):
        def judge(self, dialogues):
            assert gate.wait(60)
            return super().judge(dialogues)

    client = serve(StubEngine("a"), Reader())
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(client.post, "/api/answer", **PAIR) for _ in range(3)]
        until(lambda: any(one.done() for one in asked), 30)
        gate.set()
        answers = [one.result() for one in asked]
    assert sorted(one.status_code for one in answers) == [200, 200, 503]
    assert all(one.content for one in answers)  # to the end
    assert len([line for line in lines(client, "turn") if line["role"] == "user"]) == 2


def test_a_message_that_a_faulty_moderator_could_not_read_is_not_written(serve):
    class Broken(StubModerator):
        def judge(self, dialogues):
            raise RuntimeError("data/moderation: broken weights")

    client = serve(StubEngine(), Broken())
    assert client.post("/api/answer", **PAIR).status_code == 500
    assert lines(client, "turn") == []
