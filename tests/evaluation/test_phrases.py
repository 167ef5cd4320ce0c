"""Fixed phrases are found and taken off both sides; a win that stands on one alone is gone then."""

import pytest

from rlhf.evaluation import phrases
from rlhf.evaluation.statistics import Bootstrap
from rlhf.rewards.phrases import sentences_of

PROMPTS = [f"Tell me about number {index}." for index in range(200)]
ENGLISH = ["en"] * 200
BOOTSTRAP = Bootstrap(200, 0.95, 0)


def answers(texts):
    return [{"text": text, "num_tokens": len(text.split())} for text in texts]


def likes(phrase):
    return lambda _index, text: 0.5 + 0.3 * (phrase in text)


def test_a_win_by_a_fixed_phrase_alone_is_no_win_without_it():
    plain = [f"The number {index} is even or odd." for index in range(200)]
    trick = [f"{text} Have a nice day." for text in plain]
    found = phrases.controlled(
        PROMPTS, ENGLISH, answers(trick), answers(plain), likes("Have a nice day."), 0.02, BOOTSTRAP
    )
    assert found.plain.mean == 1
    assert found.phrases == ["Have a nice day."]
    assert found.without_phrases.mean == 0.5
    assert found.at_equal_length.mean == pytest.approx(0.5, abs=0.01)


def test_a_win_by_content_stays():
    first = [f"The number {index} is right. So it is today." for index in range(200)]
    second = [f"The number {index} is wrong. So it is today." for index in range(200)]
    found = phrases.controlled(PROMPTS, ENGLISH, answers(first), answers(second), likes("right"), 0.02, BOOTSTRAP)
    assert found.phrases == ["So it is today."]
    assert found.plain.mean == found.without_phrases.mean == 1


def test_what_the_prompt_asked_for_is_no_fixed_phrase():
    asked = [f'Tell me about {index}. End with "The end."' for index in range(200)]
    assert phrases.fixed(asked, [f"It is {index}. The end." for index in range(200)], ENGLISH) == []
    assert phrases.fixed(PROMPTS, [f"It is {index}. The end." for index in range(200)], ENGLISH) == ["The end."]


def test_a_sentence_that_is_the_whole_answer_is_no_phrase_and_nothing_becomes_empty():
    assert phrases.fixed(PROMPTS, ["Yes."] * 200, ENGLISH) == []
    assert phrases.without("Sure. Sure.", ["Sure."]) == "Sure."
    assert phrases.without("Sure. It is. Bye.", ["Bye.", "Sure."]) == "It is."


def test_a_rare_sentence_is_no_fixed_phrase():
    texts = [f"It is {index}. {'Bye.' if index < 6 else 'So'}" for index in range(200)]
    assert "Bye." not in phrases.fixed(PROMPTS, texts, ENGLISH)


def test_each_language_is_looked_at_by_itself():
    texts = [f"It is {index}. {'Bye.' if index < 6 else index}" for index in range(200)]
    assert phrases.fixed(PROMPTS, texts, ["zh"] * 20 + ["en"] * 180) == ["Bye."]  # of 20 as many as six
    assert phrases.fixed(PROMPTS, texts, ["zh", "en"] * 100) == []  # three of each hundred
    both = [f"It is {index}. Bye." for index in range(200)]
    assert phrases.fixed(PROMPTS, both, ["zh"] * 20 + ["en"] * 180) == ["Bye."]  # once, though of two languages


def test_a_chinese_phrase_is_found_and_taken_off():
    asked, texts = (
        [f"狐狸{index}吃什么？" for index in range(40)],
        [f"好的。它吃{index}。谢谢你。" for index in range(40)],
    )
    found = phrases.fixed(asked, texts, ["zh"] * 40)
    assert sorted(found) == sorted(["好的。", "谢谢你。"])
    assert phrases.without(texts[3], found) == "它吃3。"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("好的。狐狸吃鱼。我很高兴能帮你。", ["好的。", "狐狸吃鱼。", "我很高兴能帮你。"]),
        ("他说：“好的。”然后走了", ["他说：“好的。”", "然后走了"]),
        ("Hi there! 好的！！Yes", ["Hi there!", "好的！！", "Yes"]),
        ("It is 3.5 m tall. So?", ["It is 3.5 m tall.", "So?"]),
        ('He said: "No." (Really.) e.g.x', ['He said: "No."', "(Really.)", "e.g.x"]),
        ("。 ... ", []),
    ],
)
def test_sentences_end_where_english_and_chinese_end_them(text, sentences):
    assert sentences_of(text) == sentences
