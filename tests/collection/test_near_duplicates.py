"""Near duplicates: all pairs at the threshold are found, in work that grows as the prompts do."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.collection.cleaning import words
from rlhf.collection.duplicates import near, shingles
from rlhf.params.collect_prompts import NearDuplicates
from tests.near import HeldRuns, near_texts

NEAR = NearDuplicates(threshold=0.9, shingle_words=3)
SYSTEM = " ".join(f"rule{number}" for number in range(300))


def under_a_system_prompt(count, words=25):
    return [f"{SYSTEM} " + " ".join(f"p{number}w{word}" for word in range(words)) for number in range(count)]


def runs_of(text, size):
    """Return the runs of the words of a text without symbols, one after another."""
    found = words(text) or [text]
    return {tuple(found[start : start + size]) for start in range(max(1, len(found) - size + 1))}


def every_pair(texts, params):
    """Return what comparing all pairs finds."""
    sets, stays, found = [runs_of(text, params.shingle_words) for text in texts], [], set()
    for number, own in enumerate(sets):
        if any(len(own & sets[one]) / len(own | sets[one]) >= params.threshold - 1e-9 for one in stays):
            found.add(texts[number])
        else:
            stays.append(number)
    return found


TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12).map(" ".join), max_size=25, unique=True)


@settings(deadline=None, max_examples=200)
@given(
    texts=TEXTS,
    threshold=st.sampled_from([0.01, 0.3, 0.5, 2 / 3, 0.75, 0.9, 1.0]),
    size=st.integers(1, 3),
    together=st.sampled_from([1, 3, 512]),
    read=st.sampled_from([2, 4096]),
    at_once=st.sampled_from([1, 1 << 20]),
)
def test_what_comparing_all_pairs_finds_is_found_however_many_are_taken_at_once(
    texts, threshold, size, together, read, at_once
):
    params = NearDuplicates(threshold=threshold, shingle_words=size)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("TOGETHER", together), ("READ", read), ("AT_ONCE", at_once)):
            patch.setattr(near, name, value)
        assert near_texts(texts, params) == every_pair(texts, params)


def seconds(texts):
    start = time.process_time()
    found = near_texts(texts, NEAR)
    return found, time.process_time() - start


def test_prompts_that_share_a_long_system_prompt_take_no_time_that_grows_as_their_square():
    assert near_texts(under_a_system_prompt(10), NEAR) == set()  # what is computed once is
    found, few = seconds(under_a_system_prompt(1000))
    assert found == set()
    found, many = seconds(under_a_system_prompt(4000))
    assert found == set()
    assert many < 8 * few + 1
    assert many < 5


def test_near_duplicates_are_found_among_many_that_share_a_system_prompt():
    texts = under_a_system_prompt(300)
    planted = [text.replace("w24", "other") for text in texts[::10]]  # one run of 323 differs
    assert near_texts([*texts, *planted], NEAR) == set(planted)


def test_thousands_that_are_all_near_to_one_take_a_moment():
    texts = [f"{SYSTEM} {number}" for number in range(4000)]
    found, spent = seconds(texts)
    assert found == set(texts[1:])
    assert spent < 5


def test_a_text_looks_up_a_bounded_number_of_others_and_is_counted(monkeypatch):
    """Words of which each stands in many texts: no rare one tells two texts that are nearly near duplicates apart."""
    draw = random.Random(1)
    texts = [" ".join(f"{place}or{draw.random() < 0.9}" for place in range(200)) for _ in range(400)]
    runs = HeldRuns(*shingles.shingles(texts, 1))
    whole = near.near_runs(runs, 0.8)
    assert whole.cut == 0
    monkeypatch.setattr(near, "MOST", 50)
    cut = near.near_runs(runs, 0.8)
    assert cut.cut > 100
    assert (cut.rivals >= 0).sum() <= (whole.rivals >= 0).sum()


def test_each_dropped_text_names_the_earlier_one_that_it_is_near_to_and_that_stays():
    texts = [*under_a_system_prompt(50), *[text.replace("w24", "other") for text in under_a_system_prompt(50)]]
    rivals = near.near_runs(HeldRuns(*shingles.shingles(texts, 3)), 0.9).rivals
    assert rivals.tolist() == [-1] * 50 + list(range(50))


@pytest.mark.parametrize("threshold", [0.99, 1.0, 0.01])
def test_every_threshold_that_params_take_is_taken(threshold):
    params = NearDuplicates(threshold=threshold, shingle_words=2)
    same = ["one two three, four", "one two three four"]
    assert near_texts([*same, "quite another text"], params) == {same[1]}


@pytest.mark.parametrize(
    "texts",
    [
        ["what is 12 + 5", "what is 12 - 5", "what is 12 5", "what is 12 * 5"],
        ["a program in c", "a program in c++", "a program in c#"],
        ["is 5 > 3 true", "is 5 < 3 true", "is 5 = 3 true"],
        ["it costs $ 5", "it costs € 5", "it costs 5"],
    ],
)
def test_symbols_are_words(texts):
    assert near_texts(texts, NearDuplicates(threshold=1.0, shingle_words=3)) == set()


def test_punctuation_is_no_word_and_a_hyphen_between_letters_is_none():
    texts = ["a well-known fact, he said", "a well known fact he said.", '"a well known fact" (he said)']
    assert near_texts(texts, NearDuplicates(threshold=1.0, shingle_words=3)) == {*texts[1:]}


WORDS = st.text("ab1_é好们 .,'’ß\n", max_size=30).map(lambda text: " ".join(text.split()))


@settings(deadline=None, max_examples=200)
@given(texts=st.lists(WORDS, max_size=6), size=st.integers(1, 4), together=st.sampled_from([1, 8, 1 << 18]))
def test_the_runs_of_many_texts_are_those_of_each(texts, size, together):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "AT_A_TIME", together)
        hashes, sizes = shingles.shingles(texts, size)
    assert sizes.tolist() == [len(runs_of(text, size)) for text in texts]
    known = {}
    for text, part in zip(texts, np.split(hashes, np.cumsum(sizes)[:-1]) if texts else [], strict=True):
        assert part.tolist() == sorted(set(part.tolist()))
        assert known.setdefault(frozenset(runs_of(text, size)), part.tolist()) == part.tolist()
