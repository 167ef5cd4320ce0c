"""Sampling: one policy, whoever else is in the batch."""

import pytest
import torch

from rlhf.engine import lean
from rlhf.models import decoding
from rlhf.sampling import rollouts
from rlhf.tokens import batching, chat
from tests import toys

TEXTS = ["Say red.", "Who?", "The amber fox sat on the mat. Say amber.", "blue", "你好", "Say violet. Say silver."]
LIMIT = 12


@pytest.fixture(params=["lean", "library"])
def model(request, policy, tokenizer, monkeypatch):
    """A policy that likes to end, so that answers end at different times; read by our own forward pass or theirs."""
    if request.param == "library":
        monkeypatch.setattr(lean, "supports", lambda model: False)
    return toys.likes_to_end(policy, tokenizer, bias=2.5)


def answers(model, tokenizer, texts, *, batch_size=6, temperature=1.0, seed=3, row_ids=None):
    dialogues = [[{"role": "user", "content": text}] for text in texts]
    sampling = rollouts.Sampling(temperature, LIMIT, seed, batch_size)
    return rollouts.respond(model, tokenizer, dialogues, row_ids or texts, sampling)


@pytest.fixture
def rows_read(monkeypatch):
    """A list that fills with how many rows each forward pass has: of prompts first, then of single tokens."""
    read: list[int] = []
    made = decoding.decoder

    def counted(method):
        def count(ids, *more):
            read.append(len(ids))
            return method(ids, *more)

        return count

    def watched(*arguments):
        reader = made(*arguments)
        for name in ("read", "step"):
            monkeypatch.setattr(reader, name, counted(getattr(reader, name)))
        return reader

    monkeypatch.setattr(decoding, "decoder", watched)
    return read


@torch.no_grad()
def written_alone(model, tokenizer, text: str, temperature: float, draws: torch.Tensor) -> list[int]:
    """One answer by whole forward passes without a cache, padding or batch; a draw picks the token at its quantile."""
    ids = chat.prompt_ids(tokenizer, [{"role": "user", "content": text}])
    written: list[int] = []
    for draw in draws.tolist():
        logits = model(input_ids=torch.tensor([ids + written])).logits[0, -1].double()
        if temperature == 0:
            token = logits.argmax().item()
        else:
            probabilities = (logits / temperature).softmax(-1)
            below = token = 0
            while below + probabilities[token] <= draw:
                below += probabilities[token]
                token += 1
        written.append(token)
        if token == tokenizer.eos_token_id:
            break
    return written


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_the_loop_writes_what_whole_forward_passes_write(model, tokenizer, temperature):
    draws = rollouts.uniforms(3, TEXTS, LIMIT)
    sampled = answers(model, tokenizer, TEXTS, temperature=temperature)
    for text, answer, own in zip(TEXTS, sampled, draws, strict=True):
        assert answer.token_ids == written_alone(model, tokenizer, text, temperature, own)
    if temperature == 1:  # the toy answers must end at different times, or this test says nothing of leaving rows
        assert len({len(answer.token_ids) for answer in sampled}) >= 4


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_an_answer_depends_neither_on_its_batch_nor_on_its_place(model, tokenizer, temperature):
    expected = dict(zip(TEXTS, answers(model, tokenizer, TEXTS, temperature=temperature), strict=True))
    for texts, size in ((TEXTS[::-1], 6), (TEXTS, 1), (TEXTS, 4), (TEXTS[2:4], 2)):
        for text, answer in zip(
            texts, answers(model, tokenizer, texts, batch_size=size, temperature=temperature), strict=True
        ):
            assert answer == expected[text]


def test_a_prompt_is_read_once_however_many_answers_it_gets(model, tokenizer, rows_read):
    texts = [text for text in TEXTS for _ in range(3)] + TEXTS[:2]
    row_ids = [str(number) for number in range(len(texts))]
    together = answers(model, tokenizer, texts, row_ids=row_ids, batch_size=len(texts))
    assert rows_read[:2] == [len(TEXTS), len(texts)]
    alone = [answers(model, tokenizer, [text], row_ids=[row]) for text, row in zip(texts, row_ids, strict=True)]
    assert [[answer] for answer in together] == alone


