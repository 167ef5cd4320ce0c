"""A trained reward model as a judge of texts."""

import pytest
import torch

from rlhf.models.reward_head import RewardMeaning
from rlhf.preferences import rewards
from rlhf.tokens import batching, chat
from tests import toys

MESSAGES = [[{"role": "user", "content": text}] for text in ("Say red.", "The amber fox sat on the mat.", "Who?")]
RESPONSES = ["red fox.", "amber", "Nobody knows, they said."]


@pytest.fixture
def scorer(reward_model, tokenizer, tmp_path):
    reward_model.config.reward_shift, reward_model.config.reward_gain = 0.25, 3.0
    return toys.scorer(tmp_path, reward_model, tokenizer)


def test_a_score_is_the_heads_output_shifted_and_scaled(scorer, tokenizer):
    scores = scorer.score_texts(MESSAGES, RESPONSES)
    for messages, response, score in zip(MESSAGES, RESPONSES, scores, strict=True):
        ids = chat.prompt_ids(tokenizer, messages) + chat.response_ids(tokenizer, response)
        raw = scorer.model(input_ids=torch.tensor([ids])).logits.item()
        assert score == pytest.approx((raw - 0.25) * 3, abs=1e-4)


def test_the_batch_size_changes_no_score(scorer):
    expected = scorer.score_texts(MESSAGES, RESPONSES)
    for size in (1, 2):
        assert scorer.score_texts(MESSAGES, RESPONSES, batch_size=size) == pytest.approx(expected, abs=1e-4)
    assert scorer.score_texts(MESSAGES[::-1], RESPONSES[::-1]) == pytest.approx(expected[::-1], abs=1e-4)


def test_a_direct_score_passes_through_a_sigmoid_first(scorer):
    scorer.model.config.reward_activation = "sigmoid"
    scored = RewardMeaning.of(scorer.model.config).scores(torch.tensor([0.0, 50.0]))
    assert scored.tolist() == pytest.approx([(0.5 - 0.25) * 3, (1 - 0.25) * 3])


def test_a_long_dialogue_loses_its_oldest_tokens_and_keeps_its_answer(tokenizer):
    whole = rewards.sequence(tokenizer, MESSAGES[1], RESPONSES[0], max_tokens=64)
    answer = chat.response_ids(tokenizer, RESPONSES[0])
    assert whole == (chat.prompt_ids(tokenizer, MESSAGES[1]) + answer, len(answer))
    for most in range(1, len(whole.ids)):
        cut = rewards.sequence(tokenizer, MESSAGES[1], RESPONSES[0], most)
        assert cut == (whole.ids[-most:], min(most, len(answer)))


def test_pooling_takes_the_last_token_or_the_mean_of_the_answers(scorer):
    """The head on hidden states by hand; the prompt's tokens have no say, and padding neither."""
    rows = [rewards.Sequence([20, 21, 22, 23], 2), rewards.Sequence([24, 25, 26], 3)]
    by_hand = []
    for row in rows:
        hidden = scorer.model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0]
        by_hand.append(scorer.model.score(hidden).squeeze(-1)[-row.num_answer :])
    for pooling, expected in (
        ("mean", [values.mean() for values in by_hand]),
        ("last", [values[-1] for values in by_hand]),
    ):
        raw = rewards.raw_scores(scorer.model, rows, RewardMeaning(pooling, 0.0), scorer.runtime)
        torch.testing.assert_close(raw, torch.stack(expected))
        scorer.model.config.reward_pooling = pooling
        known = RewardMeaning.of(scorer.model.config).scores(torch.stack(expected)).tolist()
        assert scorer.score_rows(rows, 2) == pytest.approx(known, abs=1e-4)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_the_likelihood_is_the_answers_mean_by_the_backbones_own_embeddings(scorer, pooling):
    """By hand: hidden states times embeddings; an answer that nothing precedes loses its first token."""
    rows = [rewards.Sequence([20, 21, 22, 23], 2), rewards.Sequence([24, 25, 26], 3)]
    plain, added = (
        rewards.raw_scores(scorer.model, rows, RewardMeaning(pooling, coef), scorer.runtime) for coef in (0.0, 3.0)
    )
    embeddings = scorer.model.get_input_embeddings().weight
    for number, (row, num_known) in enumerate(zip(rows, (2, 2), strict=True)):
        hidden = scorer.model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0]
        log_p = (hidden @ embeddings.T).log_softmax(-1)[:-1].gather(1, torch.tensor(row.ids[1:])[:, None])[:, 0]
        torch.testing.assert_close(added[number], plain[number] + 3 * log_p[-num_known:].mean())


