"""From a number of `ppo` to its reader: what the stage writes says which sizes, units, draws and steps it went by."""

import json

import pytest

from rlhf.records import records
from stages import ppo
from tests import notebook, toys

STEADY = {"schedule": "constant", "warmup_steps": 0}
STILL = {**STEADY, "learning_rate": 1e-12}


@pytest.fixture
def run(root, tokenizer):
    """Run the stage on random models with some params of `ppo` changed; returns its curve, one mapping an iteration."""
    toys.save(root / "data/sft", toys.policy(tokenizer, spread=0.1), tokenizer)
    toys.save(root / "data/reward_model/r1", toys.reward_model(tokenizer, spread=0.1), tokenizer)

    def stage(**changes) -> list[dict[str, float]]:
        for name, value in changes.items():
            for key, part in value.items() if isinstance(value, dict) else [(None, value)]:
                toys.set_param(root, f"ppo.{name}" if key is None else f"ppo.{name}.{key}", part)
        ppo.main(root, "r1")
        return [*notebook.curve_of(root / "metrics/plots/ppo/r1.csv").values()]

    return stage


def test_the_adaptive_controller_counts_the_episodes_of_an_iteration(run):
    """The first KL is 0, far below the target: beta falls by 0.2 * episodes / horizon (Ziegler et al. 2019, eq. 4)."""
    controller = {"kind": "adaptive", "target": 1.0, "horizon": 16}
    curve = run(iterations=2, batch_size=8, minibatch_size=2, kl_coef=0.5, kl_controller=controller)
    assert [point["kl_coef"] for point in curve] == pytest.approx([0.5, 0.5 * (1 - 0.2 * 8 / 16)])


def test_approx_kl_is_the_kl_a_token_of_what_an_update_has_changed(run):
    """A second epoch measures how far the first one's update went; so does the exact KL of the next iteration.

    The first epoch measures 0, so the mean over both is half of it.
    """
    sizes = {"batch_size": 256, "minibatch_size": 256, "micro_batch_size": 256}
    step = {"policy_optimisation": {**STEADY, "learning_rate": 0.002}, "value_optimisation": STEADY}
    after = run(iterations=2, inner_epochs=1, **sizes, **step)[1]
    (twice,) = run(iterations=1, inner_epochs=2)
    exact = after["kl_exact"] / after["completion_tokens"]
    assert exact > 1e-3
    assert 2 * twice["approx_kl"] == pytest.approx(exact, rel=0.25)


def test_every_iteration_and_every_row_draws_answers_of_its_own(run, root):
    """One prompt and a policy that stands still: only the draws tell two answers apart."""
    records.write(root / "data/collect_prompts/prompts.ppo.jsonl", toys.prompts(1))
    sizes = {"batch_size": 32, "max_completion_tokens": 20}
    curve = run(iterations=3, policy_optimisation=STILL, value_optimisation=STILL, **sizes)
    assert len({point["entropy"] for point in curve}) == 3
    assert any(point["score_std"] > 0 for point in curve)  # an answer has ended where others have not


def test_the_policy_starts_as_its_own_reference(run):
    first = run(iterations=1)[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["kl_exact"] == pytest.approx(0, abs=1e-6)


def test_the_metrics_are_the_means_of_the_curves_last_five_points(run, root):
    curve = run(iterations=7, kl_controller={"kind": "adaptive", "target": 1.0, "horizon": 16})
    metrics = json.loads((root / "metrics/ppo/r1.json").read_text())["ppo"]["r1"]
    assert (metrics["episodes"], metrics["prompts"]) == (7 * 8, 10)
    names = {"score", "kl", "entropy", "completion_tokens", "missing_eos", "clip_share", "kl_coef"}
    assert names <= metrics.keys()
    for name in names:
        assert metrics[name] == pytest.approx(sum(point[name] for point in curve[-5:]) / 5, abs=1e-5), name