def test_ended_rows_leave_the_batch_before_a_quarter_of_it_has_ended(model, tokenizer, rows_read):
    written = answers(model, tokenizer, TEXTS * 6, row_ids=[str(n) for n in range(36)], batch_size=36)
    for step, rows in enumerate(rows_read[1:], 1):
        going = sum(len(answer.token_ids) > step for answer in written)
        assert (1 - rollouts.COMPUTED_IN_VAIN) * rows < going <= rows
    assert len(set(rows_read[1:])) > 1  # some left


def test_another_seed_or_row_draws_another_answer(model, tokenizer):
    same = ["Say red."] * 4
    drawn = answers(model, tokenizer, same, row_ids=["a", "b", "c", "d"])
    assert len({tuple(answer.token_ids) for answer in drawn}) > 1
    assert answers(model, tokenizer, same, row_ids=["a", "b", "c", "d"]) == drawn
    assert answers(model, tokenizer, same, row_ids=["a", "b", "c", "d"], seed=4) != drawn


def test_an_answer_ends_with_eos_or_at_the_limit(model, tokenizer):
    for answer in answers(model, tokenizer, TEXTS * 4, row_ids=[str(n) for n in range(24)]):
        assert answer.token_ids.count(tokenizer.eos_token_id) == answer.ended
        if answer.ended:
            assert answer.token_ids[-1] == tokenizer.eos_token_id
        else:
            assert len(answer.token_ids) == LIMIT
        assert answer.text == tokenizer.decode(answer.token_ids, skip_special_tokens=True).strip()


def test_after_the_end_there_is_only_padding(model, tokenizer):
    prompts = batching.pad([chat.prompt_ids(tokenizer, [{"role": "user", "content": t}]) for t in TEXTS], 0, "left")
    draws = rollouts.uniforms(3, TEXTS, LIMIT)
    ids, mask = rollouts.complete(
        model, prompts, draws, 1.0, rollouts.Ends((tokenizer.eos_token_id,), tokenizer.pad_token_id)
    )
    assert ids.shape == mask.shape == (6, LIMIT)
    assert (ids[~mask] == tokenizer.pad_token_id).all()
    assert (mask.long().diff(dim=1) <= 0).all()  # once False, False for ever


def test_ids_without_a_token_are_never_sampled(model, tokenizer):
    """An adopted model's embeddings have more rows than its tokenizer has tokens."""
    prompt = chat.prompt_ids(tokenizer, [{"role": "user", "content": "Say red."}])
    prompts, owners = batching.pad([prompt], 0, "left"), torch.zeros(400, dtype=torch.long)
    draws = rollouts.uniforms(5, [str(n) for n in range(400)], 3)
    known = len(tokenizer) - 100
    ends = rollouts.Ends((tokenizer.eos_token_id,), tokenizer.pad_token_id, known)
    beyond, within = (
        rollouts.complete(model, prompts, draws, 2.0, chosen, owners)
        for chosen in (ends._replace(num_tokens=None), ends)
    )
    assert int(beyond.ids.max()) >= known
    assert int(within.ids.max()) < known


def test_sampled_frequencies_are_the_softmax(model, tokenizer):
    count = 4000
    prompt = chat.prompt_ids(tokenizer, [{"role": "user", "content": "Say red."}])
    with torch.no_grad():
        expected = (model(input_ids=torch.tensor([prompt])).logits[0, -1] / 0.8).softmax(-1)
    prompts, owners = batching.pad([prompt], 0, "left"), torch.zeros(count, dtype=torch.long)
    draws = rollouts.uniforms(11, [str(n) for n in range(count)], 1)
    ids, _ = rollouts.complete(
        model, prompts, draws, 0.8, rollouts.Ends((tokenizer.eos_token_id,), tokenizer.pad_token_id), owners
    )
    share = torch.bincount(ids[:, 0], minlength=len(expected)) / count
    five_errors = 5 * (expected * (1 - expected) / count).sqrt() + 1 / count
    assert ((share - expected).abs() < five_errors).all()
    assert (expected > 0.05).sum() >= 3  # the toy policy must have something to choose from


@pytest.mark.parametrize(("draw", "token"), [(0.0, 1), (0.2499, 1), (0.2501, 3), (1 - 2**-53, 3)])
def test_no_draw_picks_a_token_without_probability(draw, token):
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf, 1.0986123, -torch.inf]])
    assert rollouts.choose(logits, torch.tensor([draw], dtype=torch.float64), 1.0).item() == token
