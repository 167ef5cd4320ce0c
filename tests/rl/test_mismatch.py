"""An engine whose log-probabilities are not the trainer's: what is measured of it, and what the update makes of it."""

import math

import pytest
import torch

from rlhf.models import whole_weights
from rlhf.params.ppo import Ppo
from rlhf.rl import experience, mismatch
from rlhf.rl.loop_state import Data
from rlhf.rollouts.own import OwnDecoder
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()


def params(**given) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 2}
    fast = {"policy_optimisation": {"learning_rate": 0.01, "warmup_steps": 0, "schedule": "constant"}}
    chosen = toys.section(Ppo, "ppo", **{**usual, **fast})
    return chosen.model_copy(update={"rollouts": toys.rollouts(engine="own", **given) if given else None})


class Elsewhere(OwnDecoder):
    """Our own decoder, which says other numbers of what it draws: as if another kernel had drawn."""

    def __init__(self, *arguments, off=lambda numbers: numbers):
        super().__init__(*arguments, measures=True)
        self.off, self.versions = off, []

    def load(self, version, weights) -> None:
        super().load(version, weights)
        self.versions.append((version, [name for name, _ in weights]))

    def answer(self, *asked):
        found = super().answer(*asked)
        return found._replace(logprobs=[self.off(row) for row in found.logprobs])


@pytest.fixture
def models(tokenizer, tmp_path):
    return toys.models(tokenizer, tmp_path)


def with_engine(models, off=lambda numbers: numbers):
    return models._replace(engine=Elsewhere(models.policy, RUNTIME, models.tokenizer.pad_token_id, off=off))


def run(models, chosen: Ppo) -> tuple[list[dict], torch.Tensor]:
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), chosen)
    curve = [*ppo.train(models, Data(prompts, None), chosen, RUNTIME, 1)]
    return curve, torch.cat([weight.detach().flatten() for weight in models.policy.parameters()])


def gathered(models, off=lambda numbers: numbers):
    chosen = params()
    prompts = ppo.tokenised(models.tokenizer, toys.prompts(8), chosen)
    engined = with_engine(models, off)
    engined.engine.load(1, whole_weights.merged(models.policy))
    return experience.gather(engined, prompts, chosen, RUNTIME, 3)


def test_our_own_decoder_draws_from_the_policy_that_is_trained(models, tokenizer, tmp_path):
    """Its log-probabilities are the trainer's, no weight is cut, and the run is that without an engine."""
    curve, weights = run(models, params())
    engined = with_engine(toys.models(tokenizer, tmp_path))
    measured, same = run(engined, params(max_weight=None, max_gap=1e-4))
    assert torch.equal(same, weights)
    assert [{key: point[key] for key in curve[0]} for point in measured] == curve
    assert not any(name.startswith("rollout") for name in curve[0])
    assert {name for name in measured[0] if name.startswith("rollout")} == {
        "rollout_gap",
        "rollout_gap_max",
        "rollout_kl",
    }
    assert all(point["rollout_gap_max"] < 1e-5 for point in measured)
    names = [name for name, _ in whole_weights.merged(models.policy)]
    assert engined.engine.versions == [(1, names), (2, names)]
    bounded, near = run(with_engine(toys.models(tokenizer, tmp_path)), params(max_weight=2.0))
    torch.testing.assert_close(near, weights, rtol=0, atol=1e-3)
    assert bounded[0]["rollout_weight"] == pytest.approx(1, abs=1e-5)
    assert bounded[0]["rollout_at_bound"] == 0


