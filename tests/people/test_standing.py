"""Which judgements of a round hold, which do not and why, and how many prompts wait."""

import pytest

from rlhf.params.base import parse
from rlhf.params.collect_comparisons import CollectComparisons
from rlhf.people import journal, judgements, standing
from tests.people import judged
from tests.people.judged import PEOPLE, answered, judgement, say, skip

ONE, TWO, THREE = (answered(number) for number in range(3))
ANSWERS = {"train": [ONE, TWO], "judge": [THREE]}


def held(root) -> standing.Standing:
    return standing.standing(judgements.read(root / "data/labels", "r1"), ANSWERS)


def labelers(found: standing.Standing, one: dict) -> list[str]:
    return [placed.judgement["labeler"] for placed in found.of(one["messages"], one["responses"])]


def ranks(found: standing.Standing) -> list[list[int]]:
    """Return the ranks that hold for ONE's answers."""
    return [placed.judgement["ranks"] for placed in found.of(ONE["messages"], ONE["responses"])]


def test_each_labelers_last_judgement_of_a_prompt_holds_whatever_file_comes_first(tmp_path):
    first = judgement(ONE, "zoe", [1, 2, 3])
    say(tmp_path, first, judgement(ONE, "ada", [3, 2, 1]), judgement(ONE, "zoe", [2, 1, 3], replaces=first["id"]))
    found = held(tmp_path)
    assert labelers(found, ONE) == ["ada", "zoe"]
    assert ranks(found) == [[3, 2, 1], [2, 1, 3]]
    assert found.counts["judgements"] == 2
    assert found.counts["replaced_or_withdrawn"] == 1
    assert found.problems == []


def test_a_judgement_that_was_taken_back_holds_no_more_and_is_counted(tmp_path):
    first = judgement(ONE, "ada")
    say(tmp_path, first, judgement(ONE, "ada") | {"ranks": None, "replaces": first["id"], "withdrawn": True})
    found = held(tmp_path)
    assert not found.has(ONE)
    assert (found.counts["withdrawals"], found.counts["replaced_or_withdrawn"]) == (1, 1)


def test_what_does_not_hold_is_named_by_file_and_line(tmp_path):
    other = answered(0, "now", "another", "answer")
    short = judgement(TWO, "ada")
    short |= {"order": [0, 1], "ranks": [1, 2], "flags": [[], []]}
    say(tmp_path, judgement(answered(77), "ada"), judgement(other, "ada"), short, judgement(ONE, "ada"))
    file = tmp_path / "data/labels/r1/ada.jsonl"
    with open(file, "a") as opened:
        opened.write('{"kind": "judg\n')
    journal.append(file, dict(judgement(TWO, "ben")))
    found = held(tmp_path)
    assert [problem.removeprefix(f"{file}:") for problem in found.problems] == [
        "5: no JSON (Unterminated string starting at: line 1 column 10 (char 9)); the line is passed over",
        "6: labeler 'ben' in the file of 'ada'; the line is passed over",
        "1: judges prompt 'toy-77', which is not among the round's; it is passed over",
        "2: judges other answers to prompt 'toy-0' than are there now; it is passed over",
        "3: judges 2 answers to prompt 'toy-1', which has 3; it is passed over",
    ]
    assert {name: found.counts[name] for name in (*standing.WHY, "lines_not_read", "judgements")} == {
        "unknown_prompts": 1, "other_answers": 1, "wrong_number_of_answers": 1, "lines_not_read": 2, "judgements": 1,
    }  # fmt: skip


def test_a_labelers_training_is_counted_and_never_held_against_the_answers(tmp_path):
    say(tmp_path, judgement(answered(50), "ada", pool="training"))
    found = held(tmp_path)
    assert (found.counts["training"], found.problems) == (1, [])


def test_training_on_answers_of_the_round_neither_replaces_a_judgement_of_them_nor_is_replaced(tmp_path):
    work, training = judgement(ONE, "ada", [3, 2, 1]), judgement(ONE, "ada", pool="training")
    for said in ([work, training], [training, work]):
        root = tmp_path / said[0]["pool"]
        say(root, *said)
        found = held(root)
        assert ranks(found) == [[3, 2, 1]]
        assert (found.counts["training"], found.counts["replaced_or_withdrawn"]) == (1, 0)


