"""Where an answer begins and ends is the template's, whatever the tokenizer calls EOS: training, sampling and rendering
agree for the forms that families of models use.
"""

import pytest
from tokenizers import normalizers

from rlhf.models import loading
from rlhf.tokens import chat, turns
from tests.tokens.test_markers import CHATML, NO_SYSTEM, byte_level, sentence_piece

DIALOGUE = [
    {"role": "user", "content": "Say red."},
    {"role": "assistant", "content": "red fox."},
    {"role": "user", "content": "Say blue."},
]
PLAIN = (
    "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + ' </s>' }}"
)
PLAIN += "{% endfor %}"
THINKS = CHATML.replace(
    "<|im_start|>{{ message['role'] }}\n",
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message.role == 'assistant' and loop.last %}<think>\n\n</think>\n\n{% endif %}",
)
NEXT_TURN_ENDS = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_GENERATION_PROMPT = CHATML.partition("{% if add_generation_prompt")[0]
MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|user|>", "<|assistant|>"]


def chatml(template: str, eos: str = "<|endoftext|>"):
    return byte_level(MARKS, template, eos_token=eos, pad_token="<|user|>")


TEMPLATES = {  # what it is like, the tokenizer, what stands before the answer, it and its end, all that is learned
    "turns end by another token than texts": (
        lambda: chatml(CHATML), "<|im_start|>assistant\n", "blue<|im_end|>", "red fox.<|im_end|>blue<|im_end|>",
    ),
    "EOS ends turns": (
        lambda: chatml(CHATML, "<|im_end|>"), "<|im_start|>assistant\n", "blue<|im_end|>",
        "red fox.<|im_end|>blue<|im_end|>",
    ),
    "a block of thoughts before the last answer": (
        lambda: chatml(THINKS), "<|im_start|>assistant\n<think>\n\n</think>\n\n", "blue<|im_end|>",
        "red fox.<|im_end|>blue<|im_end|>",
    ),
    "the next turn's marker ends one": (
        lambda: chatml(NEXT_TURN_ENDS), "<|assistant|>\n", "blue<|user|>", "red fox.<|user|>blue<|user|>",
    ),
    "no generation prompt": (
        lambda: chatml(NO_GENERATION_PROMPT), "<|im_start|>assistant\n", "blue<|im_end|>",
        "red fox.<|im_end|>blue<|im_end|>",
    ),
    "spaces around answers": (
        lambda: byte_level(["<s>", "</s>"], PLAIN, bos_token="<s>", eos_token="</s>"), "[/INST]", " blue </s>",
        " red fox. </s> blue </s>",
    ),
    "sentence piece": (
        lambda: sentence_piece(CHATML.replace("<|im_end|>", "</s>")), "assistant\n", "blue</s>", "red fox.</s>blue</s>",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(TEMPLATES))
def test_an_answer_begins_and_ends_where_the_template_says_in_training_and_in_sampling(kind):
    make, before, answer, learned = TEMPLATES[kind]
    tokenizer = make()
    prompt = chat.prompt_ids(tokenizer, DIALOGUE)
    assert tokenizer.decode(prompt).endswith(before)
    assert tokenizer.decode(chat.response_ids(tokenizer, "blue")) == answer
    whole = chat.dialogue_ids(tokenizer, DIALOGUE, "blue")
    assert whole.ids == prompt + chat.response_ids(tokenizer, "blue")
    own = [token for token, is_own in zip(whole.ids, whole.assistant_mask, strict=True) if is_own]
    assert (tokenizer.decode(own), whole.unlearned) == (learned, 0)
    rendered = tokenizer.apply_chat_template([*DIALOGUE, {"role": "assistant", "content": "blue"}], tokenize=False)
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    assert ids[: len(whole.ids) - 1] == whole.ids[:-1], "the ids are those of the template's own text"


@pytest.mark.parametrize("kind", list(TEMPLATES))
def test_an_answer_ends_at_its_turns_end_at_the_tokenizers_and_at_the_models_own_tokens(kind):
    make, _, answer, _ = TEMPLATES[kind]
    tokenizer = make()

    class Settings:
        eos_token_id = [7, tokenizer.eos_token_id]

    end = tokenizer(answer, add_special_tokens=False)["input_ids"][-1]
    assert set(turns.end_ids(tokenizer, Settings)) == {end, tokenizer.eos_token_id, 7}
    assert turns.end_ids(tokenizer)[0] == end


def test_a_turn_that_a_template_rewrites_is_counted():
    tokenizer = chatml(CHATML.replace("| trim", "| replace('fox', 'cat')"))
    whole = chat.dialogue_ids(tokenizer, DIALOGUE, "blue")
    own = [token for token, is_own in zip(whole.ids, whole.assistant_mask, strict=True) if is_own]
    assert (tokenizer.decode(own), whole.unlearned) == ("blue<|im_end|>", 1)


def test_a_template_that_writes_the_date_writes_one_that_stays(tmp_path):
    tokenizer = chatml("{{ strftime_now('%d %b %Y') }}\n" + CHATML)
    told = list(turns.settle(tokenizer, None, None))
    assert tokenizer.decode(chat.prompt_ids(tokenizer, DIALOGUE)).startswith("01 Jan 2026\n")
    assert told == ["the chat template writes today's date: it is always 2026-01-01 (pretrain.template_date)"]
    tokenizer.save_pretrained(tmp_path)
    again = loading.read_tokenizer(tmp_path)
    assert chat.prompt_ids(again, DIALOGUE) == chat.prompt_ids(tokenizer, DIALOGUE)


@pytest.mark.parametrize(
    ("way", "written"),
    [("merge", "<turn>user\nBe brief.\n\nSay red.</s>"), ("leave_out", "<turn>user\nSay red.</s>")],
)
def test_system_turns_that_a_template_refuses_are_merged_or_left_out_where_a_param_says_so(way, written):
    asked = [{"role": "system", "content": "Be brief."}, *DIALOGUE[:1]]
    tokenizer = byte_level(["<s>", "</s>"], NO_SYSTEM, ("<turn>",), bos_token="<s>", eos_token="</s>")
    with pytest.raises(ValueError, match="no system turns"):
        chat.prompt_ids(tokenizer, asked)
    (told,) = turns.settle(tokenizer, None, way)
    assert told.startswith("the chat template refuses system turns: they are ")
    assert tokenizer.decode(chat.prompt_ids(tokenizer, asked)) == f"<s>{written}<turn>assistant\n"
    assert list(turns.settle(chatml(CHATML), None, way)) == [], "a template that takes them keeps them"


def test_a_tokenizer_that_takes_its_templates_markers_apart_is_refused():
    tokenizer = chatml(CHATML.replace("<|im_end|>", "<|turn_end|>"))
    with pytest.raises(ValueError, match=r"writes '<\|turn_end\|>', which the tokenizer takes apart"):
        chat.check(tokenizer)


def test_a_tokenizer_whose_texts_do_not_come_back_is_refused():
    tokenizer = sentence_piece(CHATML.replace("<|im_end|>", "</s>"))
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("red", "blue")
    with pytest.raises(ValueError, match=r"'Say red\.' comes back from its tokens as"):
        chat.check(tokenizer)
