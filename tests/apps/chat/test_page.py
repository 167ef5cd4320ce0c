"""What the chat's requests do: turns and answers as lines, branches, what is said of answers, refusals."""

import re

import pytest
import requests

from apps.chat.app import STATIC
from apps.serving import guarding
from rlhf.people import forgetting
from tests.apps.chat.conftest import lines
from tests.apps.chat.stubs import StubEngine, gated


def test_nothing_is_said_before_it_is_agreed_to(serve):
    client = serve()._replace(user="bob")
    assert client.post("/api/answer", models=["sft"], temperature=0.5, max_tokens=9, text="Hello").status_code == 403
    assert not (client.parts.root / "data/feedback/bob.jsonl").exists()
    told = client.get("/api/start").json()
    assert told["consent"]["given"] is False
    assert "data/feedback/bob.jsonl" in told["consent"]["texts"]["en"]
    assert "No data leaves this machine." in told["consent"]["texts"]["en"]
    assert client.post("/api/consent", text="another text").status_code == 409
    client.agrees()
    assert client.get("/api/start").json()["consent"]["given"] is True


def test_a_message_and_its_answer_are_lines_and_come_as_they_grow(serve):
    client = serve(StubEngine("One 你好 three."))
    said = client.asks("Count.")
    assert said.text() == "One 你好 three."
    assert len(said.of("text")) == 3
    (answer,) = said.answers
    assert (answer["content"], answer["end"]) == ("One 你好 three.", "end")
    about = answer["checkpoint"]
    assert about == {"name": "sft", "path": "data/sft", "md5": about["md5"], "run": None}
    assert about["md5"].endswith(".dir")
    user, own = lines(client, "turn")
    assert (user["content"], user["parent"]) == ("Count.", None)
    assert (own["parent"], own["content"], own["conversation"]) == (user["id"], "One 你好 three.", user["conversation"])
    assert own["settings"]["temperature"] == 0.5


def test_the_model_reads_the_dialogue_that_was_chosen_to_go_on_with(serve):
    engine = StubEngine("A.")
    client = serve(engine)
    first = client.asks("one")
    edited = client.asks("one, edited", conversation=first.conversation)
    assert client.asks("another").conversation != first.conversation == edited.conversation
    second = client.asks("two", parent=first.answers[0]["id"])
    branch = client.asks("two, edited", parent=first.answers[0]["id"])
    assert second.conversation == branch.conversation == first.conversation
    again = client.asks(turn=second.turn)
    assert again.answers[0]["parent"] == second.turn
    seen = [[one["content"] for one in messages] for _, messages, _ in engine.asked]
    assert seen[1:] == [
        ["one, edited"],
        ["another"],
        ["one", "A.", "two"],
        ["one", "A.", "two, edited"],
        ["one", "A.", "two"],
    ]
    turns = client.tree(first.conversation)["turns"]
    assert [turn["content"] for turn in turns if turn["parent"] == first.answers[0]["id"]] == ["two", "two, edited"]
    assert len([turn for turn in turns if turn["parent"] == second.turn]) == 2


def test_feedback_is_kept_and_its_last_word_is_shown(serve):
    client = serve()
    said = client.asks("Hello.")
    (answer,) = [answer["id"] for answer in said.answers]
    for value in ("up", "down", None, "down"):
        client.post("/api/feedback", kind="thumb", answer=answer, value=value)
    client.post("/api/feedback", kind="better", answer=answer, text="Hello to you.")
    client.post("/api/feedback", kind="flag", answer=answer, flags=["wrong", "made_up"])
    shown = client.tree(said.conversation)["turns"][1]
    assert (shown["thumb"], shown["better"], shown["flags"]) == ("down", "Hello to you.", ["wrong", "made_up"])
    assert [line["value"] for line in lines(client, "thumb")] == ["up", "down", None, "down"]


def test_a_fault_of_a_model_is_said_and_the_next_answer_comes(serve):
    def fails():
        raise ValueError("data/sft: broken weights")

    engine = StubEngine(gate=fails)
    client = serve(engine)
    (answer,) = client.asks("Hello.").answers
    assert (answer["end"], answer["problem"]) == ("failed", "data/sft: broken weights")
    engine.gate = lambda: None
    assert client.asks("Again.").answers[0]["end"] == "end"


def test_what_was_said_is_there_after_a_restart(serve):
    said = serve().asks("Remember me.")
    client = serve()
    assert client.get("/api/start").json()["conversations"][0]["title"] == "Remember me."
    assert [turn["role"] for turn in client.tree(said.conversation)["turns"]] == ["user", "assistant"]


