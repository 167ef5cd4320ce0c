"""The trained tokenizer: what goes in comes out, words are single tokens, Chinese characters stand alone."""

import re

import pytest

from rlhf.tokens import chat, tokenizer
from tests import toys


def test_pad_is_not_eos_and_each_marker_is_one_token(tokenizer):
    markers = [chat.PAD, chat.END_OF_TEXT, chat.SYSTEM, chat.USER, chat.ASSISTANT]
    ids = [tokenizer(marker, add_special_tokens=False)["input_ids"] for marker in markers]
    assert all(len(marker) == 1 for marker in ids)
    assert len({marker[0] for marker in ids}) == len(markers)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert (tokenizer.pad_token, tokenizer.eos_token) == (chat.PAD, chat.END_OF_TEXT)


def test_every_word_of_the_training_text_round_trips(tokenizer):
    words = {word for text in toys.TEXTS for word in re.findall(r"\S+", text)}
    for text in (*toys.TEXTS, *(f" {word}" for word in words)):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("text", ["naïve café 🦊", "x²  y\t\n z", "混ぜるABC和123", " don't , stop !"])
def test_text_that_was_never_seen_round_trips_too(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_a_frequent_word_is_one_token_wherever_it_stands(tokenizer):
    for word in toys.WORDS:
        assert len(tokenizer(f" {word}")["input_ids"]) == 1
        assert tokenizer(f" {word}")["input_ids"][0] in tokenizer(f" Say {word}.")["input_ids"]


def test_a_word_that_begins_a_text_is_learned_with_its_space():
    trained = tokenizer.train(["zebra", "zebra runs"] * 20, vocab_size=300, context=64)
    assert len(trained(" zebra")["input_ids"]) == 1


def test_no_token_spans_two_chinese_characters():
    trained = tokenizer.train(["北京在中国"] * 50 + ["北京 red 北京"] * 50, vocab_size=400, context=64)
    assert len(trained("北京")["input_ids"]) == 2  # each is one token, though the two always stand together
    for word, number in trained.get_vocab().items():
        assert len(re.findall(tokenizer.HAN, trained.decode([number]))) <= 1, word


def test_digits_stand_alone():
    trained = tokenizer.train(["in 1979 and 1979"] * 50, vocab_size=400, context=64)
    assert len(trained("1979")["input_ids"]) == 4


def test_the_vocabulary_keeps_to_its_size():
    assert len(tokenizer.train(toys.TEXTS, vocab_size=290, context=64)) == 290


def test_a_saved_tokenizer_is_the_same_one(tokenizer, tmp_path):
    from rlhf.models import loading

    tokenizer.save_pretrained(tmp_path)
    loaded = loading.load_tokenizer(tmp_path)
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.chat_template == tokenizer.chat_template
    assert loaded(" The red 北京.<|assistant|>")["input_ids"] == tokenizer(" The red 北京.<|assistant|>")["input_ids"]
