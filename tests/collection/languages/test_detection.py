"""Languages: right answers for lines of a known one, and what is never done for them."""

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.collection.languages import detection
from rlhf.collection.languages.detection import language_of
from rlhf.collection.languages.names import code_of
from rlhf.params.collect_prompts import ISO_639_1

HERE = Path(__file__).parent
LINES = [json.loads(line) for name in ("development", "held_out") for line in (HERE / f"{name}.jsonl").open()]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Quelle est la différence entre un fleuve et une rivière ?", "fr"),
        ("Jak se správně starat o kaktus v zimě?", "cs"),
        ("Расскажи мне сказку о лисе и медведе.", "ru"),
        ("أخبرني قصة قصيرة عن القمر والبحر", "ar"),
        ("彼女は毎朝コーヒーを飲む。", "ja"),
        ("“ありがとう”是什么意思？", "zh"),
        ("把“さくら”翻译成中文", "zh"),
        ("How do you say おはよう in English?", "en"),
        ("React에서 state와 props의 차이는 무엇인가요?", "ko"),
        ('Translate "Les enfants jouent avec leurs jouets" into English.', "en"),
        ("def f(x):\n    return x", "en"),
        ("ok", "en"),
        ("2+2?", "und"),
        ("👍 1, 2", "und"),
        ("", "und"),
        ("⠓⠑⠇ ᚠᚢᚦᚨᚱᚲ", "other"),
    ],
)
def test_a_text_is_told_by_script_and_where_that_leaves_several_by_the_model(text, language):
    assert language_of(text) == language


def test_what_the_model_doubts_is_english_in_latin_letters_and_else_other(monkeypatch):
    def answer(code, score):
        monkeypatch.setattr(detection, "_detect", lambda: lambda text: [{"lang": code, "score": score}])
        return language_of("Qwv zxcv bnmk lpoi trewq asdfg"), language_of("жзик лмноп рсту фхцч шщыэ юяаб")

    assert answer("fr", detection.CERTAIN) == ("fr", "fr")
    assert answer("fr", detection.CERTAIN - 0.01) == ("en", "other")
    assert answer("ceb", 0.9) == ("other", "other")  # no ISO 639-1 code


def test_plain_english_and_short_texts_are_not_asked_about(monkeypatch):
    monkeypatch.setattr(detection, "_detect", lambda: pytest.fail("the model is asked"))
    assert [language_of(text) for text in ("What is the capital of the country?", "Paris?", "好", "2+2?")] == [
        "en", "en", "zh", "und",
    ]  # fmt: skip


def test_nothing_is_downloaded_and_nothing_said(monkeypatch, capfd):
    detection._detect.cache_clear()
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection is opened"))
    assert language_of("Wie koche ich Reis, ohne dass er anbrennt?") == "de"
    assert capfd.readouterr() == ("", "")


@settings(deadline=None, max_examples=200)
@given(text=st.text('abé好はか가я1 \n「」"', max_size=40) | st.sampled_from([line["text"] for line in LINES]))
def test_every_answer_is_a_code_that_params_take(text):
    found = language_of(text)
    assert found in ISO_639_1 | {"other", "und"}
    assert (found == "und") == (not any(letter.isalpha() for letter in text))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("German", "de"),
        ("fr", "fr"),
        ("pt-BR", "pt"),
        ("Simplified Chinese", "zh"),
        ("other", "other"),
        ("python", None),
    ],
)
def test_names_of_languages_have_codes(name, code):
    assert code_of(name) == code
