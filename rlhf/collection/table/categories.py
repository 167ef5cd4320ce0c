"""A column of categories holds names, few enough for tables and plots that lie in git."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import get_args

from rlhf.collection.dropped import Dropped
from rlhf.collection.personal_data.finding import check_personal_data
from rlhf.params.collect_prompts import PersonalData

LONGEST_CATEGORY = 40  # characters of a name
MOST_CATEGORIES = 60
UNKNOWN, OTHER = "unknown", "other"
FORMULA = ("=", "+", "-", "@")  # what begins so in a CSV file, a spreadsheet computes
MARKUP = re.compile(r"[<>]")  # DVC puts a plot's names into a script of its page as they are


def named(category: str) -> str:
    """Return a category as a name: "unknown" for a text that is long, holds personal data, or is more than a name to
    what opens tables and plots.
    """
    text = " ".join(category.split())
    return text if len(text) <= LONGEST_CATEGORY and _is_name(text) else UNKNOWN


def is_no_name(category: str) -> bool:
    """Return whether `named` gives up what a category says."""
    return named(category) == UNKNOWN != " ".join(category.split())


def kept(counts: Mapping[str, int]) -> set[str]:
    """Return the MOST_CATEGORIES names that are most frequent, and "unknown"; others are "other"."""
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    return {*ordered[:MOST_CATEGORIES], UNKNOWN}


@lru_cache(4096)
def _is_name(text: str) -> bool:
    try:
        check_personal_data(text, [*get_args(PersonalData)], placeholders=True)
    except Dropped:
        return False
    acts = text.startswith(FORMULA) or MARKUP.search(text)
    return bool(text) and text.isprintable() and not acts


def lines(changed: Mapping[str, int]) -> Sequence[str]:
    """Return what the screen says of rows whose category is not what their source says."""
    found: list[str] = []
    if changed["no_name"]:
        found.append(
            f"categories: {changed['no_name']} rows have one that is no name (over {LONGEST_CATEGORY} characters, "
            "with personal data, with < or >, or with one of = + - @ first): unknown"
        )
    if changed["rare"]:
        rare = f"that is not among the {MOST_CATEGORIES} most frequent"
        found.append(f"categories: {changed['rare']} rows have one {rare}: other")
    return found