def test_what_is_measured_is_as_by_hand(models):
    """The engine says 0.5 nats less of each token, and 2 less of an answer's first: ratios of e^0.5 and e^2."""
    seen = gathered(models, lambda numbers: [numbers[0] - 2.0, *(one - 0.5 for one in numbers[1:])])
    assert mismatch.measured(seen, None) == {}
    count, rows = int(seen.completion_mask.sum()), len(seen.ids)
    found = mismatch.measured(seen, toys.rollouts(engine="own", max_weight=3.0))
    share = rows / count  # of first tokens
    mean = {name: share * first + (1 - share) * rest for name, first, rest in (
        ("rollout_gap", 2.0, 0.5),
        ("rollout_kl", math.expm1(2.0) - 2.0, math.expm1(0.5) - 0.5),
        ("rollout_weight", 3.0, math.exp(0.5)),
        ("rollout_at_bound", 1.0, 0.0),
    )}  # fmt: skip
    assert found == pytest.approx(mean | {"rollout_gap_max": 2.0}, abs=1e-4)
    weights = mismatch.importance_weights(seen, 3.0)
    assert (weights[~seen.completion_mask] == 1).all()
    torch.testing.assert_close(weights[:, 0], torch.full((rows,), 3.0))
    rest = seen.completion_mask.clone()
    rest[:, 0] = False
    torch.testing.assert_close(weights[rest], torch.full((int(rest.sum()),), math.exp(0.5)), rtol=1e-4, atol=0)


def test_kl_of_the_engine_is_estimated_without_bias_and_never_below_0():
    """Tokens drawn from q, ratios p / q: the mean of k3 is KL(q || p)."""
    log_q, log_p = (torch.tensor(one, dtype=torch.float64).log() for one in ([0.6, 0.3, 0.1], [0.5, 0.2, 0.3]))
    ratios = log_p - log_q
    k3 = ratios.expm1() - ratios
    assert (k3 >= 0).all()
    assert (log_q.exp() * k3).sum().item() == pytest.approx((log_q.exp() * (log_q - log_p)).sum().item())


def test_weights_put_the_gradients_expectation_right():
    """Of three tokens: draws of another policy, weighted, give the own gradient; cut weights, a shorter one."""
    p, q = torch.tensor([0.5, 0.2, 0.3]), torch.tensor([0.6, 0.3, 0.1])
    worth = torch.tensor([1.0, -1.0, 2.0])
    own = (p * worth).sum()
    weighted = [(q * (p / q).clamp(max=bound) * worth).sum() for bound in (10.0, 2.0)]
    assert weighted[0].item() == pytest.approx(own.item())
    assert weighted[1] < own


def test_a_mismatch_weighs_the_update(models, tokenizer, tmp_path):
    """Advantages, and with them the loss, are multiplied; what was measured of the episodes stays the trainer's."""
    seen = gathered(models, lambda numbers: [one - 0.5 for one in numbers])
    whitened = torch.randn(seen.logprobs.shape)
    expected = whitened * torch.where(seen.completion_mask, math.exp(0.5), 1.0)
    torch.testing.assert_close(mismatch.weighted(whitened, seen, toys.rollouts(engine="own", max_weight=5.0)), expected)
    torch.testing.assert_close(mismatch.weighted(whitened, seen, toys.rollouts(engine="own", max_weight=1.0)), whitened)
    for unweighted in (None, toys.rollouts(engine="own")):
        assert mismatch.weighted(whitened, seen, unweighted) is whitened
    plain = gathered(models)
    assert torch.equal(plain.logprobs, seen.logprobs)
    ends = [
        run(
            with_engine(toys.models(tokenizer, tmp_path), lambda row: [one - 0.5 * n for n, one in enumerate(row)]), one
        )
        for one in (params(max_weight=None, max_gap=99.0), params(max_weight=4.0), params(max_weight=1.5))
    ]
    assert len({end.sum().item() for _, end in ends}) == 3
    assert ends[2][0][0]["rollout_at_bound"] > 0.3


def test_a_mismatch_beyond_the_bound_ends_the_run(models):
    engined = with_engine(models, lambda numbers: [one - 0.3 for one in numbers])
    with pytest.raises(ValueError, match=r"ppo.rollouts.max_gap: the log-probabilities of engine 'own' are 0.3 nats"):
        run(engined, params(max_gap=0.2))
    with pytest.raises(ValueError, match="are nan nats"):
        run(with_engine(models, lambda numbers: [math.nan] * len(numbers)), params(max_gap=0.2))
