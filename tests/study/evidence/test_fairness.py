"""Claims whose two sides were trained for unequal length are refused when they are read; so are unknown cells."""

import pytest

from rlhf.params.base import ParamsError
from study import effects, params
from study.claims import FILE
from study.evidence import fairness
from tests.study import small

LONG = {"seed": 17, "change": {"ppo.kl_coef": 0.0, "ppo.iterations": 40}}


@pytest.fixture
def check(tmp_path):
    small.lay_out(tmp_path, {"long_17": LONG, "equal_17": LONG | {"change": {"ppo.iterations": 20}}})

    def asked(**places: effects.Effect) -> None:
        fairness.check(FILE, places, params.load(tmp_path), params.preset(tmp_path))

    return asked


def difference(first: str, second: str) -> effects.Difference:
    return effects.Difference(kind="difference", column="gold", seeds=[17], first=first, second=second)


def test_two_policies_of_unequal_length_are_refused(check):
    with pytest.raises(ParamsError) as error:
        check(one=difference("long_{seed}", "seed_{seed}/ppo"), two=difference("seed_{seed}/sft", "none_{seed}"))
    assert str(error.value).splitlines() == [
        "claims.yaml: one: the two sides differ in length: PPO trains long_17 for 40 iterations, seed_17 for 20 "
        "iterations; give both one ppo.iterations in study/params.yaml",
        "claims.yaml: two: no cell 'none_17' in study/params.yaml",
    ]


def test_equal_lengths_pass_however_they_are_written_and_so_do_sides_that_ppo_did_not_train(check):
    check(one=difference("equal_{seed}", "seed_{seed}/ppo"), two=difference("long_{seed}", "seed_{seed}/best_of_4"))
    check(three=difference("long_{seed}", "long_{seed}"))
    check(four=effects.Number(kind="number", cell="seed_{seed}", path="a", minus=None, seeds=[17]))
