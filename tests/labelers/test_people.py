"""The stage with people as labelers: it waits for them, and their judgements become comparisons."""

import json

import pytest

from rlhf.people import judgements
from rlhf.records import records
from rlhf.records.types import Comparison
from rlhf.runtime import outputs
from rlhf.runtime.waiting import Waiting
from stages import collect_comparisons
from tests import notebook, toys
from tests.people.judged import PEOPLE, answered, judgement, say, skip, write_answers
from tests.test_collect_comparisons import collected

PROMPTS = [answered(number) for number in range(6)]
JUDGES = [answered(number) for number in range(20, 23)]


@pytest.fixture
def place(root):
    """A root whose policy has answered six prompts, and three for the judge."""
    write_answers(root, PROMPTS, JUDGES)
    outputs.write_metrics(root, "collect_answers/r1", {"prompts_too_long": 2})
    toys.set_param(root, "collect_comparisons.labelers", PEOPLE)
    (root / "data/labels/r1").mkdir(parents=True)
    return root


def all_judged(place, *labelers: str) -> None:
    for labeler in labelers:
        say(place, *(judgement(one, labeler) for one in PROMPTS))
        say(place, *(judgement(one, labeler, pool="judge") for one in JUDGES))


def metrics(place) -> dict:
    return json.loads((place / "metrics/collect_comparisons/r1.json").read_text())["collect_comparisons"]["r1"]


def ranked(place) -> dict[str, list[dict]]:
    collect_comparisons.main(place, "r1")
    return collected(place)


def test_it_waits_and_says_for_how_many_and_goes_on_when_they_are_judged(place):
    with pytest.raises(Waiting, match="^9 of 9 prompts of round r1 wait for labels: make label; then dvc repro goes"):
        collect_comparisons.main(place, "r1")
    assert not (place / "data/collect_comparisons/r1").exists()
    say(place, *(judgement(one, "ada") for one in PROMPTS))
    with pytest.raises(Waiting, match="^3 of 9 prompts"):
        collect_comparisons.main(place, "r1")
    say(place, *(judgement(one, "ada", pool="judge") for one in JUDGES))
    files = ranked(place)
    assert len(files["train"]) + len(files["validation"]) == 6
    assert [record["id"] for record in files["judge"]] == [one["id"] for one in JUDGES]
    assert metrics(place)["prompts_too_long"] == 2


def test_it_goes_on_with_a_share_of_the_prompts_where_that_is_enough(place):
    toys.set_param(place, "collect_comparisons.labelers", PEOPLE | {"wait_for": 0.5})
    say(place, *(judgement(one, "ada") for one in PROMPTS[:3]))
    say(place, *(judgement(one, "ada", pool="judge") for one in JUDGES))
    files = ranked(place)
    assert len(files["train"]) + len(files["validation"]) == 3
    assert metrics(place)["labelling"]["train"]["prompts_not_judged"] == 3
    assert metrics(place)["labelling"]["train"]["prompts_ranked"] == 3


def test_ranks_ties_and_ratings_are_the_labels(place):
    all_judged(place, "ada")
    say(place, judgement(PROMPTS[0], "ada", [1, 1, 2], ratings=[6, 6, 2]))
    say(place, judgement(PROMPTS[1], "ada", [3, 1, 2], ratings=[1, None, 2]))
    say(place, judgement(PROMPTS[2], "ada", [1, 2, 3], ratings=[9, 2, 1]))
    files = ranked(place)
    found = {record["id"]: record["labels"] for record in files["train"] + files["validation"]}
    assert found["toy-0"] == [{"labeler": "ada", "ranks": [1, 1, 2], "scores": [6.0, 6.0, 2.0], "scale": [1, 7]}]
    assert found["toy-1"] == [{"labeler": "ada", "ranks": [3, 1, 2], "scores": None, "scale": None}]
    assert found["toy-2"] == [{"labeler": "ada", "ranks": [1, 2, 3], "scores": None, "scale": None}]
    assert metrics(place)["labelling"]["train"]["ratings_outside_scale"] == 1


def test_several_labelers_of_one_prompt_stand_side_by_side_and_their_agreement_in_the_metrics(place):
    all_judged(place, "ben", "ada")
    say(place, judgement(PROMPTS[0], "ben", [3, 2, 1]))
    files = ranked(place)
    for record in files["train"] + files["validation"] + files["judge"]:
        assert [label["labeler"] for label in record["labels"]] == ["ada", "ben"]
    counted = metrics(place)["labelling"]
    assert counted["train"]["prompts_with_several_labelers"] == 6
    assert counted["train"]["agreement"] == round(15 / 18, 6)
    assert counted["train"]["agreement_pairs"] == 18
    assert 0.5 < counted["train"]["krippendorffs_alpha"] < 1
    assert counted["judge"]["krippendorffs_alpha"] == 1
    assert counted["labels"]["replaced_or_withdrawn"] == 1


def test_flags_seconds_and_skips_are_counted_with_their_reasons(place):
    all_judged(place, "ada")
    flagged = [["hallucination"], [], ["harmful advice", "hallucination"]]
    say(place, judgement(PROMPTS[0], "ada", flags=flagged, seconds=50.0))
    say(place, judgement(PROMPTS[1], "ada", flags=[["of before"], [], []], instructions="1" * 64))
    say(place, skip(PROMPTS[2], "ada"), skip(PROMPTS[3], "ada", "It is distressing!"), judgement(PROMPTS[3], "ben"))
    files = ranked(place)
    assert "toy-2" not in {record["id"] for record in files["train"] + files["validation"]}
    counted = metrics(place)["labelling"]["train"]
    assert counted["flags"] == {"hallucination": 2, "harmful_advice": 1, "not_in_params": 1}
    assert counted["skipped"] == {"i_do_not_know_the_field": 1, "it_is_distressing": 1}
    assert (counted["prompts_ranked"], counted["prompts_skipped_by_all"]) == (5, 1)
    assert counted["seconds_a_ranking"] == (50 + 4 * 20) / 5
    assert counted["versions_of_instructions"] == 2


