"""Every trap that other RLHF code has fallen into, by name: a test below, or one that stands elsewhere.

Elsewhere (the last test here says when one of them has been renamed or removed):

    temperature in the rollout and not in the update:
        test_ppo_updates::test_before_the_first_update_every_ratio_is_exactly_1
    old log-probabilities from the sampler:
        test_experience::test_each_episodes_numbers_are_those_of_the_episode_alone
    sampler and training forward pass disagree:
        test_experience::test_rollout_and_training_forward_are_one_policy
    old log-probabilities renewed within an iteration:
        test_ppo_loop::test_old_log_probabilities_are_those_of_each_iterations_first_weights
    position ids that count left padding:
        test_models::test_left_padding_changes_no_state
    gradient from prompt or padding in PPO:
        test_ppo_updates::test_the_gradient_is_that_of_the_completions_alone
    gradient from prompt or padding in SFT:
        test_supervised::test_the_gradient_is_that_of_the_assistants_tokens_alone
    mean of micro-batch means in PPO, PPO-ptx, values:
        test_ppo_updates::test_micro_batches_change_neither_losses_nor_gradients
    mean of micro-batch means in SFT; packing:
        test_supervised::test_neither_micro_batches_nor_packing_change_loss_or_gradient
    mean of micro-batch means in reward models:
        test_preference_training::test_micro_batches_change_neither_loss_nor_gradient
    gradients summed over threads:
        test_parallel::test_workers_change_neither_the_experience_of_ppo_nor_its_update
    a policy gradient that is none:
        test_ppo_updates::test_finite_differences_confirm_the_gradient
    the clipped branch taken the wrong way:
        test_clipping::test_policy_loss_by_hand
    a value loss clipped to the better of two:
        test_clipping::test_value_loss_by_hand
    advantages cut at the first step:
        test_advantages::test_advantages_are_the_discounted_sum_of_all_later_errors
    KL clamped at 0, or its absolute value:
        test_advantages::test_each_token_pays_for_its_distance_from_the_reference
    unmasked whitening:
        test_advantages::test_whitened_values_have_mean_0_and_variance_1_over_real_tokens
    whitening of a minibatch:
        test_ppo_loop::test_advantages_are_whitened_over_the_real_tokens_of_the_whole_iteration
    returns computed after whitening:
        test_ppo_loop::test_returns_are_the_rewards_to_go_whatever_is_whitened_afterwards
    reward whitening that shifts the mean:
        test_ppo_loop::test_whitened_rewards_have_variance_1_and_keep_their_mean
    adaptive KL's target in another unit:
        test_ppo::test_what_is_measured_is_said_in_its_unit
    another estimate than k1 fed to the controller:
        test_ppo::test_the_adaptive_controller_follows_the_measured_kl
    a coefficient that is logged and not paid:
        test_ppo_loop::test_every_iteration_pays_the_coefficient_that_its_point_names
    warm-up counted in minibatches:
        test_ppo_loop::test_warm_up_and_schedule_count_iterations_whatever_the_updates_are
    pretraining examples counted in minibatches:
        test_ppo_loop::test_an_iteration_reads_so_many_rows_of_pretraining_text_an_episode
    an average of weights that is then trained:
        test_ppo_loop::test_the_moving_average_counts_updates_and_leaves_training_alone
    a reference that is trained:
        test_ppo_loop::test_training_moves_policy_and_value_model_and_neither_reference_nor_reward_model
    value model and policy sharing weights:
        test_ppo::test_the_players_are_models_of_their_own
    a toy that PPO does not solve:
        test_learning_oracle::test_ppo_finds_the_closed_form_optimum
    k1 and k3 against the exact KL:
        test_logprobs::test_sampled_estimates_of_kl_agree_with_the_exact_one
    PAD = EOS:
        test_models::test_a_tokenizer_whose_pad_is_its_eos_is_refused
    a token with the pad's id taken for padding:
        test_models::test_the_reward_stands_on_the_last_real_token_whatever_its_id
    reward head of another spread:
        test_models::test_a_new_head_has_stiennons_spread_and_its_own_generator
    demonstrations that do not score 0:
        test_reward_accuracy::test_demonstrations_score_0_on_average_and_training_answers_spread_by_1
    a rollout engine with other weights than the trainer's:
        test_buckets::test_what_does_not_arrive_as_it_was_sent_is_named_and_nothing_is_held
    an engine's log-probabilities before temperature, or of older weights:
        test_engines::test_after_each_sync_an_engine_says_what_the_policy_says
    a prefix cache that outlives the weights:
        test_vllm_server::test_prompts_that_were_read_by_other_weights_are_forgotten
    an engine's kernels taken for the trainer's policy:
        test_mismatch::test_weights_put_the_gradients_expectation_right
    seeds of a process instead of a row:
        test_rollouts::test_an_answer_depends_neither_on_its_batch_nor_on_its_place
    a loss that is no number:
        test_failures::test_ppo_names_the_prompts_of_its_minibatch
    a ratio that overflows:
        test_ppo_loop::test_a_ratio_that_overflows_stops_the_run_before_the_weights_change
    a learning rate copied from another stage:
        test_presets::test_a_papers_preset_holds_its_published_values_each_with_its_citation
"""

