"""Agreement: pairs by hand, alpha of the library at its odd ends, and what a labeler is shown while they work."""

from random import Random

import pytest

from apps.label import agreement, references
from apps.label.agreement import Share, Tally
from rlhf.records import records
from rlhf.world.answering import demonstrations
from rlhf.world.asking import tasks
from tests.apps.label import made
from tests.apps.label.made import Person, by_text


def test_pairs_that_both_order_count_and_ties_do_not():
    assert agreement.share([1, 2, 3], [1, 2, 3]) == Share(3, 3)
    assert agreement.share([1, 2, 3], [3, 2, 1]) == Share(0, 3)
    assert agreement.share([1, 1, 2], [1, 2, 3]) == Share(2, 2)
    assert agreement.share([1, 1, 1], [1, 2, 3]).share is None


def test_a_tally_forgets_what_is_taken_back():
    tally = Tally()
    tally.count("ada", [1, 2, 3], {"ben": [1, 3, 2], "known:x": [1, 2, 3]})
    assert tally.between("ada", {"ben"}) == tally.between("ben", {"ada"}) == Share(2, 3)
    assert tally.between("ada", {"ben", "known:x"}) == Share(5, 6)
    assert tally.others("ada", "known:") == ["known:x"]
    tally.count("ada", [1, 2, 3], {"ben": [1, 3, 2]}, sign=-1)
    assert tally.between("ada", {"ben"}).share is None


def test_alpha_is_1_of_one_mind_and_about_0_of_chance():
    same = [[[1, 2, 3], [1, 2, 3]], [[2, 1, 1], [2, 1, 1]]]
    assert agreement.alpha_of_ratings(same, (1, 3)) == pytest.approx(1.0)
    opposed = [[[1, 2, 3], [3, 2, 1]], [[2, 1, 3], [2, 3, 1]]]
    assert agreement.alpha_of_ratings(opposed, (1, 3)) < 0


def test_alpha_by_hand():
    """Nominal by coincidences: units (a, a), (a, b), two values; observed 2/4, expected 2*3*1/(4*3)."""
    found = agreement.alpha_of_ratings([[[1], [1]], [[1], [7]]], (1, 7))
    assert found == pytest.approx(1 - (2 / 4) / (2 * 3 * 1 / (4 * 3)))


def test_where_alpha_is_undefined_there_is_none():
    assert agreement.alpha_of_ratings([], (1, 7)) is None
    assert agreement.alpha_of_ratings([[[1, 2]]], (1, 7)) is None
    assert agreement.alpha_of_ratings([[[9, 1], [1, 9]]], (1, 7)) is None, "of another scale"
    assert agreement.alpha_of_ratings([[[5, None], [5, None]]], (1, 7)) is None
    assert agreement.alpha_of_ratings([[[1, None], [None, 7]]], (1, 7)) is None


@pytest.fixture
def two(tmp_path):
    rows = [made.prompt(number) for number in range(3)]
    work = made.work(made.project(tmp_path, rows, overlap_share=1.0, overlap_labelers=2))
    return work, Person(work, "ada"), Person(work, "ben")


def own(person: Person) -> dict:
    return person.post("alive", item=None)["progress"]["own"]


def test_it_is_shown_live_and_follows_a_change_of_mind(two, monkeypatch):
    work, ada, ben = two
    item = ada.next()
    ada.submit(item, ranks=by_text(item))
    assert own(ada)["with_people"] == {"share": None, "pairs": 0}
    theirs = ben.next()
    assert theirs["key"] == item["key"]
    backwards = [5 - rank for rank in by_text(theirs)]
    ben.submit(theirs, ranks=backwards)
    assert own(ada)["with_people"] == own(ben)["with_people"] == {"share": 0.0, "pairs": 6}
    ben.submit(ben.post("previous", item=None)["item"], ranks=by_text(theirs))
    assert own(ada)["with_people"] == {"share": 1.0, "pairs": 6}
    ben.post("withdraw", item=item["key"], id="a" * 32)
    assert own(ada)["with_people"]["pairs"] == 0


def test_a_restart_counts_the_same(two, tmp_path):
    _, ada, ben = two
    for _ in range(2):
        for one, sign in ((ada, 1), (ben, -1)):
            item = one.next()
            one.submit(item, ranks=by_text(item) if sign > 0 else [1, 1, 2, 3], ratings=[1, 2, 3, 4])
    before = ada.post("alive", item=None)["progress"]
    again = Person(made.work(tmp_path), "ada").post("next")["progress"]
    assert again["own"] == before["own"]
    assert again["own"]["with_people"]["pairs"] > 0
    assert [row["name"] for row in again["all"]["labelers"]] == ["ada", "ben"]
    assert again["all"]["done"] == 2
    assert again["all"]["alpha_ranks"] is not None
    assert again["all"]["alpha_ratings"] is not None


def test_comparisons_that_a_round_has_already_are_compared_with(tmp_path):
    row = made.prompt(0)
    root = made.project(tmp_path, [row])
    label = {"labeler": "held_out_9", "ranks": [4, 3, 2, 1], "scores": None, "scale": None}
    comparison = {key: value for key, value in row.items() if key != "kind"} | {"kind": "comparison", "labels": [label]}
    folder = root / "data/collect_comparisons/r1"
    folder.mkdir(parents=True)
    records.write(folder / "comparisons.train.jsonl", [comparison])
    ada = Person(made.work(root), "ada")
    item = ada.next()
    ada.submit(item, ranks=by_text(item))
    assert own(ada)["with_known"] == {"held_out_9": {"share": 0.0, "pairs": 6}}
    assert references.given(root, "r1", {"held_out_9"}) == {}


def test_simulated_labelers_rank_where_a_prompt_has_a_task(tmp_path):
    task, *_ = tasks.draw(Random(0), "seen")
    ideal = demonstrations.ideal(task)
    row = made.prompt(0, task=task, responses=[ideal, "no", "xx yy", f"{ideal} {ideal} {ideal}"])
    ada = Person(made.work(made.project(tmp_path, [row])), "ada")
    item = ada.next()
    ada.submit(item, ranks=[1 if text == ideal else 2 for text in item["answers"]])
    found = own(ada)["with_known"]
    assert sorted(found) == ["held_out_1", "held_out_2", "held_out_3"]
    assert all(one["pairs"] for one in found.values())


def test_progress_counts_own_and_all(two):
    _, ada, ben = two
    ada.submit(ada.next(), seconds=10.0)
    ada.submit(ada.next(), seconds=20.0)
    ada.submit(ada.next(), skipped="unclear", seconds=30.0)
    shown = ben.post("next")["progress"]
    assert shown["own"]["judged"] == 0
    mine = own(ada)
    assert (mine["judged"], mine["skipped"], mine["median_seconds"]) == (2, 1, 20.0)
    assert (shown["all"]["prompts"], shown["all"]["wanted"]) == (3, 6)
    assert (shown["all"]["done"], shown["all"]["skipped"]) == (0, 1)
    for _ in range(3):
        ben.submit(ben.next())
    counts = ben.post("next")["progress"]["all"]
    assert (counts["done"], counts["skipped"]) == (2, 1)  # the third has one ranking of two
