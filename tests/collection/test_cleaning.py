from typing import get_args

import pytest

from rlhf.collection.cleaning import check_words, clean_document, clean_record, words
from rlhf.collection.documents import pieces
from rlhf.collection.dropped import Dropped
from rlhf.collection.languages.detection import language_of
from rlhf.collection.rankings import within
from rlhf.collection.sets.arranging import documents_in_order
from rlhf.params.collect_prompts import Limits, PersonalData
from tests.collect_prompts_section import section, source, typed


def settings(**changes):
    return typed(section([source("one", "unread.jsonl")], **changes)).collect_prompts


def prompt(text, **more):
    kind = "demonstration" if "response" in more else "comparison" if "responses" in more else "prompt"
    messages = [{"role": "user", "content": text}]
    return {"kind": kind, "id": "one-0", "messages": messages, "language": None, "user": None, **more}


def clean(record, **changes):
    return clean_record(record, settings(cleaning=changes).cleaning).record


def reason(record, **changes):
    with pytest.raises(Dropped) as dropped:
        clean(record, **changes)
    return str(dropped.value)


def test_normal_form_is_nfc_with_plain_newlines_and_no_control_characters():
    found = clean(prompt("\ufeff  cafe\u0301\r\nis\x00 \x1bopen\u200b\rnow\tyes \n", response=" o\u0308k "))
    assert found["messages"][0]["content"] == "café\nis open\nnow\tyes"
    assert found["response"] == "ök"
    assert clean(found) == found
    assert clean(prompt("cafe\u0301 is open"), normalise=False)["messages"][0]["content"] == "cafe\u0301 is open"


def test_joiners_that_belong_to_letters_and_emoji_stay():
    family = "What does \U0001f468\u200d\U0001f469\u200d\U0001f467 mean?"
    assert clean(prompt(family))["messages"][0]["content"] == family


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is this?", "en"),
        ("这是什么？", "zh"),
        ("为给定的句子生成一个同义句。\nShe is studying for her final exams.", "zh"),
        ("What does 你好 mean in English, and when is it said to somebody?", "en"),
        ("Что это такое? Расскажи мне об этом.", "ru"),
        ("⠓⠑⠇⠇⠕ ᚠᚢᚦᚨᚱᚲ", "other"),
        ("これはなんですか", "ja"),
        ("2 + 2 = ?", "und"),
        ("好", "zh"),
        ("你好吗 a b c d e f g", "zh"),  # three of ten words
        ("你好吗 a b c d e f g h", "en"),
    ],
)
def test_language_is_told_by_script(text, language):
    assert language_of(text) == language


def test_languages_that_are_not_listed_are_dropped_and_a_declared_language_is_believed():
    assert reason(prompt("ᚠᚢᚦᚨᚱᚲ")) == "language_other"
    assert reason(prompt("Что это такое? Расскажи мне об этом.")) == "language_ru"
    assert reason(prompt("这是什么？"), languages=["en"]) == "language_zh"
    assert clean(prompt("ᚠᚢᚦᚨᚱᚲ"), languages=None)["language"] == "other"
    assert clean(prompt("2 + 2 = ?", language="en"))["language"] == "en"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write to ann.lee+spam@mail.example.org today", "email"),
        ("我的邮箱是lihua@example.cn", "email"),
        ("call 415-555-0123 now", "phone"),
        ("call (415) 555-0123", "phone"),
        ("call +1 415 555 0123", "phone"),
        ("call +44 20 7946 0958", "phone"),
        ("电话13812345678。", "phone"),
        ("call +86 138-1234-5678", "phone"),
        ("座机010-62345678", "phone"),
        ("card 4111 1111 1111 1111", "card"),
        ("card 5500005555555559", "card"),
        ("SSN 078-05-1120", "id_number"),
        ("身份证11010519491231002X", "id_number"),
        ("host 8.8.8.8 is slow", "ip_address"),
    ],
)
def test_personal_data_is_dropped_by_kind_in_prompts_and_in_answers(text, kind):
    assert reason(prompt(text)) == f"personal_data_{kind}"
    assert reason(prompt("Hello there", response=text)) == f"personal_data_{kind}"
    assert reason(prompt("Hello there", responses=["fine", text])) == f"personal_data_{kind}"
    kinds = {*get_args(PersonalData)} - {kind}
    assert clean(prompt(text), personal_data=sorted(kinds))