import ast
import re

import pytest
import torch

from rlhf.models import loading
from rlhf.params.ppo import Ppo, PpoInputs
from rlhf.params.reward_model import RewardModel
from rlhf.params.sft import SftInputs
from rlhf.preferences import preference_training, rewards
from rlhf.rl import advantages, experience, updates
from rlhf.rl.experience import Experience, Models
from rlhf.rl.loop_state import Data
from rlhf.tokens import chat
from rlhf.training import supervised
from stages import ppo
from tests import toys

RUNTIME = toys.runtime()
Supervised = SftInputs.model_fields["sft"].annotation


def params(**changes) -> Ppo:
    usual = {"batch_size": 8, "minibatch_size": 8, "micro_batch_size": 8, "max_completion_tokens": 8, "iterations": 1}
    return toys.section(Ppo, "ppo", **{**usual, **changes})


def preference_params(**changes) -> RewardModel:
    return toys.section(RewardModel, "reward_model", **{"micro_batch_rows": 1000, "likelihood_coef": 0.0, **changes})


def sft_params(**changes) -> Supervised:
    return toys.section(Supervised, "sft", **{"packing": False, "micro_batch_rows": 100, **changes})


@pytest.fixture(params=["llama", "gpt2"])
def models(request, tokenizer, tmp_path) -> Models:
    return toys.models(tokenizer, tmp_path, request.param)


def gather(models: Models, chosen: Ppo, runtime=RUNTIME, count: int = 8, seed: int = 3) -> Experience:
    return experience.gather(
        models, ppo.tokenised(models.tokenizer, toys.prompts(count), chosen), chosen, runtime, seed
    )