def test_a_user_who_is_forgotten_while_the_chat_runs_is_gone_and_agrees_anew(serve):
    gate, engine = gated()
    client = serve(engine)
    file = client.parts.root / "data/feedback/ada.jsonl"
    with client.begins("Go.") as events:
        gate.release()
        next(event for event in events if event["type"] == "text")
        forgetting.remember(file.parent, "ada", forgetting.now())
        file.unlink()
        gate.release(9)
        assert [event["type"] for event in events][-1] == "failed"
    assert not file.exists()
    assert client.get("/api/start").json()["consent"]["given"] is False


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"temperature": 2.1}, 400, "temperature: expected a number from 0 to 2 (got 2.1)"),
        ({"temperature": True}, 400, "temperature"),
        ({"max_tokens": 0}, 400, "max_tokens: expected a whole number from 1 to 1024 (got 0)"),
        ({"max_tokens": 1.5}, 400, "max_tokens"),
        ({"models": []}, 400, "models: expected one name, or two different ones"),
        ({"models": ["sft", "sft"]}, 400, "models"),
        ({"models": ["../secrets"]}, 404, "there is no '../secrets' below data/; there are: base, sft, ppo/r1"),
        ({"models": [["sft"]]}, 404, "models"),
        ({"text": " "}, 400, "text: expected a text"),
        ({"text": "a" * 20_001}, 400, "at most 20000 characters (got 20001)"),
        ({"text": "\ud83d"}, 400, "half of a surrogate pair"),
        ({"parent": "nothing"}, 404, "there is no such answer"),
        ({"conversation": "nothing"}, 404, "conversation: there is none of yours"),
        ({"parent": 7}, 400, "parent: expected an id, or null"),
        ({"turn": "nothing"}, 404, "there is no such message of yours"),
        ({"user": "../ada"}, 400, "expected a name"),
    ],
)
def test_what_cannot_be_asked_is_said(serve, change, status, words):
    client = serve()
    body = {"models": ["sft"], "temperature": 0.5, "max_tokens": 5, "text": "Hello"} | change
    answer = client.post("/api/answer", **body)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert lines(client, "turn") == []


@pytest.mark.parametrize("body", ["", "[]", "{", "[" * 100_000])
def test_a_body_that_is_no_object_is_refused(serve, body):
    client = serve()
    headers = {"content-type": "application/json"}
    assert requests.post(f"{client.address}/api/feedback", body, headers=headers, timeout=30).status_code == 400


@pytest.mark.parametrize(
    "what",
    [
        {"kind": "consent"}, {"kind": "thumb", "answer": "x"}, {"kind": "thumb", "answer": "x", "value": "up"},
        {"kind": "flag", "answer": "x", "flags": ["my own"]},
        {"kind": "choice", "pair": "p", "answers": None, "chosen": None},
        {"kind": "choice", "pair": "p", "answers": ["a", "b"], "chosen": "c"}, {"kind": "appeal", "blocked": []},
        {"kind": "better", "answer": ["x"], "text": "y"},
    ],
)  # fmt: skip
def test_feedback_on_nothing_is_refused_and_not_written(serve, what):
    client = serve()
    assert client.post("/api/feedback", **what).status_code == 400
    assert [line["kind"] for line in lines(client)] == ["consent"]


def test_a_token_says_who_it_is_whatever_the_page_says(serve):
    client = serve(tokens={guarding.hashed("secret"): "cleo"})
    assert client.get("/api/start").status_code == 401
    headers = {"authorization": "Bearer secret"}
    told = requests.get(f"{client.address}/api/start?user=ada", headers=headers, timeout=30).json()
    assert (told["who"], told["fixed"]) == ("cleo", True)


def test_the_page_runs_under_its_policy_without_inline_code_or_another_host(serve):
    client = serve()
    page = requests.get(client.address, timeout=30)
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for inline in (" style=", "<style", " onclick=", "javascript:", "http://", "https://"):
        assert inline not in page.text
    assert "<script>" not in page.text
    for name in sorted(file.name for file in STATIC.iterdir() if file.suffix in (".js", ".css")):
        source = requests.get(f"{client.address}/static/{name}", timeout=30)
        assert source.status_code == 200
        assert not any(word in source.text for word in ("innerHTML", "insertAdjacentHTML", "eval(", "://"))
    assert requests.get(f"{client.address}/static/..%2Fapp.py", timeout=30).status_code == 404


def test_both_languages_have_the_same_words():
    text = (STATIC / "words.js").read_text(encoding="utf-8")
    english, chinese = text.partition("  zh: {")[::2]
    keys = [set(re.findall(r"(?:^|[ {,])(\w+): \"", part)) for part in (english, chinese)]
    assert keys[0] == keys[1]
    used = set()
    for file in STATIC.glob("*.js"):
        used |= set(re.findall(r"\bt\(\"(\w+)\"", file.read_text(encoding="utf-8")))
    used |= set(re.findall(r'data-t(?:-label)?="(\w+)"', (STATIC / "chat.html").read_text(encoding="utf-8")))
    assert used <= keys[0]
