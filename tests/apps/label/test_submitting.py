"""What a page submits becomes a line of its labeler's file, in the responses' own order, once, and never rewritten."""

import json

import pytest

from apps.label.items import order_for
from rlhf.people import judgements
from tests.apps.label import made
from tests.apps.label.made import FLAGS, Person


@pytest.fixture
def root(tmp_path):
    return made.project(tmp_path, [made.prompt(number, num=5) for number in range(4)])


@pytest.fixture
def ada(root):
    return Person(made.work(root), "ada")


def test_what_is_said_of_answers_as_shown_stands_in_their_own_order(root, ada):
    item = ada.next()
    flags = [["hallucination"] if text.endswith(".2") else [] for text in item["answers"]]
    ratings = [7 if text.endswith(".0") else None for text in item["answers"]]
    shown = [text.endswith(".4") for text in item["answers"]].index(True)
    written = {"text": "Better.", "from": shown}
    ada.submit(item, ranks=made.by_text(item), flags=flags, ratings=ratings, written=written)
    (line,) = made.lines(root, "ada")
    assert line["ranks"] == [1, 2, 3, 4, 5]
    assert line["flags"] == [[], [], ["hallucination"], [], []]
    assert line["ratings"] == [7, None, None, None, None]
    assert line["written"] == {"text": "Better.", "from": 4}
    number = line["prompt"][1:]
    assert [f"Answer {number}.{index}" for index in line["order"]] == item["answers"]
    assert (line["labeler"], line["pool"], line["seconds"], line["instructions"]) == ("ada", "train", 3.0, made.VERSION)
    assert judgements.read(root / "data/labels", "r1").problems == []
    back = ada.post("previous", item=None)["item"]["judgement"]
    assert (back["ranks"], back["flags"], back["ratings"]) == (made.by_text(item), flags, ratings)
    assert back["written"] == written


def test_ties_stay_and_gaps_close(root, ada):
    item = ada.next()
    ada.submit(item, ranks=[5, 2, 2, 5, 4])
    (line,) = made.lines(root, "ada")
    assert [line["ranks"][index] for index in line["order"]] == [3, 1, 1, 3, 2]


def test_a_form_sent_twice_is_written_once(root, ada):
    item = ada.next()
    form = ada.form(item)
    first, again = ada.post("submit", **form), ada.post("submit", **form)
    assert len(made.lines(root, "ada")) == 1
    assert first["id"] == again["id"] == form["id"]
    assert again["again"]
    other = ada.next()
    assert ada.send("submit", **{**ada.form(other), "id": form["id"]}).status_code == 409
    assert Person(made.work(root), "ada").post("submit", **form)["again"], "also after a restart"


def test_a_change_of_mind_is_a_line_that_replaces_and_no_change_is_none(root, ada):
    item = ada.next()
    first = ada.submit(item)["id"]
    back = ada.post("previous", item=None)["item"]
    assert back["key"] == item["key"]
    assert back["judgement"]["ranks"] == [1, 2, 3, 4, 5]
    assert ada.submit(back)["unchanged"]
    ada.submit(back, ranks=[1, 1, 1, 1, 1])
    old, new = made.lines(root, "ada")
    assert (old["id"], new["replaces"]) == (first, first)
    (holds,) = judgements.current(judgements.read(root / "data/labels", "r1"))
    assert holds.judgement["ranks"] == [1, 1, 1, 1, 1]


def test_backwards_goes_through_all_that_was_judged(ada):
    items = [ada.next()]
    for _ in range(3):
        ada.submit(items[-1])
        items.append(ada.next())
    assert items[3] is not None
    key = items[3]["key"]
    ada.submit(items[0], ranks=[1, 1, 1, 1, 1])  # judged anew, it stays where it was
    for expected in reversed(items[:3]):
        back = ada.post("previous", item=key)["item"]
        assert back["key"] == expected["key"]
        key = back["key"]
    assert ada.post("previous", item=key)["item"] is None