def assert_same(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    for gradient, also in zip(one, other, strict=True):
        torch.testing.assert_close(also, gradient, rtol=1e-4, atol=1e-6)


def pair_losses(model, group: preference_training.Group, pooling: str) -> list[torch.Tensor]:
    """Return -log sigmoid(r_better - r_worse) of each of a prompt's pairs, two forward passes of transformers each."""

    def score(row: rewards.Sequence) -> torch.Tensor:
        scalars = model.score(model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state)[0, :, 0]
        return scalars[-1] if pooling == "last" else scalars[-row.num_answer :].mean()

    return [torch.log1p((score(group.rows[worse]) - score(group.rows[better])).exp()) for better, worse in group.pairs]


# rollouts


def test_greedy_or_warped_rollouts(tokenizer, tmp_path):
    """First tokens come as often as the policy at the rollout temperature says: rare ones and an early EOS too."""
    count, at_once = 3000, dict.fromkeys(("batch_size", "minibatch_size", "micro_batch_size"), 1000)
    chosen = params(temperature=0.8, max_completion_tokens=1, **at_once)
    models = toys.models(tokenizer, tmp_path)
    models = models._replace(policy=toys.likes_to_end(toys.policy(tokenizer, spread=0.2), tokenizer, bias=2.0))
    prompt = ppo.tokenised(tokenizer, toys.prompts(1), chosen)[0]
    drawn = experience.gather(models, [prompt] * count, chosen, RUNTIME, seed=3).completions[:, 0]
    with torch.no_grad():
        logits = models.policy(input_ids=torch.tensor([prompt.ids])).logits[0, -1]
    expected = (logits / 0.8).softmax(-1)
    share = torch.bincount(drawn, minlength=len(expected)) / count
    five_errors = 5 * (expected * (1 - expected) / count).sqrt() + 1 / count
    assert ((share - expected).abs() < five_errors).all()
    assert share[tokenizer.eos_token_id] > 0  # no minimal length
    order = expected.argsort(descending=True)
    tail = order[expected[order].cumsum(0) > 0.9]  # what top-p 0.9 never says, and top-k 50 hardly
    assert share[tail].sum().item() == pytest.approx(expected[tail].sum().item(), abs=0.03)


def test_retokenised_responses(tokenizer, tmp_path):
    """The reward model reads the very tokens that the policy wrote, though their text would be tokenised otherwise."""
    models, read = toys.models(tokenizer, tmp_path), []

    class Reader:
        def __init__(self):
            self.tokenizer, self.model = tokenizer, models.scorer.model

        def score_rows(self, rows, batch_size):
            read.extend(rows)
            return [0.0] * len(rows)

    chosen = params()
    seen = gather(models._replace(scorer=Reader()), chosen)
    answers = [row[mask].tolist() for row, mask in zip(seen.completions, seen.completion_mask, strict=True)]
    prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
    assert read == [
        rewards.Sequence(prompt.ids + answer, len(answer)) for prompt, answer in zip(prompts, answers, strict=True)
    ]
    texts = [chat.response_text(tokenizer, answer) for answer in answers]
    assert any(
        chat.response_ids(tokenizer, text) != answer for text, answer in zip(texts, answers, strict=True)
    )  # or this test says nothing


def test_dropout_in_old_log_probabilities(root, tokenizer):
    """A folder's dropout reaches no player, not even one in training mode: the first ratio is 1 all the same."""
    from rlhf.params.base import load

    off = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    dropped = dict.fromkeys(off, 0.5)
    for name, model in (
        ("sft", toys.policy(tokenizer, "gpt2")),
        ("reward_model/r1", toys.reward_model(tokenizer, "gpt2")),
    ):
        model.config.update(dropped)
        toys.save(root / "data" / name, model, tokenizer)
    models = ppo.assemble(root / "data/sft", root / "data/reward_model/r1", load(root, PpoInputs), seed=1)
    quiet = gather(models, params())
    for model in (models.policy, models.reference, models.value_model, models.scorer.model):
        model.train()
    for one, other in zip(quiet, gather(models, params()), strict=True):
        assert torch.equal(one, other)
    shares = updates.policy_losses(
        models, toys.targets(quiet, torch.ones_like(quiet.logprobs)), torch.arange(8), None, params(), RUNTIME
    )
    assert toys.gradients(models.policy, shares)[2]["approx_kl"] == 0.0


def test_ratios_in_half_precision(models):
    """The same rows at once: ratio 1 to the last bit. Cut otherwise, or in float32, log-probabilities move by < 0.1."""
    half, chosen = toys.runtime("bfloat16"), params()
    seen = gather(models, chosen, half)

    def change(size: int, runtime) -> float:
        cut = params(micro_batch_size=size)
        shares = updates.policy_losses(
            models, toys.targets(seen, torch.ones_like(seen.logprobs)), torch.arange(8), None, cut, runtime
        )
        return toys.gradients(models.policy, shares)[2]["approx_kl"]

    assert change(8, half) == 0.0
    assert change(1, half) < 0.5 * 0.1**2
    assert 0 < change(8, RUNTIME) < 0.5 * 0.1**2


def test_the_process_seed_in_rollouts_and_training(tokenizer, tmp_path):
    """Draws come from the run's seed by name; what the process drew before changes nothing."""
    ends = []
    for global_seed in (1, 2):
        models, chosen = toys.models(tokenizer, tmp_path), params(minibatch_size=4, iterations=2)
        torch.manual_seed(global_seed)
        prompts = ppo.tokenised(tokenizer, toys.prompts(8), chosen)
        for _ in ppo.train(models, Data(prompts, torch.arange(5, 59).view(6, 9)), chosen, RUNTIME, seed=1):
            torch.rand(global_seed)
        ends.append(torch.cat([weight.detach().flatten() for weight in models.policy.parameters()]))
    assert torch.equal(*ends)


# scores and rewards


def test_the_reward_on_a_pad(models):
    """The score is paid for the EOS action; where the answer fills the limit, for its last token."""
    seen = gather(models, params(max_completion_tokens=2), count=48)
    mask = seen.completion_mask
    scores = torch.arange(1.0, 49.0)
    paid = advantages.shape_rewards(scores, seen.logprobs, seen.reference_logprobs, mask, kl_coef=0.0)
    rows, places = paid.nonzero(as_tuple=True)
    assert rows.tolist() == list(range(48))
    torch.testing.assert_close(paid[rows, places], scores)
    assert mask[rows, places].all()
    eos_id = models.tokenizer.eos_token_id
    assert ((seen.completions[rows, places] == eos_id) == seen.ended).all()
    assert (places[~seen.ended] == 1).all()
    full = mask.all(dim=1)
    assert (full & ~seen.ended).any()  # an answer that fills the limit without an end,
    assert (full & seen.ended).any()  # one that ends at the limit,
    assert (~full).any()  # and one that ends before it


def test_a_missing_eos_without_effect(models):
    """Every token of an unfinished answer, and none of a finished one, returns less by the whole difference."""
    returns = []
    for score in (-1.0, -5.0):
        seen = gather(models, params(missing_eos_score=score, max_completion_tokens=3), count=16)
        mask = seen.completion_mask
        paid = advantages.shape_rewards(seen.scores, seen.logprobs, seen.reference_logprobs, mask, kl_coef=0.1)
        returns.append(advantages.gae(paid, seen.values, mask, 1.0, 1.0).returns)
    expected = 4.0 * (mask & ~seen.ended.unsqueeze(1))
    assert seen.ended.any()
    assert expected.any()
    torch.testing.assert_close(returns[0] - returns[1], expected, rtol=1e-4, atol=1e-4)


def test_a_sampled_kl_of_the_wrong_sign_or_of_another_distribution(tokenizer, tmp_path):
    """k1 and k3 on the rollouts average to the exact KL over the vocabulary: sampler, policy and reference agree."""
    chosen = params(temperature=0.8, max_completion_tokens=3, micro_batch_size=128)
    models = toys.models(tokenizer, tmp_path)
    reference = toys.likes_to_end(toys.policy(tokenizer), tokenizer)
    with torch.no_grad():
        for weight in reference.parameters():
            weight += 0.02 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    models = models._replace(reference=reference)
    prompt = ppo.tokenised(tokenizer, toys.prompts(1), chosen)[0]
    seen = experience.gather(models, [prompt] * 1500, chosen, RUNTIME, seed=3)
    mask = seen.completion_mask
    log_ratio = (seen.logprobs - seen.reference_logprobs) * mask
    exact = (seen.kls * mask).sum(dim=1)
    for estimate in (log_ratio, ((-log_ratio).exp() - 1 + log_ratio) * mask):
        errors = estimate.sum(dim=1) - exact
        assert errors.mean().item() == pytest.approx(0, abs=5 * errors.std().item() / 1500**0.5)
    assert (log_ratio < 0).any()
    assert exact.mean() > 10 * (log_ratio.sum(dim=1) - exact).std() / 1500**0.5  # so far apart that a sign shows


# losses


def test_a_mean_of_micro_batch_means_in_what_is_measured(models):
    """Clip share, KL to the old policy and loss are those of the minibatch, however it is cut."""
    chosen = params(ptx_coef=0.5, clip_range=0.1)
    seen = gather(models, chosen)
    seen = seen._replace(logprobs=seen.logprobs + 0.2 * torch.randn(seen.logprobs.shape) * seen.completion_mask)
    whitened, text = torch.randn(seen.logprobs.shape), torch.randint(5, 300, (4, 9))
    measured = []
    for size in (8, 3, 1):
        cut = chosen.model_copy(update={"micro_batch_size": size})
        shares = updates.policy_losses(models, toys.targets(seen, whitened), torch.arange(8), text, cut, RUNTIME)
        measured.append(dict(toys.gradients(models.policy, shares)[2]))
    assert measured[0] == pytest.approx(measured[1], rel=1e-4)
    assert measured[0] == pytest.approx(measured[2], rel=1e-4)
    assert 0 < measured[0]["clip_share"] < 1
    assert set(measured[0]) == {"policy_loss", "clip_share", "approx_kl", "ptx_loss"}


def test_the_amount_of_padding_in_ppo(models):
    """Wider batches of the same episodes, in any order of rows: the same losses and gradients."""
    chosen = params(micro_batch_size=3)
    seen = gather(models, chosen)
    whitened, returns = torch.randn(2, *seen.logprobs.shape)
    order = torch.randperm(8)

    def wider(tensor: torch.Tensor, before: int, after: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor[order], (before, after), value=tensor.new_tensor(7).item())

    padded = Experience(
        *(wider(getattr(seen, name), 3, 2) for name in ("ids", "mask")),
        *(wider(tensor, 0, 2) for tensor in seen[2:-2]),
        *(tensor[order] for tensor in seen[-2:]),
    )
    padded.mask[:, :3] = padded.mask[:, -2:] = padded.completion_mask[:, -2:] = False
    for losses, model, one, other in (
        (updates.policy_losses, models.policy, whitened, [None]),
        (updates.value_losses, models.value_model, returns, []),
    ):
        rows = torch.arange(8)
        plain = toys.gradients(model, losses(models, toys.targets(seen, one), rows, *other, chosen, RUNTIME))
        soiled = toys.gradients(
            model, losses(models, toys.targets(padded, wider(one, 0, 2)), rows, *other, chosen, RUNTIME)
        )
        assert soiled[0] == pytest.approx(plain[0], rel=1e-4)
        assert_same(plain[1], soiled[1])


def test_the_order_of_rows_in_sft_and_reward_models(policy, reward_model, tokenizer):
    """Examples, prompts and a prompt's answers come in any order; cut into micro-batches, they stay one batch."""
    examples = supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=48).examples
    comparisons = toys.comparisons(4)
    turned = [
        record
        | {"responses": record["responses"][::-1]}
        | {"labels": [label | {"ranks": label["ranks"][::-1]} for label in record["labels"]]}
        for record in comparisons[::-1]
    ]
    sft, chosen = sft_params(micro_batch_rows=4), preference_params(micro_batch_rows=4)
    groups = [preference_training.encode(tokenizer, records, chosen).groups for records in (comparisons, turned)]
    for model, (one, other) in (
        (policy, [supervised.micro_batch_losses(policy, some, sft, RUNTIME) for some in (examples, examples[::-1])]),
        (
            reward_model,
            [preference_training.micro_batch_losses(reward_model, some, chosen, RUNTIME) for some in groups],
        ),
    ):
        (loss, gradients, _), (also, others, _) = toys.gradients(model, one), toys.gradients(model, other)
        assert also == pytest.approx(loss, rel=1e-5)
        assert_same(gradients, others)


