"""Training: it comes first, its feedback follows each item, the first try counts, and nothing of it is a label."""

import pytest

from apps.label import items
from rlhf.people import judgements
from tests.apps.label import made
from tests.apps.label.made import Person, by_text


@pytest.fixture
def root(tmp_path):
    rows = [made.prompt(100, ranks=[1, 2, 3, 3], why="The first is right."), made.prompt(101, ranks=[4, 3, 2, 1])]
    made.write_lines(tmp_path / "training.jsonl", rows)
    return made.project(tmp_path, [made.prompt(0)], training="training.jsonl")


def test_it_comes_first_in_its_order_and_is_scored(root):
    ada = Person(made.work(root), "ada")
    first = ada.next()
    assert first["training"]
    feedback = ada.submit(first, ranks=by_text(first))["feedback"]
    assert feedback["item"] == {"share": 1.0, "pairs": 5}
    assert feedback["why"] == "The first is right."
    assert feedback["own"] == by_text(first)
    assert feedback["known"] == [min(rank, 3) for rank in by_text(first)]
    second = ada.next()
    assert second["training"]
    feedback = ada.submit(second, ranks=by_text(second))["feedback"]
    assert feedback["item"] == {"share": 0.0, "pairs": 6}
    score = feedback["score"]
    assert score == {"share": 5 / 11, "pairs": 11, "done": 2, "items": 2}
    assert not ada.next()["training"]


def test_a_first_try_stands_and_cannot_be_gone_back_to(root):
    ada = Person(made.work(root), "ada")
    item = ada.next()
    form = ada.form(item)
    ada.post("submit", **form)
    assert "feedback" in ada.post("submit", **form), "sent again, it is answered again"
    assert ada.send("submit", **ada.form(item)).status_code == 409
    assert ada.send("withdraw", item=item["key"], id="a" * 32).status_code == 409
    assert ada.post("previous", item=None)["item"] is None


def test_a_second_try_that_somebody_wrote_into_the_file_does_not_count(root):
    ada = Person(made.work(root), "ada")
    ada.submit(ada.next(), ranks=[1, 1, 1, 1])
    (line,) = made.lines(root, "ada")
    judgements.append(
        root / "data/labels", "r1", {**line, "id": "e" * 32, "ranks": [1, 2, 3, 3], "replaces": line["id"]}
    )
    assert Person(made.work(root), "ada").post("next")["progress"]["own"]["training"]["pairs"] == 0


def test_it_is_remembered_over_rounds_and_is_known_by_its_pool(root):
    ada = Person(made.work(root), "ada")
    for _ in range(2):
        ada.submit(ada.next())
    placed = judgements.read(root / "data/labels", "r1").lines
    assert [one.judgement["pool"] for one in placed] == ["training", "training"]
    (root / "data/labels/r1").rename(root / "data/labels/r0")
    again = Person(made.work(root), "ada")
    assert not again.next()["training"]
    assert again.post("next")["progress"]["own"]["judged"] == 0
    assert Person(made.work(root), "ben").next()["training"]


def test_training_on_the_rounds_own_answers_is_no_work_and_work_on_them_no_training(tmp_path):
    row = made.prompt(0)
    made.write_lines(tmp_path / "training.jsonl", [{**row, "ranks": [1, 2, 3, 4]}])
    root = made.project(tmp_path, [row, made.prompt(1)], training="training.jsonl")
    ada = Person(made.work(root), "ada")
    for _ in range(3):
        item = ada.next()
        ada.submit(item, ranks=by_text(item) if item["training"] else [1] * 4)
    progress = Person(made.work(root), "ada").post("next")
    assert progress["item"] is None, "nothing is dealt again after a restart"
    own = progress["progress"]["own"]
    assert (own["judged"], own["training"]["done"], own["training"]["share"]) == (2, 1, 1.0)
    (work, *others) = (one for one in made.lines(root, "ada") if one["prompt"] == "p0" and one["pool"] != "training")
    assert others == []
    held = [one.judgement for one in judgements.current(judgements.read(root / "data/labels", "r1"))]
    assert work in held and len(held) == 3


def test_two_people_train_on_the_same_items_at_once(root):
    work = made.work(root)
    assert Person(work, "ada").next()["key"] == Person(work, "ben").next()["key"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"ranks": None}, "ranks"), ({"ranks": [1, 2, 3]}, "4 whole numbers"), ({"ranks": [1, 2, 3, 5]}, "ranks"),
     ({"ranks": [2, 2, 2, 2]}, "all are equal"), ({"responses": ["a"], "ranks": [1]}, "2 to 9"), ({"id": 5}, "id")],
)  # fmt: skip
def test_a_file_of_another_form_is_named_with_line_and_field(tmp_path, changes, words):
    file = tmp_path / "training.jsonl"
    made.write_lines(file, [made.prompt(0, ranks=[1, 2, 3, 4]), made.prompt(1, **{"ranks": [1, 2, 3, 4], **changes})])
    with pytest.raises(ValueError, match=words) as error:
        items.read_training(file)
    assert f"{file}: line 2" in str(error.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"labelers\.training"):
        items.read_training(tmp_path / "none.jsonl")
    assert items.read_training(None) == []