def test_what_is_taken_back_is_open_again(root, ada):
    item = ada.next()
    ada.submit(item)
    ada.post("withdraw", item=item["key"], id="f" * 32)
    assert made.lines(root, "ada")[1]["withdrawn"]
    assert judgements.current(judgements.read(root / "data/labels", "r1")) == []
    assert ada.post("withdraw", item=item["key"], id="f" * 32)["again"]
    assert len(made.lines(root, "ada")) == 2
    assert ada.send("withdraw", item=item["key"], id="e" * 32).status_code == 409
    keys = {ada.next()["key"]}
    for _ in range(3):
        ada.submit(ada.next())
        keys.add(ada.next()["key"])
    assert item["key"] in keys


def test_a_skip_has_its_reason_and_no_ranks(root, ada):
    item = ada.next()
    ada.submit(item, skipped="unclear", ranks=[1, None, None, None, None], flags=[["sexual"], [], [], [], []])
    (line,) = made.lines(root, "ada")
    assert (line["ranks"], line["skipped"]) == (None, "unclear")
    assert sum(line["flags"], []) == ["sexual"]
    assert ada.next()["key"] != item["key"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"id": "x"}, "id"), ({"id": None}, "id"), ({"item": "none"}, "item"), ({"item": ["x"]}, "item"),
        ({"ranks": None}, "ranks"), ({"ranks": [1, 2, 3, 4]}, "ranks"), ({"ranks": [1, 2, 3, 4, 6]}, "ranks"),
        ({"ranks": [1, 2, 3, 4, True]}, "ranks"), ({"ranks": [1, 2, 3, 4, None]}, "ranks"),
        ({"ranks": [0, 1, 1, 1, 1]}, "ranks"),
        ({"ratings": [8, 1, 1, 1, 1]}, "ratings"), ({"ratings": [1.5, 1, 1, 1, 1]}, "ratings"),
        ({"ratings": [1]}, "ratings"),
        ({"flags": [["invented"], [], [], [], []]}, "flags"), ({"flags": [[]]}, "flags"),
        ({"flags": "sexual"}, "flags"),
        ({"written": {"text": " "}}, "written"), ({"written": {"text": "a", "from": 5}}, "from"),
        ({"written": "a"}, "written"),
        ({"skipped": ""}, "skipped"), ({"skipped": "x" * 501}, "skipped"),
        ({"seconds": -1}, "seconds"), ({"seconds": "1"}, "seconds"), ({"seconds": None}, "seconds"),
        ({"instructions": "new"}, "instructions"),
    ],
)  # fmt: skip
def test_what_is_no_judgement_is_refused_by_the_name_of_its_field_and_not_written(root, ada, changes, word):
    item = ada.next()
    answer = ada.send("submit", **{**ada.form(item), **changes})
    assert answer.status_code == 422
    assert word in answer.json()["error"]
    assert made.lines(root, "ada") == []


