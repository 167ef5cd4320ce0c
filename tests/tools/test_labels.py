"""Judgements go out to other tools and come back: what holds on, what cannot be carried, and no second copy."""

import json
import re
from pathlib import Path

import pytest

from rlhf.people import judgements, standing
from tests import toys
from tests.people.judged import PEOPLE, answered, judgement, say, skip, write_answers
from tools.labels import __main__ as labels

PROMPTS = [answered(number) for number in range(4)]
JUDGE = answered(20, "a long answer\nof two lines", "短的", "third  ")


@pytest.fixture
def place(root):
    """A root whose answers two people have judged: with ties, ratings, flags, a written answer and a skip."""
    toys.set_param(root, "collect_comparisons.labelers", PEOPLE)
    write_answers(root, PROMPTS, [JUDGE])
    say(
        root,
        judgement(PROMPTS[0], "ada", [2, 1, 3], ratings=[3, 7, 1], flags=[["hallucination"], [], []]),
        judgement(PROMPTS[1], "ada", [1, 1, 2], written={"text": "Better.", "from": None}),
        skip(PROMPTS[2], "ada"),
        judgement(JUDGE, "ada", [3, 2, 1], pool="judge"),
        judgement(PROMPTS[0], "ben", [3, 2, 1]),
    )
    return root


def exported(place, form: str, capsys) -> tuple[str, str]:
    """Return the path of what was exported, and what was said."""
    out = place / f"out.{form}.json{'' if form == 'label_studio' else 'l'}"
    assert labels.main(["export", "--format", form, "--round", "r1", "--out", str(out)], place) == 0
    return str(out), capsys.readouterr().out


def taken(place, file: str, labeler: str, *more: str) -> int:
    return labels.main(["import", file, "--round", "r1", "--labeler", labeler, *more], place)


def current(place, labeler: str) -> dict[str, list[int] | None]:
    """Return {prompt: ranks} of a labeler's judgements that hold for the round's answers."""
    read = judgements.read(place / "data/labels", "r1")
    found = standing.standing(read, standing.read_answers(place, "r1"))
    held = [placed.judgement for some in found.held.values() for placed in some]
    return {one["prompt"]: one["ranks"] for one in held if one["labeler"] == labeler}


ADA = {"toy-0": [2, 1, 3], "toy-1": [1, 1, 2], "toy-20": [3, 2, 1]}


def test_argillas_form_carries_all_rankings_there_and_back_by_labeler(place, capsys):
    file, said = exported(place, "argilla", capsys)
    assert "3 rows written" in said
    for lost in ("ratings", "flags", "written answers", "skips"):
        assert f"1 {lost} not carried" in said
    assert taken(place, file, "eve", "--only", "ada") == 0
    assert current(place, "eve") == ADA
    assert "1 of other labelers" in capsys.readouterr().out


def test_a_file_of_several_labelers_asks_for_one(place, capsys):
    file, _ = exported(place, "argilla", capsys)
    with pytest.raises(ValueError, match="names several labelers, ada, ben: choose whose judgements by --only"):
        taken(place, file, "eve")
    assert not (place / "data/labels/r1/eve.jsonl").exists()


def test_a_labeler_whom_the_file_does_not_name_is_refused(place, capsys):
    file, _ = exported(place, "argilla", capsys)
    with pytest.raises(ValueError, match="--only cleo: expected one of whom it names: ada, ben"):
        taken(place, file, "eve", "--only", "cleo")
    assert not (place / "data/labels/r1/eve.jsonl").exists()


def test_label_studios_order_says_no_ties_which_are_left_out_and_counted(place, capsys):
    file, said = exported(place, "label_studio", capsys)
    assert "1 rankings with ties left out" in said
    taken(place, file, "eve", "--only", "ada")
    assert current(place, "eve") == {name: ranks for name, ranks in ADA.items() if name != "toy-1"}


def test_trls_pairs_make_the_rankings_again_ties_among_them(place, capsys):
    (place / "data/labels/r1/ben.jsonl").unlink()
    file, said = exported(place, "trl", capsys)
    rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
    assert rows[0].keys() == {"prompt", "chosen", "rejected"}
    assert len(rows) == 3 + 2 + 3
    taken(place, file, "eve")
    assert current(place, "eve") == ADA


def test_pairs_that_contradict_or_are_missing_make_no_ranking(place, capsys):
    (place / "data/labels/r1/ben.jsonl").unlink()
    file, _ = exported(place, "trl", capsys)
    lines = Path(file).read_text().splitlines()
    turned = json.loads(lines[0])
    turned["chosen"], turned["rejected"] = turned["rejected"], turned["chosen"]
    Path(file).write_text("\n".join([*lines[:3], json.dumps(turned), *lines[4:]]) + "\n")
    taken(place, file, "eve")
    assert set(current(place, "eve")) == {"toy-20"}
    assert "2 prompts whose pairs make no ranking" in capsys.readouterr().out


def test_our_own_form_carries_everything(place, capsys):
    file, _ = exported(place, "jsonl", capsys)
    assert taken(place, file, "eve", "--only", "ada") == 0
    read = judgements.current(judgements.read(place / "data/labels", "r1"))
    of = {name: [p.judgement for p in read if p.judgement["labeler"] == name] for name in ("ada", "eve")}
    assert [one | {"labeler": "ada"} for one in of["eve"]] == of["ada"]


