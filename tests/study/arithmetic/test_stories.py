"""Stories: their answers are right in all forms, and what the test asks was never paired in training."""

import json
import re
from random import Random

import pytest

from rlhf.world.knowledge import NAMES
from study import params
from study.arithmetic import __main__ as files
from study.arithmetic import answers, evaluator, stories
from study.arithmetic.stories import FORMS, Step, Story
from study.forms import answering
from tests import toys

COINS = Story(
    "Anna has 12 coins. Max gives Anna 7 coins. Anna loses 5 coins. How many coins does Anna have?",
    (Step(12, "+", 7, 19), Step(19, "-", 5, 14)),
)


def drawn(half: str, count: int = 400) -> list[Story]:
    return [stories.draw(Random(number), half) for number in range(count)]


def test_the_three_forms_of_an_answer():
    assert [COINS.answer(form) for form in FORMS] == [
        "14.", "12 + 7 = 19. 19 - 5 = 14. The answer is 14.", "(12 + 7) - 5"
    ]  # fmt: skip
    assert COINS.asked("chain") == f"{COINS.text} Write the steps."


@pytest.mark.parametrize("half", ["training", "test"])
def test_every_answer_of_a_story_says_its_result(half):
    for story in drawn(half):
        numbers = [step.result for step in story.steps]
        assert all(number > 0 for number in numbers)
        assert [evaluator.evaluate(f"{s.first} {s.sign} {s.second}") for s in story.steps] == numbers
        assert {answers.said(form, story.answer(form)) for form in FORMS} == {story.result}
        told = [story.steps[0].first, *(step.second for step in story.steps)]
        assert [int(word) for word in story.text.split() if word.isdigit()] == told
        assert story.text.split()[0] in NAMES


def test_no_pair_of_the_test_is_one_of_training():
    pairs = {half: {step.pair for story in drawn(half) for step in story.steps} for half in ("training", "test")}
    assert len(pairs["test"]) > 60
    assert not pairs["test"] & pairs["training"]
    asked = {step.pair for story in answering.drawn("test", 200) for step in story.steps}
    chosen = params.load(toys.REPO).stories
    rows = [*files.documents(chosen.seed, 1000), *files.demonstrations(chosen.seed, 1000)]
    sums = {pair for row in rows for pair in paired(json.dumps(row))}
    assert len(asked) > 60 and len(sums) > 200
    assert not asked & sums


def paired(text: str) -> set[tuple[int, int]]:
    """Return the numbers that stand on both sides of a sign; one outside parentheses has no number beside it."""
    found = re.findall(r"([0-9]+) [-+*/] ([0-9]+)", text)
    return {(min(int(one), int(two)), max(int(one), int(two))) for one, two in found}


def test_stories_have_all_signs_and_one_or_two_steps():
    found = drawn("training")
    assert {step.sign for story in found for step in story.steps} == set(stories.SIGNS)
    assert {len(story.steps) for story in found} == {1, 2}


def test_right_wrong_and_refused_answers_are_told_apart():
    texts = ["(12 + 7) - 5.", "12 + 7", "coins - 5", "14", "12 / 0", "12 + x"]
    marked = answers.mark("program", [COINS] * 6, texts)
    assert marked.right == [True, False, False, True, False, False]
    assert marked.refused == {"expected numbers": 2, "division by zero": 1}
    spoken = ["The answer is 14.", "14 or 15", "none", "12 + 7 = 19. 19 - 5 = 14"]
    assert answers.mark("chain", [COINS] * 4, spoken) == ([True, False, False, True], {})


def test_the_files_are_what_the_pipeline_reads(tmp_path):
    (tmp_path / "study").mkdir()
    content = params.load(toys.REPO).model_dump()
    content["stories"] = {"seed": 1, "documents": 7, "demonstrations": 6}
    (tmp_path / params.FILE).write_text(json.dumps(content))
    files.main(tmp_path)
    written = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in (tmp_path / files.OUT).iterdir()
    }
    assert [len(written["documents"]), len(written["demonstrations"])] == [7, 6]
    assert all(row["text"] for row in written["documents"])
    asked = [row["messages"][0]["content"] for row in written["demonstrations"]]
    assert [text.partition("? ")[2] for text in asked] == [*stories.CUES.values()] * 2
    assert written["documents"] == [*files.documents(1, 7)] != [*files.documents(2, 7)]
