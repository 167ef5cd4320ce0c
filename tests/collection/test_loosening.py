"""What the screen says of dropped rows: why comparisons lost their answers, and which key keeps more."""

from collections import Counter
from typing import get_args

import pytest

from rlhf.collection import loosening
from rlhf.collection.dropped import Dropped
from rlhf.collection.rankings import within
from rlhf.params.collect_prompts import Comparisons, Limits, PersonalData
from tests.collect_prompts_section import section, source, typed


def said(drops: dict[str, int], causes: dict[str, int] | None = None, use=("comparisons",), read=100, **changes):
    """Return the lines on one source."""
    splits = [] if use == ["documents"] else ["reward_model"]
    others = source("others", "b.jsonl")
    params = typed(section([source("hh", "a.jsonl", use=list(use), splits=splits), others], **changes)).collect_prompts
    nothing = Counter()
    counts = {"hh": Counter(drops), "others": nothing}, {"hh": Counter(causes or {}), "others": nothing}
    return list(loosening.explanations({"hh": read, "others": 0}, *counts, params))


def test_too_few_answers_are_explained_by_the_limits_that_took_them():
    limits = {"cleaning": {"response_characters": {"min": 3, "max": 450}}}
    causes = {"response_too_long": 240, "equal_response": 9, "response_too_short": 5, "empty_response": 1}
    assert said({"too_few_responses": 251}, causes, read=1255, **limits) == [
        "hh: 251 comparisons are left with fewer than 2 answers, 240 since an answer is longer than "
        "cleaning.response_characters.max 450, 9 since answers are equal, 5 since an answer is shorter than "
        "cleaning.response_characters.min 3, 1 since an answer is empty"
    ]
    way = "to keep more, raise collect_prompts.cleaning.response_characters.max (now 450)"
    assert said({"too_few_responses": 251}, causes, read=1254, **limits)[1:] == [
        f"WARNING: hh: 20% of its rows are dropped, too_few_responses; {way}"
    ]
    causes = {"response_too_long": 300, "response_too_short": 260, "equal_response": 400}
    assert said({"too_few_responses": 500}, causes, read=1254, **limits)[1:] == [
        f"WARNING: hh: 24% of its rows are dropped, response_too_long; {way}",
        "WARNING: hh: 21% of its rows are dropped, response_too_short; to keep more, lower "
        "collect_prompts.cleaning.response_characters.min (now 3)",
    ]
    few = said({"too_few_responses": 30}, {"none_left_out": 30}, comparisons={"min_responses": 4})
    assert few == [
        "hh: 30 comparisons are left with fewer than 4 answers, 30 since no more were given",
        "WARNING: hh: 30% of its rows are dropped, too_few_responses; to keep more, lower "
        "collect_prompts.comparisons.min_responses (now 4)",
    ]


@pytest.mark.parametrize(
    ("reason", "way"),
    [
        ("prompt_too_long", "raise collect_prompts.cleaning.prompt_characters.max (now 2000)"),
        ("prompt_words_too_short", "lower collect_prompts.cleaning.prompt_words.min (now 1)"),
        ("near_duplicate", "raise collect_prompts.cleaning.near_duplicates.threshold (now 0.8)"),
        ("over_user_limit", "raise collect_prompts.cleaning.max_prompts_per_user (now 200)"),
        ("language_other", "add other to collect_prompts.cleaning.languages (now en, zh)"),
        (
            "personal_data_id_number",
            "set cleaning.on_personal_data: mask, or take id_number out of collect_prompts.cleaning.personal_data "
            f"(now {', '.join(get_args(PersonalData))})",
        ),
    ],
)
def test_a_reason_that_takes_more_than_a_fifth_is_warned_of_with_its_key(reason, way):
    assert said({reason: 20}) == []
    assert said({reason: 21}) == [f"WARNING: hh: 21% of its rows are dropped, {reason}; to keep more, {way}"]


def test_documents_have_limits_of_their_own():
    (line,) = said({"personal_data_email": 50}, use=["documents"], documents={"personal_data": ["email"]})
    assert line.endswith("or take email out of collect_prompts.documents.personal_data (now email)")


@pytest.mark.parametrize("reason", ["exact_duplicate", "all_responses_tied", "no_answer", "over_max_prompts"])
def test_what_no_key_keeps_or_a_cap_asks_for_is_no_warning(reason):
    assert said({reason: 90}) == []


@pytest.mark.parametrize(
    ("responses", "causes"),
    [
        (["fits", "x" * 11], {"response_too_long"}), (["fits", "x"], {"response_too_short"}),
        (["fits", ""], {"empty_response"}), (["fits", "fits"], {"equal_response"}), (["fits"], {"none_left_out"}),
        (["x" * 11, "x" * 12, "", "fits"], {"response_too_long", "empty_response"}),
        (["x" * 11, "x" * 11], {"response_too_long"}),
    ],
)  # fmt: skip
def test_a_comparison_says_what_its_answers_broke(responses, causes):
    comparison = {"id": "a", "kind": "comparison", "responses": responses, "labels": []}
    with pytest.raises(Dropped) as raised:
        within(comparison, Comparisons(min_responses=2, max_responses=9), Limits(min=2, max=10), seed=1)
    assert str(raised.value) == "too_few_responses"
    assert set(raised.value.causes) == causes
