"""docs/generated/limits.md, from metrics/limits.json."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rlhf.evaluation.report_page import Table
from rlhf.evaluation.statistics import Interval
from rlhf.evaluation.typography import interval, percent_interval
from study import pages
from study import tables as markdown
from study.limits import tables

OUT, PAGE = Path("metrics/limits.json"), pages.FOLDER / "limits.md"
INTRODUCTION = (
    "Each figure is a share of answers in which something was seen: a refusal, a correction, an untrue fact, a "
    "question back. The world's grammar reads the answers, without openers and with one closing each; gold's score "
    "has no part in it. Intervals (95%) are the widest of those over prompts, tasks and subjects; where all answers "
    "agree, Wilson's over the subjects. New prompts are in the world's own wordings and the same for every run; test "
    "prompts are those of `evaluate`. New acts and words stand nowhere in the world, so that a model which has learnt "
    "this world alone cannot know them. Of new acts only a refusal can be read: not to refuse is not yet to help. Of "
    "one task in three wordings, sampled answers differ by luck as well."
)
NOT_RUN = "Not run: `python -m study.limits --pretrained FOLDER` on a finished run of `presets/pretrained.yaml`."
REAL = (
    "All of these prompts are harmless, so every refusal is one too many. There are no false premises, unknown words "
    "or ambiguous requests among them. Intervals are over prompts and kinds of instruction. Content is the share "
    "whose form is strictly as asked."
)


def text(found: Mapping[str, Any]) -> str:
    """Return the page; a part that has not run says so."""
    parts = [INTRODUCTION, *(_world(found["world"]) if "world" in found else ["Not run: `python -m study.limits`."])]
    parts += ["## A pretrained model on real instructions"]
    parts += _real(found["pretrained"]) if "pretrained" in found else [NOT_RUN]
    return pages.page("Known limits, measured", "python -m study.limits", OUT, "\n\n".join(parts)) + "\n"


def _world(figures: Mapping[str, Any]) -> Iterator[str]:
    if figures["not_asked"]:
        missing = ", ".join(figures["not_asked"])
        yield f"New prompts were not asked of {missing}: their models were not in the run folder."
    yield from map(_section, tables.all_of(figures))


def _real(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{figures['prompts']} held-out prompts. {REAL}"
    lines = []
    for policy, decoding in figures["policies"]:
        own = {name: Interval(**one) for name, one in figures["figures"][f"{policy}_{decoding}"].items()}
        shares = [percent_interval(own[name]) for name in ("content", "repetition", "refused")]
        lines.append([tables.called(policy, decoding), interval(own["words"], 1), *shares])
    columns = ["answers", "words", "content", "pairs of tokens said before", "refused"]
    yield markdown.as_markdown(Table(columns, lines)).rstrip()
    yield markdown.as_markdown(tables.phrases(figures)).rstrip()


def _section(table: Table) -> str:
    return f"## {table.caption}\n\n{markdown.as_markdown(table)}".rstrip()
