"""What is done to a text takes time that grows as the text does, whatever the text; and gives what it gave before.

Families of harmless text, each the worst that was found for one rule. Where steps cannot be counted, a bound on
processor time stands that lies ten times above what is needed and ten times below what a quadratic rule took.
"""

import re
import time
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rlhf.collection import cleaning, dialogues, documents
from rlhf.collection.dropped import Dropped
from rlhf.collection.duplicates import folding
from rlhf.collection.languages import detection
from rlhf.collection.personal_data import finding
from rlhf.params.collect_prompts import Documents, Limits, NearDuplicates
from rlhf.records.records import ranks_of
from tests.collect_prompts_section import section, source, typed
from tests.near import near_texts

LENGTH = 30_000  # characters
SECONDS = 0.5


def filled(unit):
    return (unit * (LENGTH // len(unit) + 1))[:LENGTH]


FAMILIES = {
    "words": filled("the fox sat on "),
    "one word": filled("a"),
    "one word and an at sign": "@ " + filled("a"),
    "one word after an at sign": "x@" + filled("a"),
    "at signs": filled("@"),
    "names and at signs": filled("a@"),
    "names and dots": filled("a."),
    "names and hyphens": "@" + filled("a-"),
    "digits": filled("1"),
    "digits apart": filled("1 "),
    "a digit and spaces": "@1" + filled(" "),
    "plus signs": filled("+1"),
    "numbers with plus signs": filled("+12345678901234"),
    "groups with plus signs": filled("+123 45 67 89 12 x"),
    "groups in brackets": filled("+1(23)(45)(67)(89)(1"),
    "numbers like phones": filled("415-555-012 "),
    "numbers like mobile phones": filled("+86 138-1234-567 "),
    "numbers like cards": filled("4111 1111 1111 1112 "),
    "numbers like ids": filled("078-05-112 "),
    "numbers like addresses": filled("999.1.1.1 "),
    "numbers like addresses of six": filled("2a02:1:"),
    "colons": filled("2001:"),
    "numbers like hardware": filled("7c:8b:ca:49:d2:"),
    "numbers like accounts": filled("GB00 ABCD 1234 "),
    "capitals like accounts": filled("DE00 ") + filled("AAAA "),
    "numbers like insurance": filled("JG 10 37 59 "),
    "numbers in groups": filled("1 2-3.4/5 (6)"),
    "numbers behind words": filled("call me at 1 "),
    "words without numbers": filled("phone number is "),
    "digits behind words": "my number is " + filled("1-"),
    "zeros": filled("00"),
    "numbers of many lines": filled("call 415 555 267\n"),
    "at in brackets": filled("a(at)"),
    "at and dots in brackets": filled("a (at) b (dot) "),
    "at and dots in words": filled("a.b at b dot "),
    "at in brackets and one word": "(at)" + filled("a"),
    "names and percent signs": filled("%@%"),
    "addresses of the web": filled("http://a.b/"),
    "an address of the web and numbers": filled("www.a 4155552671 "),
    "keys": filled("sk-"),
    "a key": "sk-1" + filled("a"),
    "a key without digits": filled("sk-aaaaaaaaaa-"),
    "tokens": filled("eyJaaaaaaaa."),
    "a token": "1 eyJ" + filled("a"),
    "private keys": filled("-----BEGIN PRIVATE KEY-----"),
    "private keys of a kind": filled("-----BEGIN A A A "),
    "a private key": "-----BEGIN PRIVATE KEY-----" + filled("a"),
    "handles": filled("my twitter @ab"),
    "words before handles": filled("my instagram my telegram "),
    "accounts": filled("我的微信"),
    "birthdays": filled("my birthday is "),
    "birthdays in Chinese": filled("1我是"),
    "dates of birth": filled("dob 1-1-"),
    "homes": filled("1 I live at 1 oak tree "),
    "a home": "I live at 1 " + filled("oak "),
    "homes in Chinese": filled("1我家住"),
    "a home in Chinese": "1我家住" + filled("路一"),
    "homes and roads in Chinese": filled("1我家住路街1"),
    "quotation marks": filled("「"),
    "kana behind quotation marks": "の" + filled("“"),
    "kana": filled("の"),
    "hangul": filled("가 "),
    "full-width digits": filled("１"),
    "apostrophes": filled("a'"),
    "a word and apostrophes": "a" + filled("'"),
    "Han": filled("好"),
    "Han and Latin": filled("好a"),
    "Cyrillic": filled("ж"),
    "marks out of order": "a" + filled("\u0301\u0316"),
    "marks the wrong way round": "a" + "\u0345" * 100 + filled("\u0301") + "\u0316" * LENGTH + "\u0334" * LENGTH,
    "marks that others consist of": "a" + filled("\u0f73"),
    "both": "a" + filled("\u0f73\u0301\u0316"),
    "syllables in parts": filled("\u1100\u1161\u11a8"),
    "letters in parts": filled("e\u0301"),
    "spaces": "x" + filled(" ") + "x",
    "line ends": "x" + filled("\n") + "x",
    "carriage returns": filled("\r"),
    "control characters": filled("\x00"),
    "turns": "Human:" + filled("\n\nHuman:") + "\n\nAssistant: y",
    "line ends in a transcript": "Human: x\n\nAssistant: y" + filled("\n\n") + "z",
    "spaces before a transcript": filled(" ") + "Human: x\n\nAssistant: y",
    "short lines": filled("x\n"),
    "a short line and a long one": "x\n" + filled("y"),
    "sharp s": filled("ß"),
}


@pytest.fixture(scope="module")
def params():
    lengths = {"min": 1, "max": 10**9}
    changes = {"prompt_characters": lengths, "prompt_words": lengths, "response_characters": lengths, "languages": None}
    documents = {"characters": {"min": 1, "max": 100}, "personal_data": list(finding.RULES)}
    return typed(section([source("one", "unread.jsonl")], cleaning=changes, documents=documents)).collect_prompts


def everything(text, params):
    """Do to a text all that is done to one; personal data are looked for by each rule."""
    record = {"kind": "demonstration", "id": "1", "response": "x", "language": None, "user": None}
    prompt, _ = cleaning.clean_record(record | {"messages": dialogues.from_text(text)}, params.cleaning)
    for rule in finding.RULES.values():
        list(rule(text))
    folded = folding.prompt_text(prompt)
    near_texts([folded, f"{folded} x"], params.cleaning.near_duplicates)


@pytest.mark.parametrize("name", FAMILIES)
def test_no_text_is_slow_to_clean(name, params):
    text = FAMILIES[name]
    start = time.process_time()
    for does in (everything, as_document):
        try:
            does(text, params)
        except Dropped:
            continue
    assert time.process_time() - start < SECONDS


def as_document(text, params):
    finding.masked(text, params.documents.personal_data, placeholders=True)
    document = {"kind": "document", "text": cleaning.normal(text, params.cleaning), "source": "one"}
    assert all(documents.pieces(document, params.documents))
    cleaning.clean_document(document, params.cleaning, params.documents)
    detection.language_of(text)


WHOLE_EMAIL = re.compile(r"[a-z0-9.+-]{1,64}@(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}(?![a-z0-9-])")
LIKE_ADDRESSES = st.text("ab1.+-@ ", max_size=20)


@settings(deadline=None, max_examples=300)
@given(text=LIKE_ADDRESSES)
@example(text="a@b.ab1.ab")
def test_an_address_is_found_where_its_whole_pattern_finds_one(text):
    assert bool(finding.find(text, ["email"], placeholders=True)) == bool(WHOLE_EMAIL.search(text))


MARKS = "\u0301\u0316\u0345\u0334\u0f73\u0f75\u0f81\u0344\u0f71\u3099"
RUNS = st.text(MARKS, max_size=6).map(lambda marks: marks * 12)


@settings(deadline=None, max_examples=120)
@given(parts=st.lists(st.sampled_from(["a", "é", "ế", "\u1100\u1161", " ", "。", "\u1f82", ""]) | RUNS, max_size=6))
@example(parts=["a", "\u0301\u0316" * 40, "b"])
def test_long_runs_of_marks_have_unicodes_normal_form(parts):
    text = "".join(parts)
    assert cleaning.nfc(text) == unicodedata.normalize("NFC", text)


def test_all_that_decomposes_into_marks_alone_is_known_and_no_mark_is_a_letter():
    disguised = {}
    for code in (*range(0x80, 0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE0200)):
        character = chr(code)
        classes = [unicodedata.combining(part) for part in unicodedata.normalize("NFD", character)]
        own = unicodedata.combining(character)
        if own:
            assert set(classes) == {own}
            assert cleaning.MANY_MARKS.fullmatch(character * 32)
        elif classes[0]:
            disguised[character] = unicodedata.normalize("NFD", character)
    assert disguised == cleaning.DISGUISED


@settings(deadline=None, max_examples=200)
@given(text=st.text("ab\n 好", max_size=60), span=st.integers(1, 7))
def test_the_language_of_a_long_text_is_counted_in_pieces(text, span):
    whole = detection.script_of(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detection, "SPAN", span)
        assert detection.script_of(text) == whole


def old_pieces(text, limit):
    while len(text) > limit:
        cut = max(text.rfind("\n", 1, limit + 1), 0) or max(text.rfind(" ", 1, limit + 1), 0) or limit
        yield text[:cut].rstrip()
        text = text[cut:].lstrip()
    if text:
        yield text


def pieces(text, limit):
    lengths = Limits(min=1, max=limit)
    params = Documents(
        characters=lengths, personal_data=[], on_personal_data="drop", separator="", validation_share=0.1
    )
    return [piece["text"] for piece in documents.pieces({"kind": "document", "text": text, "source": "one"}, params)]


@settings(deadline=None, max_examples=120)
@given(text=st.text("ab\n \t\u3000", max_size=60), limit=st.integers(1, 20))
def test_pieces_are_those_of_cutting_one_after_another_off(text, limit):
    assert pieces(text, limit) == list(old_pieces(text, limit))


def test_a_document_of_many_pieces_is_cut_in_a_moment():
    start = time.process_time()
    assert len(pieces("x" * 400_000, 2)) == 200_000
    assert time.process_time() - start < 2


def test_many_scores_are_ranked_in_a_moment():
    start = time.process_time()
    assert ranks_of([float(score) for score in range(50_000)]) == list(range(50_000, 0, -1))
    assert time.process_time() - start < 1
    assert ranks_of([2, 3.0, 3, -1]) == [2, 1, 1, 3]


def test_two_prompts_of_many_runs_are_near_or_not():
    """As many runs as a long prompt has are compared at once, not one after another."""
    params = NearDuplicates(threshold=0.9, shingle_words=20)
    first = " ".join(f"w{number}" for number in range(5000))
    assert near_texts([first, first.replace("w4999", "other")], params) == {first.replace("w4999", "other")}
