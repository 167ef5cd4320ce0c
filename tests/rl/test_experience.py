"""What a PPO iteration knows of its episodes."""

import pytest
import torch

from rlhf.models import loading
from rlhf.params.ppo import Ppo
from rlhf.preferences import rewards
from rlhf.rl import experience
from rlhf.rl.experience import Models, Prompt
from rlhf.runtime import parallel
from rlhf.sampling import rollouts
from rlhf.tokens import chat
from tests import toys

RUNTIME = toys.runtime()
TEXTS = ["Say red.", "Who?", "The amber fox sat on the mat.", "blue", "你好", "Say violet. Say silver."]


def params(**changes) -> Ppo:
    return toys.section(Ppo, "ppo", **{"max_completion_tokens": 10, "micro_batch_size": 6, **changes})


def prompts(tokenizer, texts=TEXTS) -> list[Prompt]:
    turns = [[{"role": "user", "content": text}] for text in texts]
    return [Prompt(str(n), messages, chat.prompt_ids(tokenizer, messages), "en") for n, messages in enumerate(turns)]


@pytest.fixture(params=["llama", "gpt2"])
def models(request, tokenizer, tmp_path):
    """Random models; the policy likes to end, so that episodes have different lengths."""
    policy, reward_model = toys.policy(tokenizer, request.param), toys.reward_model(tokenizer, request.param)
    toys.likes_to_end(policy, tokenizer, bias=2.5)
    reward_model.config.reward_shift, reward_model.config.reward_gain = 0.5, 2.0
    scorer = toys.scorer(tmp_path, reward_model, tokenizer)
    value_model = loading.load_classifier(tmp_path, RUNTIME)
    return Models(policy, value_model, toys.policy(tokenizer, request.param, seed=5), scorer, tokenizer)


def gather(models, chosen=None, seed=3) -> experience.Experience:
    return experience.gather(models, prompts(models.tokenizer), chosen or params(), RUNTIME, seed)


def test_each_episodes_numbers_are_those_of_the_episode_alone(models):
    seen = gather(models, params(temperature=0.7))
    assert len(set(seen.mask.sum(dim=1).tolist())) > 2  # episodes must be padded, or this test says nothing
    for row, prompt in enumerate(prompts(models.tokenizer)):
        answer = seen.completions[row][seen.completion_mask[row]].tolist()
        ids, start, stop = torch.tensor([prompt.ids + answer]), len(prompt.ids), len(answer)
        log_p, log_q = (
            (model(input_ids=ids).logits[0, start - 1 : -1] / 0.7).log_softmax(-1)
            for model in (models.policy, models.reference)
        )
        chosen = torch.arange(stop), torch.tensor(answer)
        close = {"rtol": 1e-4, "atol": 1e-4}
        torch.testing.assert_close(seen.logprobs[row, :stop], log_p[chosen], **close)
        torch.testing.assert_close(seen.reference_logprobs[row, :stop], log_q[chosen], **close)
        torch.testing.assert_close(seen.entropies[row, :stop], -(log_p.exp() * log_p).sum(-1), **close)
        torch.testing.assert_close(seen.kls[row, :stop], (log_p.exp() * (log_p - log_q)).sum(-1), **close)
        hidden = models.value_model.base_model(input_ids=ids).last_hidden_state
        values = (models.value_model.score(hidden)[0, start - 1 : -1, 0] - 0.5) * 2  # in the scores' unit
        torch.testing.assert_close(seen.values[row, :stop], values, **close)
        ended = answer[-1] == models.tokenizer.eos_token_id
        assert seen.ended[row] == ended
        expected = (
            models.scorer.score_rows([rewards.Sequence(prompt.ids + answer, len(answer))], 1)[0]
            if ended
            else params().missing_eos_score
        )
        assert seen.scores[row].item() == pytest.approx(expected, abs=1e-4)


def test_ids_are_prompts_and_completions_around_one_column(models):
    seen = gather(models)
    width = seen.completions.shape[1]
    assert torch.equal(seen.ids[:, -width:], seen.completions)
    assert torch.equal(seen.mask[:, -width:], seen.completion_mask)
    for row, prompt in enumerate(prompts(models.tokenizer)):
        assert seen.ids[row, :-width][seen.mask[row, :-width]].tolist() == prompt.ids
        assert seen.mask[row, -width - 1]  # the last prompt token touches the first of the completion
    assert seen.completion_mask.sum(dim=1).max() == width


def test_micro_batches_change_nothing(models):
    whole = gather(models)
    for size in (1, 4):
        for tensor, other in zip(whole, gather(models, params(micro_batch_size=size)), strict=True):
            torch.testing.assert_close(other, tensor, rtol=1e-4, atol=1e-5)


def test_an_answer_that_did_not_end_gets_the_agreed_score(models):
    seen = gather(models, params(missing_eos_score=-7.5))
    assert seen.ended.any()
    assert not seen.ended.all()
    assert (seen.scores[~seen.ended] == -7.5).all()
    assert (seen.scores[seen.ended] != -7.5).all()


