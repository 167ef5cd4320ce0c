"""`python -m tools.waiting`: what waits for people, and by its code for CI."""

import pytest

from tests import toys
from tests.people.judged import PEOPLE, answered, judgement, say, write_answers
from tools.waiting import __main__ as waiting

PROMPTS = [answered(number) for number in range(3)]


@pytest.fixture
def place(root):
    toys.set_param(root, "collect_comparisons.labelers", PEOPLE)
    return root


@pytest.mark.parametrize("brief", [[], ["--brief"]])
def test_it_says_what_waits_and_ends_with_75_and_with_0_once_nothing_does(place, capsys, brief):
    write_answers(place, PROMPTS)
    assert waiting.main(brief, place) == 75
    line = "3 of 3 prompts of round r1 wait for labels: make label; then dvc repro goes on\n"
    assert capsys.readouterr().out == line
    say(place, *(judgement(one, "ada") for one in PROMPTS))
    assert waiting.main(brief, place) == 0
    assert capsys.readouterr().out == ("" if brief else "round r1: enough of its 3 prompts are labelled\n")


def test_without_answers_or_people_nothing_waits_and_it_says_why(place, capsys):
    assert waiting.main([], place) == 0
    assert "no answers to rank are there yet" in capsys.readouterr().out
    toys.set_param(place, "collect_comparisons.labelers", toys.shrunken_params()["collect_comparisons"]["labelers"])
    write_answers(place, PROMPTS)
    assert waiting.main([], place) == 0
    assert "no labelers of kind people" in capsys.readouterr().out


def test_a_broken_params_yaml_is_code_2(place, capsys):
    toys.set_param(place, "collect_comparisons.labelers", PEOPLE | {"wait_for": 2})
    assert waiting.main([], place) == 2
    assert "wait_for" in capsys.readouterr().err