def test_a_gradient_on_the_pads_embedding(tokenizer, tmp_path):
    """Rows of different lengths are padded in every loss, and PAD, which none of them says, learns from none.

    GPT-2's embeddings, for Llama's give PAD no gradient whatever is read; untied, for the head's rows all have one.
    """
    pad_id, untied = tokenizer.pad_token_id, {"tie_word_embeddings": False}
    models = toys.models(tokenizer, tmp_path, "gpt2")
    policy = toys.likes_to_end(toys.policy(tokenizer, "gpt2", **untied), tokenizer)
    models, judge = models._replace(policy=policy), toys.reward_model(tokenizer, "gpt2")
    seen = gather(models, params())
    assert not seen.mask.all()
    assert not (seen.ids[seen.mask] == pad_id).any()  # or this test says nothing
    numbers, rows = torch.randn(seen.logprobs.shape), torch.arange(8)
    examples = supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=48).examples
    groups = preference_training.encode(tokenizer, toys.comparisons(4), preference_params()).groups
    for model, shares in (
        (policy, updates.policy_losses(models, toys.targets(seen, numbers), rows, None, params(), RUNTIME)),
        (models.value_model, updates.value_losses(models, toys.targets(seen, numbers), rows, params(), RUNTIME)),
        (policy, supervised.micro_batch_losses(policy, examples, sft_params(), RUNTIME)),
        (judge, preference_training.micro_batch_losses(judge, groups, preference_params(), RUNTIME)),
    ):
        toys.gradients(model, shares)
        gradient = model.get_input_embeddings().weight.grad
        assert gradient.any()
        assert not gradient[pad_id].any()


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_k_answers_learned_as_shuffled_pairs(reward_model, tokenizer, pooling):
    """All pairs of a prompt at once are the loop over pairs, two rows at a time, in value and gradient (eq. 1)."""
    first, second, third = toys.comparisons(3)
    second["responses"] += ["violet", "silver fox."]
    second["labels"] = [{"labeler": "labeler_1", "ranks": [1, 2, 2, 3, 5]}]
    chosen = preference_params(pooling=pooling)
    groups = preference_training.encode(tokenizer, [first, second, third], chosen).groups
    loss, gradients, _ = toys.gradients(
        reward_model, preference_training.micro_batch_losses(reward_model, groups, chosen, RUNTIME)
    )
    assert len({len(group.pairs) for group in groups}) > 1

    means = [torch.stack(pair_losses(reward_model, group, pooling)).mean() for group in groups]
    expected = sum(means) / len(means)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    wanted = torch.autograd.grad(expected, list(reward_model.parameters()), allow_unused=True)
    for gradient, one in zip([each for each in wanted if each is not None], gradients, strict=True):
        torch.testing.assert_close(one, gradient, rtol=1e-3, atol=1e-5)