def test_the_same_prompt_twice_in_a_batch_is_answered_twice(models):
    twice = [prompts(models.tokenizer)[0]] * 2
    seen = experience.gather(models, twice, params(), RUNTIME, seed=3)
    assert seen.completions[0].tolist() != seen.completions[1].tolist()


def test_the_iterations_seed_decides_the_episodes(models):
    assert torch.equal(gather(models).ids, gather(models).ids)
    first, other = gather(models).completions, gather(models, seed=4).completions
    assert first.shape != other.shape or not torch.equal(first, other)


def test_a_reward_model_with_another_tokenizer_reads_the_text(models, tokenizer, tmp_path):
    other = toys.tokenizer()
    other.add_tokens(["zebra"])
    model = toys.reward_model(other)
    bridged = models._replace(scorer=toys.scorer(tmp_path / "other", model, other))
    seen = gather(bridged)
    answers = [row[mask].tolist() for row, mask in zip(seen.completions, seen.completion_mask, strict=True)]
    texts = [chat.response_text(tokenizer, answer) for answer in answers]
    expected = bridged.scorer.score_texts([prompt.messages for prompt in prompts(tokenizer)], texts)
    ended = seen.ended.tolist()
    assert [s for s, e in zip(seen.scores.tolist(), ended, strict=True) if e] == pytest.approx(
        [s for s, e in zip(expected, ended, strict=True) if e], abs=1e-4
    )


def test_no_column_of_padding_alone_is_computed(tokenizer, tmp_path):
    """Workers share a batch by length: a part's prompts are cut to the longest of its own. The library's forward pass
    shows what it is given."""
    parallel.set_workers(2)
    policy = toys.policy(tokenizer, "gpt2", activation_function="relu")
    scorer = toys.scorer(tmp_path, toys.reward_model(tokenizer, "gpt2"), tokenizer)
    models = Models(policy, loading.load_classifier(tmp_path, RUNTIME), policy, scorer, tokenizer)
    masks = []
    policy.register_forward_pre_hook(lambda _, __, given: masks.append(given["attention_mask"]), with_kwargs=True)
    gather(models)
    widths = {mask.shape[1] for mask in masks if mask.shape[1] <= max(len(p.ids) for p in prompts(tokenizer))}
    assert len(widths) > 1  # parts differ, or this test says nothing
    assert all(mask.bool().any(dim=0).all() for mask in masks)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_rollout_and_training_forward_are_one_policy(models, temperature):
    """The sampling loop uses a cache and a shrinking batch, training whole forward passes: each sampled token stands at
    its draw's quantile of the distribution that transformers' forward pass gives, and its share is recorded."""
    seen = gather(models, params(temperature=temperature))
    rows = prompts(models.tokenizer)
    draws = rollouts.uniforms(3, [f"{row}/{prompt.id}" for row, prompt in enumerate(rows)], 10)
    for row, prompt in enumerate(rows):
        answer = seen.completions[row][seen.completion_mask[row]]
        ids, own = torch.tensor([prompt.ids + answer.tolist()]), draws[row, : len(answer)]
        logits = models.policy(input_ids=ids).logits[0, len(prompt.ids) - 1 : -1].double()
        shares = (logits / temperature).softmax(-1)
        above = shares.cumsum(-1).gather(-1, answer[:, None]).squeeze(-1)
        share = shares.gather(-1, answer[:, None]).squeeze(-1)
        assert (above - share < own + 1e-4).all()
        assert (own < above + 1e-4).all()
        torch.testing.assert_close(seen.logprobs[row, : len(answer)].double(), share.log(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1, 3, 4, 16])
def test_windows_hold_each_row_once_and_every_real_token_of_it(size):
    lengths = [(3, 2), (1, 5), (4, 1), (2, 2), (4, 4), (1, 1)]  # prompt and completion tokens of each row
    mask, completion_mask = torch.zeros(6, 9, dtype=torch.bool), torch.zeros(6, 5, dtype=torch.bool)
    for row, (before, after) in enumerate(lengths):
        mask[row, 4 - before : 4 + after], completion_mask[row, :after] = True, True
    rows = torch.tensor([5, 0, 1, 2, 4])
    cut = list(experience.windows(mask, completion_mask, rows, size))
    assert sorted(row for window in cut for row in window.rows.tolist()) == [0, 1, 2, 4, 5]
    assert max(len(window.rows) for window in cut) <= size
    for window in cut:
        assert mask[window.rows, window.columns].sum() == mask[window.rows].sum()
        assert completion_mask[window.rows, : window.width].sum() == completion_mask[window.rows].sum()
        seen = mask[window.rows, window.columns][:, -window.width :]
        assert torch.equal(seen, completion_mask[window.rows, : window.width])
    if size == 1:
        assert all(mask[window.rows, window.columns].all() for window in cut)  # alone, a row has no padding