@pytest.mark.parametrize(
    "text",
    [
        "Natalia sold 48/2 = <<48/2=24>>24 clips, 1234567890 in all",
        "It costs $1,200,000 or 3.14159265358979 times as much",
        "From 1914-1918 and 1939-1945, on 2024-01-02 at 10:30",
        "Version 1.2.3, host 127.0.0.1 or 192.168.0.1, 999.1.1.1 is none",
        "The card 4111 1111 1111 1112 has a wrong check digit",
        "x = 5 + 123456 - 7890 + 12",
        "user at example dot org, @handle",
    ],
)
def test_ordinary_numbers_are_no_personal_data(text):
    assert clean(prompt(text, language="en"))


def test_masked_records_keep_their_rows_with_one_name_for_each_kind_in_prompt_and_answers():
    mail, phone = "ivy@roefamily.net", "(646) 382-9917"
    params = settings(cleaning={"on_personal_data": "mask", "placeholders": False}).cleaning
    record = prompt(f"Mail {mail}", responses=[f"{mail}, {phone}", "fine", "ann@example.com"])
    found, kinds = clean_record(record, params)
    assert found["messages"] == [{"role": "user", "content": "Mail [EMAIL]"}]
    assert found["responses"] == ["[EMAIL], [PHONE]", "fine", "ann@example.com"]
    assert kinds == {"email", "phone"}
    assert clean_record(found, params) == (found, set())
    assert clean(found, placeholders=False) == found  # nothing is left that would drop it
    demonstration, kinds = clean_record(prompt("Hello there", response=phone), params)
    assert (demonstration["response"], kinds) == ("[PHONE]", {"phone"})
    only = {"personal_data": ["phone"], "on_personal_data": "mask"}
    assert clean(prompt(f"{mail} {phone}"), **only)["messages"][0]["content"] == f"{mail} [PHONE]"


def test_limits_hold_for_what_is_written():
    limits = {"prompt_characters": {"min": 1, "max": 8}}
    assert clean(prompt("i@b.se"), on_personal_data="mask", **limits)
    assert reason(prompt("i@b.se !"), on_personal_data="mask", **limits) == "prompt_too_long"
    shorter = {"response_characters": {"min": 1, "max": 7}, "on_personal_data": "mask"}
    assert clean(prompt("Hello", response="ivy@roefamily.net"), **shorter)["response"] == "[EMAIL]"


def test_documents_are_masked_by_a_param_of_their_own():
    kinds = {"personal_data": ["email"], "on_personal_data": "mask"}
    params = settings(documents=kinds)
    document = {"text": "Write to ivy@roefamily.net or call 646-382-9917.", "source": "one"}
    found = clean_document(document, params.cleaning, params.documents)
    assert found.document["text"] == "Write to [EMAIL] or call 646-382-9917."
    assert found.masked == {"email"}
    harmless = {"text": "Write to ann@example.com.", "source": "one"}
    params = settings(documents=kinds, cleaning={"placeholders": False})
    assert clean_document(harmless, params.cleaning, params.documents) == (harmless, set())


def test_lengths_count_all_turns_and_words_count_han_characters():
    assert words("It's 你好, ok") == ["It's", "你", "好", "ok"]
    assert reason(prompt("one two three"), prompt_words={"min": 1, "max": 2}) == "prompt_words_too_long"
    assert reason(prompt("你好吗"), prompt_words={"min": 4, "max": 9}) == "prompt_words_too_short"
    assert reason(prompt("abcd"), prompt_characters={"min": 1, "max": 3}) == "prompt_too_long"
    assert reason(prompt("ab"), prompt_characters={"min": 3, "max": 3}) == "prompt_too_short"
    assert reason(prompt("abc", response="abcd"), response_characters={"min": 1, "max": 3}) == "response_too_long"
    assert clean(prompt("abc", response="abc"), response_characters={"min": 3, "max": 3})


def test_empty_turns_and_answers_are_dropped():
    assert reason(prompt(" \u200b\n")) == "empty_prompt"
    assert reason(prompt("Hello", response=" \x00 ")) == "empty_response"