def test_a_reward_model_that_learns_from_every_token(reward_model, tokenizer):
    """With pooling "last" the loss asks the head once an answer, at its EOS, and moves what it says there alone."""
    chosen = preference_params(pooling="last")
    groups = preference_training.encode(tokenizer, toys.comparisons(4), chosen).groups
    heard = []

    def hear(_, inputs, scalars):
        scalars.retain_grad()
        heard.append((inputs[0], scalars))

    reward_model.score.register_forward_hook(hear)
    toys.gradients(reward_model, preference_training.micro_batch_losses(reward_model, groups, chosen, RUNTIME))
    rows = [row for group in groups for row in group.rows]
    assert max(row.num_answer for row in rows) > 2
    states = torch.cat([hidden.flatten(0, -2) for hidden, _ in heard])
    gradients = torch.cat([scalars.grad.flatten() for _, scalars in heard])
    assert int((gradients != 0).sum()) == len(rows)
    ends = [reward_model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0, -1] for row in rows]
    torch.testing.assert_close(states[gradients != 0], torch.stack(ends), rtol=1e-4, atol=1e-4)


def test_the_last_smaller_batch_of_an_epoch(policy, reward_model, tokenizer):
    """Five examples in batches of four: the fifth's update has the loss of the fifth, not a quarter of it."""
    still = {"learning_rate": 1e-12, "schedule": "constant", "warmup_steps": 0}
    chosen = sft_params(epochs=1, batch_size=4, optimisation=still)
    examples = supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=48).examples[:5]
    curve = list(supervised.train(policy, supervised.Data(examples, []), chosen, RUNTIME, seed=1))
    alone = [supervised.validate(policy, [example], chosen, RUNTIME) for example in examples]
    assert len(curve) == 2
    assert min(abs(curve[1]["loss"] - loss) for loss in alone) < 1e-4
    chosen = preference_params(epochs=1, batch_size=4, optimisation=still)
    groups = preference_training.encode(tokenizer, toys.comparisons(5), chosen).groups
    curve = list(preference_training.train(reward_model, groups, chosen, RUNTIME, seed=1))
    alone = [torch.stack(pair_losses(reward_model, group, chosen.pooling)).mean().item() for group in groups]
    assert len(curve) == 2
    assert min(abs(curve[1]["loss"] - loss) for loss in alone) < 1e-4