def test_numbers_that_json_does_not_have_and_half_characters_are_refused(root, ada):
    item = ada.next()
    for text in (
        json.dumps({**ada.form(item), "seconds": float("nan")}),
        json.dumps({**ada.form(item), "skipped": "\ud800"}),
        "[",
        "[]",
        "1" * 5000,
    ):
        body = text.replace("{", '{"labeler": "ada", ', 1)
        answer = ada.client.post("/api/submit", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422, text
    draft = json.dumps({"labeler": "ada", "item": item["key"], "client": "c", "number": 1, "draft": {"t": "\ud800"}})
    assert ada.client.post("/api/draft", content=draft, headers={"content-type": "application/json"}).status_code == 422
    assert made.lines(root, "ada") == []


def test_an_answer_as_it_is_is_no_better_one(ada):
    item = ada.next()
    answer = ada.send("submit", **ada.form(item, written={"text": item["answers"][0], "from": 0}))
    assert answer.status_code == 422


def test_without_a_scale_no_rating_is_taken(tmp_path):
    root = made.project(tmp_path, [made.prompt(0)], scale=None)
    ada = Person(made.work(root), "ada")
    item = ada.next()
    assert ada.send("submit", **ada.form(item, ratings=[1, 1, 1, 1])).status_code == 422
    ada.submit(item, ratings=[None] * 4)
    assert made.lines(root, "ada")[0]["ratings"] is None


def test_flags_stand_in_the_order_of_the_param(root, ada):
    item = ada.next()
    ada.submit(item, flags=[[FLAGS[2], FLAGS[0]], [], [], [], []])
    assert [FLAGS[0], FLAGS[2]] in made.lines(root, "ada")[0]["flags"]


def imported(root, of, **changes) -> None:
    """Add ada's judgement of an item as an import does: its order is that of the answers' own, whoever looks at it."""
    own = {"labeler": "ada", "id": "1" * 32, "order": [*range(len(of.responses))], "ranks": [1, 2, 3, 4, 5]}
    said = {
        "kind": "judgement", "prompt": of.prompt, "answers": of.answers, "pool": of.pool, "ratings": None,
        "flags": [[], [], [], [], []], "written": None, "skipped": None, "seconds": 0.0, "instructions": "unknown",
        "at": "2026-11-30T10:00:00+00:00", "replaces": None, "withdrawn": False,
    }  # fmt: skip
    judgements.append(root / "data/labels", "r1", {**said, **own, **changes})


def test_what_was_judged_elsewhere_is_shown_on_its_own_answers_and_saving_it_changes_nothing(root):
    of = next(one for one in made.work(root).board.items.values() if order_for(one, "ada") != [0, 1, 2, 3, 4])
    flags, ratings = [[], [], ["sexual"], [], []], [7, 6, 5, 4, 3]
    imported(root, of, flags=flags, ratings=ratings, written={"text": "Better.", "from": 4})
    ada = Person(made.work(root), "ada")
    back = ada.post("previous", item=None)["item"]
    said = back["judgement"]
    assert said["ranks"] == made.by_text(back)
    assert said["ratings"] == [8 - rank for rank in made.by_text(back)]
    assert [back["answers"][index][-2:] for index, some in enumerate(said["flags"]) if some] == [".2"]
    assert back["answers"][said["written"]["from"]].endswith(".4")
    again = {key: said[key] for key in ("ranks", "ratings", "flags", "written")}
    assert ada.submit(back, **again)["unchanged"]
    assert len(made.lines(root, "ada")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"ranks": [1, 1, 4, 4, 5]}, {"flags": [["another project's"], [], [], [], []]},
        {"ratings": [9, 9, 9, 9, 9]}, {"ratings": [None] * 5}, {"written": {"text": "Better."}},
        {"written": {"text": "Better.", "from": 9}},
    ],
)  # fmt: skip
def test_what_the_page_cannot_show_of_a_judgement_is_no_change_of_mind(root, changes):
    of = next(iter(made.work(root).board.items.values()))
    imported(root, of, **changes)
    ada = Person(made.work(root), "ada")
    back = ada.post("previous", item=None)["item"]
    said = back["judgement"]
    written = said["written"]
    assert ada.submit(back, ranks=said["ranks"], written=written)["unchanged"]
    assert "replaced" in ada.submit(back, ranks=[6 - rank for rank in said["ranks"]], written=written)


def test_a_judgement_of_another_number_of_answers_is_said_and_not_shown(root, capsys):
    of = next(iter(made.work(root).board.items.values()))
    imported(root, of, order=[0, 1], ranks=[1, 2], flags=[[], []])
    ada = Person(made.work(root), "ada")
    assert "1 judgements are of other answers" in capsys.readouterr().err
    assert ada.post("previous", item=None)["item"] is None
    assert ada.next()["key"] == of.key
