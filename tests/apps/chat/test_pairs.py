"""Two answers side by side, blind: who gave which is told when it can no longer sway a choice."""

import json

from apps.chat.books import FOLDER
from tests.apps.chat.conftest import Said, lines
from tests.apps.chat.stubs import Journal, gated

BOTH = ["sft", "ppo/r1"]


def test_a_blind_pair_hides_who_answered_until_the_choice(serve):
    client = serve()
    sides = set()
    for _ in range(12):
        said = client.asks("Which?", models=BOTH)
        assert sorted(answer["side"] for answer in said.answers) == [0, 1]
        told = json.dumps(said.events) + json.dumps(client.tree(said.conversation))
        assert "ppo/r1" not in told
        assert "data/sft" not in told
        both = [answer["id"] for answer in said.answers]
        pair = said.answers[0]["pair"]
        refused = client.post("/api/answer", models=["sft"], temperature=0.5, max_tokens=5, text="x", parent=both[0])
        assert refused.status_code == 409
        assert "choose between the two" in refused.json()["error"]
        chosen = client.post("/api/feedback", kind="choice", pair=pair, answers=both, chosen=both[1]).json()["turns"]
        names = [turn["checkpoint"]["name"] for turn in chosen]
        assert sorted(names) == ["ppo/r1", "sft"]
        sides.add(names[0])
    assert sides == {"sft", "ppo/r1"}, "which side is which is drawn"
    client.post("/api/feedback", kind="choice", pair=pair, answers=both, chosen="tie")
    assert [line["blind"] for line in lines(client, "choice")][-2:] == [True, False]
    assert client.tree(said.conversation)["choices"] == {pair: "tie"}
    assert client.asks("On.", parent=both[0]).answers


def test_a_choice_is_between_the_two_of_a_pair(serve):
    client = serve()
    one, other = client.asks("a", models=BOTH), client.asks("b")
    wrong = [one.answers[0]["id"], other.answers[0]["id"]]
    body = {"kind": "choice", "pair": one.answers[0]["pair"], "answers": wrong, "chosen": wrong[0]}
    assert client.post("/api/feedback", **body).status_code == 400


def test_while_the_second_answer_is_on_its_way_nobody_is_told_who_gave_the_first(serve):
    gate, engine = gated()
    client = serve(engine)
    with client.begins("Which?", models=BOTH) as events:
        gate.release(6)
        first = next(event["shown"] for event in events if event["type"] == "ends")
        thumb = client.post("/api/feedback", kind="thumb", answer=first["id"], value="up").json()["turns"]
        tree = client.tree(client.history().turns[first["id"]].conversation)
        assert [turn["checkpoint"] for turn in (first, *thumb, tree["turns"][1])] == [None] * 3
        gate.release(6)
        assert [turn["checkpoint"] for turn in Said([*events]).of("pair")[0]["turns"]] == [None, None]


def test_who_gave_the_one_answer_of_a_pair_that_was_stopped_before_its_second_began_is_told(serve):
    gate, engine = gated()
    client = serve(engine)
    with client.begins("Which?", models=BOTH) as events:
        gate.release()
        ids = [next(event["answer"] for event in events if event["type"] == "answer") for _ in range(2)]
        next(event for event in events if event["type"] == "text")
        for answer in ids:
            client.post("/api/stop", answer=answer)
        gate.release(6)
        said = Said([*events])
    assert [event["turn"] for event in said.of("ends")] == [ids[0], None]
    assert said.of("ends")[0]["shown"]["checkpoint"] is None
    (told,) = said.of("pair")[0]["turns"]
    assert told["checkpoint"]["name"] in BOTH
    assert client.tree(client.history().turns[ids[0]].conversation)["turns"][1] == told


def test_who_gave_the_one_answer_of_a_pair_of_which_the_server_died_is_told(serve, policies):
    journal = Journal()
    journal.answers("Red.", journal.asks("Say red."), pair="p1", side=0)
    journal.written(policies / FOLDER)
    assert serve().tree("c1")["turns"][1]["checkpoint"]["name"] == "sft"
