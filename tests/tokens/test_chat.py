"""From messages to ids, and which tokens an assistant wrote."""

import pytest

from rlhf.tokens import chat
from tests import toys

DIALOGUE = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Say red."},
    {"role": "assistant", "content": "red fox."},
    {"role": "user", "content": "Say blue."},
    {"role": "assistant", "content": "blue"},
    {"role": "user", "content": "Who?"},
]


def text_of(tokenizer, ids: list[int]) -> str:
    return tokenizer.decode(ids)


def masked_in(tokenizer, turns: chat.TokenisedTurns) -> str:
    return text_of(tokenizer, [token for token, own in zip(turns.ids, turns.assistant_mask, strict=True) if own])


def test_a_prompt_ends_where_the_answer_begins(tokenizer):
    text = text_of(tokenizer, chat.prompt_ids(tokenizer, DIALOGUE[:4]))
    assert (
        text
        == "<|system|> Be brief.<|user|> Say red.<|assistant|> red fox.<|endoftext|><|user|> Say blue.<|assistant|>"
    )


def test_an_answer_begins_with_its_space_and_ends_with_eos(tokenizer):
    ids = chat.response_ids(tokenizer, "red fox.")
    assert text_of(tokenizer, ids) == " red fox.<|endoftext|>"
    assert ids.count(tokenizer.eos_token_id) == 1
    assert ids[-1] == tokenizer.eos_token_id


def test_an_answers_text_is_what_was_put_in(tokenizer):
    for response in ("red fox.", "你好", "two\n\nlines", ""):
        assert chat.response_text(tokenizer, chat.response_ids(tokenizer, response)) == response


def test_the_mask_is_true_exactly_on_assistants_words_and_their_eos(tokenizer):
    turns = chat.dialogue_ids(tokenizer, DIALOGUE, "Nobody knows.")
    expected = " red fox.<|endoftext|> blue<|endoftext|> Nobody knows.<|endoftext|>"
    assert masked_in(tokenizer, turns) == expected
    assert turns.ids == chat.prompt_ids(tokenizer, DIALOGUE) + chat.response_ids(tokenizer, "Nobody knows.")
    assert len(turns.ids) == len(turns.assistant_mask)


def test_the_plain_template_teaches_the_same_words():
    plain = toys.tokenizer()
    plain.chat_template = chat.PLAIN_TEMPLATE
    turns = chat.dialogue_ids(plain, DIALOGUE, "Nobody knows.")
    assert masked_in(plain, turns) == " red fox.<|endoftext|> blue<|endoftext|> Nobody knows.<|endoftext|>"
    assert text_of(plain, turns.ids).startswith(
        " Be brief.\nQuestion: Say red.\nAnswer: red fox.<|endoftext|>\nQuestion:"
    )
    assert text_of(plain, turns.ids).endswith("\nQuestion: Who?\nAnswer: Nobody knows.<|endoftext|>")


def test_prompt_and_answer_are_the_same_tokens_in_one_text(tokenizer):
    whole = tokenizer.apply_chat_template(
        [*DIALOGUE, {"role": "assistant", "content": "red"}], tokenize=False, add_generation_prompt=False
    )
    assert tokenizer(whole)["input_ids"] == chat.dialogue_ids(tokenizer, DIALOGUE, "red").ids


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
FORGETFUL = CHATML.replace("{{ message['content'] }}", "{% if loop.last or message['role'] != 'assistant' %}"
                           "{{ message['content'] }}{% else %}(said before){% endif %}")  # fmt: skip


@pytest.fixture
def chatml():
    """A tokenizer with other markers than ours, ChatML's template, and an EOS that ends a turn."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["red fox. Say red.", "blue fox"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<pad>", chat_template=CHATML
    )


def test_a_foreign_template_decides_where_an_answer_begins(chatml):
    turns = chat.dialogue_ids(chatml, DIALOGUE[1:4], "blue fox")
    assert text_of(chatml, turns.ids).endswith("<|im_start|>assistant\nblue fox<|im_end|>")
    assert masked_in(chatml, turns) == "red fox.<|im_end|>blue fox<|im_end|>"


def test_a_turn_that_the_template_rewrites_is_not_learned(chatml):
    chatml.chat_template = FORGETFUL
    turns = chat.dialogue_ids(chatml, DIALOGUE[1:4], "blue fox")
    assert "(said before)" in text_of(chatml, turns.ids)
    assert masked_in(chatml, turns) == "blue fox<|im_end|>"


def test_an_adopted_model_without_a_template_gets_ours_with_its_own_eos(chatml):
    chatml.add_special_tokens({"additional_special_tokens": [chat.SYSTEM, chat.USER, chat.ASSISTANT]})
    chatml.chat_template = chat.adopted_template(chatml.eos_token)
    turns = chat.dialogue_ids(chatml, DIALOGUE[1:4], "blue fox")
    assert text_of(chatml, turns.ids) == (
        "<|user|> Say red.<|assistant|> red fox.<|im_end|><|user|> Say blue.<|assistant|> blue fox<|im_end|>"
    )
    assert masked_in(chatml, turns) == " red fox.<|im_end|> blue fox<|im_end|>"


def test_a_base_model_reads_plain_text(tokenizer, chatml):
    chatml.chat_template = chat.BASE_TEMPLATE
    text = text_of(chatml, chat.prompt_ids(chatml, DIALOGUE[1:4]))
    assert text == " Question: Say red.\nAnswer: red fox.\nQuestion: Say blue.\nAnswer:"
    assert text_of(chatml, chat.response_ids(chatml, "blue")) == " blue<|im_end|>"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('no system\n turns') }}", "no system turns"),
        ("{% for %}", "Expected"),
        ("{{ messages[99].content }}", "no element 99"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 1 + 'a' }}", "unsupported operand"),
        ("{{ messages[0].content.nothing() }}", "no attribute"),
    ],
)
def test_a_template_that_refuses_a_dialogue_is_an_error_that_names_its_turns(chatml, template, said):
    chatml.chat_template = template
    chatml.add_tokens(["<|other|>"])
    with pytest.raises(
        ValueError, match=f"^the model's chat template .* turns system, user, assistant, user: .*{said}"
    ):
        chat.prompt_ids(chatml, DIALOGUE[:4])