def test_imported_twice_there_is_no_second_copy_and_no_line_is_rewritten(place, capsys):
    for form in ("argilla", "jsonl"):
        file, _ = exported(place, form, capsys)
        taken(place, file, f"eve_{form}", "--only", "ada")
        before = (place / f"data/labels/r1/eve_{form}.jsonl").read_bytes()
        assert taken(place, file, f"eve_{form}", "--only", "ada") == 0
        assert (place / f"data/labels/r1/eve_{form}.jsonl").read_bytes() == before
        assert "already there" in capsys.readouterr().out


def test_a_changed_ranking_is_a_line_that_replaces_the_earlier_one(place, capsys):
    file, _ = exported(place, "argilla", capsys)
    taken(place, file, "eve", "--only", "ben")
    row = json.loads(next(line for line in Path(file).read_text().splitlines() if '"ben"' in line))
    row["preference"][1]["value"]["rank"] = [1, 3, 2]
    Path(file).write_text(json.dumps(row) + "\n")
    before = (place / "data/labels/r1/eve.jsonl").read_text()
    taken(place, file, "eve", "--only", "ben")
    after = (place / "data/labels/r1/eve.jsonl").read_text()
    assert after.startswith(before)
    first, second = (json.loads(line) for line in after.splitlines())
    assert second["replaces"] == first["id"]
    assert current(place, "eve") == {"toy-0": [1, 3, 2]}


def test_an_import_replaces_no_line_of_training_on_the_same_answers(place, capsys):
    file, _ = exported(place, "argilla", capsys)
    say(place, judgement(PROMPTS[0], "eve", pool="training"))
    taken(place, file, "eve", "--only", "ben")
    (_, line) = (place / "data/labels/r1/eve.jsonl").read_text().splitlines()
    assert json.loads(line)["replaces"] is None
    assert current(place, "eve") == {"toy-0": [3, 2, 1]}


def test_answers_that_the_round_has_not_are_left_out_and_counted(place, tmp_path, capsys):
    file = tmp_path / "other.jsonl"
    rows = [
        {"prompt": "Say 0.", "responses": ["blue 0.", "red 0. ", "green 0."], "ranks": [1, 2, 3]},  # another order
        {"prompt": "Say 0.", "responses": ["blue 0.", "red 0.", "something else"], "ranks": [1, 2, 3]},
        {"prompt": "Say 9.", "responses": ["blue 9.", "red 9."], "ranks": [1, 2]},
    ]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert taken(place, str(file), "eve") == 0
    assert current(place, "eve") == {"toy-0": [2, 1, 3]}
    assert "2 on answers that the round has not" in capsys.readouterr().out


def test_scores_on_the_labelers_scale_come_in_as_ratings(place, tmp_path):
    file = tmp_path / "scored.jsonl"
    given = (("one", [7, 3, 1], [7, 3, 1]), ("two", [0.5, 0.2, 0.1], None), ("six", [9, 2, 1], None))
    for labeler, scores, expected in given:
        file.write_text(json.dumps({"prompt": "Say 3.", "responses": PROMPTS[3]["responses"], "scores": scores}) + "\n")
        taken(place, str(file), labeler)
        (line,) = (place / f"data/labels/r1/{labeler}.jsonl").read_text().splitlines()
        assert json.loads(line)["ratings"] == expected
        assert json.loads(line)["ranks"] == [1, 2, 3]


def test_a_file_without_a_judgement_of_the_round_adds_nothing_and_says_so(place, tmp_path, capsys):
    file = tmp_path / "bare.jsonl"
    file.write_text('{"prompt": "Say 0."}\n')
    assert taken(place, str(file), "eve") == 1
    assert re.search(r"0 judgements of .* added\n  1 rows without a judgement", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["export", "--format", "trl", "--round", "r7", "--out", "x"], 2, "--round: expected one of rounds: r1"),
        (["export", "--format", "trl", "--round", "r1", "--out", "x", "--judge"], 2, "expected kind people"),
    ],
)
def test_what_cannot_be_meant_is_named(place, capsys, words, code, said):
    assert labels.main(words, place) == code
    assert said in capsys.readouterr().err


def test_a_name_that_can_be_no_files_is_refused(place, tmp_path):
    (tmp_path / "x.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="expected a name of at most 40 letters"):
        taken(place, str(tmp_path / "x.jsonl"), "../ada")


def test_figures_are_each_labelers_own(place, capsys):
    timed = [answered(number) for number in (30, 31, 32)]
    write_answers(place, [*PROMPTS, *timed], [JUDGE])
    for prompt, seconds in zip(timed, [2.0, 4.0, 10.0], strict=True):
        say(
            place,
            judgement(prompt, "cleo", [1, 1, 1], seconds=seconds, flags=[["hallucination"], ["hallucination"], []]),
        )
    assert labels.main(["figures", "--round", "r1"], place) == 0
    found = json.loads(capsys.readouterr().out)["labelers"]
    assert [*found] == ["ada", "ben", "cleo"]
    assert (found["ada"]["ranked"], found["ada"]["written"], found["ada"]["tied_pairs"], found["ada"]["pairs"]) == (
        3,
        1,
        1,
        9,
    )
    assert list(found["ada"]["skipped"].values()) == [1]
    assert found["ada"]["ratings"] == {"1": 1, "3": 1, "7": 1}
    seconds = found["cleo"]["seconds"]
    assert [seconds[key] for key in ("lower_quartile", "median", "upper_quartile", "sum")] == [3, 4, 7, 16]
    assert found["cleo"]["flags"] == {"hallucination": 6}
    assert (found["cleo"]["tied_pairs"], found["cleo"]["rankings_with_a_tie"], found["ben"]["rankings_with_a_tie"]) == (
        9,
        3,
        0,
    )
