"""A round's judgements that hold, as rows of other tools. TRL has no form for K ranked answers: it gets pairs."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlhf.collection.dropped import Dropped
from rlhf.collection.formats import export
from rlhf.params.labelers.people import People
from rlhf.people import judgements, standing
from rlhf.people.judgements import Judgement
from rlhf.records.types import AnsweredPrompt, Comparison
from rlhf.runtime.files import write_text

Rows = list[dict[str, Any]]
LISTS = ("label_studio",)  # forms whose file is one JSON list
PASSED = ("lines_not_read", *standing.WHY)


def rows(
    folder: Path, round_name: str, answers: Mapping[str, Sequence[AnsweredPrompt]], people: People, form: str
) -> tuple[Rows, Counter[str]]:
    """Return the rows of all judged prompts, and counts of what is left out or not carried."""
    found = standing.standing(judgements.read(folder, round_name), answers)
    counts = Counter({f"lines_passed_over_({why})": count for why, count in found.counts.items() if why in PASSED})
    made: Rows = []
    for pool in answers.values():
        for answered in pool:
            said = [placed.judgement for placed in found.of(answered["messages"], answered["responses"])]
            if said:
                made += FORMATS[form](answered, said, people, counts)
    return made, counts


def write(made: Rows, out: Path, form: str) -> None:
    """Write rows as the form's file has them."""
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in made]
    whole = ["[", ",\n".join(lines), "]"] if form in LISTS else lines
    write_text(out, "".join(f"{part}\n" for part in whole))


def _comparison(answered: AnsweredPrompt, said: Sequence[Judgement], people: People) -> Comparison:
    scale = None if people.scale is None else (people.scale.low, people.scale.high)
    labels = [label for label in (judgements.to_label(one, scale) for one in said) if label]
    about: Any = {**answered, "kind": "comparison", "labels": labels}
    return about


def _as_jsonl(answered: AnsweredPrompt, said: Sequence[Judgement], people: People, counts: Counter[str]) -> Rows:
    """A comparison as `collect_prompts` reads it, with the whole judgements beside it."""
    made: Any = _comparison(answered, said, people)
    if not made["labels"]:  # skipped by all: to `collect_prompts` it is a prompt
        counts["prompts_that_all_skipped,_as_bare_prompts"] += 1
        made = {key: value for key, value in made.items() if key not in ("responses", "labels")} | {"kind": "prompt"}
    return [{**made, "judgements": list(said)}]


def _as_other(form: str) -> Callable[[AnsweredPrompt, Sequence[Judgement], People, Counter[str]], Rows]:
    def made(answered: AnsweredPrompt, said: Sequence[Judgement], people: People, counts: Counter[str]) -> Rows:
        counts["skips_not_carried"] += sum(one["ranks"] is None for one in said)
        ranked = [one for one in said if one["ranks"] is not None]
        if form == "label_studio":  # an order says no ties; other labelers' rankings of the same prompt go out
            apart = [one for one in ranked if _has_no_ties(one)]
            counts["rankings_with_ties_left_out"] += len(ranked) - len(apart)
            ranked = apart
        if not ranked:
            return []
        try:
            found = [*export.FORMS[form](_comparison(answered, ranked, people))]
        except Dropped as reason:
            counts[f"prompts_left_out:_{reason}"] += 1
            return []
        _count_what_is_lost(ranked, counts)
        return found

    return made


def _has_no_ties(judgement: Judgement) -> bool:
    ranks = judgement["ranks"] or []
    return len({*ranks}) == len(ranks)


def _count_what_is_lost(said: Sequence[Judgement], counts: Counter[str]) -> None:
    for one in said:
        counts["ratings_not_carried"] += any(rating is not None for rating in one["ratings"] or ())
        counts["flags_not_carried"] += sum(map(len, one["flags"]))
        counts["written_answers_not_carried"] += one["written"] is not None
    counts["rankings_whose_seconds,_order_and_instructions_are_not_carried"] += len(said)


FORMATS: dict[str, Callable[[AnsweredPrompt, Sequence[Judgement], People, Counter[str]], Rows]] = {
    "jsonl": _as_jsonl,
    "argilla": _as_other("argilla"),
    "label_studio": _as_other("label_studio"),
    "trl": _as_other("trl"),
}
