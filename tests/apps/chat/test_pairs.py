"""Two answers side by side, blind: who gave which is told when it can no longer sway a choice."""

import json

from tests.apps.chat.conftest import lines


def test_a_blind_pair_hides_who_answered_until_the_choice(serve):
    client = serve()
    sides = set()
    for _ in range(12):
        said = client.asks("Which?", models=["sft", "ppo/r1"])
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
    one, other = client.asks("a", models=["sft", "ppo/r1"]), client.asks("b")
    wrong = [one.answers[0]["id"], other.answers[0]["id"]]
    body = {"kind": "choice", "pair": one.answers[0]["pair"], "answers": wrong, "chosen": wrong[0]}
    assert client.post("/api/feedback", **body).status_code == 400