def test_a_validation_loss_that_depends_on_micro_batches(policy, tokenizer):
    examples = supervised.encode(tokenizer, toys.demonstrations(7), max_tokens=48).examples
    losses = [
        supervised.validate(policy, examples, sft_params(**changes), RUNTIME)
        for changes in ({}, {"micro_batch_rows": 1}, {"micro_batch_rows": 3}, {"packing": True})
    ]
    assert losses == pytest.approx([losses[0]] * 4, rel=1e-6)


# what models are taught and asked


def test_an_eos_that_sft_does_not_teach(tokenizer):
    """Demonstrations end, and a policy fine-tuned on them ends its answers where they do."""
    model = toys.policy(tokenizer)
    examples = supervised.encode(tokenizer, toys.demonstrations(6), max_tokens=48).examples
    chosen = sft_params(epochs=20, optimisation={"learning_rate": 0.01, "schedule": "constant"}, select="last")

    def chances_to_end() -> list[float]:
        """The probability of EOS after each demonstration's last word."""
        rows = [torch.tensor([example.ids[:-1]]) for example in examples]
        with torch.no_grad():
            return [model(input_ids=row).logits[0, -1].softmax(-1)[tokenizer.eos_token_id].item() for row in rows]

    assert all(example.ids[-1] == tokenizer.eos_token_id for example in examples)
    assert max(chances_to_end()) < 0.5
    for _ in supervised.train(model, supervised.Data(examples, []), chosen, RUNTIME, seed=1):
        pass
    assert min(chances_to_end()) > 0.9