def comparison(responses, *labels):
    labels = [{"labeler": f"l{n}", "ranks": ranks, "scores": None} for n, ranks in enumerate(labels)]
    return prompt("Hi", responses=responses, labels=labels)


def ranked(record, seed=1, **bounds):
    params = settings(comparisons=bounds, cleaning={"response_characters": {"min": 1, "max": 5}})
    return within(record, params.comparisons, params.cleaning.response_characters, seed)


def test_responses_that_break_limits_or_repeat_leave_the_ranking():
    found = ranked(comparison(["a", "too long", "b", "a", ""], [5, 1, 3, 2, 4], [1, 2, 3, 4, 5]))
    assert found["responses"] == ["a", "b"]
    assert [label["ranks"] for label in found["labels"]] == [[2, 1], [1, 2]]


def test_a_subset_of_many_responses_keeps_their_order_and_preferences():
    record = comparison([str(n) for n in range(22)], list(range(22, 0, -1)))
    record["labels"][0]["scores"] = [float(n) for n in range(22)]
    found = ranked(record, max_responses=4)
    assert found == ranked(record, max_responses=4)
    subsets = [ranked(record, seed=seed, max_responses=4) for seed in range(10)]
    for subset in subsets:
        numbers = [int(response) for response in subset["responses"]]
        assert len(numbers) == 4
        assert numbers == sorted(numbers)
        assert subset["labels"][0]["ranks"] == [4, 3, 2, 1]
        assert subset["labels"][0]["scores"] == numbers
    assert any(subset != found for subset in subsets)
    others = [ranked(record | {"id": f"one-{number}"}, max_responses=4) for number in range(10)]
    assert len({tuple(other["responses"]) for other in others}) > 5  # each record draws for itself


def test_comparisons_that_order_nothing_are_dropped():
    with pytest.raises(Dropped, match="all_responses_tied"):
        ranked(comparison(["a", "b"], [1, 1]))
    assert ranked(comparison(["a", "b"], [1, 1], [1, 2]))
    with pytest.raises(Dropped, match="too_few_responses"):
        ranked(comparison(["same", "same"], [1, 2]))
    with pytest.raises(Dropped, match="too_few_responses"):
        ranked(comparison(["a", "b", "c"], [1, 2, 3]), min_responses=4)


def test_documents_are_cleaned():
    params = settings(documents={"characters": {"min": 5, "max": 1000}, "personal_data": ["email"]})

    def why(text):
        with pytest.raises(Dropped) as dropped:
            clean_document({"text": text, "source": "one"}, params.cleaning, params.documents)
        return str(dropped.value)

    assert [why("abc"), why(" "), why("write to a@b.org"), why("ᚠᚢᚦᚨᚱᚲ")] == [
        "document_too_short",
        "empty_document",
        "personal_data_email",
        "language_other",
    ]


def test_long_documents_are_cut_at_line_ends_without_losing_a_word():
    params = settings(documents={"characters": {"min": 1, "max": 40}}).documents
    text = "\n".join(f"line {number} of the book" for number in range(50)) + " " + "x" * 100
    found = [piece["text"] for piece in pieces({"text": text, "source": "one"}, params)]
    assert all(0 < len(piece) <= 40 for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert found[0] == "line 0 of the book\nline 1 of the book"


@pytest.mark.parametrize(("number", "held_out"), [(1, 0), (2, 1), (5, 1), (200, 20)])
def test_a_share_of_documents_is_held_out_and_both_parts_have_one(number, held_out):
    train, validation = documents_in_order(number, 0.1, 1)
    assert len(validation) == held_out
    assert sorted([*train, *validation]) == [*range(number)]


@pytest.mark.parametrize("text", ["", "...", "one", "one two three", "好的", "好的 three four", "a b c d e f"])
@pytest.mark.parametrize("limits", [(0, 1), (0, 3), (1, 3), (1, 20), (2, 4), (3, 3)])
def test_words_are_counted_only_where_they_could_break_the_limits(text, limits):
    low, high = limits
    count = len(words(text))
    expected = "prompt_words_too_short" if count < low else "prompt_words_too_long" if count > high else None
    try:
        check_words(text, Limits(min=low, max=high))
    except Dropped as dropped:
        assert str(dropped) == expected
    else:
        assert expected is None