def test_a_backbone_with_untied_embeddings_knows_no_likelihoods(scorer):
    scorer.model.config.tie_word_embeddings = False
    with pytest.raises(ValueError, match="likelihood_coef"):
        rewards.raw_scores(scorer.model, [rewards.Sequence([20, 21], 1)], RewardMeaning("mean", 3.0), scorer.runtime)


GROUPS = [
    [rewards.Sequence([20, 21, 22, 23], 2), rewards.Sequence([20, 21, 24], 1), rewards.Sequence([20, 21, 22, 23], 2)],
    [rewards.Sequence([30, 31, 32, 33, 34, 35], 1), rewards.Sequence([30, 31, 36, 37], 1)],  # part of the prompt alike
    [rewards.Sequence([40, 41], 2), rewards.Sequence([42], 1)],  # nothing alike: cut to their last tokens
]


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("likelihood_coef", [0.0, 3.0])
@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_answers_behind_one_prompt_get_the_scores_and_gradients_of_rows_of_their_own(
    scorer, pooling, likelihood_coef, attention
):
    model = scorer.model
    model.set_attn_implementation(attention)
    rows = [row for group in GROUPS for row in group]
    reading = RewardMeaning(pooling, likelihood_coef)
    weights = torch.arange(1.0, len(rows) + 1)
    results = []
    for scores in (
        rewards.raw_scores(model, rows, reading, scorer.runtime),
        rewards.group_scores(model, GROUPS, reading, scorer.runtime),
    ):
        model.zero_grad()
        (scores * weights).sum().backward()
        results.append((scores, [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]))
    (expected, gradients), (scores, others) = results
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-6)
    assert scores[0].item() == pytest.approx(scores[2].item(), abs=1e-6), (
        "equal answers, however many stand before them"
    )
    for other, gradient in zip(others, gradients, strict=True):
        torch.testing.assert_close(other, gradient, rtol=1e-4, atol=1e-5)


def test_texts_longer_than_the_context_are_scored(scorer):
    scores = scorer.score_texts(MESSAGES[:1] * 2, ["red " * 200, "blue " * 200])
    assert scores[0] != scores[1]


def test_the_prompt_is_read_once():
    forked = batching.fork(GROUPS, 0, "cpu")
    ids, positions, owners = forked.ids.tolist(), forked.position_ids.tolist(), forked.owners.tolist()
    assert ids == [[20, 21, 22, 23, 24, 22, 23, 0], [30, 31, 32, 33, 34, 35, 36, 37], [40, 41, 42, 0, 0, 0, 0, 0]]
    assert positions == [[0, 1, 2, 3, 2, 2, 3, 0], [0, 1, 2, 3, 4, 5, 2, 3], [0, 1, 0, 0, 0, 0, 0, 0]]
    assert owners == [[-1, -1, 0, 0, 1, 2, 2, -1], [-1, -1, -1, -1, -1, 3, -1, 4], [5, 5, 6, -1, -1, -1, -1, -1]]


def test_tokenizers_are_the_same_if_vocabulary_and_template_are(tokenizer):
    assert rewards.same_tokens(tokenizer, toys.tokenizer())
    other = toys.tokenizer()
    other.chat_template = chat.BASE_TEMPLATE
    assert not rewards.same_tokens(tokenizer, other)
    other = toys.tokenizer()
    other.add_tokens(["zebra"])
    assert not rewards.same_tokens(tokenizer, other)
