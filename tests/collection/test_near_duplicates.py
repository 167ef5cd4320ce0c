"""Near duplicates: what is compared grows as the prompts do, and rare runs find what comparing all of them finds."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf.collection import near_duplicates
from rlhf.params.collect_prompts import NearDuplicates

NEAR = NearDuplicates(threshold=0.9, shingle_words=3, permutations=64)
SYSTEM = " ".join(f"rule{number}" for number in range(60))


def under_a_system_prompt(count, words=7):
    return [f"{SYSTEM} " + " ".join(f"p{number}w{word}" for word in range(words)) for number in range(count)]


@pytest.fixture
def compared(monkeypatch):
    """How many pairs were compared."""
    counts, real = Counter(), near_duplicates.similarity

    def counting(first, second):
        counts["pairs"] += 1
        return real(first, second)

    monkeypatch.setattr(near_duplicates, "similarity", counting)
    return counts


def test_prompts_that_share_a_long_system_prompt_are_not_all_compared(compared):
    found = []
    for count in (200, 400):
        compared.clear()
        assert near_duplicates.near(under_a_system_prompt(count), NEAR) == set()
        found.append(compared["pairs"])
    pairs_of_the_first = near_duplicates.FEW * (near_duplicates.FEW + 1)
    assert found[0] <= pairs_of_the_first
    assert found[1] - found[0] <= found[0]


def test_a_near_duplicate_is_found_among_many_that_share_a_system_prompt():
    texts = under_a_system_prompt(300)
    planted = [text.replace("w6", "other") for text in texts[::10]]  # one run of 65 differs
    assert near_duplicates.near([*texts, *planted], NEAR) == set(planted)


def test_a_text_looks_up_a_bounded_number_of_others(compared, monkeypatch):
    """Words of which each stands in many texts: no rare one tells two texts that are nearly near duplicates apart."""
    draw, params = random.Random(1), NEAR.model_copy(update={"shingle_words": 1, "threshold": 0.75})
    texts = [" ".join(f"{place}or{draw.random() < 0.9}" for place in range(200)) for _ in range(100)]
    for most in (10, 20):
        monkeypatch.setattr(near_duplicates, "MOST", most)
        monkeypatch.setattr(near_duplicates, "FEW", -1)
        compared.clear()
        near_duplicates.near(texts, params)
        assert most * 10 < compared["pairs"] <= most * len(texts)


TEXTS = st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12).map(" ".join), max_size=25, unique=True)


@settings(deadline=None, max_examples=100)
@given(texts=TEXTS, threshold=st.sampled_from([0.3, 0.5, 2 / 3, 0.75, 0.9, 1.0]), size=st.integers(1, 3))
def test_rare_runs_find_what_comparing_all_finds(texts, threshold, size):
    params = NearDuplicates(threshold=threshold, shingle_words=size, permutations=16)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "FEW", 10**9)
        every = near_duplicates.near(texts, params)
        patch.setattr(near_duplicates, "FEW", -1)
        assert near_duplicates.near(texts, params) == every


def test_long_texts_are_sketched_in_parts_and_give_the_same(monkeypatch):
    texts = under_a_system_prompt(5)
    texts += [text.replace("w6", "other") for text in texts]
    whole = near_duplicates.near(texts, NEAR)
    monkeypatch.setattr(near_duplicates, "AT_A_TIME", 7)
    assert near_duplicates.near(texts, NEAR) == whole
    assert len(whole) == 5


@pytest.mark.parametrize(("threshold", "permutations"), [(0.99, 64), (1.0, 16), (1.0, 1024), (0.01, 16)])
def test_every_threshold_that_params_take_is_taken(threshold, permutations):
    params = NearDuplicates(threshold=threshold, shingle_words=2, permutations=permutations)
    same = ["one two three, four", "one two three four"]
    assert near_duplicates.near([*same, "quite another text"], params) == {same[1]}
