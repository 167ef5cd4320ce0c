"""What the reasons for dropped rows mean, for the screen: the keys of params.yaml that ask for it, and their values."""

from collections import Counter
from collections.abc import Iterator, Mapping
from operator import attrgetter

from rlhf.collection.dropped import Drops
from rlhf.params.collect_prompts import CollectPrompts

MUCH = 0.2  # of a source's rows, dropped for one reason: a warning
KEYS = {  # reason: the key below collect_prompts that asks for it, and how to keep more; other reasons lie in the data
    "prompt_too_long": ("raise", "cleaning.prompt_characters.max"),
    "prompt_too_short": ("lower", "cleaning.prompt_characters.min"),
    "prompt_words_too_long": ("raise", "cleaning.prompt_words.max"),
    "prompt_words_too_short": ("lower", "cleaning.prompt_words.min"),
    "response_too_long": ("raise", "cleaning.response_characters.max"),
    "response_too_short": ("lower", "cleaning.response_characters.min"),
    "document_too_short": ("lower", "documents.characters.min"),
    "too_few_responses": ("lower", "comparisons.min_responses"),
    "common_prefix": ("raise", "cleaning.common_prefix_characters"),
    "near_duplicate": ("raise", "cleaning.near_duplicates.threshold"),
    "over_user_limit": ("raise", "cleaning.max_prompts_per_user"),
}
FAMILIES = {  # the same for reasons that end with a value of the key
    "language_": ("add {} to", "cleaning.languages"),
    "personal_data_": ("set cleaning.on_personal_data: mask, or take {} out of", "cleaning.personal_data"),
    "personal_data_ of documents": (
        "set documents.on_personal_data: mask, or take {} out of",
        "documents.personal_data",
    ),
}
ANSWERS = {  # why answers of a comparison are left out
    "response_too_long": "an answer is longer than {key} {value}",
    "response_too_short": "an answer is shorter than {key} {value}",
    "empty_response": "an answer is empty",
    "equal_response": "answers are equal",
    "none_left_out": "no more were given",
}


def explanations(read: Mapping[str, int], drops: Drops, causes: Drops, params: CollectPrompts) -> Iterator[str]:
    """Yield a line for each source whose comparisons lost answers, and a warning for each reason that takes MUCH.

    `causes` counts, by source, the dropped comparisons in which an answer was left out for a reason.
    """
    for source in params.sources:
        name, reasons = source.name, drops[source.name]
        if reasons["too_few_responses"]:
            yield f"{name}: {_of_comparisons(reasons['too_few_responses'], causes[name], params)}"
        much = [(reason, count) for reason, count in reasons.items() if count > MUCH * read[name]]
        for reason, count in much:
            for own, number in _own_reasons(reason, count, causes[name], MUCH * read[name]):
                way = _way(own, causes[name], "documents" in source.use)
                if way:
                    verb, key = way
                    yield (
                        f"WARNING: {name}: {number / read[name]:.0%} of its rows are dropped, {own}; to keep more, "
                        f"{verb} collect_prompts.{key} (now {_value(key, params)})"
                    )


def _own_reasons(reason: str, count: int, causes: Counter[str], much: float) -> list[tuple[str, int]]:
    """Return the limits that took more than `much` comparisons, where answers are lacking for that; else the reason."""
    limits = [(cause, number) for cause, number in causes.most_common() if cause in KEYS and number > much]
    return limits if reason == "too_few_responses" and limits else [(reason, count)]


def _of_comparisons(count: int, causes: Counter[str], params: CollectPrompts) -> str:
    parts = [f"{number} since {_cause(cause, params)}" for cause, number in causes.most_common()]
    return (
        f"{count} comparisons are left with fewer than {params.comparisons.min_responses} answers, {', '.join(parts)}"
    )


def _cause(cause: str, params: CollectPrompts) -> str:
    _, key = KEYS.get(cause, ("", ""))
    return ANSWERS[cause].format(key=key, value=_value(key, params) if key else "")


def _way(reason: str, causes: Counter[str], of_documents: bool) -> tuple[str, str] | None:
    """Return how to keep more rows, and which key does it; None where no key does.

    A comparison without its answers is kept by what keeps the answers.
    """
    if reason == "too_few_responses":
        reason = next((cause for cause, _ in causes.most_common() if cause in KEYS), reason)
    for beginning in ("language_", "personal_data_"):
        if reason.startswith(beginning):
            own = f"{beginning} of documents" if of_documents else beginning
            verb, key = FAMILIES.get(own, FAMILIES[beginning])
            return verb.format(reason.removeprefix(beginning)), key
    return KEYS.get(reason)


def _value(key: str, params: CollectPrompts) -> str:
    value: int | float | None | list[str] = attrgetter(key)(params)
    return ", ".join(value) if isinstance(value, list) else f"{value}"
