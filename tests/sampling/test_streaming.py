"""A streamed answer is the answer that sampling gives, and no part of it shows half a character."""

import pytest

from rlhf.sampling import rollouts, streaming
from rlhf.tokens import chat
from tests import toys

DIALOGUES = (
    [{"role": "user", "content": "Say red."}],
    [
        {"role": "user", "content": "Say red."},
        {"role": "assistant", "content": "red"},
        {"role": "user", "content": "北京在中国。"},
    ],
)


def streamed(model, tokenizer, messages, sampling):
    prompt = chat.prompt_ids(tokenizer, messages)
    return [*streaming.stream(model, tokenizer, prompt, "row", sampling)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("messages", DIALOGUES)
def test_its_tokens_and_text_are_those_of_sampling(policy, tokenizer, messages, temperature):
    sampling = rollouts.Sampling(temperature, 24, 5, 1)
    (wanted,) = rollouts.respond(policy, tokenizer, [messages], ["row"], sampling)
    found = streamed(policy, tokenizer, messages, sampling)
    assert found[-1].token_ids == wanted.token_ids
    assert found[-1].text == wanted.text
    assert (found[-1].end == "end") == wanted.ended
    assert [len(one.token_ids) for one in found] == [*range(1, len(found) + 1)]
    assert all(one.end is None for one in found[:-1])


def test_no_part_shows_half_a_character(policy, tokenizer):
    """A random model draws bytes of Chinese characters one by one."""
    found = streamed(policy, tokenizer, DIALOGUES[0], rollouts.Sampling(1.0, 60, 2, 1))
    assert any(streaming.HALF in chat.response_text(tokenizer, one.token_ids)[-1:] for one in found[:-1])
    assert not any(one.text.endswith(streaming.HALF) for one in found[:-1])


def test_a_base_models_answer_ends_with_its_line(tokenizer):
    base = toys.tokenizer()
    base.chat_template = chat.BASE_TEMPLATE
    model = toys.policy(base, "llama")
    for seed in range(40):
        sampling = rollouts.Sampling(1.0, 60, seed, 1)
        (wanted,) = rollouts.respond(model, base, [DIALOGUES[0]], ["row"], sampling)
        found = streamed(model, base, DIALOGUES[0], sampling)
        assert found[-1].text == wanted.text
        if len(found) < len(wanted.token_ids):
            assert found[-1].end == "end"
            return
    pytest.fail("no line ended before its answer did")