def written(place, **changes) -> tuple[list[dict], dict]:
    toys.set_param(place, "collect_comparisons.labelers", PEOPLE | changes)
    all_judged(place, "ada", "ben")
    better = {"text": " The best of all. ", "from": 1}
    say(place, judgement(PROMPTS[0], "ada", [2, 1, 3], ratings=[3, 5, 1], written=better))
    say(place, judgement(PROMPTS[1], "ben", written={"text": PROMPTS[1]["responses"][2], "from": 2}))
    files = ranked(place)
    both = files["train"] + files["validation"]
    return [record for record in both if record["id"] == "toy-0"], metrics(place)["labelling"]["train"]


def test_a_better_answer_that_a_labeler_wrote_is_ranked_before_all_others(place):
    (plain, more), counted = written(place)
    assert [label["ranks"] for label in plain["labels"]] == [[2, 1, 3], [1, 2, 3]]
    assert more["responses"] == [*plain["responses"], "The best of all."]
    assert more["labels"] == [{"labeler": "ada", "ranks": [2, 2, 2, 1], "scores": None, "scale": None}]
    assert len(records.pairs(more["labels"][0]["ranks"])) == 3
    assert (counted["written_first"], counted["written_equal_to_an_answer"]) == (1, 1)
    assert metrics(place)["new_prompts"] == 9


def test_or_it_is_left_out_and_counted(place):
    found, counted = written(place, written="leave")
    assert len(found) == 1
    assert counted["written_left_out"] == 1


def test_what_is_passed_over_is_said_by_file_and_line_and_counted(place, capsys):
    all_judged(place, "ada")
    say(place, judgement(answered(0, "other", "answers"), "ada"), judgement(answered(99), "ada"))
    with open(place / "data/labels/r1/ada.jsonl", "a") as file:
        file.write('{"kind": "judgem')
    collect_comparisons.main(place, "r1")
    said = [line for line in capsys.readouterr().out.splitlines() if "passed over" in line]
    file = place / "data/labels/r1/ada.jsonl"
    assert [line.split(file.name)[1].split(":")[1] for line in said] == ["12", "11", "10"]
    assert all(str(file) in line for line in said)
    counted = metrics(place)["labelling"]["labels"]
    assert (counted["lines_not_read"], counted["other_answers"], counted["unknown_prompts"]) == (1, 1, 1)


def test_the_bytes_do_not_hang_on_the_order_of_lines(place):
    all_judged(place, "ada", "ben")
    before = ranked(place)
    for name in ("ada", "ben"):
        file = place / f"data/labels/r1/{name}.jsonl"
        file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert ranked(place) == before


def test_others_may_rank_for_the_judge(place):
    judges = PEOPLE | {"folder": "labels_of_judges"}
    content = toys.read_yaml(place / "params.yaml")
    content["collect_comparisons"]["judge_labelers"] = judges
    toys.write_params(place, content)
    say(place, *(judgement(one, "ada") for one in PROMPTS))
    with pytest.raises(Waiting, match="^3 of 3 prompts"):
        collect_comparisons.main(place, "r1")
    for one in JUDGES:
        judgements.append(place / "labels_of_judges", "r1", judgement(one, "zoe", pool="judge"))
    files = ranked(place)
    assert {label["labeler"] for record in files["judge"] for label in record["labels"]} == {"zoe"}
    assert {label["labeler"] for record in files["train"] for label in record["labels"]} == {"ada"}
    assert metrics(place)["labelling"]["judge_labels"]["judgements"] == 3


def test_where_all_have_skipped_everything_there_is_nothing_to_learn_and_that_is_said(place):
    say(place, *(skip(one, "ada") for one in [*PROMPTS, *JUDGES]))
    with pytest.raises(ValueError, match="no comparisons: "):
        collect_comparisons.main(place, "r1")


def test_its_run_reads_the_labels(place, recorder, files_read):
    all_judged(place, "ada")
    files_read.clear()
    toys.set_param(place, "tracking.enabled", True)
    collect_comparisons.main(place, "r1")
    notebook.check_inputs(place, "collect_comparisons", recorder, files_read)
    assert place / "data/labels/r1" in recorder.inputs_read


def test_a_run_that_waits_ends_as_killed_and_its_page_says_for_what(place, recorder, monkeypatch, capsys):
    ends, pages = [], []
    monkeypatch.setattr(recorder, "close", ends.append)
    monkeypatch.setattr(recorder, "describe", lambda parts, pictures: pages.append(parts))
    toys.set_param(place, "tracking.enabled", True)
    with pytest.raises(Waiting):
        collect_comparisons.main(place, "r1")
    assert ends == ["KILLED"]
    assert pages == [["**It waits.** 9 of 9 prompts of round r1 wait for labels: make label; then dvc repro goes on"]]
    assert "collect_comparisons@r1  waits after" in capsys.readouterr().out


def test_comparisons_of_people_are_records_as_all_others(place):
    all_judged(place, "ada")
    for record in ranked(place)["judge"]:
        assert record["kind"] == "comparison"
        assert "gold" not in record
    assert records.read(place / "data/collect_comparisons/r1/comparisons.train.jsonl", Comparison)
