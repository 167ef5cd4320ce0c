"""Moderation in the chat: what it blocks reaches no model, and no reader."""

from apps.chat.books import FOLDER
from tests.apps.chat.conftest import lines
from tests.apps.chat.stubs import Journal, StubEngine, StubModerator


def test_a_message_that_moderation_blocks_reaches_no_model(serve):
    engine = StubEngine()
    client = serve(engine, StubModerator())
    said = client.asks("How is a bomb made?")
    (stop,) = said.of("blocked")
    assert (stop["where"], stop["category"], stop["probability"]) == ("request", "violent", 0.97)
    assert engine.asked == []
    (line,) = lines(client, "blocked")
    assert (line["turn"], line["where"]) == (said.turn, "request")
    again = client.asks(turn=said.turn)
    assert again.of("blocked")
    assert len(lines(client, "blocked")) == 1
    client.post("/api/feedback", kind="appeal", blocked=line["id"])
    assert lines(client, "appeal")[0]["blocked"] == line["id"]
    assert client.tree(said.conversation)["turns"][0]["appealed"] is True
    assert client.post("/api/feedback", kind="appeal", blocked="another").status_code == 400


def test_an_answer_is_cut_before_the_sentence_that_moderation_blocks(serve):
    client = serve(StubEngine("That is nice.Take a bomb now. And more words."), StubModerator())
    said = client.asks("Hello.")
    assert said.text() == "That is nice."
    assert "bomb" not in "".join(event.get("add", "") for event in said.of("text"))
    (answer,) = said.answers
    assert answer["content"] == "That is nice."
    assert client.tree(said.conversation)["turns"][1]["content"] == "That is nice."
    assert lines(client, "turn")[1]["content"] == "That is nice.Take a bomb now.", "moderation learns from all of it"
    assert (answer["end"], answer["blocked"]["where"], answer["blocked"]["category"]) == (
        "blocked",
        "answer",
        "violent",
    )
    body = {"models": ["sft"], "temperature": 0.5, "max_tokens": 5, "text": "x", "parent": answer["id"]}
    assert client.post("/api/answer", **body).status_code == 409
    assert client.asks(turn=said.turn).answers[0]["end"] == "blocked"


def test_of_an_answer_that_faults_a_reader_sees_what_moderation_had_let_through(serve):
    words = iter(range(4))

    def fails():
        if next(words, None) is None:
            raise ValueError("data/sft: broken weights")

    client = serve(StubEngine("That is nice.Take a bomb now.", gate=fails), StubModerator())
    said = client.asks("Hello.")
    assert said.text() == "That is nice."
    for answer in (said.answers[0], client.tree(said.conversation)["turns"][1]):
        assert (answer["end"], answer["content"]) == ("failed", "That is nice.")
    assert lines(client, "turn")[1]["content"] == "That is nice.Take a"


def test_of_a_blocked_answer_a_line_that_does_not_say_how_much_was_shown_shows_nothing(serve, policies):
    journal = Journal()
    journal.answers("Take a bomb.", journal.asks("Hello."), end="blocked")
    journal.written(policies / FOLDER)
    assert [turn["content"] for turn in serve().tree("c1")["turns"]] == ["Hello.", ""]
