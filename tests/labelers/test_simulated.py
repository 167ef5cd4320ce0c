"""Simulated labelers as the stage asks them: how many rank a prompt, whose luck is whose, and their traits."""

import pytest

from rlhf.labelers import simulated
from rlhf.labelers.answered import Answered
from rlhf.params.base import parse
from rlhf.params.labelers.kinds import Simulated
from tests import toys
from tests.test_collect_answers import world_prompts


@pytest.mark.parametrize(("asked", "there", "ranking"), [(2, 6, 2), (3, 6, 3), (3, 2, 2), (2, 1, 1)])
def test_several_rankings_of_a_prompt_come_from_several_people(asked, there, ranking):
    section = toys.shrunken_params()["collect_comparisons"]["labelers"] | {"kind": "simulated"}
    section |= {"overlap_share": 1.0, "overlap_labelers": asked, "num_training": there}
    labelers = parse(Simulated, section, "labelers")
    for record in world_prompts(8, first=0):
        responses = ["red fox.", "Nobody knows.", "The fox sat on the mat."]
        labelled = simulated.rank([Answered(record, responses)], labelers, seed=1, held_out=False)
        (labels,) = (one.labels for one in labelled.labelled)
        assert len(labels) == len({label["labeler"] for label in labels}) == ranking
        assert simulated.rank([Answered(record, responses)], labelers, seed=1, held_out=False) == labelled


def test_luck_is_another_one_for_every_labeler_prompt_and_seed():
    """Six people of one taste see one task and the same answers under several ids: noise alone tells them apart."""
    section = toys.shrunken_params()["collect_comparisons"]["labelers"] | {"kind": "simulated"}
    section |= {"overlap_share": 1.0, "overlap_labelers": 6, "num_training": 6, "noise": 0.3, "weight_spread": 0.0}
    section |= dict.fromkeys(("length_bias", "politeness_bias", "strictness"), {"low": 0.0, "high": 0.0})
    labelers = parse(Simulated, section, "labelers")
    (record,) = world_prompts(1, first=0)
    responses = ["red fox.", "Nobody knows.", "The fox sat on the mat."]
    given = [Answered(record | {"id": name}, responses) for name in ("a", "b", "c")]
    found = {
        (one.prompt["id"], seed): one.labels
        for seed in (1, 2)
        for one in simulated.rank(given, labelers, seed, held_out=False).labelled
    }
    for labels in found.values():
        assert len({label["labeler"] for label in labels}) == 6
        assert len({tuple(label["scores"]) for label in labels}) > 1
    for labels in zip(*found.values(), strict=True):  # of one labeler
        assert len({label["labeler"] for label in labels}) == 1
        assert len({tuple(label["scores"]) for label in labels}) > 2


def test_every_trait_of_the_labelers_is_the_one_that_params_name():
    section = toys.shrunken_params()["collect_comparisons"]["labelers"] | {
        "kind": "simulated",
        "num_training": 2,
        "num_held_out": 1,
    }
    section |= {"noise": 0.4, "tie_threshold": 0.05, "weight_spread": 0.0}
    traits = {"length_bias": 0.1, "politeness_bias": 0.2, "strictness": 0.3}
    section |= {name: {"low": value, "high": value} for name, value in traits.items()}
    training, held_out = simulated.crew(parse(Simulated, section, "labelers"))
    assert (len(training), len(held_out)) == (2, 1)
    for labeler in training + held_out:
        assert {name: getattr(labeler, name) for name in traits} == traits
        assert (labeler.sigma, labeler.tie, set(labeler.factors.values())) == (0.4, 0.05, {1.0})