@pytest.mark.parametrize("template", [chat.CHAT_TEMPLATE, chat.PLAIN_TEMPLATE])
@pytest.mark.parametrize("response", ["red fox.", " red", "17 people", "北京", "", "two\nlines "])
def test_a_boundary_between_prompt_and_response_that_moves(template, response):
    """SFT, reward model and PPO cut one dialogue into the same tokens at the same place."""
    tokenizer = toys.tokenizer()
    tokenizer.chat_template = template
    record = toys.comparisons(1)[0]
    record["responses"][0] = response
    prompt = ppo.tokenised(tokenizer, [record], params())[0]
    written = chat.response_ids(tokenizer, response)
    in_ppo = rewards.joined(prompt.ids, written, 48)
    in_reward_model = preference_training.encode(tokenizer, [record], preference_params()).groups[0].rows[0]
    _, ids, mask = supervised.encode(tokenizer, [record | {"response": response}], max_tokens=48).examples[0]
    assert in_reward_model == in_ppo
    assert ids == in_ppo.ids
    assert mask == [False] * len(prompt.ids) + [True] * in_ppo.num_answer
    assert written[-1] == tokenizer.eos_token_id


def test_a_reward_model_normalised_in_one_mode_only(tokenizer, tmp_path):
    """Shift and gain are applied to scores and to values, in training mode as in evaluation; dropout never is."""
    judge = toys.reward_model(tokenizer, "gpt2")
    judge.config.update({"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5})
    scored, valued = [], []
    for shift, gain in ((0.0, 1.0), (0.5, 2.0)):
        judge.config.reward_shift, judge.config.reward_gain = shift, gain
        scorer = toys.scorer(tmp_path / str(gain), judge, tokenizer)
        value_model = loading.load_classifier(tmp_path / str(gain), RUNTIME)
        ids = torch.tensor([[20, 21, 22, 23]])
        mask = torch.ones_like(ids, dtype=torch.bool)
        for mode in (False, True):
            scorer.model.train(mode)
            value_model.train(mode)
            scored.append(scorer.score_rows([rewards.Sequence([20, 21, 22], 1)], 1)[0])
            valued.append(experience.values_of(value_model, ids, mask, mask[:, -1:]).item())
    assert scored[0] == scored[1]
    assert scored[2] == scored[3] == pytest.approx((scored[0] - 0.5) * 2, abs=1e-5)
    assert valued == pytest.approx(scored, abs=1e-5)  # before its last token, the value is the score so far


def test_every_test_that_this_file_names_stands_where_it_says():
    named = re.findall(r"(test_\w+)::(test_\w+)", __doc__)
    assert len(named) == len(set(named)) >= 38
    for file, test in named:
        places = [place.read_text(encoding="utf-8") for place in (toys.REPO / "tests").rglob(f"{file}.py")]
        found = {node.name for text in places for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        assert test in found, f"{file}::{test}"