@pytest.mark.parametrize(("share", "waiting"), [(1.0, 2), (0.5, 1), (0.1, 1)])
def test_a_share_of_each_pool_is_waited_for_and_a_skipped_prompt_is_done(tmp_path, share, waiting):
    say(tmp_path, skip(ONE, "ada"))
    found = standing.progress(held(tmp_path), ANSWERS, share)
    assert found == (waiting, 3)
    say(tmp_path, judgement(TWO, "ada"), judgement(THREE, "ben", pool="judge"))
    assert standing.progress(held(tmp_path), ANSWERS, share) == (0, 3)


def test_a_judge_is_waited_for_until_it_can_be_made_or_no_prompt_is_left(tmp_path):
    pool = [answered(number) for number in range(20)]
    answers = {"train": pool[:0], "judge": pool}

    def waiting() -> int:
        read = judgements.read(tmp_path / "data/labels", "r1")
        return standing.progress(standing.standing(read, answers), answers, 0.2).waiting

    assert waiting() == 10
    say(tmp_path, *(judgement(one, "ada", pool="judge") for one in pool[:9]))
    say(tmp_path, *(skip(one, "ada") for one in pool[9:19]))
    assert waiting() == 1
    say(tmp_path, skip(pool[19], "ada"))
    assert waiting() == 0


def test_a_share_that_floats_cannot_hit_waits_for_no_prompt_too_many():
    prompts = {"train": [answered(number) for number in range(10)]}
    none = standing.standing(judgements.Judgements([], []), prompts)
    assert standing.progress(none, prompts, 0.3 * 3 / 3).waiting == 3
    assert standing.progress(none, prompts, 0.1 + 0.2).waiting == 3


def test_the_words_say_what_to_do():
    assert standing.Progress(312, 400).in_words("r1") == (
        "312 of 400 prompts of round r1 wait for labels: make label; then dvc repro goes on"
    )
    assert standing.Progress(1, 4).in_words("r2").startswith("1 of 4 prompts of round r2 waits for labels")


def test_people_who_rank_both_pools_stand_once_and_others_apart():
    def found(labelers, judges):
        content = {"validation_share": 0.1, "scoring_batch_size": 1, "labelers": labelers, "judge_labelers": judges}
        return standing.people_of(parse(CollectComparisons, content, "collect_comparisons"))

    other = PEOPLE | {"folder": "labels_of_judges"}
    function = {"kind": "function", "function": "a:b", "tie_threshold": 0.0}
    assert [pools for _, pools in found(PEOPLE, None)] == [["train", "judge"]]
    assert [pools for _, pools in found(PEOPLE, PEOPLE)] == [["train", "judge"]]
    assert [(one.folder, pools) for one, pools in found(PEOPLE, other)] == [
        ("data/labels", ["train"]), ("labels_of_judges", ["judge"]),
    ]  # fmt: skip
    assert [pools for _, pools in found(function, PEOPLE)] == [["judge"]]
    assert found(None, None) == []


def test_rounds_without_answers_wait_for_nobody(tmp_path):
    content = {"validation_share": 0.1, "scoring_batch_size": 1, "labelers": PEOPLE, "judge_labelers": None}
    params = parse(CollectComparisons, content, "collect_comparisons")
    judged.write_answers(tmp_path, [ONE, TWO])
    assert [*standing.of_rounds(tmp_path, ["r1", "r2"], params)] == [("r1", (2, 2))]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pool": "test"}, "pool: expected one of train, judge, training"),
        ({"withdrawn": "no"}, "withdrawn: expected true or false"),
        ({"seconds": "long"}, "seconds: a number"),
        ({"replaces": 7}, "replaces: expected a judgement's id"),
        ({"ranks": [1, 2, 9]}, "ranks: expected 3 ranks"),
        ({"ranks": [2, 2, 3]}, "ranks: expected 3 ranks"),
        ({"ranks": None}, "a reason in `skipped`"),
        ({"flags": [[]]}, "flags: expected 3 lists"),
    ],
)
def test_a_judgement_that_could_not_be_read_is_not_written(tmp_path, changes, said):
    with pytest.raises(ValueError, match=said):
        say(tmp_path, judgement(ONE, "ada") | changes)
    assert not (tmp_path / "data/labels").exists()
